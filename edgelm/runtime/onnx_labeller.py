"""A model with a head in ONNX Runtime: `model.onnx`, `config.json`, `tokenizer.json`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from edgelm.errors import BadInput
from edgelm.model.config import read_config
from edgelm.model.head_config import HeadConfig
from edgelm.runtime.labeller import HeadModel
from edgelm.runtime.onnx import open_graph
from edgelm.tokenizer.text import TextTokenizer


class OnnxLabeller(HeadModel):
    backend = "onnx"

    def __init__(
        self, engine: onnxruntime.InferenceSession, tokenizer: TextTokenizer, head: HeadConfig,
        context: int, name: str,
    ):  # fmt: skip
        super().__init__(tokenizer, head, context, name)
        self.engine = engine

    @classmethod
    def open(cls, directory: Path, head: HeadConfig, threads: int | None = None) -> "OnnxLabeller":
        config, tokenizer = read_config(directory), TextTokenizer(directory)
        engine, found = open_graph(directory, threads, lambda engine: run_graph(engine, [tokenizer.bos]))
        labels = found.shape[1]
        if labels != len(head.labels):
            raise BadInput(
                f"has {labels} labels, config.json {len(head.labels)}",
                file=directory / "model.onnx",
                remedy="export the model again",
            )
        return cls(engine, tokenizer, head, config.context, f"ONNX {directory.name}")

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        return [run_graph(self.engine, ids) for ids in sequences]


def run_graph(engine: onnxruntime.InferenceSession, ids: Sequence[int]) -> np.ndarray:
    """Logits of every token of one sequence, float32 [T, labels]."""
    tokens = np.asarray([list(ids)], dtype=np.int64)
    inputs = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
    logits: np.ndarray = engine.run(None, inputs)[0][0]
    return logits
