"""A model with a head in ONNX Runtime: `model.onnx`, `config.json`, `tokenizer.json`."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime

from edgelm.errors import BadInput
from edgelm.model.config import read_config
from edgelm.model.head_config import HeadConfig
from edgelm.runtime.choices import TOKENS, batches, padded
from edgelm.runtime.graph_file import GRAPHS, find_graph, quantises_activations
from edgelm.runtime.labeller import HeadModel
from edgelm.runtime.onnx import open_graph
from edgelm.tokenizer.text import TextTokenizer


class OnnxLabeller(HeadModel):
    backend = "onnx"

    def __init__(
        self, engine: onnxruntime.InferenceSession, tokenizer: TextTokenizer, head: HeadConfig,
        context: int, name: str, graph: Path,
    ):  # fmt: skip
        super().__init__(tokenizer, head, context, name)
        self.engine, self.graph = engine, graph

    @cached_property
    def alone(self) -> bool:
        """Whether sequences are read one at a time, as reading several together would change the figures."""
        return quantises_activations(self.graph)

    @classmethod
    def open(cls, directory: Path, head: HeadConfig, threads: int | None = None) -> "OnnxLabeller":
        config, tokenizer = read_config(directory), TextTokenizer(directory)
        tokenizer.check_fits(config.vocab_size, directory)
        path = find_graph(directory) or directory / GRAPHS[0]
        engine, found = open_graph(path, threads, lambda engine: run_graph(engine, [[tokenizer.bos]]))
        labels = found.shape[2]
        if labels != len(head.labels):
            raise BadInput(
                f"has {labels} labels, config.json {len(head.labels)}",
                file=path,
                remedy="export the model again",
            )
        name = (directory.parent if directory.name == "head" else directory).name  # of an ensemble
        return cls(engine, tokenizer, head, config.context, f"ONNX {name}", path)

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        found: list[np.ndarray] = [np.empty(0)] * len(sequences)
        for batch in batches([len(ids) for ids in sequences], 1 if self.alone else TOKENS):
            logits = run_graph(self.engine, [sequences[one] for one in batch])
            for one, row in zip(batch, logits, strict=True):
                found[one] = row[: len(sequences[one])]
        return found


def run_graph(engine: onnxruntime.InferenceSession, sequences: Sequence[Sequence[int]]) -> np.ndarray:
    """Logits of every token of each sequence and of what fills it up, float32 [B, T, labels]."""
    mask = padded([[1] * len(ids) for ids in sequences])
    inputs = {"input_ids": padded(sequences), "attention_mask": mask}
    logits: np.ndarray = engine.run(None, inputs)[0]
    return logits
