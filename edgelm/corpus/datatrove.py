"""All statistics of the reference pipeline's filter chain in one pass: MzansiText's, of datatrove 0.9.

The recipe `corpus/recipes/mzansitext.yaml` holds the bounds; with them the columns reproduce which documents
datatrove keeps, in its order of reasons. Compare values with bounds as float32, as numpy does by itself when
a float32 column meets a Python number.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from edgelm.corpus import c4, fineweb, gopher
from edgelm.corpus.characters import LOWER, flatten
from edgelm.corpus.seen import Seen, make_seen
from edgelm.corpus.token_tables import Tables
from edgelm.corpus.tokens import make_tables, make_words, tokenize

NAMES = gopher.REPETITION + gopher.QUALITY + c4.NAMES + fineweb.NAMES
COUNTS = gopher.COUNTS + c4.NAMES + fineweb.COUNTS
_QUALITY = len(gopher.REPETITION)
_C4 = _QUALITY + len(gopher.QUALITY)
_FINEWEB = _C4 + len(c4.NAMES)


def measure(texts: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The columns `NAMES` of each text, float32 or int32, and the texts as C4's rules clean them.

    The Gopher columns are of the text as given, the FineWeb columns of the cleaned one. The text is not to be
    repaired beforehand where datatrove's decisions are wanted: blank lines and double blanks count.
    """
    codes, starts = flatten(texts)
    longest = max(map(len, texts), default=0)
    cleaned = c4.make_cleaned(len(texts), len(codes))
    values = np.zeros((len(texts), len(NAMES)))
    _measure(codes, starts, make_tables(), c4.make_phrases(), make_words(longest), make_seen(longest + 1),
             gopher.make_tokens(longest), LOWER, cleaned, values)  # fmt: skip
    return gopher.to_columns(values, NAMES, COUNTS), c4.rebuild(texts, starts, cleaned)


@njit(cache=True, nogil=True)
def _measure(
    codes: np.ndarray, starts: np.ndarray, tables: Tables, phrases: c4.Phrases, words: np.ndarray, seen: Seen,
    tokens: np.ndarray, lower: np.ndarray, cleaned: c4.Cleaned, values: np.ndarray,
) -> None:  # fmt: skip
    classes = tables.classes
    for document in range(len(starts) - 1):
        first, last, row = starts[document], starts[document + 1], values[document]
        count = tokenize(codes, first, last, tables, words, 0)
        gopher.measure_quality(codes, first, last, classes, words, count, tokens, row[_QUALITY:_C4])
        gopher.measure_repetition(codes, first, last, classes, seen, words, count, tokens, row[:_QUALITY])
        left = c4.clean_document(codes, first, last, tables, phrases, words, count, lower, cleaned, document,
                                 row[_C4:_FINEWEB])  # fmt: skip
        begin, end = cleaned.starts[document], cleaned.starts[document + 1]
        fineweb.measure_lines(cleaned.codes, begin, end, classes, seen, left, row[_FINEWEB:])
