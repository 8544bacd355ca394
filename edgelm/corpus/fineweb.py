"""The statistics of the FineWeb rules (Penedo et al. 2024, section 3.6), as datatrove 0.9 counts them.

After `FineWebQualityFilter`, which the reference pipeline runs on text that `edgelm.corpus.c4` has cleaned.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from edgelm.corpus.characters import flatten
from edgelm.corpus.gopher import to_columns
from edgelm.corpus.seen import COUNT, Seen, add, empty, make_seen, span_hash
from edgelm.corpus.token_tables import SPACE, TERMINAL, Tables
from edgelm.corpus.tokens import make_tables, make_words, tokenize

SHORT_LINE = 30
NAMES = (
    "fineweb_lines",
    "fineweb_terminal_lines",
    "fineweb_short_lines",
    "fineweb_duplicate_characters",
    "fineweb_newlines",
)
COUNTS = ("fineweb_lines",)
LINE_FEED = ord("\n")


def columns(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """What decides about each text: a column for each name in `NAMES`, float32 but for the count (int32).

    `lines` are the lines that are not blank. `terminal_lines` is the share of them that end in a terminal
    punctuation mark, and 1 where none does: the reference lets those pass. `short_lines` is the share of
    at most 30 characters. `duplicate_characters` are those of lines that repeat one over all but line
    feeds, in [0, 1). `newlines` are the line feeds over the tokens, not bounded. A text without lines has 0
    in all columns but the last.
    """
    codes, starts = flatten(texts)
    longest = max(map(len, texts), default=0)
    values = np.zeros((len(texts), len(NAMES)))
    _measure(codes, starts, make_tables(), make_words(longest), make_seen(longest + 1), values)
    return to_columns(values, NAMES, COUNTS)


@njit(cache=True, nogil=True)
def _measure(
    codes: np.ndarray, starts: np.ndarray, tables: Tables, words: np.ndarray, seen: Seen, values: np.ndarray
) -> None:
    for document in range(len(starts) - 1):
        first, last = starts[document], starts[document + 1]
        count = tokenize(codes, first, last, tables, words, 0)
        measure_lines(codes, first, last, tables.classes, seen, count, values[document])


@njit(cache=True, nogil=True)
def measure_lines(
    codes: np.ndarray, first: int, last: int, classes: np.ndarray, seen: Seen, tokens: int, row: np.ndarray
) -> None:
    """Fill `row` with `NAMES` for codes[first:last], which has so many tokens."""
    newlines = 0
    for at in range(first, last):
        newlines += codes[at] == LINE_FEED
    mask = empty(seen, newlines + 1)
    lines, terminal, short, repeated = 0, 0, 0, 0
    at = first
    while at < last:
        start, blank = at, True
        while at < last and codes[at] != LINE_FEED:
            blank &= classes[codes[at]] & SPACE != 0
            at += 1
        end = at
        at += 1
        if blank:
            continue
        lines += 1
        terminal += classes[codes[end - 1]] & TERMINAL != 0
        short += end - start <= SHORT_LINE
        if newlines and seen.marks[add(seen, mask, span_hash(codes, start, end), start), COUNT] > 1:
            repeated += end - start
    row[0] = lines
    row[1] = (terminal / lines if terminal else 1.0) if lines else 0.0
    row[2] = short / max(lines, 1)
    row[3] = repeated / max(last - first - newlines, 1)
    row[4] = newlines / max(tokens, 1)
