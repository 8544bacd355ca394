"""Hashes for compiled kernels: of a span of text, found in a fixed table, counted within a document."""

from typing import NamedTuple

import numpy as np
from numba import njit

from edgelm.corpus.token_tables import MULTIPLIER, SPREAD

ONE = np.uint64(1)
SMALLEST = 16


@njit(cache=True, nogil=True)
def span_hash(codes: np.ndarray, first: int, last: int) -> np.uint64:
    """`text_hash` of codes[first:last]."""
    value = np.uint64(0)
    for at in range(first, last):
        value = value * MULTIPLIER + np.uint64(codes[at]) + ONE
    return value if value != np.uint64(0) else ONE


@njit(cache=True, nogil=True)
def find(keys: np.ndarray, value: np.uint64) -> int:
    """The slot of a hash in a table that `token_tables.fill` filled, or -1."""
    mask = np.uint64(len(keys) - 1)
    slot = ((value * SPREAD) >> np.uint64(32)) & mask
    while keys[slot] != np.uint64(0):
        if keys[slot] == value:
            return np.int64(slot)
        slot = (slot + ONE) & mask
    return -1


class Seen(NamedTuple):
    """Hashes with counts, in open addressing; a slot is free unless its `ages` is the present one.

    Attributes:
        keys: uint64 [slots], slots a power of two.
        ages, counts, firsts: int32 [slots]; how often a key was added, and where first.
        age: the present age, int32 [1].
    """

    keys: np.ndarray
    ages: np.ndarray
    counts: np.ndarray
    firsts: np.ndarray
    age: np.ndarray


def make_seen(most: int) -> Seen:
    """Room for `most` keys at half load; pages that no document needs are never touched."""
    slots = SMALLEST
    while slots < 2 * most:
        slots *= 2
    counts, firsts = (np.empty(slots, dtype=np.int32) for _ in range(2))
    ages, age = np.zeros(slots, dtype=np.int32), np.zeros(1, dtype=np.int32)
    return Seen(np.empty(slots, dtype=np.uint64), ages, counts, firsts, age)


@njit(cache=True, nogil=True)
def empty(seen: Seen, most: int) -> np.uint64:
    """Forget everything; the mask to give to `add` while there are at most `most` different keys."""
    seen.age[0] += 1
    slots = SMALLEST
    while slots < 2 * most:
        slots *= 2
    return np.uint64(slots - 1)


@njit(cache=True, nogil=True)
def add(seen: Seen, mask: np.uint64, key: np.uint64, at: int) -> int:
    """Count `key`, met at `at`; its slot."""
    slot = ((key * SPREAD) >> np.uint64(32)) & mask
    while seen.ages[slot] == seen.age[0]:
        if seen.keys[slot] == key:
            seen.counts[slot] += 1
            return np.int64(slot)
        slot = (slot + ONE) & mask
    seen.ages[slot] = seen.age[0]
    seen.keys[slot] = key
    seen.counts[slot] = 1
    seen.firsts[slot] = at
    return np.int64(slot)
