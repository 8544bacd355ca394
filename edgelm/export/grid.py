"""What a model's weights become in a format: they are quantised by what an export uses, and read back."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgelm.errors import BadInput
from edgelm.export.gguf import (
    ALIKE,
    package_type,
    quantize_gguf,
    rotary_rows,
    tensor_name,
    write_gguf,
    written_here,
)
from edgelm.extras import require
from edgelm.model.config import read_config
from edgelm.runtime.llama_c import compiled

Grid = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
"""The values that are left of each weight, float32, by the same names as in `model.safetensors`."""
IN_BLOCKS = ("onnx:int4", "ort:int4")
BLOCK, BITS, EMBEDDING_BITS = 32, 4, 8
"""Of `k_quant_last`: weights of a row that share a scale and a zero, bits of each, and in the embedding."""
EMBEDDING = "model.embed_tokens.weight"


def check_format(name: str) -> None:
    """Raise `BadInput` unless `name` is a format of few bits that a grid is made for."""
    family, kind = name.split(":")
    if name not in IN_BLOCKS and (family != "gguf" or kind in ALIKE):
        raise BadInput(
            f"{name} is no format that a model is finished for",
            remedy="choose a GGUF of few bits, such as gguf:Q4_0, or onnx:int4",
        )


def is_weighed(name: str) -> bool:
    """Whether an export to a format of few bits weighs errors by an importance matrix."""
    return name.startswith("gguf:") and compiled() is not None


def make_grid(name: str, model: Path, importance: Mapping[str, np.ndarray], folder: Path) -> Grid:
    """The grid of a format, for weights of the shapes of `model`.

    Args:
        importance: see `quantize_gguf`.
        folder: see `LlamaGrid`.
    """
    kind = name.split(":")[1]
    if name in IN_BLOCKS:
        return left_in_blocks
    if written_here(kind):
        return lambda weights: left_by_package(weights, kind)
    return LlamaGrid(model, kind, importance, folder)


class LlamaGrid:
    """Rounds weights as llama.cpp does, with the same mix of types and importance matrix as an export.

    Args:
        model: a directory; the weights to come are of its shape.
        folder: where files of the model's size may lie, `float32.gguf` and `quantised.gguf`.
    """

    def __init__(self, model: Path, kind: str, importance: Mapping[str, np.ndarray], folder: Path):
        self.gguf = require("gguf", "export")
        self.kind, self.importance, self.config = kind, importance, read_config(model)
        self.source, self.quantised = folder / "float32.gguf", folder / "quantised.gguf"
        write_gguf(model, self.source, "F32")
        # parsing a file's vocabulary takes longer than all else, so what lies where is looked up once
        self.places: dict[str, tuple[int, Any, Any, Any]] = {}
        self.reader = self.gguf.GGUFReader(self.source, "r+")
        self.tensors = {tensor.name: tensor.data for tensor in self.reader.tensors}

    def __call__(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        orders = {name: rotary_rows(name, len(weight), self.config) for name, weight in weights.items()}
        for name, weight in weights.items():
            rows, values = orders[name], _values(weight)
            self.tensors[tensor_name(name)][...] = values if rows is None else values[rows]
        self.reader.data.flush()
        quantize_gguf(self.source, self.quantised, self.kind, self.importance)
        found = {}
        for name, weight in weights.items():
            rows, values = orders[name], self._read(tensor_name(name)).reshape(weight.shape)
            found[name] = torch.from_numpy(values if rows is None else values[np.argsort(rows)])
        return found

    def _read(self, name: str) -> np.ndarray:
        """A tensor of the quantised file, float32; llama.cpp lays out each that it writes alike."""
        if not self.places:
            for one in self.gguf.GGUFReader(self.quantised).tensors:
                place = int(one.data_offset), one.data.shape, one.data.dtype, one.tensor_type
                self.places[one.name] = place
        offset, shape, dtype, kind = self.places[name]
        count = int(np.prod(shape))
        data = np.fromfile(self.quantised, dtype, count, offset=offset).reshape(shape)
        values: np.ndarray = self.gguf.dequantize(data, kind)
        return values


def left_by_package(weights: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """What is left in a file of `write_gguf`, whatever the order of rows: no block has weights of two."""
    gguf = require("gguf", "export")
    found = {}
    for name, weight in weights.items():
        values = _values(weight)
        if weight.dim() == 2:
            own = package_type(gguf, tensor_name(name), values.shape[1], kind)
            values = gguf.dequantize(gguf.quantize(values, own), own)
        found[name] = torch.from_numpy(values)
    return found


def left_in_blocks(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is left in ONNX of 4 bits, as onnxruntime-genai's builder has onnxruntime quantise it."""
    quantiser = require("onnxruntime.quantization.neural_compressor.weight_only", "export")
    found = {}
    for name, weight in weights.items():
        values = _values(weight)
        if weight.dim() == 2:
            rows, columns = values.shape
            blocks = np.pad(values, ((0, 0), (0, -columns % BLOCK)))
            bits = EMBEDDING_BITS if name == EMBEDDING else BITS
            with np.errstate(all="ignore"):  # of blocks that are all one value
                steps, scales, zeros = quantiser.quant_tensor_k_quant_cuda(blocks, bits, BLOCK)
            left = (steps - zeros).astype(np.float32) * scales.astype(np.float32)
            values = left.reshape(rows, -1)[:, :columns]
        found[name] = torch.from_numpy(np.ascontiguousarray(values))
    return found


def _values(weight: Tensor) -> np.ndarray:
    values: np.ndarray = weight.detach().float().cpu().numpy()
    return values
