"""Find the documents that hold text of an evaluation set.

Texts are compared by their words: runs of letters and digits, case folded, whatever stands between them. An
item of an evaluation file of at least `ngram` words (13, as for GPT-3, arXiv 2005.14165, appendix C) is found
where any `ngram` consecutive words of it are; a shorter one, of `SHORTEST` words or more, where all its words
follow one another anywhere in a document. What is kept is a hash of each, so a set of a million costs a few
megabytes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

from edgelm.corpus.characters import DIGIT, KINDS, LETTER, LOWER, MARK, flatten
from edgelm.corpus.evaluation_files import find_evaluation_files, read_items
from edgelm.corpus.repair import normalise
from edgelm.errors import BadInput

NGRAM = 13  # words
SHORTEST = 5  # words; what is shorter is found everywhere
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no word is lost
BATCH = 4000  # items hashed together
BITS_PER_GRAM = 16  # of the table that answers most look-ups; one in about sixteen of the others goes on


class Hits(NamedTuple):
    """What `Contamination.hits` found in a batch of texts.

    Attributes:
        counts: int32 [texts], how many places of each text match.
        files: int32 [texts], the first evaluation file, in the order of `Contamination.names`, whose text is
            there; -1 for none.
        grams: int64, sorted, which n-grams of the set matched anywhere; the report adds them up.
    """

    counts: np.ndarray
    files: np.ndarray
    grams: np.ndarray


@dataclass(frozen=True)
class Contamination:
    """The n-grams of some evaluation files.

    Attributes:
        names: the evaluation files.
        ngram: words of the longest n-gram.
        grams: uint64 [grams], hashes, sorted.
        files: int32 [grams], the first file that has each.
        item_files: int32 [items], the file of each item.
        items: int32 [item-grams], the item of each n-gram of each item, sorted.
        item_grams: int32 [item-grams], which n-gram that is.
        lengths: int64, sorted, the numbers of words that n-grams have.
    """

    names: tuple[str, ...]
    ngram: int
    grams: np.ndarray
    files: np.ndarray
    item_files: np.ndarray
    items: np.ndarray
    item_grams: np.ndarray
    lengths: np.ndarray

    @cached_property
    def table(self) -> np.ndarray:
        """One bit for each value of a hash's first bits, set where some n-gram has it; uint64 words."""
        bits = max(6, int(len(self.grams) * BITS_PER_GRAM - 1).bit_length())
        table = np.zeros(1 << (bits - 6), dtype=np.uint64)
        _fill(table, self.grams)
        return table

    def hits(self, texts: Sequence[str]) -> Hits:
        """Where the texts, repaired, hold an n-gram of the set."""
        codes, starts = flatten(texts)
        hashes, word_starts = _words(codes, starts, KINDS, LOWER)
        counts, files, places = _find(hashes, word_starts, self.lengths, self.table, self.grams, self.files)
        return Hits(counts, files, np.unique(places))

    def report(self, grams: np.ndarray) -> list[dict[str, str | int]]:
        """For each evaluation file its name, its items, and how many of them have an n-gram among `grams`."""
        hit = np.zeros(len(self.grams), dtype=bool)
        hit[grams] = True
        touched = np.zeros(len(self.item_files), dtype=bool)
        touched[self.items[hit[self.item_grams]]] = True
        totals = np.bincount(self.item_files, minlength=len(self.names))
        found = np.bincount(self.item_files[touched], minlength=len(self.names))
        return [
            {"file": name, "items": int(total), "hit": int(number)}
            for name, total, number in zip(self.names, totals, found, strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Write arrays that `load` maps into memory, so that worker processes share them."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        (folder / "names.json").write_text(json.dumps({"names": self.names, "ngram": self.ngram}))

    @staticmethod
    def load(folder: Path) -> "Contamination":
        """Open what `save` wrote."""
        named = json.loads((folder / "names.json").read_text())
        # "c" for the kernels: arrays that may be written are of the type they were compiled for
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in ARRAYS}
        return Contamination(tuple(named["names"]), named["ngram"], **arrays)


ARRAYS = ("grams", "files", "item_files", "items", "item_grams", "lengths")


def load_evaluation(files: Sequence[Path], ngram: int = NGRAM) -> Contamination:
    """The n-grams of evaluation files, or of all such files in folders.

    Args:
        files: text, CoNLL, JSON lines, CSV, TSV or Parquet, plain or packed; see `read_items`.
        ngram: words that a document must share with an item that is at least as long.

    Raises:
        BadInput: a file is missing, damaged or in none of these formats, or `ngram` is below `SHORTEST`.
    """
    if ngram < SHORTEST:
        raise BadInput(f"n-grams of {ngram} words are found everywhere", remedy=f"use {SHORTEST} or more")
    paths = find_evaluation_files(files)
    hashes, owners, item_files, lengths = [], [], [], {ngram}
    total = 0
    for number, path in enumerate(paths):
        items = [normalise(item) for item in read_items(path)]
        for first in range(0, len(items), BATCH):
            codes, starts = flatten(items[first : first + BATCH])
            words, word_starts = _words(codes, starts, KINDS, LOWER)
            sizes = np.diff(word_starts)
            found, owner = _item_grams(words, word_starts, ngram, SHORTEST)
            # only items with n-grams are numbered
            kept = sizes >= SHORTEST
            renumbered = np.cumsum(kept) - 1 + total
            hashes.append(found)
            owners.append(renumbered[owner])
            item_files.append(np.full(kept.sum(), number, dtype=np.int32))
            lengths.update(np.unique(np.minimum(sizes[kept], ngram)).tolist())
            total += int(kept.sum())
    all_hashes = np.concatenate([np.zeros(0, dtype=np.uint64), *hashes])
    items_of = np.concatenate([np.zeros(0, dtype=np.int64), *owners]).astype(np.int32)
    files_of_items = np.concatenate([np.zeros(0, dtype=np.int32), *item_files])
    # items come in the order of their files, so that the first place of a hash is in its first file
    grams, first_place, which = np.unique(all_hashes, return_index=True, return_inverse=True)
    return Contamination(
        names=tuple(str(path) for path in paths),
        ngram=ngram,
        grams=grams,
        files=files_of_items[items_of[first_place]].astype(np.int32),
        item_files=files_of_items,
        items=items_of,
        item_grams=which.astype(np.int32),
        lengths=np.array(sorted(lengths), dtype=np.int64),
    )


@njit(cache=True, nogil=True)
def _finish(key: np.uint64) -> np.uint64:  # the end of MurmurHash3, so that every bit depends on every other
    key ^= key >> np.uint64(33)
    key *= np.uint64(0xFF51AFD7ED558CCD)
    key ^= key >> np.uint64(33)
    key *= np.uint64(0xC4CEB9FE1A85EC53)
    return key ^ (key >> np.uint64(33))


@njit(cache=True, nogil=True)
def _words(
    codes: np.ndarray, starts: np.ndarray, kinds: np.ndarray, lower: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the words of all texts, uint64, and where those of each text begin, int64 [texts + 1]."""
    hashes = np.empty(len(codes) // 2 + len(starts), dtype=np.uint64)
    word_starts = np.zeros(len(starts), dtype=np.int64)
    found = 0
    for text in range(len(starts) - 1):
        inside = False
        key = np.uint64(0)
        for code in codes[starts[text] : starts[text + 1]]:
            if kinds[code] & (LETTER | DIGIT | MARK):
                if not inside:
                    key = np.uint64(0xCBF29CE484222325)
                    inside = True
                key = (key ^ np.uint64(lower[code])) * np.uint64(0x100000001B3)
            elif inside:
                hashes[found] = _finish(key)
                found += 1
                inside = False
        if inside:
            hashes[found] = _finish(key)
            found += 1
        word_starts[text + 1] = found
    return hashes[:found], word_starts


@njit(cache=True, nogil=True)
def _gram(words: np.ndarray, start: int, size: int) -> np.uint64:
    key = np.uint64(size)
    for at in range(start, start + size):
        key = key * FACTOR + words[at]
    return _finish(key)


@njit(cache=True, nogil=True)
def _item_grams(
    words: np.ndarray, word_starts: np.ndarray, ngram: int, shortest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of every item's n-grams, or of all its words where it has fewer, and the item of each."""
    total = 0
    for item in range(len(word_starts) - 1):
        size = word_starts[item + 1] - word_starts[item]
        if size >= shortest:
            total += max(1, size - ngram + 1)
    hashes = np.empty(total, dtype=np.uint64)
    owners = np.empty(total, dtype=np.int64)
    found = 0
    for item in range(len(word_starts) - 1):
        first = word_starts[item]
        size = word_starts[item + 1] - first
        if size >= shortest:
            for start in range(first, first + max(1, size - ngram + 1)):
                hashes[found] = _gram(words, start, min(size, ngram))
                owners[found] = item
                found += 1
    return hashes, owners


@njit(cache=True, nogil=True)
def _fill(table: np.ndarray, grams: np.ndarray) -> None:
    shift = _shift(len(table))
    for gram in grams:
        place = gram >> shift
        table[place >> np.uint64(6)] |= np.uint64(1) << (place & np.uint64(63))


@njit(cache=True, nogil=True)
def _shift(size: int) -> np.uint64:
    bits = 6
    while size > 1:
        size >>= 1
        bits += 1
    return np.uint64(64 - bits)


@njit(cache=True, nogil=True)
def _place(grams: np.ndarray, gram: np.uint64) -> int:
    """Where a hash is among sorted ones, -1 if nowhere; NumPy's own search takes seconds to compile."""
    first, last = 0, len(grams)
    while first < last:
        middle = (first + last) // 2
        if grams[middle] < gram:
            first = middle + 1
        else:
            last = middle
    return first if first < len(grams) and grams[first] == gram else -1


@njit(cache=True, nogil=True)
def _find(
    words: np.ndarray,
    word_starts: np.ndarray,
    lengths: np.ndarray,
    table: np.ndarray,
    grams: np.ndarray,
    gram_files: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each text the places that match and the first file; the n-gram matched at each place."""
    count = len(word_starts) - 1
    counts = np.zeros(count, dtype=np.int32)
    files = np.full(count, -1, dtype=np.int32)
    places = np.empty(1024, dtype=np.int64)
    found = 0
    shift = _shift(len(table))
    longest = lengths[-1]
    # sums[i] is the polynomial of the first i words, so that of a window is a difference of two
    most = 0
    for text in range(count):
        most = max(most, word_starts[text + 1] - word_starts[text])
    sums = np.zeros(most + 1, dtype=np.uint64)
    powers = np.empty(longest + 1, dtype=np.uint64)
    powers[0] = 1
    for at in range(longest):
        powers[at + 1] = powers[at] * FACTOR
    for text in range(count):
        first, size = word_starts[text], word_starts[text + 1] - word_starts[text]
        for at in range(size):
            sums[at + 1] = sums[at] * FACTOR + words[first + at]
        for length in lengths:
            power, salt = powers[length], np.uint64(length) * powers[length]
            for end in range(length, size + 1):
                gram = _finish(sums[end] - sums[end - length] * power + salt)
                place = gram >> shift
                if not (table[place >> np.uint64(6)] >> (place & np.uint64(63))) & np.uint64(1):
                    continue
                where = _place(grams, gram)
                if where < 0:
                    continue
                counts[text] += 1
                if files[text] < 0 or gram_files[where] < files[text]:
                    files[text] = gram_files[where]
                if found == len(places):
                    longer = np.empty(2 * found, dtype=np.int64)
                    longer[:found] = places
                    places = longer
                places[found] = where
                found += 1
    return counts, files, places[:found]
