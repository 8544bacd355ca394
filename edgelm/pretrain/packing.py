"""Documents packed into blocks of one length: none that fits a block is broken, none is discarded.

A source hands out pieces, a `Packer` lays them into blocks. Every token is an input once, and every token
but a document's first is a target once. Attention stays inside a document, by the numbers that go with the
tokens.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from edgelm.model.decoder import IGNORE

State = dict[str, Any]
LOOK_AHEAD = 128  # pieces that wait for a place: 64 left 0.4 % of blocks of 256 tokens empty, these 0.1 %


class Batch(NamedTuple):
    """Tensors of shape [batch, context]: ids, next ids (or `IGNORE`), numbers of the documents in their
    block, all int64; and how much each target counts, float32. Padding is document -1 and weighs nothing."""

    tokens: Tensor
    targets: Tensor
    documents: Tensor
    weights: Tensor


class Item(NamedTuple):
    """Ids and targets of one document or example, equally long, and the weight of each target in the loss."""

    ids: np.ndarray
    targets: np.ndarray
    weight: float = 1.0

    def piece(self, start: int, length: int) -> "Item":
        return Item(self.ids[start : start + length], self.targets[start : start + length], self.weight)


class Piece(NamedTuple):
    """An item, or so much of a long one as a block holds: how its source finds it, JSON-serialisable, and how
    many tokens it has."""

    key: list
    length: int


class Source(Protocol):
    """An endless supply of pieces."""

    def next_piece(self, limit: int) -> Piece:
        """The next item; one of more than `limit` tokens comes in pieces of `limit`, its rest last."""
        ...

    def read(self, piece: Piece) -> Item: ...
    def state(self) -> State: ...
    def restore(self, state: State) -> None: ...


def make_item(ids: Sequence[int] | np.ndarray, learn_from: int = 1, weight: float = 1.0) -> Item:
    """An item whose targets begin with the token at `learn_from`: 1 for all, more to learn an answer only."""
    tokens = np.asarray(ids, dtype=np.int64)
    targets = np.append(tokens[1:], IGNORE)
    targets[: learn_from - 1] = IGNORE
    return Item(tokens, targets, weight)


class Packer:
    """Blocks of `context` tokens from a source.

    A block begins with the piece that has waited longest, so each has its turn; then come, of those that
    wait, one that fills the block exactly or else the oldest that fits. Best fit from a bounded pool (after
    Ding et al., 2024, "Fewer Truncations Improve Language Modeling") leaves the order nearly the source's.

    Args:
        batch: blocks in a batch.
        rows: those of a batch to give out. Processes that train together choose the same documents and read
            only their own rows of them.
    """

    def __init__(self, source: Source, *, batch: int, context: int, pad: int, rows: slice = slice(None)):
        self.source, self.batch, self.context, self.pad, self.rows = source, batch, context, pad, rows
        self.waiting: list[Piece] = []  # oldest first

    def next_batch(self) -> Batch:
        blocks = [self._next_block() for _ in range(self.batch)][self.rows]
        shape = (len(blocks), self.context)
        tokens = np.full(shape, self.pad, dtype=np.int64)
        targets = np.full(shape, IGNORE, dtype=np.int64)
        documents = np.full(shape, -1, dtype=np.int64)
        weights = np.zeros(shape, dtype=np.float32)
        for row, block in enumerate(blocks):
            used = 0
            for number, piece in enumerate(block):
                item, place = self.source.read(piece), slice(used, used + piece.length)
                tokens[row, place], targets[row, place] = item.ids, item.targets
                documents[row, place], weights[row, place] = number, item.weight
                used += piece.length
        return Batch(*map(torch.from_numpy, (tokens, targets, documents, weights)))

    def _next_block(self) -> list[Piece]:
        tokens = sum(piece.length for piece in self.waiting)
        while len(self.waiting) < LOOK_AHEAD or tokens < 2 * self.context:
            self.waiting.append(self.source.next_piece(self.context))
            tokens += self.waiting[-1].length
        lengths = [piece.length for piece in self.waiting]
        chosen, room = [], self.context
        for place, length in enumerate(lengths):
            if length <= room:
                chosen.append(place)
                room -= length
                if room in lengths[place + 1 :]:
                    chosen.append(lengths.index(room, place + 1))
                    break
        return [self.waiting.pop(place) for place in reversed(chosen)][::-1]

    def state(self) -> State:
        return {"source": self.source.state(), "waiting": [list(piece) for piece in self.waiting]}

    def restore(self, state: State) -> None:
        self.source.restore(state["source"])
        self.waiting = [Piece(*piece) for piece in state["waiting"]]
