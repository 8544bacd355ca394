"""What the tokenizer of the reference pipeline knows of characters and of particular words, as arrays.

datatrove splits text with spaCy's blank English tokenizer, a set of rules over character classes and some
thousand words that are kept whole or cut at given places. `corpus/reference/datatrove.yaml` states them; here
they become a table of class bits per code point and a hash table of words that compiled kernels can read.
"""

import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from edgelm import resources
from edgelm.corpus.characters import LIMIT

# Bits of `Tables.classes`. LETTER is what Python calls a letter; ALPHA, LOWER and UPPER are what the
# tokenizer's rules call so; ACTIVE marks every character that can make a rule cut.
(
    SPACE, NEWLINE, LETTER, ALPHA, LOWER, UPPER, DIGIT, DECIMAL, PREFIX, SUFFIX, QUOTE, CURRENCY, ICON, INFIX,
    BEFORE_DOT, ACTIVE, SYMBOL, PUNCTUATION, SENTENCE_END, TERMINAL, SCHEME, HOST, HOST_EDGE,
    UNIT_END,
) = (1 << bit for bit in range(24))  # fmt: skip

NEWLINES = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # where str.splitlines cuts
BETWEEN_LETTERS = ".,:<>=/-~–—"  # cut between two letters; some between digits, too
AFTER_DIGITS = "+-*^"
CUT_LENGTH_BITS = 8
MULTIPLIER = np.uint64(6364136223846793005)
SPREAD = np.uint64(0x9E3779B97F4A7C15)
SLOTS = 1 << 13
KEYS, CUTS, PATTERNS, HEADS = range(4)  # rows of `Tables.rules`
UNIT = np.uint64(0x5851F42D4C957F2D)  # tells the hash of a unit from that of a word
LONGEST_RULE, LONGEST_UNIT = 12, 4  # characters


class Tables(NamedTuple):
    """Arrays the tokenizer reads: few, for kernels pass them on to each other at a cost.

    Attributes:
        classes: class bits, uint32 [LIMIT].
        rules: a hash table with open addressing, uint64 [4, SLOTS]. Row `KEYS` holds `text_hash` of each word
            that has a rule of its own, and of each unit of measurement, xor `UNIT`; 0 where free. `CUTS` has
            the length of the first token of that word, and of the second shifted by `CUT_LENGTH_BITS`, but
            never of its last. `PATTERNS` has bit i set where the general rules would begin a token at offset
            i of that word, and is 0 if they would not cut it at all. `HEADS`, in no relation to the slots, is
            1 at `head_of` the first two characters of each word with a pattern.
    """

    classes: np.ndarray
    rules: np.ndarray


@cache
def read_rules() -> dict[str, Any]:
    """The rules as `corpus/reference/datatrove.yaml` states them."""
    return dict(resources.read_yaml(resources.path("corpus", "reference", "datatrove.yaml")))


def text_hash(text: str) -> int:
    """Polynomial hash of a text modulo 2**64, as the kernels compute it over code points; never 0."""
    value = 0
    for character in text:
        value = (value * int(MULTIPLIER) + ord(character) + 1) % 2**64
    return value or 1


def word_rules() -> dict[str, tuple[str, ...]]:
    """Each word that has a rule of its own, and the tokens it becomes."""
    rules = read_rules()
    words: dict[str, tuple[str, ...]] = {
        word: (word,) for name in ("abbreviations", "elisions") for word in rules[name].split()
    }
    words |= {word: (word,) for line in rules["emoticons"] for word in line.split()}
    for word in rules["other_cuts"].split():
        words[word.replace("|", "")] = tuple(word.split("|"))
    for hour in range(1, 13):
        words |= {f"{hour}{half}": (str(hour), half) for half in rules["hours"].split()}
    words |= dict(_contractions(rules))
    # every rule with an apostrophe holds for the typographic one, too
    return words | {_curl(word): tuple(map(_curl, parts)) for word, parts in words.items()}


def _contractions(rules: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    left_out = set(rules["not_contractions"].split())
    for group in rules["contractions"]:
        for word in group["words"].split():
            for ending in group["endings"]:
                for first in (word, word.title()):
                    for parts in ((first, *ending.split()), (first, *ending.replace("'", "").split())):
                        whole = "".join(parts)
                        if whole.lower() not in left_out:
                            yield whole, parts


def _curl(text: str) -> str:
    return text.replace("'", "’")


@cache
def character_classes() -> np.ndarray:
    """Class bits of every code point below `LIMIT`, uint32."""
    rules = read_rules()
    classes = np.zeros(LIMIT, dtype=np.uint32)
    cased, uncased = _ranges(rules["cased"]), _ranges(rules["uncased"])
    for code in range(LIMIT):
        character = chr(code)
        category = unicodedata.category(character)
        word = category[0] == "L" or category[0] == "N" or character == "_"
        classes[code] = (
            SPACE * character.isspace()
            | LETTER * (category[0] == "L")
            | DECIMAL * (category == "Nd")
            | PUNCTUATION * (category[0] == "P")
            | ICON * (category == "So")
            | LOWER * (category == "Ll" and code in cased)
            | UPPER * (category == "Lu" and code in cased)
            | SCHEME * (word or character in "+-.")
            | HOST * (0xA1 <= code <= 0xFFFF or (character.isascii() and word) or character == "-")
            | HOST_EDGE * (0xA1 <= code <= 0xFFFF or (character.isascii() and character.isalnum()))
        )
    classes[sorted(cased)] |= ALPHA
    classes[sorted(uncased)] |= ALPHA | LOWER | UPPER
    classes[sorted(_ranges(rules["terminal"]))] |= TERMINAL | SYMBOL | SENTENCE_END
    classes[sorted(_ranges(rules["terminal_within_sentences"]))] &= ~np.uint32(SENTENCE_END)
    classes[sorted(_ranges(rules["symbols"]))] |= SYMBOL
    both = rules["punctuation"] + rules["quotes"]
    for bit, characters in (
        (NEWLINE, NEWLINES),
        (DIGIT, "0123456789"),
        (PREFIX, both + rules["prefixes"] + rules["currencies"]),
        (SUFFIX, both + rules["suffixes"]),
        (QUOTE, rules["quotes"]),
        (CURRENCY, rules["currencies"]),
        (INFIX, "…" + BETWEEN_LETTERS + AFTER_DIGITS),
        (UNIT_END, [unit[-1] for unit in rules["units"].split()]),
        (BEFORE_DOT, both + "0123456789%²-+|()?:"),
    ):
        classes[[ord(one) for one in characters if bit == NEWLINE or not one.isspace()]] |= bit
    classes[LIMIT - 1] = LETTER | ALPHA | LOWER | UPPER | SCHEME  # all rare ideographs
    classes[(classes & ICON) > 0] |= PREFIX | SUFFIX | INFIX
    classes[(classes & LOWER) > 0] |= BEFORE_DOT
    classes[(classes & (PREFIX | SUFFIX | INFIX)) > 0] |= ACTIVE
    return classes


def _ranges(text: str) -> set[int]:
    ends = [(one.split("-")[0], one.split("-")[-1]) for one in text.split()]
    return {code for first, last in ends for code in range(int(first, 16), int(last, 16) + 1)}


def fill(keys: np.ndarray, hashes: list[int]) -> list[int]:
    """Put hashes into a table with open addressing; the slot of each."""
    slots = []
    for value in hashes:
        slot = home(value, len(keys))
        while keys[slot] not in (0, value):
            slot = (slot + 1) % len(keys)
        keys[slot] = value
        slots.append(slot)
    return slots


def head_of(first: int, second: int) -> int:
    """The place of two characters in the row `HEADS` of `Tables.rules`."""
    return (first * 61 + second) % SLOTS


def home(value: int, size: int) -> int:
    """The first slot a hash may be in."""
    return (value * int(SPREAD) % 2**64 >> 32) % size
