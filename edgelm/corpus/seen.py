"""Hashes for compiled kernels: of a span of text, found in a fixed table, counted within a document."""

from typing import NamedTuple

import numpy as np
from numba import njit

from edgelm.corpus.token_tables import KEYS, MULTIPLIER, SLOTS, SPREAD

ONE = np.uint64(1)
SMALLEST = 16
AGE, COUNT, FIRST = range(3)  # columns of `Seen.marks`


@njit(cache=True, nogil=True)
def span_hash(codes: np.ndarray, first: int, last: int) -> np.uint64:
    """`text_hash` of codes[first:last]."""
    value = np.uint64(0)
    for at in range(first, last):
        value = value * MULTIPLIER + np.uint64(codes[at]) + ONE
    return value if value != np.uint64(0) else ONE


@njit(cache=True, nogil=True)
def find(rules: np.ndarray, value: np.uint64) -> int:
    """The slot of a hash in `token_tables.Tables.rules`, or -1."""
    mask = np.uint64(SLOTS - 1)
    slot = ((value * SPREAD) >> np.uint64(32)) & mask
    while rules[KEYS, slot] != np.uint64(0):
        if rules[KEYS, slot] == value:
            return np.int64(slot)  # type: ignore[return-value]
        slot = (slot + ONE) & mask
    return -1


class Seen(NamedTuple):
    """Hashes with counts, in open addressing; a slot is free unless its `AGE` is the present one.

    Attributes:
        keys: uint64 [slots], slots a power of two.
        marks: int32 [slots + 1, 4]; a slot's `AGE`, how often its key was added and where first. The last row
            holds the present age.
    """

    keys: np.ndarray
    marks: np.ndarray


def make_seen(most: int) -> Seen:
    """Room for `most` keys at half load; pages that no document needs are never touched."""
    slots = SMALLEST
    while slots < 2 * most:
        slots *= 2
    return Seen(np.empty(slots, dtype=np.uint64), np.zeros((slots + 1, 4), dtype=np.int32))


@njit(cache=True, nogil=True)
def empty(seen: Seen, most: int) -> np.uint64:
    """Forget everything; the mask to give to `add` while there are at most `most` different keys."""
    seen.marks[len(seen.keys), AGE] += 1
    slots = SMALLEST
    while slots < 2 * most:
        slots *= 2
    return np.uint64(slots - 1)


@njit(cache=True, nogil=True)
def add(seen: Seen, mask: np.uint64, key: np.uint64, at: int) -> int:
    """Count `key`, met at `at`; its slot."""
    keys, marks = seen.keys, seen.marks
    age = marks[len(keys), AGE]
    slot = ((key * SPREAD) >> np.uint64(32)) & mask
    while marks[slot, AGE] == age:
        if keys[slot] == key:
            marks[slot, COUNT] += 1
            return np.int64(slot)  # type: ignore[return-value]
        slot = (slot + ONE) & mask
    marks[slot, AGE] = age
    keys[slot] = key
    marks[slot, COUNT] = 1
    marks[slot, FIRST] = at
    return np.int64(slot)  # type: ignore[return-value]
