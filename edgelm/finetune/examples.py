"""Labelled examples as training items, and their mixture with plain text."""

from collections.abc import Sequence

import numpy as np

from edgelm.model.decoder import IGNORE
from edgelm.pretrain.packing import Item, Piece, Source, State
from edgelm.pretrain.sampling import Fair, Shuffled
from edgelm.tokenizer.text import TextTokenizer


def answer_item(
    asked: str | Sequence[tuple[str, str]], answer: str, tokenizer: TextTokenizer, context: int
) -> Item:
    """A message, or the (role, content) of a conversation, and the answer, as the model will meet them.

    The targets are what the assistant says, each time with the END behind it, and nothing else. They weigh as
    much in the loss as a document of the example's length, or a mixture with plain text would hardly notice
    them. What is too long for the context loses its beginning, never the answer.
    """
    turns = [("user", asked)] if isinstance(asked, str) else asked
    end = [*tokenizer.encode(answer), tokenizer.end]
    said = [(role, tokenizer.encode(content)) for role, content in turns]
    ids = np.array([*tokenizer.conversation(said, answer=len(end), context=context), *end], dtype=np.int64)
    learnt = answers(ids, tokenizer)
    targets = np.append(np.where(learnt, ids, IGNORE)[1:], IGNORE)
    return Item(ids, targets, weight=len(ids) / int(learnt.sum()))


def answers(ids: np.ndarray, tokenizer: TextTokenizer) -> np.ndarray:
    """Which tokens the assistant says, END included: bool [T]. Text never holds the tokens that frame it."""
    places, opened = np.arange(len(ids)), np.zeros(len(ids), dtype=bool)
    assert tokenizer.chat_format is not None
    opening = tokenizer.chat_format.open["assistant"]
    windows = np.lib.stride_tricks.sliding_window_view(ids, len(opening))
    opened[np.flatnonzero((windows == opening).all(axis=1)) + len(opening) - 1] = True
    begins = np.maximum.accumulate(np.where(opened, places, -1))
    ends = np.maximum.accumulate(np.where(ids == tokenizer.end, places, -1))
    before = np.append(-1, ends[:-1])  # the last END in front of a token
    return (begins > before) & ~opened


class ExampleSource:
    """Examples in a fresh order every epoch."""

    def __init__(self, items: Sequence[Item], seed: int):
        self.items, self.order = items, Shuffled(len(items), [seed])

    def next_piece(self, limit: int) -> Piece:
        index = self.order.index()
        start, length = self.order.piece(len(self.items[index].ids), limit)
        return Piece([index, start], length)

    def read(self, piece: Piece) -> Item:
        index, start = piece.key
        return self.items[index].piece(start, piece.length)

    def state(self) -> State:
        return self.order.state()

    def restore(self, state: State) -> None:
        self.order.restore(state)


class Mixture:
    """Items of several sources, each getting its share of the tokens."""

    def __init__(self, sources: dict[str, Source], shares: dict[str, float]):
        self.sources, self.fair = sources, Fair(shares)

    def next_piece(self, limit: int) -> Piece:
        name = self.fair.turn()
        key, length = self.sources[name].next_piece(limit)
        self.fair.serve(name, length)
        return Piece([name, key], length)

    def read(self, piece: Piece) -> Item:
        name, key = piece.key
        return self.sources[name].read(Piece(key, piece.length))

    def state(self) -> State:
        return {
            "served": self.fair.state(),
            "sources": {name: source.state() for name, source in self.sources.items()},
        }

    def restore(self, state: State) -> None:
        self.fair.restore(state["served"])
        for name, source in self.sources.items():
            source.restore(state["sources"][name])
