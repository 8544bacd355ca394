"""Boilerplate: navigation, footers and link lists, repeated over the pages of one source.

    counter = LineCounter()
    for texts in batches:
        counter.add(texts)
    keys = boilerplate(*counter.counts(), counter.documents)
    texts, removed = strip(texts, keys)

Counted is in how many documents each line occurs, and each pair of lines that follow one another. Pairs
tell navigation from text: a menu entry stands beside the same neighbours on every page, a common remark or
the last word of a wrapped sentence does not. So a line is dropped where it stands in a common pair, in a
document that loses it twice that way, or where it is in so large a share of the documents that no text would
be; elsewhere it stays.

Lines are compared as near-duplicates are: letters in lower case, numbers all alike, the rest one blank.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numba import njit

from edgelm.corpus.characters import flatten
from edgelm.corpus.minhash import BASE, FOLDED, fold, mix
from edgelm.corpus.near_duplicates import BoilerplateLines

DEFAULT = BoilerplateLines()
NEWLINE = 10
EMPTY = np.uint64(1)  # stands for the key of a line without letters or digits
PAIR = np.uint64(1)  # the lowest bit of a key: set for a pair, clear for a line
COPIES = 1 << 20  # documents remembered to tell copies by
ROOM = 4_000_000  # keys that a counter holds before it forgets the rarest
PENDING = 500_000  # keys gathered before they are merged


@njit(cache=True, nogil=True)
def _line_keys(codes: np.ndarray, starts: np.ndarray, folded: np.ndarray) -> tuple:
    """Of every line (also empty): its key or EMPTY, and its folded length; where each text's lines begin."""
    lines = len(starts) - 1
    for code in codes:
        lines += code == NEWLINE
    keys = np.empty(lines, dtype=np.uint64)
    lengths = np.empty(lines, dtype=np.int64)
    firsts = np.zeros(len(starts), dtype=np.int64)
    longest = 0
    for row in range(len(starts) - 1):
        longest = max(longest, starts[row + 1] - starts[row])
    symbols = np.empty(longest + 1, dtype=np.uint32)
    line = 0
    for row in range(len(starts) - 1):
        begin = starts[row]
        for place in range(starts[row], starts[row + 1] + 1):
            if place == starts[row + 1] or codes[place] == NEWLINE:
                length = fold(codes[begin:place], folded, symbols)
                key = np.uint64(0)
                for symbol in symbols[:length]:
                    key = key * BASE + np.uint64(symbol)
                keys[line] = mix(key) & ~PAIR if length > 0 else EMPTY
                lengths[line] = length
                line += 1
                begin = place + 1
        firsts[row + 1] = line
    return keys, lengths, firsts


@njit(cache=True, nogil=True)
def _pair_key(first: np.uint64, second: np.uint64) -> np.uint64:
    return mix(first * BASE + second) | PAIR


@njit(cache=True, nogil=True)
def _distinct_keys(keys: np.ndarray, lengths: np.ndarray, firsts: np.ndarray, copies: np.ndarray) -> tuple:
    """Each document's distinct keys of lines and pairs, one after the other; how many documents counted."""
    out = np.empty(2 * len(keys), dtype=np.uint64)
    size, documents = 0, 0
    for row in range(len(firsts) - 1):
        begin, longest, second, previous = size, -1, -1, EMPTY
        for line in range(firsts[row], firsts[row + 1]):
            key = keys[line]
            if key == EMPTY:
                continue
            if longest < 0 or lengths[line] > lengths[longest]:
                longest, second = line, longest
            elif key != keys[longest] and (second < 0 or lengths[line] > lengths[second]):
                second = line
            if previous != EMPTY and previous != key:
                out[size] = _pair_key(previous, key)
                size += 1
            out[size] = key
            size += 1
            previous = key
        if second < 0:  # a single line, or one and the same
            size = begin
            continue
        copy = _pair_key(keys[longest], keys[second])
        slot = (copy >> np.uint64(1)) % np.uint64(len(copies))
        if copies[slot] == copy:
            size = begin
            continue
        copies[slot] = copy
        documents += 1
        found = np.sort(out[begin:size])
        size = begin
        for place in range(len(found)):
            if place == 0 or found[place] != found[place - 1]:
                out[size] = found[place]
                size += 1
    return out[:size], documents


@njit(cache=True, nogil=True)
def _marked(keys: np.ndarray, firsts: np.ndarray, wanted: np.ndarray) -> tuple:
    """Which lines are wanted, alone or in a pair; how many a document; how many of its others say a thing."""
    marks = np.zeros(len(keys), dtype=np.bool_)
    counts = np.zeros(len(firsts) - 1, dtype=np.int32)
    left = np.zeros(len(firsts) - 1, dtype=np.int32)
    for row in range(len(firsts) - 1):
        previous = -1
        for line in range(firsts[row], firsts[row + 1]):
            if keys[line] == EMPTY:
                continue
            left[row] += 1
            marks[line] = _contains(wanted, keys[line])
            if previous >= 0 and _contains(wanted, _pair_key(keys[previous], keys[line])):
                marks[previous] = marks[line] = True
            previous = line
        if left[row] < 2:
            marks[firsts[row] : firsts[row + 1]] = False
        _mark_repeats(keys[firsts[row] : firsts[row + 1]], marks[firsts[row] : firsts[row + 1]])
        for line in range(firsts[row] + 1, firsts[row + 1]):
            if keys[line] == EMPTY:  # a bar, a rule or a blank line goes with the line above it
                marks[line] = marks[line - 1]
                left[row] += marks[line]  # it is among the marked ones, yet was not counted
        counts[row] = marks[firsts[row] : firsts[row + 1]].sum()
        left[row] -= counts[row]
    return marks, counts, left


@njit(cache=True, nogil=True)
def _mark_repeats(keys: np.ndarray, marks: np.ndarray) -> None:
    """Mark a line everywhere in its document if it is marked twice there, such as "back to the top"."""
    marked = np.sort(keys[marks])
    again = marked[1:][marked[1:] == marked[:-1]]
    if len(again) > 0:
        for line in range(len(keys)):
            if not marks[line]:
                marks[line] = _contains(again, keys[line])


@njit(cache=True, nogil=True)
def _contains(wanted: np.ndarray, key: np.uint64) -> bool:
    place = np.searchsorted(wanted, key)
    return bool(place < len(wanted) and wanted[place] == key)


def line_keys(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Key of each line that holds a letter or digit, uint64, and the index of its text, int64.

    Texts of fewer than two such lines have none.
    """
    codes, starts = flatten(texts)
    keys, _, firsts = _line_keys(codes, starts, FOLDED)
    documents = np.repeat(np.arange(len(texts), dtype=np.int64), np.diff(firsts))[keys != EMPTY]
    keys = keys[keys != EMPTY]
    enough = np.bincount(documents, minlength=len(texts))[documents] >= 2
    return keys[enough], documents[enough]


class LineCounter:
    """In how many documents of a source each line, and each pair of neighbouring lines, occurs.

    Documents whose two longest lines are those of an earlier document are copies and do not count: an article
    that is on ten pages must not become boilerplate. The latest million or so documents are remembered.

    Memory is bounded: beyond `room` distinct keys the rarest are forgotten (lossy counting, Manku and Motwani
    2002), so that a count may be too low by as much as `forgotten`, never too high.

    Attributes:
        documents: documents counted.
        forgotten: upper bound of what any count lacks.
    """

    def __init__(self, room: int = ROOM):
        self.documents, self.forgotten, self._room = 0, 0, room
        self._copies = np.zeros(COPIES, dtype=np.uint64)
        self._keys, self._counts = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
        self._pending: list[np.ndarray] = []

    def add(self, texts: Sequence[str]) -> None:
        """Count the lines of these documents."""
        codes, starts = flatten(texts)
        keys, lengths, firsts = _line_keys(codes, starts, FOLDED)
        found, documents = _distinct_keys(keys, lengths, firsts, self._copies)
        self.documents += documents
        self._pending.append(found)
        if sum(map(len, self._pending)) >= min(PENDING, self._room):
            self._merge()

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Sorted keys, uint64, and the number of documents of each, int64."""
        self._merge()
        return self._keys, self._counts

    def _merge(self) -> None:
        if not self._pending:
            return
        keys, counts = np.unique(np.concatenate(self._pending), return_counts=True)
        self._pending.clear()
        self._keys, self._counts = merge([(self._keys, self._counts), (keys, counts.astype(np.int64))])
        while len(self._keys) > self._room:
            lowest = int(self._counts.min())
            keep = self._counts > lowest
            self.forgotten += lowest
            self._keys, self._counts = self._keys[keep], self._counts[keep]


def merge(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Add up the counts of several counters; sorted keys, uint64, and counts, int64."""
    keys, counts = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    for more_keys, more_counts in parts:
        if not len(keys):
            keys, counts = more_keys, more_counts.copy()
            continue
        places = np.searchsorted(keys, more_keys)
        known = np.zeros(len(more_keys), dtype=bool)
        inside = places < len(keys)
        known[inside] = keys[places[inside]] == more_keys[inside]
        counts[places[known]] += more_counts[known]
        keys = np.insert(keys, places[~known], more_keys[~known])
        counts = np.insert(counts, places[~known], more_counts[~known])
    return keys, counts


def boilerplate(
    keys: np.ndarray, counts: np.ndarray, documents: int, settings: BoilerplateLines = DEFAULT
) -> np.ndarray:
    """Sorted keys, uint64, of the lines and pairs that are boilerplate in a source of so many documents."""
    alone = max(2 * settings.documents, settings.share * documents)
    return keys[counts >= np.where(keys & PAIR, settings.documents, alone)]


def strip(texts: Sequence[str], keys: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The texts without their boilerplate lines, and how many each lost, int32 of shape [texts].

    With such a line go the lines without letters or digits below it: bars, rules, blank lines. Others stay
    byte for byte. A text of one line stays as it is; one with no line of letters or digits left is "".

    Args:
        keys: what `boilerplate` returned: sorted, of lines and of pairs.
    """
    codes, starts = flatten(texts)
    found, _, firsts = _line_keys(codes, starts, FOLDED)
    marks, counts, left = _marked(found, firsts, keys)
    out = list(texts)
    for row in np.flatnonzero(counts):
        kept = ~marks[firsts[row] : firsts[row + 1]]
        lines = zip(out[row].split("\n"), kept, strict=True)
        out[row] = "\n".join(line for line, keep in lines if keep) if left[row] else ""
    return out, counts
