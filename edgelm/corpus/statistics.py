"""What is measured of every document, once; every filter is a predicate over such columns.

`corpus/columns.yaml` says in words what each column holds.
"""

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numba import njit

from edgelm.corpus.characters import (
    DIACRITIC,
    DIGIT,
    KINDS,
    LETTER,
    LIMIT,
    LOWER,
    MARK,
    SPACE,
    UPPER,
    flatten,
)

COMPRESSIBLE = 400  # bytes; a shorter text does not say how repetitive it is
# %s %1 %PRODUCTNAME $name$ $(ARG1) ~File: what software fills in, or marks as a key to press
PLACEHOLDER = re.compile(r"(?<![\w%)\]])%[A-Za-z0-9]|\$(?:\w+\$|[({]\w+[)}])|(?<![\w/])~[A-Za-z]{2}")
ENDED = re.compile(r"[.!?…,;][\s\"'”’»)]*$")
LONG_LINE = 10  # words
COUNTS = (
    "words", "characters", "bytes", "letters", "lettered_words", "digits", "upper", "diacritics",
    "foreign_letters", "named_words",
)  # fmt: skip


def measure(texts: Sequence[str], alphabets: np.ndarray, alphabet: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of repaired texts, one value a text; all shares are between 0 and 1, of an empty text 0.

    Args:
        alphabets: bool [alphabets, LIMIT], the letters of each alphabet in both cases (`alphabet_table`).
        alphabet: int [texts], the row of `alphabets` for each text.
    """
    codes, starts = flatten(texts)
    found = np.zeros((len(texts), len(COUNTS)), dtype=np.int64)
    _count(codes, starts, KINDS, alphabets, alphabet.astype(np.int64), found)
    counts = dict(zip(COUNTS, found.T, strict=True))
    characters, letters = (np.maximum(counts[name], 1) for name in ("characters", "letters"))
    columns = {name: counts[name] for name in ("words", "characters", "bytes", "letters")} | {
        "mean_word_length": counts["letters"] / np.maximum(counts["lettered_words"], 1),
        "lettered_words": counts["lettered_words"],
        "alphabetic_words": counts["lettered_words"] / np.maximum(counts["named_words"], 1),
        "digits": counts["digits"] / characters,
        "uppercase": counts["upper"] / letters,
        "diacritics": counts["diacritics"] / letters,
        "foreign_letters": counts["foreign_letters"] / letters,
        "running_text": np.array([_running_text(text) for text in texts]),
        "lines": np.array([text.count("\n") + bool(text) for text in texts]),
        "duplicate_lines": np.array([_duplicate_lines(text) for text in texts]),
        "placeholders": np.array([len(_placeholders(text)) for text in texts]),
        "compression_ratio": np.array([_compression_ratio(text) for text in texts]),
    }
    return {
        name: values.astype(np.int32 if values.dtype.kind == "i" else np.float32)
        for name, values in columns.items()
    }


def text_keys(texts: Sequence[str]) -> np.ndarray:
    """63-bit keys, int64, equal for texts equal but for case, digits, punctuation and spacing."""
    codes, starts = flatten(texts)
    return _keys(codes, starts, KINDS, LOWER)


def alphabet_table(alphabets: Sequence[str]) -> np.ndarray:
    """The letters of each alphabet in both cases, bool [alphabets, LIMIT]; an empty one holds all."""
    table = np.zeros((len(alphabets), LIMIT), dtype=np.bool_)
    for row, alphabet in zip(table, alphabets, strict=True):
        for letter in alphabet.lower() + alphabet.upper():
            row[min(ord(letter), LIMIT - 1)] = True
        if not alphabet:
            row[:] = True
    return table


def _duplicate_lines(text: str) -> float:
    if "\n" not in text:
        return 0.0
    lines = text.split("\n")
    return 1 - sum(map(len, set(lines))) / max(sum(map(len, lines)), 1)


def _running_text(text: str) -> float:
    if "\n" not in text:
        return float(bool(text))
    lines = text.split("\n")
    running = sum(len(line) for line in lines if ENDED.search(line) or line.count(" ") >= LONG_LINE - 1)
    return running / max(sum(map(len, lines)), 1)


def _placeholders(text: str) -> list[str]:
    if "%" in text or "$" in text or "~" in text:
        return PLACEHOLDER.findall(text)
    return []


def _compression_ratio(text: str) -> float:
    if len(text) * 4 < COMPRESSIBLE:
        return float(bool(text))
    data = text.encode("utf-8")
    return len(zlib.compress(data, 1)) / len(data) if len(data) >= COMPRESSIBLE else 1.0


@njit(cache=True, nogil=True)
def _count(codes, starts, kinds, alphabets, alphabet, found):  # type: ignore[no-untyped-def]
    """Fill `found` [texts, COUNTS]."""
    for text in range(len(starts) - 1):
        words = size = letters = lettered = digits = upper = diacritics = foreign = named = 0
        inside = has_letter = has_name = False
        own = alphabets[alphabet[text]]
        for place in range(starts[text], starts[text + 1]):
            code = codes[place]
            kind = kinds[code]
            size += 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4
            if kind & SPACE:
                lettered += has_letter
                named += has_name
                inside = has_letter = has_name = False
                continue
            words += not inside
            inside = True
            if kind & LETTER:
                has_letter = has_name = True
                letters += 1
                upper += (kind & UPPER) != 0
                diacritics += (kind & DIACRITIC) != 0
                foreign += not own[code]
            elif kind & DIGIT:
                has_name = True
                digits += 1
        lettered += has_letter
        named += has_name
        row = found[text]
        row[0], row[1], row[2], row[3] = words, starts[text + 1] - starts[text], size, letters
        row[4], row[5], row[6], row[7] = lettered, digits, upper, diacritics
        row[8], row[9] = foreign, named


@njit(cache=True, nogil=True)
def _keys(codes, starts, kinds, lower):  # type: ignore[no-untyped-def]
    """FNV-1a over the folded letters, or over all characters where there is no letter; finished by mixing."""
    keys = np.zeros(len(starts) - 1, dtype=np.int64)
    for text in range(len(starts) - 1):
        state = np.uint64(0xCBF29CE484222325)
        letters = 0
        for everything in range(2):
            for place in range(starts[text], starts[text + 1]):
                code = codes[place]
                if everything or kinds[code] & (LETTER | MARK):
                    state = (state ^ np.uint64(lower[code])) * np.uint64(0x100000001B3)
                    letters += 1
            if letters:
                break
        state ^= state >> np.uint64(32)
        state *= np.uint64(0x9E3779B97F4A7C15)
        state ^= state >> np.uint64(29)
        keys[text] = np.int64(state >> np.uint64(1))
    return keys
