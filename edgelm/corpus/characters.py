"""Texts as arrays of code points, and what kind of character each code point is.

The kernels that measure documents are compiled with numba and read a batch of texts as one flat array:
`flatten` makes it, `KINDS[code]` tells letters from digits, `LOWER[code]` folds case.
"""

import unicodedata
from collections.abc import Sequence

import numpy as np

LIMIT = 0x20000  # the planes above hold rare ideographs: they count as letters, without case
LETTER, UPPER, DIGIT, SPACE, PUNCTUATION, SYMBOL, MARK, DIACRITIC = (1 << bit for bit in range(8))


def flatten(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Code points of all texts, uint32 of shape [total], and where each begins, int64 of shape [texts + 1].

    Code points from `LIMIT` up are mapped to its last one, so that every value indexes the tables.
    """
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in texts], out=starts[1:])
    return np.minimum(codes, np.uint32(LIMIT - 1)), starts


def _kind(code: int) -> int:
    character = chr(code)
    category = unicodedata.category(character)
    base = unicodedata.normalize("NFD", character)[0] if code > 127 else character
    return (
        LETTER * (category[0] == "L")
        | UPPER * character.isupper()
        | DIGIT * character.isdigit()
        | SPACE * character.isspace()
        | PUNCTUATION * (category[0] == "P")
        | SYMBOL * (category[0] == "S")
        | MARK * (category[0] == "M")
        | DIACRITIC * (category[0] == "L" and base != character and base.isascii())
    )


def _lower(code: int) -> int:
    folded = chr(code).lower()
    return ord(folded) if len(folded) == 1 else code


KINDS = np.fromiter(map(_kind, range(LIMIT)), dtype=np.uint8, count=LIMIT)
KINDS[-1] = LETTER
LOWER = np.fromiter(map(_lower, range(LIMIT)), dtype=np.uint32, count=LIMIT)
