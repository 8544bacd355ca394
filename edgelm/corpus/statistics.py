"""What is measured of every document, once; every filter is a predicate over these columns."""

import re
import unicodedata
import zlib
from dataclasses import dataclass
from hashlib import blake2b

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff\ufffd]")
BLANKS = re.compile(r"[^\S\n]+")
NEWLINES = re.compile(r"\s*\n\s*")
NOT_LETTER = re.compile(r"[\W\d_]+")


@dataclass(frozen=True, slots=True)
class Statistics:
    """Measurements of one repaired document.

    Attributes:
        words: whitespace-separated words.
        characters: Unicode code points, NFC.
        bytes: UTF-8 bytes, the denominator of bits per byte.
        mean_word_length: characters a word.
        alphabetic_words: share of words that hold a letter.
        digits: share of characters that are digits.
        uppercase: share of letters that are upper case.
        duplicate_lines: share of lines that repeat an earlier one.
        compression_ratio: deflated bytes over bytes; low means repetitive. 1 for texts too short to say.
    """

    words: int
    characters: int
    bytes: int
    mean_word_length: float
    alphabetic_words: float
    digits: float
    uppercase: float
    duplicate_lines: float
    compression_ratio: float


def repair(text: str) -> str:
    """NFC, without control characters and with plain spaces; the lines stay. Idempotent."""
    text = unicodedata.normalize("NFC", CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
    return NEWLINES.sub("\n", BLANKS.sub(" ", text)).strip()


def measure(text: str) -> Statistics:
    """Statistics of a repaired text. All shares are between 0 and 1; an empty text measures 0."""
    words = text.split()
    letters = sum(map(str.isalpha, text))
    lines = text.split("\n")
    data = text.encode("utf-8")
    return Statistics(
        words=len(words),
        characters=len(text),
        bytes=len(data),
        mean_word_length=sum(map(len, words)) / max(len(words), 1),
        alphabetic_words=sum(not NOT_LETTER.fullmatch(word) for word in words) / max(len(words), 1),
        digits=sum(map(str.isdigit, text)) / max(len(text), 1),
        uppercase=sum(map(str.isupper, text)) / max(letters, 1),
        duplicate_lines=1 - len(set(lines)) / len(lines),
        compression_ratio=len(zlib.compress(data, 1)) / len(data) if len(data) >= 400 else float(bool(data)),
    )


def text_key(text: str) -> int:
    """A 63-bit key that is equal for texts equal but for case, digits, punctuation and spacing."""
    letters = NOT_LETTER.sub("", text.casefold()) or text
    return int.from_bytes(blake2b(letters.encode("utf-8"), digest_size=8).digest(), "big") >> 1
