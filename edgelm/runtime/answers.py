"""What a model that labels says of plain text: words, labels and scores, as JSON takes them."""

import re
from collections.abc import Sequence
from typing import Any
from unicodedata import category, normalize

import numpy as np

from edgelm.errors import BadInput
from edgelm.runtime.labeller import LabelModel
from edgelm.tasks.examples import Labelled, Tagged, marks_spans

WORD, WHOLE = re.compile(r"w+(?:'w+)*|."), re.compile(r"w(?:.*w)?|.")
"""Words among characters that were written as `w` of a word, `'` or another mark."""
SENTENCE = re.compile(r"\n|(?<=[!?…])\s+(?=[^a-z])|(?<=[^\W\d_]{5}\.)\s+(?=[^a-z])")
"""A new line, or a mark and no lower-case letter after it; a full stop ends no word as short as `Nksz.`"""


def answer(model: LabelModel, text: str) -> dict[str, Any]:
    """The labels of a text, likeliest first, or the words of its sentences with their tags.

    Returns:
        `model`, `measure` (of `scores` and `labels`), and either `label` and `labels`, score by label, or
        `sentences`: `words`, `tags`, `scores` of these tags, and `spans` where the tags mark some.

    Raises:
        BadInput: the text is empty.
    """
    text = normalize("NFC", text)
    if not text.strip():
        raise BadInput("the text is empty", remedy="give something to label")
    found: dict[str, Any] = {"model": model.name, "measure": model.measure}
    if model.head.kind == "sequence":
        (scores,) = model.scores([Labelled(text, "", "")])[0]
        order = np.argsort(-scores, kind="stable")
        ranked = {model.head.labels[place]: round(float(scores[place]), 4) for place in order}
        return {**found, "label": next(iter(ranked)), "labels": ranked}
    sentences = split_sentences(text, model.whole)
    examples = [Tagged(tuple(words), (), "") for words in sentences]
    number = {label: place for place, label in enumerate(model.head.labels)}
    found["sentences"] = []
    for words, (tags, rows) in zip(sentences, model.decide(examples), strict=True):
        scores = [round(float(row[number[tag]]), 4) for row, tag in zip(rows, tags, strict=True)]
        one: dict[str, Any] = {"words": words, "tags": tags, "scores": scores}
        if marks_spans(model.head.labels):
            one["spans"] = [
                {"kind": kind, "start": start, "end": end, "words": words[start:end]}
                for kind, start, end in spans(tags)
            ]
        found["sentences"].append(one)
    return found


def split_sentences(text: str, whole: bool = False) -> list[list[str]]:
    """The words of each sentence, as tagged text has them: punctuation is a word of its own.

    Args:
        whole: only at a word's ends; marks inside stay, as in `e-BBC`.
    """
    return [words for one in SENTENCE.split(text) if (words := split_words(one, whole))]


def split_words(text: str, whole: bool = False) -> list[str]:
    """Words and marks of a sentence."""
    found = []
    for one in text.split():
        kinds = "".join("w" if _of_word(char) else "'" if char in "'’" else "." for char in one)
        found += [one[part.start() : part.end()] for part in (WHOLE if whole else WORD).finditer(kinds)]
    return found


def _of_word(char: str) -> bool:
    """A letter, a digit, or a sign that combines with one."""
    return char.isalnum() or category(char).startswith("M")


def spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Kind, first word and the one after the last of each span; an `I-X` that follows no X begins one."""
    found: list[tuple[str, int, int]] = []
    for place, tag in enumerate(tags):
        kind = tag[2:]
        if tag.startswith("I-") and found and found[-1][0] == kind and found[-1][2] == place:
            found[-1] = (kind, found[-1][1], place + 1)
        elif tag.startswith(("B-", "I-")):
            found.append((kind, place, place + 1))
    return found
