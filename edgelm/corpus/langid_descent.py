"""The inner loops of training the language identifier: draw pieces of text, count features, descend."""

import unicodedata

import numpy as np
from numba import njit

from edgelm.corpus.langid import FOLD, MAX_FEATURES, WINDOW, fold, keys_of

LONGEST = 1000  # characters of a crop
PLAIN = 0.2  # share of crops whose diacritics are stripped


def _plain_form(code: int) -> int:
    base = unicodedata.normalize("NFD", chr(code))[0]
    return ord(base) if base.isascii() and base.isalpha() else code


PLAIN_FORM = FOLD.copy()
PLAIN_FORM[0xC0:0x2000] = [FOLD[_plain_form(code)] for code in range(0xC0, 0x2000)]


@njit(cache=True)
def _random(state: np.ndarray) -> float:
    """The next number in [0, 1): xorshift64 (Marsaglia 2003)."""
    x = state[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    state[0] = x
    return (x >> np.uint64(11)) / 9007199254740992.0


@njit(cache=True)
def crop(arrays: tuple, state: np.ndarray, buffer: np.ndarray, keys: np.ndarray) -> tuple[int, int]:
    """Draw a class, a group, a line and a piece that begins with a word: class and number of features."""
    codes, starts, groups, group_share, class_groups, class_share, table, plain, sizes = arrays
    chance, label = _random(state), 0
    while label < len(class_share) - 1 and chance >= class_share[label]:
        label += 1
    chance, group = _random(state), class_groups[label]
    while group < class_groups[label + 1] - 1 and chance >= group_share[group]:
        group += 1
    line = groups[group] + int(_random(state) * (groups[group + 1] - groups[group]))
    start, end = starts[line], starts[line + 1]
    size = sizes[int(_random(state) * len(sizes))]
    if size < end - start:
        first = start + int(_random(state) * (end - start - size + 1))
        while first > start and codes[first - 1] != 32:
            first -= 1
        start, end = first, first + size
    end = min(end, start + LONGEST)
    if _random(state) < PLAIN:
        length = fold(codes, start, end, plain, buffer)
    else:
        length = fold(codes, start, end, table, buffer)
    return label, keys_of(buffer, length, keys) if length > 2 else 0


@njit(cache=True)
def _begin(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The random numbers' state and buffers for a folded crop and its features."""
    state = np.full(1, np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15), dtype=np.uint64)
    return state, np.empty(WINDOW, dtype=np.uint32), np.empty(MAX_FEATURES, dtype=np.uint32)


@njit(cache=True)
def count(arrays: tuple, steps: int, seed: int, counts: np.ndarray) -> None:
    """Count the features of `steps` crops."""
    state, buffer, keys = _begin(seed)
    for _ in range(steps):
        _, count = crop(arrays, state, buffer, keys)
        for number in range(count):
            counts[keys[number]] += 1


@njit(cache=True)
def count_classes(arrays: tuple, steps: int, seed: int, index: np.ndarray, each: np.ndarray) -> None:
    """Count the features of `steps` crops by class; index[key] is a feature's row or -1."""
    state, buffer, keys = _begin(seed)
    for _ in range(steps):
        label, count = crop(arrays, state, buffer, keys)
        for number in range(count):
            row = index[keys[number]]
            if row >= 0:
                each[row, label] += 1


@njit(cache=True)
def seen_in_one_line(arrays: tuple, first: int, last: int, index: np.ndarray, once: np.ndarray) -> None:
    """Set once[row] to 1 for the features that exactly one of the lines first to last has."""
    codes, starts, table = arrays[0], arrays[1], arrays[6]
    _, buffer, keys = _begin(1)
    line_of = np.full(len(once), -1, dtype=np.int64)
    for line in range(first, last):
        length = fold(codes, starts[line], min(starts[line + 1], starts[line] + LONGEST), table, buffer)
        count = keys_of(buffer, length, keys) if length > 2 else 0
        for number in range(count):
            row = index[keys[number]]
            if row >= 0 and line_of[row] == -1:
                line_of[row] = line
                once[row] = 1
            elif row >= 0 and line_of[row] != line:
                once[row] = 0


@njit(cache=True)
def descend(
    arrays: tuple,
    index: np.ndarray,
    once: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    steps: int,
    seed: int,
    rate: float,
    dropout: float,
) -> None:
    """Stochastic gradient descent on `weights` and `bias` in place; index[key] is a feature's row or -1.

    A feature that is in one line of a class only (`once`) does not learn that it is of this class: it would
    learn the line by heart, and leave nothing to learn to the features that other lines share.
    """
    state, buffer, keys = _begin(seed)
    rows = np.empty(MAX_FEATURES, dtype=np.int64)
    squares = np.full(len(weights), 1e-4, dtype=np.float32)
    classes = len(bias)
    error = np.empty(classes, dtype=np.float32)
    for step in range(steps):
        label, count = crop(arrays, state, buffer, keys)
        dropped = dropout * 2 * _random(state)
        known, total = 0, 0
        for number in range(count):
            if _random(state) >= dropped:
                total += 1
                if index[keys[number]] >= 0:
                    rows[known] = index[keys[number]]
                    known += 1
        if known == 0:
            continue
        length = np.float32(1 / np.sqrt(total))
        error[:] = 0
        for number in range(known):
            row = rows[number]
            for column in range(classes):
                error[column] += weights[row, column]
        most = np.float32(-1e30)
        for column in range(classes):
            error[column] = error[column] * length + bias[column]
            most = max(most, error[column])
        sum_ = np.float32(0)
        for column in range(classes):
            error[column] = np.exp(error[column] - most)
            sum_ += error[column]
        norm = np.float32(0)
        for column in range(classes):
            error[column] = error[column] / sum_ - np.float32(column == label)
            norm += error[column] * error[column]
        now = np.float32(rate * (1 - step / steps))
        for column in range(classes):
            bias[column] -= now * np.float32(0.01) * error[column]
        for number in range(known):
            row = rows[number]
            squares[row] += norm * length * length
            size = now * length / np.sqrt(squares[row])
            for column in range(classes):
                weights[row, column] -= size * error[column]
            if once[row, label] > 0:
                weights[row, label] += size * error[label]
