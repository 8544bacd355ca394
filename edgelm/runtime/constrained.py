"""Writing one of some given texts, whatever the model would rather say.

A text is as likely as its tokens together with what follows it, such as the end. That is not what comes of
masking the tokens one by one: there the first token decides, also where all that begins with it is unlikely.
"""

import heapq
from collections.abc import Hashable, Mapping, Sequence
from itertools import takewhile
from typing import Protocol, TypeVar

import numpy as np

from edgelm.runtime.sampling import Sampler, log_softmax

Tokens = tuple[int, ...]
Name = TypeVar("Name", bound=Hashable)


class Reader(Protocol):
    """What is asked of a session."""

    def feed(self, ids: Sequence[int], last_only: bool = False) -> np.ndarray: ...

    def rewind(self, length: int) -> None: ...


def likeliest_text(
    session: Reader, known: int, scores: np.ndarray, allowed: Mapping[Name, Tokens], after: Sequence[int],
    look: bool = True,
) -> Name:  # fmt: skip
    """The text whose tokens are likeliest together; best first, so that few are read.

    Args:
        known: tokens of the session so far. It is left with some more.
        scores: log-likelihoods of what follows them, float [vocab_size].
        allowed: the texts' tokens by name.
        after: what may follow a text, all of it together.
        look: whether that counts; where it does not, no text may begin another.
    """
    heap: list[tuple[float, int, Tokens, bool]] = []

    def push(path: Tokens, score: float, following: np.ndarray) -> None:
        tokens: dict[int, int] = {}
        for number, spelt in enumerate(allowed.values()):
            if spelt[: len(path)] == path and len(spelt) > len(path):
                tokens.setdefault(spelt[len(path)], number)
            elif spelt == path:
                ended = float(np.logaddexp.reduce(following[list(after)]))
                heapq.heappush(heap, (-score - ended, number, path, True))
        for token, number in tokens.items():
            heapq.heappush(heap, (-score - float(following[token]), number, (*path, token), False))

    names = {spelt: name for name, spelt in allowed.items()}
    push((), 0.0, scores)
    while True:
        cost, _, path, ended = heapq.heappop(heap)
        if ended or (path in names and not look):
            return names[path]
        session.rewind(known)
        push(path, -cost, log_softmax(session.feed(path, last_only=True))[0])


def log_likelihoods(
    session: Reader, known: int, logits: np.ndarray, spelt: Sequence[Tokens], after: Sequence[int]
) -> np.ndarray:
    """Summed log-likelihood in nats of each text with what follows it, float64 [texts].

    What two texts begin with is read once.

    Args:
        logits: of what follows the session's `known` tokens [vocab_size].
    """
    found = np.zeros(len(spelt))
    path: Tokens = ()
    rows = [log_softmax(logits)]
    for number in sorted(range(len(spelt)), key=lambda number: spelt[number]):
        own = spelt[number]
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(path, own, strict=False)))
        session.rewind(known + common)
        del rows[common + 1 :]
        if own[common:]:
            rows += list(log_softmax(session.feed(own[common:])))
        path = own
        said = sum(float(row[token]) for row, token in zip(rows, own, strict=False))
        found[number] = said + float(np.logaddexp.reduce(rows[-1][list(after)]))
    return found


def draw_text(
    session: Reader, known: int, logits: np.ndarray, spelt: Sequence[Tokens], after: Sequence[int],
    sampler: Sampler,
) -> int:  # fmt: skip
    """The number of one of the texts, drawn by their likelihoods as a token is by its own."""
    if sampler.options.temperature == 0:
        return likeliest_text(session, known, log_softmax(logits), dict(enumerate(spelt)), after)
    return sampler.draw(log_likelihoods(session, known, logits, spelt, after))
