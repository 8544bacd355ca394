"""A model with a head in ONNX Runtime: `model.onnx`, `config.json`, `tokenizer.json`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from edgelm.errors import BadInput
from edgelm.model.config import read_config
from edgelm.model.head_config import HeadConfig
from edgelm.runtime.labeller import HeadModel
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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        try:
            engine = onnxruntime.InferenceSession(
                directory / "model.onnx", options, providers=["CPUExecutionProvider"]
            )
            model = cls(engine, tokenizer, head, config.context, f"ONNX {directory.name}")
            labels = model.logits([[tokenizer.bos]])[0].shape[1]
        except Exception as error:  # onnxruntime's errors have no common base
            raise BadInput(
                f"is not an ONNX model that can be read ({str(error).splitlines()[0]})",
                file=directory / "model.onnx",
                remedy="export the model again",
            ) from None
        if labels != len(head.labels):
            raise BadInput(
                f"has {labels} labels, config.json {len(head.labels)}",
                file=directory / "model.onnx",
                remedy="export the model again",
            )
        return model

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        for ids in sequences:
            tokens = np.asarray([list(ids)], dtype=np.int64)
            inputs = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
            found.append(self.engine.run(None, inputs)[0][0])
        return found
