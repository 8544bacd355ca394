"""MinHash signatures of documents, and clusters of those that are nearly the same.

    found = compact(signatures(texts))                      # uint8 [documents, permutations], to be stored
    labels = cluster(band_columns(found), found, keys)      # int64 [documents]

Signatures follow Broder (1997), with one multiply-and-add hash a value; candidates come from banding, and
every candidate pair is checked against its signatures before it counts (text-dedup and datatrove count all
candidates). All arithmetic is on integers: the same documents give the same values on every machine.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numba import njit

from edgelm.corpus.characters import DIGIT, KINDS, LETTER, LOWER, MARK, flatten
from edgelm.corpus.near_duplicates import NearDuplicates, fewest_equal

DEFAULT = NearDuplicates()
OTHER, NUMBER = 0, 1  # symbols that stand for runs of characters that are no letters
# What a code point is to a shingle: itself in lower case, or one of the two symbols
FOLDED = np.where(KINDS & (LETTER | MARK), LOWER, np.where(KINDS & DIGIT, NUMBER, OTHER)).astype(np.uint32)

BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, of the rolling hash
MIX_1 = np.uint64(0xFF51AFD7ED558CCD)  # the finaliser of MurmurHash3
MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
SHIFT = np.uint64(33)
VECTOR = 16  # values that a processor takes at once
COMPACT = np.uint32(0x9E3779B1)
CHUNK = 200_000  # documents of which band keys are made at a time
FULL_PAIRS = 32  # documents in a bucket up to which every pair is compared
LEADERS = 16  # documents that a member of a larger bucket is compared with


@njit(cache=True, nogil=True)
def fold(codes: np.ndarray, folded: np.ndarray, out: np.ndarray) -> int:
    """Put the letters of `codes` in lower case to `out`, each run of others as one symbol; return the length.

    A run with a digit in it is `NUMBER`, any other is `OTHER`, which is left out at both ends: what
    differs only in numbers is equal, but a heading that has a number still differs from one that has none.
    """
    length = 0
    pending = -1  # the symbol of the run that is open, -1 for none
    for code in codes:
        symbol = folded[code]
        if symbol > NUMBER:
            if pending == NUMBER or (pending == OTHER and length > 0):
                out[length] = pending
                length += 1
            pending = -1
            out[length] = symbol
            length += 1
        elif symbol > pending:
            pending = symbol
    if pending == NUMBER:
        out[length] = NUMBER
        length += 1
    return length


@njit(cache=True, nogil=True)
def mix(value: np.uint64) -> np.uint64:
    """Spread the bits of a 64-bit value, one to one (the finaliser of MurmurHash3)."""
    value = (value ^ (value >> SHIFT)) * MIX_1
    value = (value ^ (value >> SHIFT)) * MIX_2
    return value ^ (value >> SHIFT)


@njit(cache=True, nogil=True)
def _signatures(
    codes: np.ndarray,
    starts: np.ndarray,
    folded: np.ndarray,
    ngram: int,
    multipliers: np.ndarray,
    addends: np.ndarray,
    out: np.ndarray,
) -> None:
    longest = 0
    for row in range(len(starts) - 1):
        longest = max(longest, starts[row + 1] - starts[row])
    symbols = np.empty(longest + 1, dtype=np.uint32)
    signature = np.empty(len(multipliers), dtype=np.uint32)
    leaving = np.uint64(1)  # weight of the symbol that leaves the window
    for _ in range(ngram):
        leaving *= BASE
    for row in range(len(starts) - 1):
        length = fold(codes[starts[row] : starts[row + 1]], folded, symbols)
        signature[:] = np.uint32(0xFFFFFFFF)
        rolling = np.uint64(0)
        for position in range(max(length, 1)):
            if length > 0:
                rolling = rolling * BASE + np.uint64(symbols[position])
            if position >= ngram:
                rolling -= leaving * np.uint64(symbols[position - ngram])
            if position >= ngram - 1 or position >= length - 1:
                shingle = np.uint32(mix(rolling) >> np.uint64(32))
                for value in range(len(signature)):
                    hashed = np.uint32(multipliers[value] * shingle + addends[value])
                    signature[value] = min(signature[value], hashed)
        out[row] = signature[: out.shape[1]]


def signatures(
    texts: Sequence[str],
    ngram: int = DEFAULT.ngram,
    permutations: int = DEFAULT.permutations,
    seed: int = DEFAULT.seed,
) -> np.ndarray:
    """MinHash values of each text, uint32 of shape [texts, permutations].

    The shingles are the character n-grams of the letters in lower case, where every run of other
    characters is one symbol (`fold`). A text of fewer than `ngram` symbols is one shingle; one without
    letters or digits is the empty shingle.
    """
    codes, starts = flatten(texts)
    whole = -permutations % VECTOR + permutations
    draws = np.random.Generator(np.random.PCG64(seed)).integers(0, 2**32, (whole, 2), dtype=np.uint32)
    multipliers, addends = np.ascontiguousarray(draws.T)
    out = np.empty((len(texts), permutations), dtype=np.uint32)
    _signatures(codes, starts, FOLDED, ngram, multipliers | np.uint32(1), addends, out)
    return out


@njit(cache=True, nogil=True)
def _band_keys(found: np.ndarray, out: np.ndarray) -> None:
    rows = found.shape[1] // out.shape[1]
    for row in range(len(found)):
        for band in range(out.shape[1]):
            key = np.uint64(band)
            for value in range(band * rows, (band + 1) * rows):
                key = mix(key * BASE + np.uint64(found[row, value]))
            out[row, band] = key


def _rows(found: np.ndarray, bands: int) -> int:
    if bands < 1 or found.shape[1] % bands:
        raise ValueError(f"{found.shape[1]} values cannot be divided over {bands} bands")
    return found.shape[1] // bands


def band_keys(found: np.ndarray, bands: int = DEFAULT.bands) -> np.ndarray:
    """One hash of each band of the signatures, uint64 of shape [documents, bands].

    Raises:
        ValueError: the values cannot be divided evenly over the bands.
    """
    _rows(found, bands)
    out = np.empty((len(found), bands), dtype=np.uint64)
    _band_keys(found, out)
    return out


def compact(found: np.ndarray) -> np.ndarray:
    """One byte of each value, uint8: a quarter of the room, enough for `cluster` (Li and König 2010)."""
    return ((found * COMPACT) >> np.uint32(24)).astype(np.uint8)


def band_columns(found: np.ndarray, bands: int = DEFAULT.bands) -> Iterator[np.ndarray]:
    """The keys of one band after the other, uint64 of shape [documents]; the signatures may be a memory map.

    Compact signatures do as well: five rows make a key of 40 bits, and what meets by chance is compared.

    Raises:
        ValueError: the values cannot be divided evenly over the bands.
    """
    rows = _rows(found, bands)
    for band in range(bands):
        column = np.empty(len(found), dtype=np.uint64)
        for at in range(0, len(found), CHUNK):
            part = np.ascontiguousarray(found[at : at + CHUNK, band * rows : (band + 1) * rows])
            column[at : at + CHUNK] = band_keys(part, 1)[:, 0]
        yield column


@njit(cache=True, nogil=True)
def _root(parents: np.ndarray, row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


@njit(cache=True, nogil=True)
def _join(parents: np.ndarray, one: int, other: int) -> None:
    one, other = _root(parents, one), _root(parents, other)
    if one < other:
        parents[other] = one
    else:
        parents[one] = other


@njit(cache=True, nogil=True)
def _equal(found: np.ndarray, one: int, other: int) -> int:
    count = 0
    for value in range(found.shape[1]):
        count += found[one, value] == found[other, value]
    return count


@njit(cache=True, nogil=True)
def _join_equal(keys: np.ndarray, order: np.ndarray, parents: np.ndarray) -> None:
    for place in range(1, len(order)):
        if keys[order[place]] == keys[order[place - 1]]:
            _join(parents, order[place - 1], order[place])


@njit(cache=True, nogil=True)
def _join_bucket(rows: np.ndarray, parents: np.ndarray, found: np.ndarray, needed: int) -> None:
    leaders = np.empty(LEADERS, dtype=np.int64)
    led = 0
    for place in range(len(rows)):
        row = rows[place]
        if len(rows) <= FULL_PAIRS:
            for earlier in rows[:place]:
                if _root(parents, earlier) != _root(parents, row) and _equal(found, earlier, row) >= needed:
                    _join(parents, earlier, row)
            continue
        first, like = row, led
        for number in range(led):
            leader = leaders[number]
            if _root(parents, leader) != _root(parents, row):
                if _equal(found, leader, row) < needed:
                    continue
                _join(parents, leader, row)
            if like == led:
                first, like = leader, number
        if like == led:
            led = min(led + 1, LEADERS)
            like = led - 1
        for number in range(like, 0, -1):  # who led last is first, who led longest ago is forgotten
            leaders[number] = leaders[number - 1]
        leaders[0] = first


@njit(cache=True, nogil=True)
def _join_similar(
    keys: np.ndarray, order: np.ndarray, parents: np.ndarray, found: np.ndarray, needed: int
) -> None:
    begin = 0
    for place in range(1, len(order) + 1):
        if place == len(order) or keys[order[place]] != keys[order[begin]]:
            if place - begin > 1:
                _join_bucket(order[begin:place], parents, found, needed)
            begin = place


def cluster(
    bands: Iterable[np.ndarray],
    found: np.ndarray,
    keys: np.ndarray | None = None,
    threshold: float = DEFAULT.threshold,
) -> np.ndarray:
    """Label each document with the smallest row number of its cluster, int64 of shape [documents].

    A cluster is a connected component of documents of equal `keys`, and of pairs that share a band key and
    agree in at least `threshold` of their values. Among more than 32 documents of the same band key, each
    is compared only with up to 16 leaders: documents that were like no leader before them, of which those
    last found alike are kept. Lost there are pairs in which neither leads, unless a chain of similar
    documents or another band joins them.

    Besides the arguments this holds three arrays of 8 bytes a document.

    Args:
        bands: one column of band keys after the other, uint64 of shape [documents]; one is held at a time.
        found: signatures [documents, permutations], a memory map will do; uint32, or uint8 as `compact` makes
            them, where chance agreement (1 in 256) is allowed for.
        keys: equal for exact duplicates, any integers of shape [documents].
    """
    parents = np.arange(len(found), dtype=np.int64)
    if keys is not None and len(keys):
        _join_equal(keys, np.argsort(keys, kind="stable"), parents)
    chance = 1 / 256 if found.dtype == np.uint8 else 0.0
    needed = fewest_equal(found.shape[1], threshold + (1 - threshold) * chance)
    for column in bands:
        column = np.ascontiguousarray(column)
        _join_similar(column, np.argsort(column, kind="stable"), parents, found, needed)
    return _flatten(parents)


@njit(cache=True, nogil=True)
def _flatten(parents: np.ndarray) -> np.ndarray:
    for row in range(len(parents)):  # a parent has a smaller number, and points at its root already
        parents[row] = parents[parents[row]]
    return parents
