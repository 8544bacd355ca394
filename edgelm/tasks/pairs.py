"""Sentence pairs, and splits of them in which no sentence stands twice.

The pairs are put into groups that share no sentence with each other, whatever the language, and each group
goes to one split by a hash of what is in it. The split of a pair depends on the texts alone: neither on the
order of the files nor on a threshold on scores.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm.corpus.repair import normalise
from edgelm.errors import BadInput
from edgelm.tasks.records import Report, read_table

Sentence = tuple[str, str]
"""Code of the language, text without case and with single blanks."""
Key = tuple[Sentence, Sentence]


@dataclass(frozen=True, slots=True)
class SentencePair:
    """Two sentences that mean the same, `score` of how surely they do (1 where it is not given)."""

    texts: tuple[str, str]
    score: float
    line: int

    def key(self, codes: tuple[str, str]) -> Key:
        return (codes[0], fold(self.texts[0])), (codes[1], fold(self.texts[1]))


def fold(text: str) -> str:
    """A text without case, with single blanks: what counts as the same sentence."""
    return " ".join(text.casefold().split())


def read_pairs(
    path: Path, names: tuple[str, str], score: str | None, report: Report
) -> Iterator[SentencePair]:
    """Pairs of a table whose columns are named as the languages."""
    columns = [*names, score] if score else list(names)
    for line, record in read_table(path, columns, report=report):
        texts: list[Any] = [record.get(name) for name in names]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            lacking = next(name for name in names if not str(record.get(name) or "").strip())
            report(
                BadInput(
                    f"no text in the field '{lacking}'", file=path, line=line, remedy="correct that line"
                )
            )
            continue
        try:
            value = float(record[score]) if score else 1.0
        except (KeyError, TypeError, ValueError):
            report(
                BadInput(
                    f"no number in the field '{score}'", file=path, line=line, remedy="correct that line"
                )
            )
            continue
        yield SentencePair((normalise(texts[0]), normalise(texts[1])), value, line)


def split_pairs(keys: Iterable[Key], shares: Mapping[str, float]) -> dict[Key, str]:
    """Split of each pair: `shares` of the groups are held out, the rest is `train`."""
    keys = list(keys)
    parent: dict[Sentence, Sentence] = {}

    def root(one: Sentence) -> Sentence:
        while parent.setdefault(one, one) != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for first, second in keys:
        parent[root(first)] = root(second)
    smallest: dict[Sentence, bytes] = {}
    for one in list(parent):
        digest = hashlib.blake2b("\t".join(one).encode(), digest_size=8).digest()
        top = root(one)
        smallest[top] = min(digest, smallest.get(top, digest))
    return {key: _split(smallest[root(key[0])], shares) for key in keys}


def _split(smallest: bytes, shares: Mapping[str, float]) -> str:
    # hashed again: the smallest of many hashes is small, and large groups would all be held out
    again = hashlib.blake2b(smallest, digest_size=8).digest()
    place = int.from_bytes(again, "big") / 2**64
    for split, share in shares.items():
        if place < share:
            return split
        place -= share
    return "train"
