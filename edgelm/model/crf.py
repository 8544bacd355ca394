"""A tagger as small as taggers get: a linear-chain CRF over the spelling of words, run with numpy alone.

    from edgelm.model.crf import load_crf
    load_crf(Path("names")).tag([["uNomsa", "uhlala", "eThekwini", "."]])

A word's score for a tag is the sum of the weights of its attributes, and of those of the two words before
and after it; a pair of neighbouring tags has a weight of its own. The best sequence is found by Viterbi's
algorithm, the probability of each tag by the forward-backward algorithm (Lafferty et al. 2001). All
attributes but the one for a pair of words depend on a single word, so a word is scored once, in each of the
five places it can have relative to a tag, and remembered. `edgelm.finetune.crf` trains it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgelm.errors import BadInput
from edgelm.model.small import (
    read_config,
    read_lines,
    read_recorded,
    read_weights,
    reading,
    recorded,
    small_card,
    strings,
    write_small,
)

MODEL_TYPE = "edgelm-crf"
VERSION = 1
OFFSETS = (-2, -1, 0, 1, 2)
AFFIX = 5
"""Longest affix in letters."""
MARK_INSIDE = re.compile(r"\w-\w")
REMEMBERED = 50_000
"""Words whose scores are kept; a few hundred bytes each."""
START, END = "<s>", "</s>"


def form_attributes(word: str) -> list[str]:
    """A word, in lower case, and its shape, also without repetitions: `xXxx` and `xXx` for `uZik`."""
    lower = word.lower()
    shape = "".join(
        "X" if one.isupper() else "x" if one.isalpha() else "d" if one.isdigit() else one for one in word
    )
    short = "".join(one for place, one in enumerate(shape) if place == 0 or shape[place - 1] != one)
    return [f"w={word}", f"l={lower}", f"shape={shape}", f"short={short}"]


def spelling_attributes(word: str) -> list[str]:
    """Affixes in lower case, what kinds of character there are, and the name in `uNomsa`.

    Where a name begins inside a word, what precedes it is the `head`, the rest the `stem`: Nguni languages
    write prefixes and names together.
    """
    lower, found = word.lower(), list[str]()
    for size in range(1, min(AFFIX, len(lower)) + 1):
        found += (f"p{size}={lower[:size]}", f"s{size}={lower[-size:]}")
    if any(map(str.isdigit, word)):
        found.append("digit")
    if not any(map(str.isalnum, word)):
        found.append("mark")
    inside = next(filter(lambda place: _begins_name(word, place), range(1, len(word))), 0)
    if inside or word[:1].isupper():
        found += (f"head={word[:inside].lower()}", f"stem={word[inside:].lower()}")
    return found


def _begins_name(word: str, place: int) -> bool:
    """A capital after what is none, as in `uNomsa` and `e-BBC`, or after a one-letter prefix (`UNomsa`)."""
    if not word[place].isupper():
        return False
    return not word[place - 1].isupper() or (place == 1 and word[2:3].islower())


def attributes_at(word: str, offset: int) -> list[str]:
    """Attributes that a word gives to the tag `offset` places before it: its own tag gets the most."""
    found = form_attributes(word) + (spelling_attributes(word) if offset == 0 else [])
    return [f"{offset}:{one}" for one in found]


def sentence_attributes(words: Sequence[str]) -> list[list[str]]:
    """The attributes of each word's tag, as the CRF is trained on them."""
    words = [clean(one) for one in words]
    found = []
    for place, word in enumerate(words):
        mine = [f"pair={words[place - 1].lower()} {word.lower()}"] if place else []
        for offset in OFFSETS:
            there = place + offset
            if there < 0 or there >= len(words):
                mine.append(f"{offset}:{START if there < 0 else END}")
            else:
                mine += attributes_at(words[there], offset)
        found.append(mine)
    return found


def clean(word: str) -> str:
    """A word without white space, which parts attributes in files, and without what UTF-8 cannot write."""
    return "".join(word.split()).replace("\0", "").encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class CrfTagger:
    """Tags, attributes and weights of a trained tagger.

    Attributes:
        tags: in the order of the columns.
        attributes: in the order of the rows of `states`.
        states: [attributes, tags].
        transitions: [tags, tags], from a row's tag to a column's.
        task, languages, method: what it was trained on and how, for the record.
    """

    tags: tuple[str, ...]
    attributes: tuple[str, ...]
    states: np.ndarray
    transitions: np.ndarray
    task: str = ""
    languages: tuple[str, ...] = ()
    method: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    _seen: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.tags or len(set(self.tags)) != len(self.tags):
            raise BadInput("a tagger needs different tags", remedy="check the tags")
        shapes = {
            "states": (len(self.attributes), len(self.tags)),
            "transitions": (len(self.tags), len(self.tags)),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value.shape != shape:
                raise BadInput(f"{name} is {list(value.shape)}, not {list(shape)}", remedy="train it again")
            if not np.isfinite(value).all():
                raise BadInput(f"{name} holds what is not a number", remedy="train it again")
        if len(set(self.attributes)) != len(self.attributes):
            raise BadInput("an attribute stands twice", remedy="train it again")

    @property
    def bytes(self) -> int:
        """Size of the weights and the attributes' text."""
        text = sum(len(one.encode()) + 1 for one in self.attributes)
        return self.states.nbytes + self.transitions.nbytes + text

    @property
    def keeps_marks(self) -> bool:
        """Whether words of its training data have marks between letters, as `e-BBC`."""
        words = (one.removeprefix("0:w=") for one in self.attributes if one.startswith("0:w="))
        return any(MARK_INSIDE.search(word) for word in words)

    def tag(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """The likeliest tags of each sentence's words."""
        return [[self.tags[tag] for tag in self._viterbi(self.scores(words))] for words in sentences]

    def marginals(self, words: Sequence[str]) -> np.ndarray:
        """The probability of each tag of each word, float64 [words, tags]; rows sum to 1."""
        scores = self.scores(words).astype(np.float64)
        if not len(scores):
            return scores
        moves = np.exp(self._moves.astype(np.float64))
        local = np.exp(scores - scores.max(axis=1, keepdims=True))
        forward, backward = np.empty_like(local), np.ones_like(local)
        forward[0] = local[0] / local[0].sum()
        for place in range(1, len(local)):
            row = forward[place - 1] @ moves * local[place]
            forward[place] = row / row.sum()
        for place in range(len(local) - 2, -1, -1):
            row = moves @ (local[place + 1] * backward[place + 1])
            backward[place] = row / row.sum()
        both = forward * backward
        return both / both.sum(axis=1, keepdims=True)

    def scores(self, words: Sequence[str]) -> np.ndarray:
        """Weight of each tag for each word, its neighbours' tags not considered: float32 [words, tags]."""
        words = [clean(one) for one in words]
        count, reach = len(words), max(OFFSETS)
        found = np.zeros((count, len(self.tags)), dtype=np.float32)
        if not count:
            return found
        around = np.stack([self._start] * reach + [self._word(one) for one in words] + [self._end] * reach)
        for row, offset in enumerate(OFFSETS):
            found += around[reach + offset : reach + offset + count, row]
        lowered = [one.lower() for one in words]
        for place in range(1, count):
            pair = self._pairs.get(f"{lowered[place - 1]} {lowered[place]}")
            if pair is not None:
                found[place] += self._weights[pair]
        return found

    def _word(self, word: str) -> np.ndarray:
        """What a word adds to the scores of the tags around it, float32 [offsets, tags]."""
        found = self._seen.get(word)
        if found is None:
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            found = self._seen[word] = np.stack(
                [self._sum(attributes_at(word, offset)) for offset in OFFSETS]
            )
        return found

    def _sum(self, attributes: Sequence[str]) -> np.ndarray:
        rows = [self._rows[one] for one in attributes if one in self._rows]
        total: np.ndarray = self._weights[rows].sum(axis=0)
        return total

    def _viterbi(self, scores: np.ndarray) -> list[int]:
        if not len(scores):
            return []
        best, back = scores[0], np.empty(scores.shape, dtype=np.int64)
        for place in range(1, len(scores)):
            through = self._arriving + best  # [to, from]
            back[place] = through.argmax(axis=1)
            best = through[self._every, back[place]] + scores[place]
        path = [int(best.argmax())]
        for place in range(len(scores) - 1, 0, -1):
            path.append(int(back[place, path[-1]]))
        return path[::-1]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {one: row for row, one in enumerate(self.attributes)}

    @cached_property
    def _pairs(self) -> dict[str, int]:
        return {one[5:]: row for one, row in self._rows.items() if one.startswith("pair=")}

    @cached_property
    def _weights(self) -> np.ndarray:
        return self.states.astype(np.float32)

    @cached_property
    def _moves(self) -> np.ndarray:
        return self.transitions.astype(np.float32)

    @cached_property
    def _arriving(self) -> np.ndarray:
        return np.ascontiguousarray(self._moves.T)

    @cached_property
    def _every(self) -> np.ndarray:
        return np.arange(len(self.tags))

    @cached_property
    def _start(self) -> np.ndarray:
        return np.stack([self._sum([f"{offset}:{START}"]) for offset in OFFSETS])

    @cached_property
    def _end(self) -> np.ndarray:
        return np.stack([self._sum([f"{offset}:{END}"]) for offset in OFFSETS])


def save_crf(model: CrfTagger, directory: Path) -> None:
    """Write `config.json`, `attributes.txt` (one a line), `model.safetensors` and `README.md`."""
    config = {**recorded(model, MODEL_TYPE, VERSION), "tags": list(model.tags)}
    weights = {"states": model.states, "transitions": model.transitions}
    write_small(directory, config, weights, {"attributes.txt": model.attributes}, crf_card(model))


def load_crf(directory: Path) -> CrfTagger:
    """The tagger in a directory that `save_crf` wrote.

    Raises:
        BadInput: a file is missing or damaged, or the files do not belong together.
    """
    config = read_config(directory, MODEL_TYPE, VERSION)
    with reading(directory, "a tagger"):
        weights = read_weights(directory / "model.safetensors", ("states", "transitions"))
        known: dict[str, Any] = {**read_recorded(config), **weights}
        return CrfTagger(
            tags=strings(config["tags"]),
            attributes=tuple(read_lines(directory / "attributes.txt")),
            **known,
        )


def crf_about(model: CrfTagger) -> str:
    """What it is, in a sentence or two."""
    return (
        f"A conditional random field ({model.method}) over {len(model.attributes):,} attributes of how words "
        f"are spelt; {model.bytes / 1e6:.1f} MB. It gives each word one of {len(model.tags)} tags."
    )


def crf_card(model: CrfTagger) -> str:
    """A Hugging Face model card: what it is, how to run it, its figures and limits."""
    return small_card(
        model.task or "tagging",
        "token-classification",
        model.languages,
        crf_about(model),
        ["from edgelm.model.crf import load_crf", 'load_crf(Path("here")).tag([["one", "sentence"]])'],
        model.figures,
        "It knows words by their spelling and two neighbours on either side; a name it never saw is a guess.",
    )
