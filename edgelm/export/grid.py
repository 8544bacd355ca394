"""What a model's weights become in a kind of GGUF: llama.cpp quantises them, and they are read back."""

from collections.abc import Mapping
from pathlib import Path

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
        self.kind, self.importance, self.config = kind, importance, read_config(model)
        self.source, self.quantised = folder / "float32.gguf", folder / "quantised.gguf"
        write_gguf(model, self.source, "F32")

    def __call__(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The values that are left of each weight, float32, by the same names as in `model.safetensors`."""
        gguf = require("gguf", "export")
        orders = {name: rotary_rows(name, len(weight), self.config) for name, weight in weights.items()}
        reader = gguf.GGUFReader(self.source, "r+")
        tensors = {tensor.name: tensor.data for tensor in reader.tensors}
        for name, weight in weights.items():
            rows, values = orders[name], weight.detach().float().cpu().numpy()
            tensors[tensor_name(name)][...] = values if rows is None else values[rows]
        reader.data.flush()
        quantize_gguf(self.source, self.quantised, self.kind, self.importance)
        reader = gguf.GGUFReader(self.quantised)
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        found = {}
        for name, weight in weights.items():
            tensor, rows = tensors[tensor_name(name)], orders[name]
            values = np.array(gguf.dequantize(tensor.data, tensor.tensor_type)).reshape(weight.shape)
            found[name] = torch.from_numpy(values if rows is None else values[np.argsort(rows)])
        return found
