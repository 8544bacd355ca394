"""Tokens and sentences as spaCy's blank English tokenizer splits them, which is what datatrove counts in.

The rules, after spaCy 3.8 (`spacy/tokenizer.pyx`, `spacy/pipeline/sentencizer.pyx`): white space cuts; of
what is left, punctuation is taken off both ends until nothing comes off, unless what remains is a word with a
rule of its own; what reads as a URL stays whole; the rest is cut at certain characters between letters or
digits; last, tokens that together spell a word with a rule of its own become what that rule says.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

from edgelm.corpus import token_tables
from edgelm.corpus.characters import flatten
from edgelm.corpus.seen import ONE, find, span_hash
from edgelm.corpus.token_tables import (
    ACTIVE,
    ALPHA,
    BEFORE_DOT,
    CURRENCY,
    CUT_LENGTH_BITS,
    DIGIT,
    ICON,
    LOWER,
    MULTIPLIER,
    PREFIX,
    PUNCTUATION,
    QUOTE,
    SENTENCE_END,
    SLOTS,
    SPACE,
    SUFFIX,
    UPPER,
    Tables,
    text_hash,
)
from edgelm.corpus.urls import is_url

CUT_MASK = (1 << CUT_LENGTH_BITS) - 1
BLANK, PLUS, MINUS, DOT, COMMA, DOLLAR, DEGREE = map(ord, " +-.,$°")
ELLIPSIS, EM_DASH = map(ord, "…—")
CAPITAL_S, CAPITAL_U = map(ord, "SU")
DOLLAR_LETTERS = tuple(map(ord, "AC"))  # A$ and C$
POSSESSIVES, APOSTROPHES = tuple(map(ord, "sS")), tuple(map(ord, "'’"))
SCALES = tuple(map(ord, "FfCcKk"))  # of degrees
BETWEEN_DIGITS = tuple(map(ord, "+-*^"))
BETWEEN_LETTERS = tuple(map(ord, ":<>=/~–"))


class Words(NamedTuple):
    """Room for the tokens of one document, and for the pieces cut off the end of a word.

    Attributes:
        starts, ends: positions in the flat array of code points, int64 [room].
        cuts: scratch, int64 [room].
    """

    starts: np.ndarray
    ends: np.ndarray
    cuts: np.ndarray


def make_words(characters: int) -> Words:
    """Room for a document of so many characters, twice: kernels tokenize single lines behind its tokens."""
    return Words(*(np.empty(2 * characters + 2, dtype=np.int64) for _ in range(3)))


@njit(cache=True, nogil=True)
def _rule(codes: np.ndarray, first: int, last: int, tables: Tables) -> int:
    """The slot of the rule for codes[first:last], or -1."""
    if last <= first or last - first > tables.longest[0]:
        return -1
    return find(tables.keys, span_hash(codes, first, last))


@njit(cache=True, nogil=True)
def _prefix(codes: np.ndarray, first: int, last: int, classes: np.ndarray) -> int:
    """How many characters come off the beginning."""
    code = codes[first]
    if classes[code] & PREFIX:
        return 1
    if code == PLUS:
        return 0 if first + 1 < last and classes[codes[first + 1]] & DIGIT else 1
    if code == DOT:
        end = first + 1
        while end < last and codes[end] == DOT:
            end += 1
        return end - first if end - first > 1 else 0
    if code == CAPITAL_U:
        return 3 if first + 2 < last and codes[first + 1] == CAPITAL_S and codes[first + 2] == DOLLAR else 0
    if code in DOLLAR_LETTERS:
        return 2 if first + 1 < last and codes[first + 1] == DOLLAR else 0
    return 0


@njit(cache=True, nogil=True)
def _suffix(codes: np.ndarray, first: int, last: int, tables: Tables) -> int:
    """How many characters come off the end."""
    classes = tables.classes
    if last <= first:
        return 0
    code = codes[last - 1]
    before = np.int64(codes[last - 2]) if last - first > 1 else -1
    if code == DOT:
        start = last - 1
        while start > first and codes[start - 1] == DOT:
            start -= 1
        if last - start > 1:
            return last - start
        if before < 0:
            return 0
        if classes[before] & BEFORE_DOT:
            return 1
        if last - first > 2:
            earlier = codes[last - 3]
            if classes[before] & UPPER and classes[earlier] & UPPER:
                return 1
            if earlier == DEGREE and before in SCALES:
                return 1
        return 0
    if code == ELLIPSIS:
        return 2 if before == ELLIPSIS else 1
    if code in POSSESSIVES and before in APOSTROPHES:
        return 2
    if classes[code] & SUFFIX:
        return 1
    if before < 0:
        return 0
    if code == PLUS:
        return 1 if classes[before] & DIGIT else 0
    if classes[code] & CURRENCY:
        if code == DOLLAR and last - first > 2:
            if before in DOLLAR_LETTERS and classes[codes[last - 3]] & DIGIT:
                return 2
            if before == CAPITAL_S and last - first > 3 and codes[last - 3] == CAPITAL_U:
                return 3 if classes[codes[last - 4]] & DIGIT else 0
        return 1 if classes[before] & DIGIT else 0
    start = last - 1
    while start > first and last - start <= tables.longest[1] and not classes[codes[start - 1]] & DIGIT:
        start -= 1
    if start == first or last - start > tables.longest[1] or classes[code] & DIGIT:
        return 0
    return last - start if find(tables.units, span_hash(codes, start, last)) >= 0 else 0


@njit(cache=True, nogil=True)
def _infix(codes: np.ndarray, first: int, at: int, last: int, classes: np.ndarray) -> int:
    """How many characters of the word codes[first:last] are a token of their own at `at`."""
    code = codes[at]
    if code == DOT:
        end = at + 1
        while end < last and codes[end] == DOT:
            end += 1
        if end - at > 1:
            return end - at
    if code == ELLIPSIS or classes[code] & ICON:
        return 1
    if at == first or at + 1 == last:
        return 0
    before, after = classes[codes[at - 1]], classes[codes[at + 1]]
    if code == DOT:
        return 1 if before & (LOWER | QUOTE) and after & (UPPER | QUOTE) else 0
    if code in BETWEEN_DIGITS and before & DIGIT and (after & DIGIT or codes[at + 1] == MINUS):
        return 1
    if code == COMMA:
        return 1 if before & ALPHA and after & ALPHA else 0
    if not before & (ALPHA | DIGIT):
        return 0
    if code in BETWEEN_LETTERS:
        return 1 if after & ALPHA else 0
    if code in (MINUS, EM_DASH):
        end = at + 1
        while end < last and codes[end] == code and end - at < (3 if code == MINUS else 2):
            end += 1
        return end - at if end < last and classes[codes[end]] & ALPHA else 0
    return 0


@njit(cache=True, nogil=True)
def _add(words: Words, count: int, first: int, last: int) -> int:
    words.starts[count] = first
    words.ends[count] = last
    return count + 1


@njit(cache=True, nogil=True)
def _add_by_rule(words: Words, count: int, first: int, last: int, cuts: int) -> int:
    """Add codes[first:last], cut as a rule says."""
    while cuts:
        count = _add(words, count, first, first + (cuts & CUT_MASK))
        first += cuts & CUT_MASK
        cuts >>= CUT_LENGTH_BITS
    return _add(words, count, first, last)


@njit(cache=True, nogil=True)
def _split(codes: np.ndarray, first: int, last: int, tables: Tables, words: Words, count: int) -> int:
    """Add the tokens of codes[first:last], which holds no white space."""
    begin, classes, dropped, size = count, tables.classes, 0, 0
    rule = _rule(codes, first, last, tables)
    while rule < 0 and first < last and last - first != size:
        size = last - first
        prefix = _prefix(codes, first, last, classes)
        if prefix:
            rule = _rule(codes, first + prefix, last, tables)
            if rule >= 0:
                count = _add(words, count, first, first + prefix)
                first += prefix
                break
        suffix = _suffix(codes, first + prefix, last, tables)
        if suffix:
            rule = _rule(codes, first, last - suffix, tables)
            words.cuts[dropped] = last
            dropped += 1
            last -= suffix
            if rule >= 0:
                break
        if prefix:
            count = _add(words, count, first, first + prefix)
            first += prefix
        rule = _rule(codes, first, last, tables)
    if rule >= 0:
        count = _add_by_rule(words, count, first, last, tables.cuts[rule])
    elif first < last:
        dotted, at, start = False, first, first
        while at < last and not dotted:
            dotted = codes[at] == DOT
            at += 1
        if not (dotted and is_url(codes, first, last, classes)):
            at = first + 1
            while at < last:
                infix = _infix(codes, first, at, last, classes) if classes[codes[at]] & ACTIVE else 0
                if infix:
                    if at > start:
                        count = _add(words, count, start, at)
                    count = _add(words, count, at, at + infix)
                    start = at + infix
                at += max(infix, 1)
        if start < last:
            count = _add(words, count, start, last)
    for number in range(dropped - 1, -1, -1):
        count = _add(words, count, last, words.cuts[number])
        last = words.cuts[number]
    return _join(codes, tables, words, begin, count) if count - begin > 1 else count


@njit(cache=True, nogil=True)
def _join(codes: np.ndarray, tables: Tables, words: Words, begin: int, count: int) -> int:
    """Where tokens together spell a word with a rule of its own, put what the rule says in their place."""
    starts, ends = words.starts, words.ends
    kept, token = begin, begin
    while token < count:
        found, upto = -1, token
        value, pattern, after = np.uint64(0), 0, token
        first = starts[token]
        while after < count and ends[after] - first <= tables.longest[0]:
            pattern |= 1 << (starts[after] - first)
            for at in range(starts[after], ends[after]):
                value = value * MULTIPLIER + np.uint64(codes[at]) + ONE
            after += 1
            if after - token > 1:
                rule = find(tables.keys, value)
                if rule >= 0 and tables.patterns[rule] == pattern:
                    found, upto = rule, after
        if found >= 0:
            last = ends[upto - 1]
            parts, cuts = 1, tables.cuts[found]
            while cuts:
                parts, cuts = parts + 1, cuts >> CUT_LENGTH_BITS
            more = max(kept + parts - upto, 0)
            if more:  # "°C.": of two tokens become three
                for moved in range(count - 1, upto - 1, -1):
                    starts[moved + more], ends[moved + more] = starts[moved], ends[moved]
            kept = _add_by_rule(words, kept, first, last, tables.cuts[found])
            token, count = upto + more, count + more
        else:
            kept = _add(words, kept, first, ends[token])
            token += 1
    return kept


@njit(cache=True, nogil=True)
def tokenize(codes: np.ndarray, first: int, last: int, tables: Tables, words: Words, count: int) -> int:
    """Add the tokens of codes[first:last] to `words` behind the first `count`; how many there are then."""
    classes = tables.classes
    at = first
    while at < last:
        if classes[codes[at]] & SPACE:
            at += 1
            continue
        start, seen, value = at, np.uint32(0), np.uint64(0)
        while at < last:
            code = codes[at]
            kind = classes[code]
            if kind & SPACE:
                break
            seen |= kind
            value = value * MULTIPLIER + np.uint64(code) + ONE
            at += 1
        if seen & (ACTIVE | DIGIT):
            count = _split(codes, start, at, tables, words, count)
            continue
        rule = find(tables.keys, value) if at - start <= tables.longest[0] else -1
        count = _add_by_rule(words, count, start, at, tables.cuts[rule] if rule >= 0 else 0)
    return count


@njit(cache=True, nogil=True)
def count_sentences(
    codes: np.ndarray, first: int, last: int, classes: np.ndarray, words: Words, begin: int, end: int
) -> int:
    """Sentences in codes[first:last], whose tokens are words[begin:end]; at least 1.

    A sentence ends behind a closing mark that is a token of its own and the punctuation after it. White space
    that is more than one blank is a token, too, as it is for spaCy.
    """
    sentences, closed, at = 1, False, first
    for token in range(begin, end + 1):
        start = words.starts[token] if token < end else last
        gap = start - at
        if closed and (gap > 1 or (gap == 1 and codes[at] != BLANK)):
            sentences, closed = sentences + 1, False
        if token == end:
            break
        stop = words.ends[token]
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


@cache
def make_tables() -> Tables:
    """The tokenizer's tables, made once a process."""
    rules = token_tables.word_rules()
    units = token_tables.read_rules()["units"].split()
    keys, unit_keys = np.zeros(SLOTS, dtype=np.uint64), np.zeros(256, dtype=np.uint64)
    token_tables.fill(unit_keys, [text_hash(unit) for unit in units])
    numbers = keys.astype(np.int64)
    longest = np.array([max(map(len, rules)), max(map(len, units))])
    nothing = Tables(token_tables.character_classes(), keys.copy(), numbers, numbers, unit_keys, longest)
    words = make_words(int(nothing.longest[0]))
    tables = nothing._replace(keys=keys, cuts=numbers.copy(), patterns=numbers.copy())
    for slot, (word, parts) in zip(
        token_tables.fill(keys, [text_hash(word) for word in rules]), rules.items(), strict=True
    ):
        codes, _ = flatten([word])
        count = tokenize(codes, 0, len(word), nothing, words, 0)
        tables.patterns[slot] = sum(1 << int(start) for start in words.starts[:count]) if count > 1 else 0
        for number, part in enumerate(parts[:-1]):
            tables.cuts[slot] |= len(part) << (CUT_LENGTH_BITS * number)
    return tables


def split_words(texts: Sequence[str]) -> list[list[str]]:
    """The tokens of each text."""
    found = []
    for text, first, words, count in _tokenized(texts)[1]:
        spans = zip(words.starts[:count] - first, words.ends[:count] - first, strict=True)
        found.append([text[start:end] for start, end in spans])
    return found


def sentences(texts: Sequence[str]) -> np.ndarray:
    """How many sentences each text has, int32 [texts]; an empty text has one, as for datatrove."""
    codes, tokenized = _tokenized(texts)
    classes = make_tables().classes
    counts = [
        count_sentences(codes, first, first + len(text), classes, words, 0, count)
        for text, first, words, count in tokenized
    ]
    return np.array(counts, dtype=np.int32)


def _tokenized(texts: Sequence[str]) -> tuple[np.ndarray, Iterator[tuple[str, int, Words, int]]]:
    """The code points, and each text with its first position, its tokens and their number, one at a time."""
    tables, words = make_tables(), make_words(max(map(len, texts), default=0))
    codes, starts = flatten(texts)
    return codes, (
        (text, first, words, tokenize(codes, first, last, tables, words, 0))
        for text, first, last in zip(texts, starts[:-1], starts[1:], strict=True)
    )
