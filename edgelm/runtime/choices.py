"""What ranking many answers shares between runtimes: batches of about one length, and answers as a tree."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from edgelm.errors import BadInput

TOKENS = 2048
"""Most tokens read at once, padding included, unless a single sequence has more."""


def batches(sizes: Sequence[int], cells: int = TOKENS) -> list[list[int]]:
    """Places of items in batches of about equal size, the largest first.

    Args:
        sizes: of the items, in tokens.
        cells: most items of a batch times its largest size; an item larger than that is a batch by itself.
    """
    found: list[list[int]] = []
    for place in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        if not found or sizes[found[-1][0]] * (len(found[-1]) + 1) > cells:
            found.append([])
        found[-1].append(place)
    return found


def padded(rows: Sequence[Sequence[int] | np.ndarray]) -> np.ndarray:
    """Rows of ids, each filled up with 0 on the right to the longest: int64 [rows, longest]."""
    found = np.zeros((len(rows), max(map(len, rows), default=0)), dtype=np.int64)
    for line, row in zip(found, rows, strict=True):
        line[: len(row)] = row
    return found


class Ranked(NamedTuple):
    """Choices after one prompt.

    Attributes:
        sums: log-likelihood of each in nats, float64 [choices].
        greedy: whether each is what the model would write, taking the likeliest token each time, bool
            [choices].
    """

    sums: np.ndarray
    greedy: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceTree:
    """Choices after one prompt, what they begin with in common held once.

    The nodes are the tokens that have to be read: all but the last of each choice. Node 0 is the prompt's
    last token.

    Attributes:
        tokens: of the nodes after node 0, parents before children, int64 [N].
        depth: place of each behind the prompt, from 0, int64 [N].
        sees: whether the first node is the second or an ancestor of the first, bool [N, N].
        place: for each token of each choice the node that predicts it, int64 [tokens].
        target: that token, int64 [tokens].
        choice: the number of its choice, int64 [tokens].
        count: of choices.
    """

    tokens: np.ndarray
    depth: np.ndarray
    sees: np.ndarray
    place: np.ndarray
    target: np.ndarray
    choice: np.ndarray
    count: int

    def ranked(self, scores: np.ndarray, likeliest: np.ndarray) -> Ranked:
        """What is known of each choice, from the log-likelihoods of its tokens and whether each is first."""
        missed = np.bincount(self.choice, weights=~likeliest, minlength=self.count)
        return Ranked(np.bincount(self.choice, weights=scores, minlength=self.count), missed == 0)


@lru_cache(maxsize=16)
def choice_tree(choices: tuple[tuple[int, ...], ...]) -> ChoiceTree:
    """The tree of choices, each of one token or more."""
    nodes: dict[tuple[int, ...], int] = {(): 0}
    steps = []
    for number, choice in enumerate(choices):
        for length, token in enumerate(choice):
            nodes.setdefault(choice[:length], len(nodes))
            steps.append((nodes[choice[:length]], token, number))
    paths = list(nodes)[1:]
    sees = np.zeros((len(paths), len(paths)), dtype=bool)
    for row, path in zip(sees, paths, strict=True):
        row[[nodes[path[:length]] - 1 for length in range(1, len(path) + 1)]] = True
    place, target, choice_of = np.array(steps, dtype=np.int64).reshape(-1, 3).T
    return ChoiceTree(
        np.array([path[-1] for path in paths], dtype=np.int64),
        np.array([len(path) - 1 for path in paths], dtype=np.int64),
        sees, place, target, choice_of, len(choices),
    )  # fmt: skip


def check_choices(prompt: Sequence[int], choices: Sequence[Sequence[int]], context: int) -> None:
    """Raise `BadInput` where the prompt or a choice is empty, or the longest does not fit the context."""
    check_prompt(prompt)
    if not all(map(len, choices)):
        raise BadInput("a choice has no tokens", remedy="end each with the model's end, as `rank` does")
    needed = len(prompt) + max(map(len, choices), default=1) - 1
    if needed > context:
        raise BadInput(f"{needed} tokens do not fit the context of {context}", remedy="shorten the text")


def check_prompt(ids: Sequence[int]) -> None:
    """Raise `BadInput` where there is no token to begin with."""
    if not len(ids):
        raise BadInput("the prompt has no tokens", remedy="begin with the model's bos, as `prompt` does")
