"""Prompt lookup: what followed the last tokens when they stood in the text before is tried as a draft.

The draft is read together with the token before it, in one batch, and counts only as far as the sampler draws
the same (Saxena, 2023: https://github.com/apoorvumang/prompt-lookup-decoding). No second model is needed.
It pays where a text repeats itself or its prompt, and where reading several tokens at once costs little more
than reading one: both are measured.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgelm.runtime.base import Session

NGRAM = 3
DRAFT = 5
"""Tokens of a draft."""
ROUNDS = 3
GAIN = 1.1
"""Times faster that a draft has to promise to be."""
MEMORY = 0.7
"""What the average of drafts' success keeps of what it was, draft by draft."""
ALIKE = 1e-3
"""Logits that differ by less are the same but for rounding."""


class Lookup:
    """Where each sequence of `NGRAM` tokens stood last."""

    def __init__(self, ids: Sequence[int]):
        self.ids: list[int] = []
        self.after: dict[tuple[int, ...], int] = {}
        for token in ids:
            self.add(token)

    def add(self, token: int) -> None:
        if len(self.ids) >= NGRAM:  # entered once something follows: the last tokens must not find themselves
            self.after[tuple(self.ids[-NGRAM:])] = len(self.ids)
        self.ids.append(token)

    def draft(self) -> list[int]:
        """What may come next; empty where the last tokens are new."""
        place = self.after.get(tuple(self.ids[-NGRAM:]))
        if place is None:
            return []
        return (self.ids[place : place + DRAFT] * DRAFT)[:DRAFT]  # what has come round twice may again


class Pace:
    """What reading costs in seconds, for one model on this machine.

    Attributes:
        single: one token.
        batch: a token and a draft.
        alike: whether reading them together gives the same logits as one by one, but for rounding. Weights in
            some formats of few bits are multiplied by other code when several tokens are read.
    """

    def __init__(self, session: "Session", length: int, ids: Sequence[int]):
        """Measures on a session of `length` tokens, which is as it was when this is done.

        Args:
            ids: a token and a draft.
        """
        singles, batches = [], []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            together = session.feed(ids)
            batches.append(time.perf_counter() - begin)
            session.rewind(length)
        alone = []
        for token in ids:
            begin = time.perf_counter()
            alone.append(session.feed([token])[0])
            singles.append(time.perf_counter() - begin)
        session.rewind(length)
        self.single, self.batch = min(singles), min(batches)
        self.alike = bool(np.abs(together - np.stack(alone)).max() < ALIKE)


class Drafts:
    """Whether to draft, from what reading costs and from how much of the drafts of this text came true.

    A draft that is not read is compared with what is drawn all the same: it costs nothing to know.

    Attributes:
        accepted: tokens of a draft that come true, a running mean.
    """

    def __init__(self) -> None:
        self.accepted = 0.0
        self.watched: list[int] = []
        self.right = 0

    @property
    def promising(self) -> bool:
        """Whether it is worth measuring what reading costs."""
        return self.accepted >= 1

    def wanted(self, pace: Pace) -> bool:
        """Whether a draft is likely to save time."""
        return GAIN * pace.batch / pace.single - 1 < self.accepted

    def came_true(self, accepted: int) -> None:
        """How many tokens of a draft were drawn."""
        self.accepted = MEMORY * self.accepted + (1 - MEMORY) * accepted

    def watch(self, draft: list[int]) -> None:
        """Compare a draft with what will be drawn, unless another one is."""
        if not self.watched:
            self.watched, self.right = draft, 0

    def see(self, token: int) -> None:
        """A token was drawn."""
        if not self.watched:
            return
        true = token == self.watched[self.right]
        self.right += true
        if not true or self.right == len(self.watched):
            self.came_true(self.right)
            self.watched = []
