"""Which language a text is in, with calibrated probabilities: a linear model over n-grams and words.

    from edgelm.corpus.langid import default_identifier
    default_identifier().identify("Ngiyabonga kakhulu mfowethu")

A text is folded to lower-case words with one space between them: digits and punctuation count as spaces, so
that neither layout nor case matters. Its features are all runs of one to six characters (spaces included),
every word of four letters or more and every pair of neighbouring words, each hashed to 24 bits; a table says
which of them the model knows. The score of a class is the sum of the weights of the features over the square
root of their number; a softmax with a temperature that depends on the length of the text makes them
probabilities. Languages outside the set have classes of their own inside, whose probabilities are summed to
`other`.

Hashed n-grams in a linear classifier follow Joulin et al. 2017 (fastText), without its hidden layer;
temperature scaling is Guo et al. 2017. `edgelm.corpus.langid_training` trains the model.
"""

import json
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from edgelm import artifacts, resources
from edgelm.corpus.characters import KINDS, LETTER, LOWER, MARK, flatten
from edgelm.errors import BadInput

OTHER = "other"
FORMAT = "edgelm-langid-1"
ORDERS = 6  # the longest run of characters
KEY_BITS = 24  # of a hashed feature
HEAD, SAMPLE = 2048, 1024  # a longer text is judged by its first characters, some of its middle and its last
WINDOW = HEAD + 2 * SAMPLE + 4
MAX_FEATURES = WINDOW * (ORDERS + 2)
BATCH = 1024  # texts flattened at a time
LANES = 16  # a row of weights is padded to a multiple, which the compiler turns into vector instructions
SPACE, JOINER = 0, 1  # classes of characters beside letters, which are their own lower-case form

FOLD = np.where(KINDS & LETTER, LOWER, SPACE).astype(np.uint32)
FOLD[(KINDS & MARK) > 0] = JOINER
FOLD[[0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF]] = JOINER  # invisible: soft hyphen, zero-width characters


@njit(cache=True, nogil=True)
def fold(codes: np.ndarray, start: int, end: int, table: np.ndarray, buffer: np.ndarray) -> int:
    """Write the words of codes[start:end] to `buffer`, with one `SPACE` before, between and after them.

    Marks and invisible characters are left out. Returns how many characters were written: `buffer` must have
    room for two more than there are codes.
    """
    buffer[0] = SPACE
    length = 1
    for position in range(start, end):
        character = table[codes[position]]
        if character > JOINER:
            buffer[length] = character
            length += 1
        elif character == SPACE and buffer[length - 1] != SPACE:
            buffer[length] = SPACE
            length += 1
    if buffer[length - 1] != SPACE:
        buffer[length] = SPACE
        length += 1
    return length


@njit(cache=True, nogil=True)
def keys_of(buffer: np.ndarray, length: int, keys: np.ndarray) -> int:
    """Write the hashed features of a folded text to `keys`, which holds MAX_FEATURES; how many there are."""
    prime, golden = np.uint64(0x100000001B3), np.uint64(0x9E3779B97F4A7C15)
    shift = np.uint64(64 - KEY_BITS)
    count = 0
    word, before = np.uint64(0), np.uint64(0)
    letters = 0
    for start in range(length):
        state = np.uint64(0xCBF29CE484222325)
        for order in range(min(ORDERS, length - start)):
            state = (state ^ np.uint64(buffer[start + order])) * prime
            if order > 0 or buffer[start] != SPACE:
                keys[count] = ((state ^ (state >> np.uint64(31))) * golden) >> shift
                count += 1
        if buffer[start] != SPACE:
            word = (word ^ np.uint64(buffer[start])) * prime
            letters += 1
        elif letters > 0:
            word = (word ^ (word >> np.uint64(29))) * golden
            if letters > 3:
                keys[count] = word >> shift
                count += 1
            if before != 0:
                keys[count] = ((before * prime) ^ word) * golden >> shift
                count += 1
            before, word, letters = word, np.uint64(0), 0
    return count


@njit(cache=True, nogil=True)
def _scores(
    codes: np.ndarray,
    starts: np.ndarray,
    table: np.ndarray,
    bits: np.ndarray,
    ranks: np.ndarray,
    weights: np.ndarray,
    sums: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Sums of the weights of each text's features, int32 [texts, padded classes], and the number of features.

    `bits` has one bit for every possible key, set where the key is known; `ranks` says how many are known
    before each 64 of them. Plain loops, not one with branches, keep many memory reads under way at once.
    """
    buffer = np.empty(WINDOW, dtype=np.uint32)
    keys = np.empty(MAX_FEATURES, dtype=np.uint32)
    rows = np.empty(MAX_FEATURES, dtype=np.uint32)
    one = np.uint64(1)
    for text in range(len(starts) - 1):
        length = fold(codes, starts[text], starts[text + 1], table, buffer)
        count = keys_of(buffer, length, keys) if length > 2 else 0
        counts[text] = count
        known = 0
        for number in range(count):
            place, bit = keys[number] >> 6, np.uint64(keys[number] & 63)
            word = bits[place]
            rows[known] = ranks[place] + _ones(word & ((one << bit) - one))
            known += (word >> bit) & one
        total = sums[text]
        for number in range(known):
            row = weights[rows[number]]
            for column in range(len(total)):
                total[column] += row[column]


@njit(cache=True, nogil=True)
def _ones(word: np.uint64) -> np.uint64:
    """How many bits of `word` are set, in the form that the compiler knows as one instruction."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@dataclass(frozen=True)
class Identifier:
    """A trained identifier: `probabilities` for many texts at once, `identify` for one."""

    classes: tuple[str, ...]
    """The languages told apart, sorted, then the classes that count as `other`."""
    inside: int
    """How many of the classes are languages told apart."""
    keys: np.ndarray
    """The features known, uint32 [features], ascending."""
    weights: np.ndarray
    """int8 [features, classes]."""
    scale: float
    """What a weight of 1 stands for."""
    bias: np.ndarray
    """float32 [classes]."""
    temperature: tuple[tuple[float, float], ...]
    """Pairs of a number of features and the temperature there, ascending; between them it is interpolated."""
    training: dict[str, Any]
    """What the model was trained on and how, for people."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes that `probabilities` has columns for: the languages told apart, then `other`."""
        return (*self.classes[: self.inside], OTHER)

    @cached_property
    def _index(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Known keys as bits, how many there are before each word of bits, and padded weights."""
        known = np.zeros(1 << KEY_BITS, dtype=np.uint8)
        known[self.keys] = 1
        bits = np.packbits(known, bitorder="little").view("<u8")
        ranks = np.zeros(len(bits), dtype=np.uint32)
        ranks[1:] = np.cumsum(known.reshape(-1, 64).sum(axis=1, dtype=np.uint32))[:-1]
        padded = np.zeros((len(self.keys) + 1, -(-len(self.classes) // LANES) * LANES), dtype=np.int8)
        padded[:-1, : len(self.classes)] = self.weights
        return bits, ranks, padded

    def logits(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Uncalibrated scores of all classes, float32 [texts, classes], and numbers of features [texts]."""
        bits, ranks, weights = self._index
        sums = np.zeros((len(texts), weights.shape[1]), dtype=np.int32)
        counts = np.zeros(len(texts), dtype=np.int64)
        for first in range(0, len(texts), BATCH):
            last = min(first + BATCH, len(texts))
            codes, starts = flatten([_excerpt(text) for text in texts[first:last]])
            _scores(codes, starts, FOLD, bits, ranks, weights, sums[first:last], counts[first:last])
        scale = np.float32(self.scale) / np.sqrt(np.maximum(counts, 1)).astype(np.float32)
        return sums[:, : len(self.classes)] * scale[:, None] + self.bias, counts

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Calibrated probabilities of `languages` for each text, float32 [texts, languages]; rows sum to 1.

        A text without a single letter tells nothing: all languages and `other` are equally likely.
        """
        logits, counts = self.logits(texts)
        where, temperature = np.array(self.temperature).T
        logits /= np.interp(np.log(np.maximum(counts, 1)), np.log(where), temperature)[:, None].astype(
            np.float32
        )
        every = softmax(logits)
        answer = np.empty((len(texts), self.inside + 1), dtype=np.float32)
        answer[:, :-1] = every[:, : self.inside]
        answer[:, -1] = every[:, self.inside :].sum(axis=1)
        answer[counts == 0] = 1 / (self.inside + 1)
        return answer

    def identify(self, text: str) -> tuple[str, float]:
        """The likeliest language of `text`, or `other`, and its probability."""
        row = self.probabilities([text])[0]
        best = int(row.argmax()) if row.max() > row[-1] else self.inside
        return self.languages[best], float(row[best])

    def save(self, path: Path) -> None:
        """Write the model to one xz-compressed file: a line of JSON, then the arrays."""
        gaps = np.diff(self.keys.astype(np.int64), prepend=0)
        header = {
            "format": FORMAT,
            "classes": self.classes,
            "inside": self.inside,
            "features": len(self.keys),
            "scale": self.scale,
            "bias": [float(value) for value in self.bias],
            "temperature": self.temperature,
            "training": self.training,
        }
        planes = np.ascontiguousarray(self.weights.T)  # one class after the other compresses better
        data = json.dumps(header).encode() + b"\n" + gaps.astype("<u4").tobytes() + planes.tobytes()
        artifacts.write_bytes(path, lzma.compress(data, preset=9))


def load(path: Path) -> Identifier:
    """The identifier that `Identifier.save` wrote to `path`.

    Raises:
        BadInput: the file is missing, damaged or of another format.
    """
    try:
        header, _, data = lzma.decompress(path.read_bytes()).partition(b"\n")
        values = json.loads(header)
        if values.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        count, classes = values.pop("features"), len(values["classes"])
        gaps = np.frombuffer(data, dtype="<u4", count=count)
        planes = np.frombuffer(data, dtype=np.int8, offset=4 * count).reshape(classes, count)
    except OSError as error:
        raise BadInput(
            f"cannot be read ({error.strerror})", file=path, remedy="check the path of the language model"
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError, lzma.LZMAError, EOFError) as error:
        raise BadInput(
            f"is no language model ({error})", file=path, remedy="train it again or install edgelm again"
        ) from None
    return Identifier(
        classes=tuple(values["classes"]),
        inside=values["inside"],
        keys=np.cumsum(gaps, dtype=np.int64).astype(np.uint32),
        weights=np.ascontiguousarray(planes.T),
        scale=values["scale"],
        bias=np.array(values["bias"], dtype=np.float32),
        temperature=tuple((float(where), float(value)) for where, value in values["temperature"]),
        training=values["training"],
    )


@cache
def default_identifier() -> Identifier:
    """The identifier that ships with edgelm; what it has seen is listed in `corpus/langid/README.md`."""
    return load(resources.path("corpus", "langid", "model.xz"))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _excerpt(text: str) -> str:
    """The text or, of a long one, what it is judged by."""
    if len(text) <= HEAD + 2 * SAMPLE:
        return text
    middle = (len(text) + HEAD) // 2 - SAMPLE
    return f"{text[:HEAD]}\n{text[middle : middle + SAMPLE]}\n{text[-SAMPLE:]}"
