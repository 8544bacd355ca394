"""Which document comes next: a fresh order every epoch, and each language its share of the tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from edgelm.errors import BadInput
from edgelm.mixture import temperature_shares, unimax_shares
from edgelm.model.decoder import IGNORE
from edgelm.pretrain.packing import Item, Piece, State
from edgelm.pretrain.tokens import TokenShard, tokenised
from edgelm.progress import Progress
from edgelm.tokenizer.text import TextTokenizer

Sampling = Literal["temperature", "unimax"]


class Shuffled:
    """Items 0..n-1 in a fresh order every epoch; the order depends on nothing but `key` and the epoch."""

    def __init__(self, size: int, key: Sequence[int]):
        self.size, self.key = size, list(key)
        self.epoch, self.position, self.begun = 0, 0, 0
        self.order = self._order()

    def _order(self) -> np.ndarray:
        return np.random.default_rng([*self.key, self.epoch]).permutation(self.size)

    def index(self) -> int:
        """The item whose turn it is."""
        if self.position == self.size:
            self.epoch, self.position = self.epoch + 1, 0
            self.order = self._order()
        return int(self.order[self.position])

    def piece(self, tokens: int, limit: int) -> tuple[int, int]:
        """Start and length of the next piece of that item, which has so many tokens."""
        start, length = self.begun, min(tokens - self.begun, limit)
        self.begun = (start + length) % tokens
        self.position += not self.begun
        return start, length

    def state(self) -> State:
        return {"epoch": self.epoch, "position": self.position, "begun": self.begun}

    def restore(self, state: State) -> None:
        self.epoch, self.position, self.begun = state["epoch"], state["position"], state["begun"]
        self.order = self._order()


class Fair:
    """Says whose turn it is, so that the tokens handed out approach the given shares."""

    def __init__(self, shares: dict[str, float]):
        self.shares = dict(sorted(shares.items()))
        self.served = dict.fromkeys(self.shares, 0)
        self.progress = dict.fromkeys(self.shares, 0.0)

    def turn(self) -> str:
        return min(self.progress, key=self.progress.__getitem__)

    def serve(self, name: str, tokens: int) -> None:
        self.served[name] += tokens
        self.progress[name] = self.served[name] / self.shares[name]

    def state(self) -> State:
        return dict(self.served)

    def restore(self, state: State) -> None:
        for name in self.shares:
            self.served[name] = 0
            self.serve(name, state[name])


class CorpusSource:
    """Documents of a tokenised corpus, in an order of `seed`'s and the epoch's; each language has its share.

    Every second time a document is seen it carries its language's tag, so that the model writes with and
    without.

    Args:
        shares: of the tokens, by language, in any unit; in proportion to their sizes where none are given.

    Attributes:
        tokens: of one epoch of all languages.
    """

    def __init__(
        self,
        shards: dict[str, TokenShard],
        tokenizer: TextTokenizer,
        *,
        seed: int,
        shares: dict[str, float] | None = None,
    ):
        tags = {code: tokenizer.language(code) for code in shards}
        self.heads = {
            code: np.array([tokenizer.bos] if tag is None else [tokenizer.bos, tag])
            for code, tag in tags.items()
        }
        self.end = np.array([tokenizer.eos, IGNORE])  # nothing is to be learnt from an EOS
        self.ids = {
            code: np.asarray(shard.ids) for code, shard in shards.items()
        }  # memory-mapped all the same
        self.offsets = {code: np.asarray(shard.offsets) for code, shard in shards.items()}
        self.fair = Fair(shares or {code: float(shard.tokens) for code, shard in shards.items()})
        self.orders = {
            code: Shuffled(shards[code].documents, [seed, number])
            for number, code in enumerate(sorted(shards))
        }
        self.tokens = sum(shard.tokens for shard in shards.values())

    def share(self, shares: dict[str, float]) -> None:
        """Give languages other shares, before the first piece is taken; those not named get none."""
        self.fair = Fair(shares)

    def next_piece(self, limit: int) -> Piece:
        code = self.fair.turn()
        order, offsets = self.orders[code], self.offsets[code]
        index = order.index()
        tagged = (index + order.epoch) % len(self.heads[code])
        start, length = order.piece(int(offsets[index + 1] - offsets[index]) + 2 + tagged, limit)
        self.fair.serve(code, length)
        return Piece([code, index, tagged, start], length)

    def read(self, piece: Piece) -> Item:
        code, index, tagged, start = piece.key
        head = self.heads[code][: 1 + tagged]
        first, last = self.offsets[code][index : index + 2]
        text = self.ids[code][first + max(start - len(head), 0) : last][: piece.length + 1]
        ids = np.concatenate((head[start:], text, self.end))[: piece.length + 1]
        targets = ids[1:]
        if tagged and not start:
            targets = targets.copy()
            targets[0] = IGNORE  # the tag
        return Item(ids[:-1], targets)

    def epochs(self) -> dict[str, float]:
        """How often each language's documents have been handed out."""
        return {
            code: round(order.epoch + order.position / order.size, 2) for code, order in self.orders.items()
        }

    def state(self) -> State:
        return {
            "served": self.fair.state(),
            "orders": {code: order.state() for code, order in self.orders.items()},
        }

    def restore(self, state: State) -> None:
        self.fair.restore(state["served"])
        for code, order in self.orders.items():
            order.restore(state["orders"][code])


def corpus_source(
    corpus: Path,
    languages: list[str],
    tokenizer: TextTokenizer,
    fallback: Path,
    *,
    seed: int,
    sampling: Sampling = "temperature",
    temperature: float = 2.0,
    max_epochs: float = 4.0,
    budget: float | None = None,
    weights: dict[str, float] | None = None,
    progress: Progress | None = None,
) -> CorpusSource:
    """A source over the training split of a corpus, which is tokenised where it has not been.

    Args:
        languages: those to take documents of; the ones without any are left out.
        fallback: a folder for the tokens where the corpus cannot be written.
        temperature: of `sampling` by "temperature".
        max_epochs, budget: of `sampling` by "unimax": how often a language is seen at most in so many tokens.
        weights: multiply the shares of the languages named, 0 leaves one out.

    Raises:
        BadInput: the corpus is damaged or has no training document, or a weight is of no language named.
    """
    weights = weights or {}
    if strange := sorted(set(weights) - set(languages)):
        raise BadInput(
            f"a weight is given for {', '.join(strange)}, which is not among the languages",
            file=corpus,
            remedy=f"choose from {', '.join(languages)}",
        )
    languages = [code for code in languages if weights.get(code, 1) > 0]
    shards = tokenised(corpus, languages, tokenizer, fallback, progress)
    sizes = {code: shard.tokens for code, shard in shards.items()}
    if sampling == "unimax":
        shares = unimax_shares(sizes, sum(sizes.values()) if budget is None else budget, max_epochs)
    else:
        shares = temperature_shares(sizes, temperature)
    shares = {code: share * weights.get(code, 1) for code, share in shares.items()}
    return CorpusSource(shards, tokenizer, seed=seed, shares=shares)
