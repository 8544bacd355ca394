"""The statistics of the Gopher rules (Rae et al. 2021, table A1), counted as datatrove 0.9 counts them.

After `GopherRepetitionFilter` and `GopherQualityFilter`. Words are the tokens of `edgelm.corpus.tokens`.
Strings are compared by 64-bit hashes; the rarest ideographs (U+20000 up) count as one and the same.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from edgelm.corpus.characters import flatten
from edgelm.corpus.seen import COUNT, FIRST, ONE, Seen, add, empty, make_seen, span_hash
from edgelm.corpus.token_tables import LETTER, MULTIPLIER, NEWLINE, SPACE, SYMBOL, Tables
from edgelm.corpus.tokens import ENDS, STARTS, make_tables, make_words, tokenize

TOP_N_GRAMS = (2, 3, 4)
DUPLICATE_N_GRAMS = (5, 6, 7, 8, 9, 10)
REPETITION = (
    "gopher_duplicate_paragraphs",
    "gopher_duplicate_paragraph_characters",
    "gopher_duplicate_lines",
    "gopher_duplicate_line_characters",
    *(f"gopher_top_{n}_gram" for n in TOP_N_GRAMS),
    *(f"gopher_duplicate_{n}_grams" for n in DUPLICATE_N_GRAMS),
)
QUALITY = (
    "gopher_words",
    "gopher_mean_word_length",
    "gopher_hashes",
    "gopher_ellipses",
    "gopher_bullet_lines",
    "gopher_ellipsis_lines",
    "gopher_alphabetic_words",
)
COUNTS = ("gopher_words",)
LINE_FEED, DOT, MINUS, HASH, ELLIPSIS, BULLET = map(ord, "\n.-#…•")
BLANK_CODE = np.uint64(ord(" ") + 1)


def repetition(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """How much of each text repeats itself: a float32 column for each name in `REPETITION`.

    `duplicate_paragraphs` and `duplicate_lines` are shares of paragraphs and lines, in [0, 1);
    `..._characters` are the characters in them over all characters, in [0, 1). `top_n_gram` is the length of
    the commonest n-gram, its tokens joined by blanks, times how often it occurs, over the characters of the
    text: n-grams overlap and blanks may be added, so it can exceed 1, but not 2 n. A text too short for an
    n-gram has 0. `duplicate_n_grams` are the characters in n-grams of tokens that repeat an earlier one, not
    overlapping, over all characters, in [0, 1). An empty text has 0 everywhere.

    Where no n-gram occurs twice, longer ones are taken not to repeat either. datatrove compares repeated
    n-grams with nothing between their tokens ("a bc" is "ab c"), so there could be a text where that differs.
    """
    return _columns(texts, REPETITION, 0)


def quality(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """What each text is made of: a column for each name in `QUALITY`, float32 but for the counts (int32).

    `words` are the tokens that are not made of punctuation alone, `mean_word_length` is their mean length in
    characters; `hashes` and `ellipses` are over all tokens and not bounded; `bullet_lines` and
    `ellipsis_lines` are shares of lines; `alphabetic_words` is the share of tokens that hold a letter. Where
    the denominator is 0, so is the value.
    """
    return _columns(texts, QUALITY, len(REPETITION))


def _columns(texts: Sequence[str], names: Sequence[str], offset: int) -> dict[str, np.ndarray]:
    codes, starts = flatten(texts)
    longest = max(map(len, texts), default=0)
    values = np.zeros((len(texts), len(REPETITION) + len(QUALITY)))
    _measure(codes, starts, make_tables(), make_words(longest), make_seen(longest + 1),
             make_tokens(longest), values)  # fmt: skip
    return to_columns(values[:, offset : offset + len(names)], names, COUNTS)


def to_columns(values: np.ndarray, names: Sequence[str], counts: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns of [documents, names] by name: int32 where they are counts, else float32."""
    return {
        name: np.ascontiguousarray(column, dtype=np.int32 if name in counts else np.float32)
        for name, column in zip(names, values.T, strict=True)
    }


def make_tokens(characters: int) -> np.ndarray:
    """Room for what the kernels note of each token of a document: uint64 [4, characters + 1]."""
    return np.empty((4, characters + 1), dtype=np.uint64)


@njit(cache=True, nogil=True)
def _measure(
    codes: np.ndarray, starts: np.ndarray, tables: Tables, words: np.ndarray, seen: Seen, tokens: np.ndarray,
    values: np.ndarray,
) -> None:  # fmt: skip
    for document in range(len(starts) - 1):
        first, last = starts[document], starts[document + 1]
        count = tokenize(codes, first, last, tables, words, 0)
        row = values[document]
        measure_quality(codes, first, last, tables.classes, words, count, tokens, row[len(REPETITION) :])
        measure_repetition(codes, first, last, tables.classes, seen, words, count, tokens, row)


@njit(cache=True, nogil=True)
def measure_quality(
    codes: np.ndarray, first: int, last: int, classes: np.ndarray, words: np.ndarray, count: int,
    tokens: np.ndarray, row: np.ndarray,
) -> None:  # fmt: skip
    """Fill `row` with `QUALITY`, and `tokens` with the hash of each token and MULTIPLIER to its length."""
    kept, characters, alphabetic = 0, 0, 0
    for token in range(count):
        value, power, some, every = np.uint64(0), ONE, np.uint32(0), ~np.uint32(0)
        for at in range(words[STARTS, token], words[ENDS, token]):
            code = codes[at]
            value = value * MULTIPLIER + np.uint64(code) + ONE
            power *= MULTIPLIER
            some |= classes[code]
            every &= classes[code]
        tokens[0, token], tokens[1, token] = value, power
        if not every & SYMBOL:
            kept += 1
            characters += words[ENDS, token] - words[STARTS, token]
        if some & LETTER:
            alphabetic += 1
    hashes, ellipses, lines, bullets, ended = 0, 0, 0, 0, 0
    at = first
    while at < last:
        start, solid, end, dots = at, -1, at, 0
        while at < last:
            code = codes[at]
            kind = classes[code]
            if kind & NEWLINE:
                break
            if not kind & SPACE:
                if solid < 0:
                    solid = at
                end = at + 1
            if code == HASH:
                hashes += 1
            elif code == ELLIPSIS:
                ellipses += 1
            dots = dots + 1 if code == DOT else 0
            if dots == 3:
                ellipses, dots = ellipses + 1, 0
            at += 1
        lines += 1
        if solid >= 0:
            bullets += codes[solid] == BULLET or codes[solid] == MINUS
            threefold = end - start >= 3 and codes[end - 1] == codes[end - 2] == codes[end - 3] == DOT
            ended += threefold or codes[end - 1] == ELLIPSIS
        at += 2 if at + 1 < last and codes[at] == 13 and codes[at + 1] == LINE_FEED else 1
    row[0] = kept
    row[1] = characters / max(kept, 1)
    row[2] = hashes / max(count, 1)
    row[3] = ellipses / max(count, 1)
    row[4] = bullets / max(lines, 1)
    row[5] = ended / max(lines, 1)
    row[6] = alphabetic / max(count, 1)


@njit(cache=True, nogil=True)
def measure_repetition(
    codes: np.ndarray, first: int, last: int, classes: np.ndarray, seen: Seen, words: np.ndarray, count: int,
    tokens: np.ndarray, row: np.ndarray,
) -> None:  # fmt: skip
    """Fill `row` with `REPETITION`; `tokens` as `measure_quality` leaves it."""
    size = max(last - first, 1)
    begin, end = first, last
    while begin < end and classes[codes[begin]] & SPACE:
        begin += 1
    while begin < end and classes[codes[end - 1]] & SPACE:
        end -= 1
    row[0], row[1] = _repeated_pieces(codes, begin, end, 2, size, seen)
    row[2], row[3] = _repeated_pieces(codes, first, last, 1, size, seen)
    row[4:13] = 0
    # n-grams of one length more are made from those of one less: with blanks between tokens for the commonest
    # one, as datatrove compares them there, and with none for repeated ones
    spaced, joined = tokens[2], tokens[3]
    spaced[:count] = tokens[0, :count]
    joined[:count] = tokens[0, :count]
    again = True
    for n in range(2, 11):
        if n > count or not again:
            return  # where no n-gram occurs twice, no longer one does
        for token in range(count - n + 1):
            value, power = tokens[0, token + n - 1], tokens[1, token + n - 1]
            joined[token] = joined[token] * power + value
            spaced[token] = (spaced[token] * MULTIPLIER + BLANK_CODE) * power + value
        if n <= 4:
            row[2 + n], again = _top_n_gram(n, count, size, words, spaced, seen)
            if not again:
                # every n-gram occurs once, the longer ones, too: the first of each is the commonest
                for longer in range(n + 1, min(4, count) + 1):
                    row[2 + longer] = _n_gram_length(words, 0, longer) / size
        else:
            row[2 + n] = _repeated_n_grams(n, count, size, words, joined, seen)
            again = row[2 + n] > 0


@njit(cache=True, nogil=True)
def _repeated_pieces(
    codes: np.ndarray, first: int, last: int, newlines: int, size: int, seen: Seen
) -> tuple[float, float]:
    """Share of the pieces between `newlines` or more line feeds that repeat one, and of their characters."""
    most, run = 1, 0
    for at in range(first, last):
        run = run + 1 if codes[at] == LINE_FEED else 0
        most += run == newlines
    if most == 1:
        return 0.0, 0.0
    mask = empty(seen, most)
    pieces, repeats, characters = 0, 0, 0
    start, at = first, first
    while start <= last:
        end = at
        while at < last and codes[at] != LINE_FEED:
            at += 1
        end = at
        while at < last and codes[at] == LINE_FEED:
            at += 1
        if at - end < newlines and at < last:
            continue
        if at - end < newlines:
            end = at
        pieces += 1
        if seen.marks[add(seen, mask, span_hash(codes, start, end), start), COUNT] > 1:
            repeats += 1
            characters += end - start
        if end == last:
            break
        start = at
    return repeats / pieces, characters / size


@njit(cache=True, nogil=True)
def _n_gram_length(words: np.ndarray, token: int, n: int) -> int:
    """Characters in an n-gram with blanks between its tokens."""
    length = n - 1
    for one in range(token, token + n):
        length += words[ENDS, one] - words[STARTS, one]
    return length


@njit(cache=True, nogil=True)
def _top_n_gram(
    n: int, count: int, size: int, words: np.ndarray, hashes: np.ndarray, seen: Seen
) -> tuple[float, bool]:
    """Characters in the commonest n-gram (of several, the first met) over `size`; whether it occurs twice."""
    mask = empty(seen, count)
    best, place = 0, 0
    for token in range(count - n + 1):
        slot = add(seen, mask, hashes[token], token)
        occurrences, place_here = seen.marks[slot, COUNT], seen.marks[slot, FIRST]
        if occurrences > best or (occurrences == best and place_here < place):
            best, place = occurrences, place_here
    return best * _n_gram_length(words, place, n) / size, best > 1


@njit(cache=True, nogil=True)
def _repeated_n_grams(
    n: int, count: int, size: int, words: np.ndarray, hashes: np.ndarray, seen: Seen
) -> float:
    """Characters in n-grams that repeat an earlier one over `size`; reading goes on behind each repeat."""
    mask = empty(seen, count)
    characters, token = 0, 0
    while token < count - n + 1:
        if seen.marks[add(seen, mask, hashes[token], token), COUNT] > 1:
            characters += _n_gram_length(words, token, n) - (n - 1)
            token += n
        else:
            token += 1
    return characters / size
