"""Words broken by a blank where a line once ended: `ema khaya` to `emakhaya`, `kufu -neka` to `kufuneka`.

Two neighbouring words are taken for one where the corpus knows the joined word well and hardly knows one of
the two. As for hyphens (see `edgelm.corpus.hyphens`, whose counts are used), the first pass counts words and
the second joins, and only in files that are full of broken words: `is_broken(part, found, BROKEN_SHARE)`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from edgelm.corpus.characters import KINDS, LETTER, LOWER, MARK, UPPER, flatten
from edgelm.corpus.hyphens import WordCounter, WordCounts, finish, merge, mix

RATIO = 8  # the joined word must be seen this many times as often as the rarer part
BROKEN_SHARE = 0.3  # of hyphenated pairs; 0.38-0.74 in a newspaper taken from PDF, at most 0.25 elsewhere
SHORTEST = 5  # letters of the joined word
PART = 2  # letters of each part: what is spaced out letter by letter is another fault
LONGEST = 40  # letters of one part; what is longer is no word
ROUNDS = 4  # a word may be broken more than once


@dataclass(frozen=True, slots=True)
class Words:
    """The words that a corpus holds more than once: sorted uint64 keys, and int32 counts."""

    keys: np.ndarray
    counts: np.ndarray

    def save(self, path: Path) -> None:
        """Write one uncompressed .npz file."""
        with path.open("wb") as stream:
            np.savez(stream, keys=self.keys, counts=self.counts)

    @staticmethod
    def load(path: Path) -> "Words":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return Words(arrays["keys"], arrays["counts"])


def all_words(parts: Iterable[WordCounts]) -> Words:
    """The words of all parts together, which are gone through one at a time; memory stays bounded."""
    counter, no_pairs = WordCounter(), merge([]).pairs
    for part in parts:
        counter.add_counts(WordCounts(part.words, part.counts, no_pairs))
    total = counter.counts()
    often = total.counts > 1
    counts = np.minimum(total.counts[often], np.iinfo(np.int32).max).astype(np.int32)
    return Words(total.words[often], counts)


def join_blanks(texts: Sequence[str], words: Words) -> tuple[list[str], np.ndarray]:
    """Texts with the broken words joined, and how many gaps went from each, int32 of shape [texts].

    Args:
        texts: repaired texts of files that `is_broken` to that share, their hyphens joined.
        words: what `all_words` counted.
    """
    result, counts = list(texts), np.zeros(len(texts), dtype=np.int32)
    changed = list(range(len(result)))
    for _ in range(ROUNDS):
        joined = [result[at] + "\n" for at in changed]
        codes, starts = flatten(joined)
        gaps = _gaps(codes, KINDS, LOWER, words.keys, words.counts)
        owners = np.searchsorted(starts, gaps[:, 0], side="right") - 1
        hits: dict[int, list[tuple[int, int]]] = {}
        for owner, (start, end) in zip(owners.tolist(), gaps.tolist(), strict=True):
            hits.setdefault(owner, []).append((start - int(starts[owner]), end - int(starts[owner])))
        for owner, spans in hits.items():
            at = changed[owner]
            result[at] = _without(result[at], spans)
            counts[at] += len(spans)
        changed = [changed[owner] for owner in hits]
        if not changed:
            break
    return result, counts


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    pieces, last = [], 0
    for start, end in spans:
        pieces.append(text[last:start])
        last = end
    return "".join([*pieces, text[last:]])


@njit(cache=True, nogil=True)
def _gaps(
    codes: np.ndarray, kinds: np.ndarray, lower: np.ndarray, keys: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Start and end of each gap to be closed, int64 of shape [gaps, 2], none beside another."""
    gaps = np.empty((len(codes) // (PART + 1) + 1, 2), dtype=np.int64)
    found, at, total = 0, 0, len(codes)
    left_start, left_end = -1, -1  # the word before, where it may be the first part of another
    left_key = np.uint64(0)
    while at < total:
        if not kinds[codes[at]] & LETTER:
            at += 1
            continue
        start, key = at, np.uint64(0xCBF29CE484222325)
        gap = start - left_end
        near = left_end >= 0 and (
            (gap == 1 and codes[left_end] == 32)
            or (gap == 2 and codes[left_end] + codes[left_end + 1] == 32 + 45 and codes[left_end] in (32, 45))
        )
        joined, small = left_key, True
        while at < total and kinds[codes[at]] & (LETTER | MARK):
            small = small and not kinds[codes[at]] & UPPER
            code = np.uint64(lower[codes[at]])
            key = mix(key, code)
            joined = mix(joined, code)
            at += 1
        size = at - start
        ends = _ends(codes, kinds, at)
        if near and small and ends and PART <= size < LONGEST and left_end - left_start + size >= SHORTEST:
            known = _count(keys, counts, finish(joined))
            if known >= 2:
                rarer = _count(keys, counts, finish(key))
                if rarer * RATIO > known:
                    rarer = min(rarer, _count(keys, counts, finish(left_key)))
                if rarer * RATIO <= known:
                    gaps[found, 0], gaps[found, 1] = left_end, start
                    found += 1
                    left_end = -1
                    continue
        usable = PART <= size < LONGEST and not kinds[codes[at - 1]] & UPPER
        if usable and (near or _begins(codes, kinds, start)) and at < total and codes[at] in (32, 45):
            left_start, left_end, left_key = start, at, key
        else:
            left_end = -1
    return gaps[:found]


@njit(cache=True, nogil=True)
def _begins(codes: np.ndarray, kinds: np.ndarray, start: int) -> bool:
    """Whether a word begins here, after a blank or an opening bracket or quote."""
    if start == 0:
        return True
    code = codes[start - 1]
    return code == 32 or code == 10 or code == 40 or code == 34 or code == 0x201C or code == 0x2018


@njit(cache=True, nogil=True)
def _ends(codes: np.ndarray, kinds: np.ndarray, end: int) -> bool:
    """Whether a word ends here, before a blank or punctuation; not inside an address, `n'wana` or `i-HIV`."""
    code = codes[end]
    if code == 32 or code == 10:
        return True
    if code == 45 or code == 0x2010 or code == 0x2011 or code == 0x5F or code == 47 or code == 64:
        return False
    return not kinds[code] & 4 and not kinds[codes[end + 1]] & (LETTER | 4)


@njit(cache=True, nogil=True)
def _count(keys: np.ndarray, counts: np.ndarray, key: np.uint64) -> int:
    first, last = 0, len(keys)
    while first < last:
        middle = (first + last) >> 1
        if keys[middle] < key:
            first = middle + 1
        else:
            last = middle
    return int(counts[first]) if first < len(keys) and keys[first] == key else 0
