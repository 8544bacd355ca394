"""The ONNX runtime: a directory with optimum's `model.onnx` (with past), `config.json`, `tokenizer.json`."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from edgelm.errors import BadInput
from edgelm.model.config import ModelConfig, read_config
from edgelm.runtime.tokenized import TokenizedModel
from edgelm.tokenizer.text import TextTokenizer


def open_graph(
    directory: Path, threads: int | None, trial: Callable[[onnxruntime.InferenceSession], np.ndarray]
) -> tuple[onnxruntime.InferenceSession, np.ndarray]:
    """Open `model.onnx` and run it once: it may not be the graph that `config.json` describes.

    Returns:
        the graph and what `trial` made of it.

    Raises:
        BadInput: it cannot be opened, or the trial fails.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    path = directory / "model.onnx"
    try:
        engine = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return engine, trial(engine)
    except Exception as error:  # onnxruntime's errors have no common base
        raise BadInput(
            f"is not an ONNX model that can be read ({str(error).splitlines()[0]})",
            file=path,
            remedy="export the model again",
        ) from None


class OnnxModel(TokenizedModel):
    backend = "onnx"

    def __init__(
        self, engine: onnxruntime.InferenceSession, tokenizer: TextTokenizer, name: str, config: ModelConfig
    ):
        super().__init__(tokenizer, name, config.context)
        self.engine, self.config = engine, config
        self.vocab_size = config.vocab_size

    @classmethod
    def open(cls, directory: Path, threads: int | None = None) -> "OnnxModel":
        config = read_config(directory)
        tokenizer = TextTokenizer(directory)
        engine, _ = open_graph(
            directory, threads, lambda engine: OnnxSession(engine, config).feed([tokenizer.bos])
        )
        return cls(engine, tokenizer, f"ONNX {directory.name}", config)

    def session(self) -> "OnnxSession":
        self.check_open()
        return OnnxSession(self.engine, self.config)

    def close(self) -> None:
        self.closed = True
        vars(self).pop("engine", None)


class OnnxSession:
    def __init__(self, engine: onnxruntime.InferenceSession, config: ModelConfig):
        self.engine = engine
        self.wanted = {one.name for one in engine.get_inputs()}
        self.names = [one.name for one in engine.get_outputs()]
        empty = np.zeros((1, config.kv_heads, 0, config.head_dim), dtype=np.float32)
        self.past = {name: empty for name in self.wanted if name.startswith("past_key_values")}
        self.length = 0

    def feed(self, ids: Sequence[int], last_only: bool = False) -> np.ndarray:
        end = self.length + len(ids)
        inputs = {
            "input_ids": np.asarray([ids], dtype=np.int64),
            "attention_mask": np.ones((1, end), dtype=np.int64),
            "position_ids": np.arange(self.length, end, dtype=np.int64)[None],
            **self.past,
        }
        outputs = self.engine.run(
            None, {name: value for name, value in inputs.items() if name in self.wanted}
        )
        named = dict(zip(self.names, outputs, strict=True))
        self.past = {name: named[name.replace("past_key_values", "present")] for name in self.past}
        self.length = end
        logits: np.ndarray = named["logits"][0]
        return logits[-1:] if last_only else logits

    def rewind(self, length: int) -> None:
        self.past = {name: value[:, :, :length] for name, value in self.past.items()}
        self.length = length
