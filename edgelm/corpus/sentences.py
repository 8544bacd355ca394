"""Sentences as spaCy's sentencizer parts them (`spacy/pipeline/sentencizer.pyx`), and so datatrove."""

from collections.abc import Sequence

import numpy as np
from numba import njit

from edgelm.corpus.token_tables import PUNCTUATION, SENTENCE_END
from edgelm.corpus.tokens import ENDS, STARTS, make_tables, tokenized

BLANK = ord(" ")


def sentences(texts: Sequence[str]) -> np.ndarray:
    """How many sentences each text has, int32 [texts]; an empty text has one, as for datatrove."""
    codes, documents = tokenized(texts)
    classes = make_tables().classes
    counts = [
        count_sentences(codes, first, first + len(text), classes, words, 0, count)
        for text, first, words, count in documents
    ]
    return np.array(counts, dtype=np.int32)


@njit(cache=True, nogil=True)
def count_sentences(
    codes: np.ndarray, first: int, last: int, classes: np.ndarray, words: np.ndarray, begin: int, end: int
) -> int:
    """Sentences in codes[first:last], whose tokens are words[begin:end]; at least 1.

    A sentence ends behind a closing mark that is a token of its own and the punctuation after it. White space
    that is more than one blank is a token, too, as it is for spaCy.
    """
    sentences, closed, at = 1, False, first
    for token in range(begin, end + 1):
        start = words[STARTS, token] if token < end else last
        gap = start - at
        if closed and (gap > 1 or (gap == 1 and codes[at] != BLANK)):
            sentences, closed = sentences + 1, False
        if token == end:
            break
        stop = words[ENDS, token]
        marks = SENTENCE_END if stop - start == 1 else 0
        if classes[codes[start]] & marks:
            closed = True
        elif closed:
            for inside in range(start, stop):
                if not classes[codes[inside]] & PUNCTUATION:
                    sentences, closed = sentences + 1, False
                    break
        at = stop
    return sentences
