"""A linear classifier in ONNX Runtime: `model.onnx` with its vectoriser inside, and `config.json`."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from edgelm.errors import BadInput
from edgelm.model.linear import MODEL_TYPE, VERSION, padded_codes
from edgelm.model.small import read_config, reading, strings
from edgelm.runtime.labeller import TextClassifier
from edgelm.runtime.onnx import open_graph

BATCH_VALUES = 1 << 24
"""Numbers in the matrix of counts, which the graph holds whole: 64 MB."""


class OnnxLinear(TextClassifier):
    """Attributes: `batch`, how many texts go through the graph together."""

    backend = "onnx"

    def __init__(
        self,
        engine: onnxruntime.InferenceSession,
        labels: tuple[str, ...],
        method: str,
        name: str,
        batch: int,
    ):
        super().__init__(labels, method)
        self.engine, self.name, self.batch = engine, name, batch

    @classmethod
    def open(cls, directory: Path, threads: int | None = None) -> "OnnxLinear":
        """The classifier in a directory that `edgelm.export.linear` wrote.

        Raises:
            BadInput: a file is missing or damaged, or the files do not belong together.
        """
        config = read_config(directory, MODEL_TYPE, VERSION)
        with reading(directory, "a linear classifier"):
            labels, method = strings(config["labels"]), str(config["method"])
        engine, _ = open_graph(directory / "model.onnx", threads, lambda engine: run_graph(engine, [" a "]))
        try:
            said = engine.get_modelmeta().custom_metadata_map
            known, features = json.loads(said.get("labels", "[]")), max(1, int(said.get("features", "1")))
        except (ValueError, RecursionError):
            known, features = [], 1
        if known != list(labels):
            raise BadInput(
                "has other labels than config.json",
                file=directory / "model.onnx",
                remedy="export the model again",
            )
        batch = max(1, BATCH_VALUES // features)
        return cls(engine, labels, method, f"linear, ONNX {directory.name}", batch)

    def decision(self, texts: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(texts), len(self.head.labels)), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))  # rows of a batch fill alike
        for start in range(0, len(texts), self.batch):
            rows = order[start : start + self.batch]
            found[rows] = run_graph(self.engine, [texts[number] for number in rows])
        return found


def run_graph(engine: onnxruntime.InferenceSession, texts: Sequence[str]) -> np.ndarray:
    """Decision values, float32 [texts, labels]."""
    found: np.ndarray = engine.run(None, {"codes": padded_codes(texts)})[0]
    return found
