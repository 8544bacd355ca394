"""What is measured of every document, once; every filter is a predicate over these columns."""

import re
import string
import unicodedata
import zlib
from dataclasses import dataclass
from hashlib import blake2b

# not what is blank, such as a form feed between pages; but half surrogate pairs, which UTF-8 cannot hold
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\ufffd\ud800-\udfff]")
BLANKS = re.compile(r"[^\S\n ][^\S\n]*| [^\S\n]+")  # any run of blanks but one plain space
NEWLINES = re.compile(r"\s*\n\s*")
NOT_LETTER = re.compile(r"[\W\d_]+")
LETTERS = re.compile(r"[^\W\d_]+")
NOT_ASCII = re.compile(r"[^\x00-\x7f]")
UPPER, LOWER, DIGITS = (
    kind.encode() for kind in (string.ascii_uppercase, string.ascii_lowercase, string.digits)
)


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
    lines = text.split("\n")
    data = text.encode("utf-8")
    # ASCII is counted in its bytes, all else character by character: three times faster than all that way
    others = NOT_ASCII.findall(text)
    upper = _count(data, UPPER) + sum(one.isupper() and one.isalpha() for one in others)  # Ⓐ is no letter
    letters = _count(data, UPPER + LOWER) + sum(map(str.isalpha, others))
    digits = _count(data, DIGITS) + sum(map(str.isdigit, others))
    return Statistics(
        words=len(words),
        characters=len(text),
        bytes=len(data),
        mean_word_length=sum(map(len, words)) / max(len(words), 1),
        alphabetic_words=sum(not NOT_LETTER.fullmatch(word) for word in words) / max(len(words), 1),
        digits=digits / max(len(text), 1),
        uppercase=upper / max(letters, 1),
        duplicate_lines=1 - len(set(lines)) / len(lines),
        compression_ratio=len(zlib.compress(data, 1)) / len(data) if len(data) >= 400 else float(bool(data)),
    )


def text_key(text: str) -> int:
    """A 63-bit key that is equal for texts equal but for case, digits, punctuation and spacing."""
    letters = "".join(LETTERS.findall(text.casefold())) or text
    return int.from_bytes(blake2b(letters.encode("utf-8"), digest_size=8).digest(), "big") >> 1


def _count(data: bytes, kind: bytes) -> int:
    return len(data) - len(data.translate(None, kind))
