"""A linear text classifier over character n-grams, run with numpy alone.

    from edgelm.model.linear import load_linear
    load_linear(Path("intent")).predict(["Ngicela ukuvuswa ngo-6"])

Features are scikit-learn's `TfidfVectorizer(analyzer="char_wb", sublinear_tf=True)`: a text is lower-cased
and split on white space, every word gets a space before and after it, and all runs of `ngrams` characters
inside one word are counted. A count c becomes (1 + ln c) idf, the text's vector is scaled to length 1, and
each label's decision value is a product with its coefficients plus its intercept. `edgelm.finetune.linear`
trains it.

Every n-gram is one integer: its characters, numbered over the alphabet of the features, are the digits. So
the n-grams of many texts are found by arithmetic on whole arrays and looked up by bisection, with no
collisions.
"""

from collections.abc import Iterator, Sequence
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

MODEL_TYPE = "edgelm-linear"
VERSION = 1
BATCH_CHARACTERS = 1 << 17
SHORTEST_WORD = 3  # with the spaces around it; no longer n-gram may be the shortest one
LONGEST_NGRAM = 62  # an alphabet of one character then fills an integer
FILLER = -1  # a code point that no text has


@dataclass(frozen=True)
class LinearClassifier:
    """Labels, features and weights of a trained classifier.

    Attributes:
        labels: in the order of the decision values' columns.
        features: the n-grams, in the order of the rows of `idf` and `coefficients`.
        idf: [features]; how rare each one is in the training texts.
        coefficients: [features, labels], or [features, 1] for two labels, where the one column speaks for the
            second label. Computed with in float32, whatever the type stored.
        intercept: [labels] or [1].
        ngrams: shortest and longest n-gram in characters.
        task, languages: what it was trained on, for the record.
        method: what it was trained by, such as `LinearSVC, C=1`.
    """

    labels: tuple[str, ...]
    features: tuple[str, ...]
    idf: np.ndarray
    coefficients: np.ndarray
    intercept: np.ndarray
    ngrams: tuple[int, int] = (2, 5)
    task: str = ""
    languages: tuple[str, ...] = ()
    method: str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_ngrams(self.ngrams)
        outputs = len(self.labels) if len(self.labels) > 2 else 1
        shapes = {
            "idf": (len(self.features),),
            "coefficients": (len(self.features), outputs),
            "intercept": (outputs,),
        }
        if len(set(self.labels)) != len(self.labels) or len(self.labels) < 2:
            raise BadInput("a classifier needs two or more different labels", remedy="check the labels")
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value.shape != shape:
                raise BadInput(f"{name} is {list(value.shape)}, not {list(shape)}", remedy="train it again")
            if not np.isfinite(value).all():
                raise BadInput(f"{name} holds what is not a number", remedy="train it again")
        if any("  " in one for one in self.features):
            raise BadInput("an n-gram reaches over two words", remedy="train it again")
        lengths = set(map(len, self.features))
        if lengths and not self.ngrams[0] <= min(lengths) <= max(lengths) <= self.ngrams[1]:
            raise BadInput(
                f"n-grams of {min(lengths)} to {max(lengths)} characters, not {self.ngrams[0]} to "
                f"{self.ngrams[1]}",
                remedy="train it again",
            )

    @property
    def bytes(self) -> int:
        """Size of the weights and the features' text."""
        weights = self.idf.nbytes + self.coefficients.nbytes + self.intercept.nbytes
        return weights + sum(len(one.encode("utf-8", "surrogatepass")) + 1 for one in self.features)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The label of each text with the highest decision value; the first one of equals."""
        return [self.labels[column] for column in self.decision(texts).argmax(axis=1)]

    def decision(self, texts: Sequence[str]) -> np.ndarray:
        """Decision values, float32 [texts, labels]; of two labels, the first one's are 0."""
        parts = [self._decide(batch) for batch in _batches(texts)]
        values = np.concatenate(parts) if parts else np.zeros((0, len(self.intercept)), dtype=np.float32)
        return values if len(self.labels) > 2 else np.pad(values, ((0, 0), (1, 0)))

    def _decide(self, padded: list[str]) -> np.ndarray:
        text, feature, count = self._counts(padded)
        values = (1 + np.log(count)) * self._index.idf[feature]
        length = np.sqrt(np.bincount(text, values * values, minlength=len(padded)))
        values = (values / length[text]).astype(np.float32)
        scores = np.tile(self.intercept.astype(np.float32), (len(padded), 1))
        present, starts = np.unique(text, return_index=True)
        if len(present):
            weighted = self._index.coefficients[feature] * values[:, None]
            scores[present] += np.add.reduceat(weighted, starts, axis=0)
        return scores

    def _counts(self, padded: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which text has which feature how often, ordered by text: three int64 [pairs]."""
        index = self._index
        codes = code_points("".join(padded))
        owner = np.repeat(np.arange(len(padded)), [len(one) for one in padded])
        digits = index.digits[np.minimum(codes, len(index.digits) - 1)]
        keys, known = digits, digits > 0
        pairs = []
        for length in range(1, min(self.ngrams[1], len(codes)) + 1):
            if length > 1:
                keys = keys[:-1] * index.base + digits[length - 1 :]
            if length >= self.ngrams[0]:
                # no key has a 0 within; one in front would make it that of a shorter n-gram
                at = np.flatnonzero(known[: len(keys)])
                place = np.searchsorted(index.keys, keys[at])
                found = index.keys[np.minimum(place, len(index.keys) - 1)] == keys[at]
                pairs.append(owner[at[found]] * len(self.features) + place[found])
        if not pairs:
            return (np.zeros(0, dtype=np.int64),) * 3
        pair, count = np.unique(np.concatenate(pairs), return_counts=True)
        return pair // len(self.features), pair % len(self.features), count

    @cached_property
    def _index(self) -> "_Index":
        return _Index.of(self)


@dataclass(frozen=True)
class _Index:
    """The features ordered by key, and how a character becomes a digit.

    Attributes:
        digits: int64 by code point, 0 where no feature has the character; the last one stands for all above.
        base: one more than there are characters.
        keys: int64 [features], ascending.
        idf, coefficients: of the features in that order.
    """

    digits: np.ndarray
    base: int
    keys: np.ndarray
    idf: np.ndarray
    coefficients: np.ndarray

    @classmethod
    def of(cls, model: LinearClassifier) -> "_Index":
        codes = code_points("".join(model.features))
        alphabet = np.unique(codes)
        digits = np.zeros(int(alphabet[-1]) + 2 if len(alphabet) else 1, dtype=np.int64)
        digits[alphabet] = np.arange(1, len(alphabet) + 1)
        base = len(alphabet) + 1
        if base ** model.ngrams[1] > np.iinfo(np.int64).max:
            raise BadInput(
                f"{len(alphabet)} different characters are too many for n-grams of {model.ngrams[1]}",
                remedy="train with shorter n-grams",
            )
        lengths = np.array([len(one) for one in model.features], dtype=np.int64)
        starts = np.cumsum(lengths) - lengths
        keys = np.zeros(len(lengths), dtype=np.int64)
        for place in range(model.ngrams[1]):
            longer = np.flatnonzero(lengths > place)
            keys[longer] = keys[longer] * base + digits[codes[starts[longer] + place]]
        order = np.argsort(keys)
        keys = keys[order]
        if (keys[1:] == keys[:-1]).any():
            raise BadInput("a feature stands twice", remedy="train it again")
        if not len(keys):
            keys = np.array([-1])  # what no n-gram has
        coefficients = model.coefficients[order].astype(np.float32)
        return cls(digits, base, keys, model.idf[order].astype(np.float64), coefficients)


def check_ngrams(ngrams: tuple[int, int]) -> None:
    """Raise `BadInput` unless shortest and longest n-gram are in order and no word is shorter than both."""
    if not 1 <= ngrams[0] <= ngrams[1] <= LONGEST_NGRAM or ngrams[0] > SHORTEST_WORD:
        raise BadInput(
            f"n-grams of {ngrams[0]} to {ngrams[1]} characters",
            remedy=f"begin with 1 to {SHORTEST_WORD}, and end with no less and at most {LONGEST_NGRAM}",
        )


def code_points(text: str) -> np.ndarray:
    """int64 [characters]."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64)


def padded_codes(texts: Sequence[str]) -> np.ndarray:
    """What the ONNX form reads: lower-cased words with their spaces, as code points, int64 [texts, longest].

    `FILLER` makes the rows equally long.
    """
    rows = [code_points(text) for text in _padded(texts)]
    filled = np.full((len(rows), max(map(len, rows), default=0)), FILLER, dtype=np.int64)
    for number, row in enumerate(rows):
        filled[number, : len(row)] = row
    return filled


def _padded(texts: Sequence[str]) -> Iterator[str]:
    """Each text's lower-cased words, with a space on either side of each one.

    Between two words stand two spaces, which no feature holds: an n-gram across words is never known.
    """
    for text in texts:
        words = "  ".join(text.lower().split())
        yield f" {words} " if words else ""


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in _padded(texts):
        batch.append(text)
        characters += len(text)
        if characters > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def save_linear(model: LinearClassifier, directory: Path) -> None:
    """Write `config.json`, `features.txt` (one n-gram a line), `model.safetensors` and `README.md`."""
    weights = {name: getattr(model, name) for name in ("idf", "coefficients", "intercept")}
    write_small(
        directory, linear_config(model), weights, {"features.txt": model.features}, linear_card(model)
    )


def linear_config(model: LinearClassifier) -> dict[str, Any]:
    """What `config.json` says."""
    own = {"labels": list(model.labels), "ngrams": list(model.ngrams)}
    return {**recorded(model, MODEL_TYPE, VERSION), **own}


def load_linear(directory: Path) -> LinearClassifier:
    """The classifier in a directory that `save_linear` wrote.

    Raises:
        BadInput: a file is missing or damaged, or the files do not belong together.
    """
    config = read_config(directory, MODEL_TYPE, VERSION)
    with reading(directory, "a linear classifier"):
        weights = read_weights(directory / "model.safetensors", ("idf", "coefficients", "intercept"))
        known: dict[str, Any] = {**read_recorded(config), **weights}
        model = LinearClassifier(
            labels=strings(config["labels"]),
            features=tuple(read_lines(directory / "features.txt")),
            ngrams=(int(config["ngrams"][0]), int(config["ngrams"][1])),
            **known,
        )
        model._index  # noqa: B018, what is wrong with the features shows here
    return model


def linear_about(model: LinearClassifier) -> str:
    """What it is, in a sentence or two."""
    return (
        f"A linear classifier ({model.method}) over {len(model.features):,} character n-grams of "
        f"{model.ngrams[0]} to {model.ngrams[1]}, weighted by TF-IDF; {model.bytes / 1e6:.1f} MB. It tells "
        f"{len(model.labels)} labels apart."
    )


def linear_card(model: LinearClassifier) -> str:
    """A Hugging Face model card: what it is, how to run it, its figures and limits."""
    return small_card(
        model.task or "text classification",
        "text-classification",
        model.languages,
        linear_about(model),
        ["from edgelm.model.linear import load_linear", 'load_linear(Path("here")).predict(["some text"])'],
        model.figures,
        "It has seen how words are spelt and nothing of what they mean.",
    )
