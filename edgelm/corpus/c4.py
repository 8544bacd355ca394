"""The line rules of C4 (Raffel et al. 2020, section 2.2), as datatrove 0.9 applies them.

After `C4QualityFilter` with `filter_no_terminal_punct=False` and its other defaults: citation marks go; so do
lines with fewer than three words, with a word of more than 1000 characters, or about JavaScript, cookies and
policies. What is left is counted in `edgelm.corpus.sentences`.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

from edgelm.corpus.characters import LOWER, flatten
from edgelm.corpus.gopher import to_columns
from edgelm.corpus.sentences import count_sentences
from edgelm.corpus.token_tables import DECIMAL, NEWLINE, SPACE, Tables, read_rules
from edgelm.corpus.tokens import STARTS, make_tables, make_words, tokenize

FEWEST_WORDS = 3
LONGEST_WORD = 1000
NAMES = ("c4_lorem_ipsum", "c4_curly_bracket", "c4_sentences")
LINE_FEED, CARRIAGE_RETURN, OPENING, CLOSING, CURLY_OPENING = map(ord, "\n\r[]{")
NOTHING, DOCUMENT_GOES, LINE_GOES, LINE_GOES_UNLESS_CURLY = range(4)


class Phrases(NamedTuple):
    """Lower-case phrases to look for, and what finding one means.

    Attributes:
        codes: code points of all phrases, uint32.
        starts: where each begins, int64 [phrases + 1].
        effects: `DOCUMENT_GOES`, `LINE_GOES` or `LINE_GOES_UNLESS_CURLY`, int64 [phrases].
        initials: whether a phrase begins with a character or its capital, bool [128].
    """

    codes: np.ndarray
    starts: np.ndarray
    effects: np.ndarray
    initials: np.ndarray


class Cleaned(NamedTuple):
    """A cleaned batch, as the kernels write it.

    Attributes:
        codes: the cleaned texts one behind the other, uint32.
        starts: where each begins, int64 [texts + 1].
        changed: whether a text is not the original, bool [texts].
        pieces: where each run of characters kept begins and ends in the original, and if a line feed goes
            before it; int64 [3, pieces]. Only of texts that changed.
        ends: pieces up to and with each text, int64 [texts].
    """

    codes: np.ndarray
    starts: np.ndarray
    changed: np.ndarray
    pieces: np.ndarray
    ends: np.ndarray


@cache
def make_phrases() -> Phrases:
    """The phrases of the reference pipeline."""
    rules = read_rules()
    phrases = [rules["document_phrase"], rules["script_phrase"], *rules["policy_phrases"]]
    codes, starts = flatten(phrases)
    effects = np.full(len(phrases), LINE_GOES_UNLESS_CURLY, dtype=np.int64)
    effects[:2] = DOCUMENT_GOES, LINE_GOES
    initials = np.zeros(128, dtype=np.bool_)
    initials[[ord(one) for phrase in phrases for one in (phrase[0], phrase[0].upper())]] = True
    return Phrases(codes, starts, effects, initials)


def make_cleaned(texts: int, characters: int) -> Cleaned:
    """Room for so many texts with so many characters in all; pages that are not needed are never touched."""
    return Cleaned(
        np.empty(characters, dtype=np.uint32),
        np.zeros(texts + 1, dtype=np.int64),
        np.zeros(texts, dtype=np.bool_),
        np.empty((3, characters // 2 + texts + 1), dtype=np.int64),
        np.zeros(texts, dtype=np.int64),
    )


def clean(texts: Sequence[str]) -> list[str]:
    """Each text without the lines and citation marks that C4 leaves out; the same object where none is."""
    return _clean(texts)[0]


def columns(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """What decides about each text: an int32 column for each name in `NAMES`.

    `c4_lorem_ipsum` and `c4_curly_bracket` are 1 where the first line that rules out the text has that phrase
    or a `{`, else 0; `c4_sentences` are the sentences of the lines that stay.
    """
    return to_columns(_clean(texts)[1], NAMES, NAMES)


def _clean(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    codes, starts = flatten(texts)
    cleaned = make_cleaned(len(texts), len(codes))
    values = np.zeros((len(texts), len(NAMES)))
    _measure(codes, starts, make_tables(), make_phrases(), make_words(max(map(len, texts), default=0)), LOWER,
             cleaned, values)  # fmt: skip
    return rebuild(texts, starts, cleaned), values


def rebuild(texts: Sequence[str], starts: np.ndarray, cleaned: Cleaned) -> list[str]:
    """The cleaned texts as strings, cut from the originals."""
    result = list(texts)
    for document in np.flatnonzero(cleaned.changed).tolist():
        text, first = texts[document], int(starts[document])
        some = cleaned.pieces[:, cleaned.ends[document - 1] if document else 0 : cleaned.ends[document]]
        parts = [
            ("\n" if new_line else "") + text[begin - first : end - first]
            for begin, end, new_line in some.T.tolist()
        ]
        result[document] = "".join(parts).strip()
    return result


@njit(cache=True, nogil=True)
def _measure(
    codes: np.ndarray, starts: np.ndarray, tables: Tables, phrases: Phrases, words: np.ndarray,
    lower: np.ndarray, cleaned: Cleaned, values: np.ndarray,
) -> None:  # fmt: skip
    for document in range(len(starts) - 1):
        first, last = starts[document], starts[document + 1]
        count = tokenize(codes, first, last, tables, words, 0)
        clean_document(codes, first, last, tables, phrases, words, count, lower, cleaned, document,
                       values[document])  # fmt: skip


@njit(cache=True, nogil=True)
def clean_document(
    codes: np.ndarray, first: int, last: int, tables: Tables, phrases: Phrases, words: np.ndarray, count: int,
    lower: np.ndarray, cleaned: Cleaned, document: int, row: np.ndarray,
) -> int:  # fmt: skip
    """Append codes[first:last] to `cleaned`, fill `row` with `NAMES`; how many tokens the lines kept have.

    `words` holds the `count` tokens of the document; what is behind them is overwritten.
    """
    classes, out = tables.classes, cleaned.codes
    begin = cleaned.starts[document]
    pieces = cleaned.ends[document - 1] if document else 0
    piece, to, kept, sentences, token, changed, ruled_out = pieces, begin, 0, 0, 0, False, False
    row[:] = 0
    at = first
    while at < last:
        start = at
        while at < last and not classes[codes[at]] & NEWLINE:
            at += 1
        end = at
        if at < last:
            pair = codes[at] == CARRIAGE_RETURN and at + 1 < last and codes[at + 1] == LINE_FEED
            changed |= codes[at] != LINE_FEED
            at += 2 if pair else 1
        begin_token = token
        while token < count and words[STARTS, token] < end:
            token += 1
        while start < end and classes[codes[start]] & SPACE:
            start += 1
        while start < end and classes[codes[end - 1]] & SPACE:
            end -= 1
        if not _is_long_enough(codes, start, end, classes):
            continue
        line, line_piece = to, piece
        if to > begin:
            out[to] = LINE_FEED
            to += 1
        line_begin = to
        position = start
        while position < end:
            stop = position
            mark = 0
            while stop < end:
                if codes[stop] == OPENING:
                    mark = _citation(codes, stop, end, classes)
                    if mark:
                        break
                stop += 1
            # an empty piece matters where it begins a line
            cleaned.pieces[0, piece], cleaned.pieces[1, piece] = position, stop
            cleaned.pieces[2, piece] = position == start
            piece += 1
            for one in range(position, stop):
                out[to] = codes[one]
                to += 1
            position = stop + mark
        effect = _find_phrase(out, line_begin, to, phrases, lower)
        if effect != LINE_GOES and not ruled_out:
            curly = False
            for one in range(line_begin, to):
                curly |= out[one] == CURLY_OPENING
            if effect == DOCUMENT_GOES or curly:
                row[0 if effect == DOCUMENT_GOES else 1] = 1
                ruled_out = True
        if effect >= LINE_GOES:
            to, piece = line, line_piece
            continue
        if to - line_begin == end - start:
            kept += token - begin_token
            sentences += count_sentences(codes, start, end, classes, words, begin_token, token)
        else:
            behind = tokenize(out, line_begin, to, tables, words, count)
            kept += behind - count
            sentences += count_sentences(out, line_begin, to, classes, words, count, behind)
    while to > begin and classes[out[to - 1]] & SPACE:
        to -= 1
    lead = begin
    while lead < to and classes[out[lead]] & SPACE:
        lead += 1
    for one in range(lead, to):
        out[begin + one - lead] = out[one]
    to -= lead - begin
    changed |= to - begin != last - first
    cleaned.starts[document + 1] = to
    cleaned.changed[document] = changed
    cleaned.ends[document] = piece if changed else pieces
    row[2] = sentences
    return kept


@njit(cache=True, nogil=True)
def _is_long_enough(codes: np.ndarray, first: int, last: int, classes: np.ndarray) -> bool:
    """Whether a line has `FEWEST_WORDS` between white space, and none longer than `LONGEST_WORD`."""
    found, length = 0, 0
    for at in range(first, last):
        if classes[codes[at]] & SPACE:
            length = 0
            continue
        found += length == 0
        length += 1
        if length > LONGEST_WORD:
            return False
    return found >= FEWEST_WORDS


@njit(cache=True, nogil=True)
def _citation(codes: np.ndarray, first: int, last: int, classes: np.ndarray) -> int:
    """Length of the mark at `first`: [], [12], [edit] or [citation needed]; or 0."""
    for mark in ("[edit]", "[citation needed]"):
        length = 0
        while length < len(mark) and first + length < last and codes[first + length] == ord(mark[length]):
            length += 1
        if length == len(mark):
            return length
    at = first + 1
    while at < last and classes[codes[at]] & DECIMAL:
        at += 1
    return at + 1 - first if at < last and codes[at] == CLOSING else 0


@njit(cache=True, nogil=True)
def _find_phrase(codes: np.ndarray, first: int, last: int, phrases: Phrases, lower: np.ndarray) -> int:
    """The effect of the phrases in a line, in any case: the first of `phrases` in the list decides."""
    found = len(phrases.effects)
    for at in range(first, last):
        code = codes[at]
        # no character beyond ASCII but the Kelvin sign, which begins no phrase, has a lower case in ASCII
        if code >= len(phrases.initials) or not phrases.initials[code]:
            continue
        for phrase in range(found):
            start, length = phrases.starts[phrase], phrases.starts[phrase + 1] - phrases.starts[phrase]
            if at + length > last:
                continue
            same = 0
            while same < length and lower[codes[at + same]] == phrases.codes[start + same]:
                same += 1
            if same == length:
                found = phrase
                break
    return phrases.effects[found] if found < len(phrases.effects) else NOTHING
