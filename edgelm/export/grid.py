"""What a model's weights become in a kind of GGUF: llama.cpp quantises them, and they are read back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgelm.export.gguf import quantize_gguf, rotary_rows, tensor_name, write_gguf
from edgelm.extras import require
from edgelm.model.config import read_config


class Grid:
    """Rounds weights as `edgelm export` writes them, with the same mix of types and importance matrix.

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
        """The values that are left of each weight, float32, by the same names as in `model.safetensors`."""
        orders = {name: rotary_rows(name, len(weight), self.config) for name, weight in weights.items()}
        for name, weight in weights.items():
            rows, values = orders[name], weight.detach().float().cpu().numpy()
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
