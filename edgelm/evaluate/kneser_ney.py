"""The n-gram that a language model has to beat: characters with modified Kneser-Ney smoothing.

Chen and Goodman, https://dash.harvard.edu/handle/1/25104739: all orders interpolated, three discounts an
order from the counts of counts. A text starts after `ORDER` - 1 marks of its beginning.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORDER = 5
BITS = 12
"""Of a character: five of them fit a 64-bit number, and a language writes with fewer than 4 094."""
UNKNOWN, BEGIN = 0, 1
CODE_POINTS = 0x110000

Codes = NDArray[np.int64]
Reals = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Level:
    """The n-grams of one order.

    Attributes:
        grams: each once, in order, their characters packed with the last one lowest.
        weights: what is left of each one's count after the discount, over the counts of its history.
        histories: each once, in order.
        backoff: the share of each history that goes to the order below.
    """

    grams: Codes
    weights: Reals
    histories: Codes
    backoff: Reals


class KneserNey:
    """Character n-grams of some texts."""

    def __init__(self, texts: Iterable[str], order: int = ORDER):
        if not 0 < order * BITS < 64:
            raise ValueError(f"order {order}: n-grams of 1 to {63 // BITS} characters fit")
        points = [np.frombuffer(text.encode("utf-32-le"), np.uint32) for text in texts]
        known, counts = np.unique(np.concatenate([np.zeros(0, np.uint32), *points]), return_counts=True)
        most = (1 << BITS) - 2
        self.known = np.sort(known[np.argsort(-counts, kind="stable")[:most]])
        self.order = order
        grams = np.concatenate([np.zeros(0, np.int64), *(self._grams(one) for one in points)])
        grams, counts = np.unique(grams, return_counts=True)
        self.levels: list[Level] = []  # the highest order first
        for size in range(order, 0, -1):
            self.levels.append(_level(grams, counts))
            grams, counts = _continuations(grams, counts, size)

    def _grams(self, points: NDArray[np.uint32]) -> Codes:
        """The n-gram that ends at each character of a text."""
        place = np.minimum(np.searchsorted(self.known, points), max(len(self.known) - 1, 0))
        found = self.known[place] == points if len(self.known) else np.zeros(len(points), bool)
        codes = np.where(found, place + 2, UNKNOWN).astype(np.int64)
        padded = np.concatenate([np.full(self.order - 1, BEGIN, np.int64), codes])
        grams = np.zeros(len(codes), np.int64)
        for back in range(self.order):
            grams = grams << BITS | padded[back : back + len(codes)]
        return grams

    def bits(self, text: str) -> float:
        """Bits that `text` takes; a character that training never saw also takes those of its code point."""
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        if not len(points):
            return 0.0
        grams = self._grams(points)
        probability = np.full(len(grams), 1 / (len(self.known) + 1))
        for size, level in zip(range(1, self.order + 1), reversed(self.levels), strict=True):
            own = grams & ((1 << BITS * size) - 1)
            share = _find(level.histories, level.backoff, own >> BITS, 1.0)
            probability = _find(level.grams, level.weights, own, 0.0) + share * probability
        unknown = int((grams & ((1 << BITS) - 1) == UNKNOWN).sum())
        return float(-np.log2(probability).sum()) + unknown * math.log2(CODE_POINTS)


def _level(grams: Codes, counts: Codes) -> Level:
    # few texts may have no n-gram that occurs once, twice or three times: discounts are bounded
    once, twice, thrice, four = (int((counts == number).sum()) for number in (1, 2, 3, 4))
    left = once / (once + 2 * twice) if once else 0.5
    discounts = [1 - 2 * left * twice / max(once, 1), 2 - 3 * left * thrice / max(twice, 1)]
    discounts.append(3 - 4 * left * four / max(thrice, 1))
    taken = np.array([0.0, *(min(max(d, 0.1), at + 0.9) for at, d in enumerate(discounts))])
    taken = taken[np.minimum(counts, 3)]
    histories, starts = np.unique(grams >> BITS, return_index=True)
    totals = np.add.reduceat(counts, starts) if len(starts) else counts
    backoff = np.add.reduceat(taken, starts) / totals if len(starts) else taken
    sizes = np.diff([*starts, len(grams)])
    return Level(grams, (counts - taken) / np.repeat(totals, sizes), histories, backoff)


def _continuations(grams: Codes, counts: Codes, size: int) -> tuple[Codes, Codes]:
    """The n-grams one shorter, counted by how many characters come before them; those at the beginning of a
    text, before which nothing can come, by how often they are there."""
    shorter = grams & ((1 << BITS * (size - 1)) - 1)
    first = shorter >> BITS * max(size - 2, 0) == BEGIN if size > 2 else np.zeros(len(grams), bool)
    each = np.where(first, counts, 1)
    found, inverse = np.unique(shorter, return_inverse=True)
    return found, np.bincount(inverse, weights=each, minlength=len(found)).astype(np.int64)


def _find(keys: Codes, values: Reals, wanted: Codes, otherwise: float) -> Reals:
    if not len(keys):
        return np.full(len(wanted), otherwise)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], otherwise)
