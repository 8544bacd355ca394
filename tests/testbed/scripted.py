"""Models whose every probability is known, written against the runtime's interface alone."""

from collections.abc import Callable, Sequence

import numpy as np

from edgelm.runtime import LanguageModel
from edgelm.tokenizer.special import ChatFormat

BOS, EOS, END, USER, ASSISTANT = 256, 257, 258, 259, 260
VOCAB_SIZE = 261


class ByteModel(LanguageModel):
    """A token a byte; `logits_after` says what follows the ids so far."""

    name, backend = "bytes", "none"
    bos, eos, end = BOS, EOS, END
    chat_format = ChatFormat((BOS,), {"user": (USER,), "assistant": (ASSISTANT,)}, (END,))
    vocab_size = VOCAB_SIZE

    def __init__(self, logits_after: Callable[[list[int]], np.ndarray], context: int = 64):
        self.logits_after, self.context = logits_after, context

    def session(self) -> "ByteSession":
        return ByteSession(self)

    def tokenize(self, text: str) -> list[int]:
        return list(text.encode("utf-8"))

    def token_bytes(self, token: int) -> bytes:
        return bytes([token]) if token < BOS else b""

    def language_tag(self, code: str) -> int | None:
        return None

    def close(self) -> None:
        self.closed = True


class ByteSession:
    def __init__(self, model: ByteModel):
        self.model = model
        self.ids: list[int] = []

    def feed(self, ids: Sequence[int], last_only: bool = False) -> np.ndarray:
        rows = []
        for token in ids:
            self.ids.append(token)
            rows.append(self.model.logits_after(self.ids))
        assert len(self.ids) <= self.model.context
        return np.array(rows[-1:] if last_only else rows, dtype=np.float32)

    def rewind(self, length: int) -> None:
        del self.ids[length:]


def uniform(context: int = 64) -> ByteModel:
    return ByteModel(lambda ids: np.zeros(VOCAB_SIZE), context)


def saying(*script: int, context: int = 64) -> ByteModel:
    """A model that says the tokens of `script` after BOS, then EOS for ever."""

    def after(ids: list[int]) -> np.ndarray:
        logits = np.full(VOCAB_SIZE, -50.0)
        logits[script[len(ids) - 1] if len(ids) <= len(script) else EOS] = 50.0
        return logits

    return ByteModel(after, context)
