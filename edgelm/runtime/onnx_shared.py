"""ONNX graphs that keep their key-value cache in place, as those that onnxruntime-genai's builder writes.

Such a graph attends with GroupQueryAttention, which writes what is new behind what is there and counts the
positions itself. Past and present are one buffer, so that no token copies it. As the contexts of some models
would take gigabytes, it has room for a part at first, and for twice as much whenever that is full.
"""

import ctypes
import math
from collections.abc import Sequence

import numpy as np
import onnxruntime

from edgelm.errors import BadInput
from edgelm.model.config import ModelConfig
from edgelm.runtime.base import PORTION
from edgelm.runtime.tokenized import TokenizedModel
from edgelm.tokenizer.text import TextTokenizer

ROOM = 1024
"""Tokens that a cache has room for at first."""


class SharedOnnxModel(TokenizedModel):
    backend = "onnx"

    def __init__(
        self, engine: onnxruntime.InferenceSession, tokenizer: TextTokenizer, name: str, config: ModelConfig
    ):
        super().__init__(tokenizer, name, config.context)
        self.engine, self.config = engine, config
        self.vocab_size = config.vocab_size

    def session(self) -> "SharedOnnxSession":
        self.check_open()
        return SharedOnnxSession(self.engine, self.config)

    def close(self) -> None:
        self.closed, self.held = True, None
        vars(self).pop("engine", None)


class SharedOnnxSession:
    """One sequence. What a token needs is bound once, as binding an output costs more than copying it."""

    def __init__(self, engine: onnxruntime.InferenceSession, config: ModelConfig):
        self.engine, self.config, self.length = engine, config, 0
        self.caches: dict[str, onnxruntime.OrtValue] = {}
        self.token = np.zeros((1, 1), dtype=np.int64)
        self.logits = np.empty((1, 1, config.vocab_size), dtype=np.float32)
        self._make_room(min(ROOM, config.context))

    def feed(self, ids: Sequence[int], last_only: bool = False) -> np.ndarray:
        if self.length + len(ids) > self.config.context:
            raise BadInput(
                f"{self.length + len(ids)} tokens do not fit the context of {self.config.context}",
                remedy="shorten the text",
            )
        while self.room < self.length + len(ids):
            self._make_room(min(2 * self.room, self.config.context))
        if last_only:
            for begin in range(0, len(ids) - 1, PORTION):
                self._read(ids[begin : min(begin + PORTION, len(ids) - 1)], None)
            ids = ids[-1:]
        if len(ids) == 1:
            self.token[0, 0] = ids[0]
            self._run(self.step, 1, None)  # options would cost a tenth of a small model's time
            return self.logits[0].copy()
        logits = np.empty((1, len(ids), self.config.vocab_size), dtype=np.float32)
        self._read(ids, logits)
        return logits[0]

    def rewind(self, length: int) -> None:
        self.length = length

    def _make_room(self, room: int) -> None:
        """Caches for so many tokens, with what is in those there are."""
        self.room, self.seen = room, np.ones((1, room), dtype=np.int64)
        for name in cache_names(self.engine):
            new = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                (1, self.config.kv_heads, room, self.config.head_dim), np.float32
            )
            if old := self.caches.get(name):
                _values(new)[:, :, : self.length] = _values(old)[:, :, : self.length]
            self.caches[name] = new
        self.step = self._bind(self.token, self.logits)

    def _read(self, ids: Sequence[int], logits: np.ndarray | None) -> None:
        tokens = np.array([ids], dtype=np.int64)  # only its address is bound
        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True  # without logits, without the head
        self._run(self._bind(tokens, logits), len(ids), options)

    def _bind(self, ids: np.ndarray, logits: np.ndarray | None) -> onnxruntime.IOBinding:
        binding = self.engine.io_binding()
        binding.bind_cpu_input("input_ids", ids)
        for name, cache in self.caches.items():
            binding.bind_ortvalue_input(name, cache)
            binding.bind_ortvalue_output(name.replace("past_key_values", "present"), cache)
        if logits is not None:
            binding.bind_output("logits", "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
        return binding

    def _run(
        self, binding: onnxruntime.IOBinding, count: int, options: onnxruntime.RunOptions | None
    ) -> None:
        binding.bind_cpu_input("attention_mask", self.seen[:, : self.length + count])
        try:
            self.engine.run_with_iobinding(binding, options)
        except Exception as error:  # onnxruntime's errors have no common base
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise BadInput(
                f"ONNX Runtime cannot read token {self.length + count} ({reason})",
                remedy="export the model again",
            ) from None
        self.length += count


def _values(cache: onnxruntime.OrtValue) -> np.ndarray:
    """The numbers of a cache, where they are."""
    shape = cache.shape()
    return np.ctypeslib.as_array((ctypes.c_float * math.prod(shape)).from_address(cache.data_ptr())).reshape(
        shape
    )


def cache_names(engine: onnxruntime.InferenceSession) -> list[str]:
    """The inputs of a graph that hold its key-value cache."""
    return [one.name for one in engine.get_inputs() if one.name.startswith("past_key_values")]


def shares_cache(engine: onnxruntime.InferenceSession) -> bool:
    """Whether a graph counts positions itself, which only those do that keep their cache in place."""
    names = {one.name for one in engine.get_inputs()}
    return bool(cache_names(engine)) and "position_ids" not in names
