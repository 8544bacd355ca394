"""Labelled texts and tagged sentences as a head reads them, and labels as its logits give them."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from edgelm.model.head_config import HeadConfig
from edgelm.tasks.examples import Labelled, Tagged
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.words import encode_words, spaced


def parts(
    tokenizer: TextTokenizer, example: Labelled | Tagged, context: int
) -> list[Labelled] | list[Tagged]:
    """A sentence in pieces that fit the context, of about equal length; a text as it is."""
    if not isinstance(example, Tagged):
        return [example]
    sizes = [len(one) for one in tokenizer.encode_batch(spaced(example.words))]
    ends = np.cumsum([min(max(size, 1), max((context - 1) // 4, 1)) for size in sizes], dtype=np.int64)
    whole = int(ends[-1]) if len(ends) else 0
    if whole < context:
        return [example]
    count = math.ceil(4 * whole / (3 * (context - 1)))  # a word that does not fit goes into the next piece
    place = ((ends - 1) * count // whole).tolist()
    borders = [number for number in range(1, len(place)) if place[number] != place[number - 1]]
    return [example.part(start, end) for start, end in pairwise([0, *borders, len(example.words)])]


def encode(tokenizer: TextTokenizer, example: Labelled | Tagged, context: int) -> tuple[list[int], list[int]]:
    """Ids of an example after BOS, and the places whose logits are asked for.

    A text asks at its last token; one too long for the context loses its end, since news begins with what it
    is about. A sentence asks at the last token of each word.

    Raises:
        ValueError: a sentence has more words than the context has tokens.
    """
    if isinstance(example, Tagged):
        ids, ends = encode_words(tokenizer, example.words, context - 1)
        return [tokenizer.bos, *ids], [end + 1 for end in ends]
    ids = [tokenizer.bos, *tokenizer.encode(example.text)[: context - 1]]
    return ids, [len(ids) - 1]


def decode(logits: np.ndarray, head: HeadConfig) -> list[str]:
    """The likeliest labels of logits [N, labels]; with the scheme `bio`, the likeliest sequence in which no
    `I-X` follows anything but `B-X` or `I-X` (Viterbi)."""
    if head.scheme != "bio":
        return [head.labels[number] for number in logits.argmax(-1)]
    allowed = transitions(head.labels)
    scores = logits[0] + np.where([may_follow("", label) for label in head.labels], 0.0, -np.inf)
    back = np.zeros(logits.shape, dtype=np.int64)
    for place in range(1, len(logits)):
        reached = scores[:, None] + allowed
        back[place] = reached.argmax(0)
        scores = reached.max(0) + logits[place]
    number = int(scores.argmax())
    path = [number]
    for place in range(len(logits) - 1, 0, -1):
        number = int(back[place, number])
        path.append(number)
    return [head.labels[number] for number in reversed(path)]


def transitions(labels: Sequence[str]) -> np.ndarray:
    """0 where the second label may follow the first, minus infinity where not [labels, labels]."""
    return np.where([[may_follow(before, after) for after in labels] for before in labels], 0.0, -np.inf)


def may_follow(before: str, label: str) -> bool:
    """Whether a label may stand behind another in the scheme `bio`: `I-X` behind `B-X` and `I-X` alone."""
    return not label.startswith("I-") or before in (f"B-{label[2:]}", label)
