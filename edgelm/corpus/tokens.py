"""Tokens as spaCy's blank English tokenizer splits them, which is what datatrove counts in.

The rules, after spaCy 3.8 (`spacy/tokenizer.pyx`): white space cuts; of
what is left, punctuation is taken off both ends until nothing comes off, unless what remains is a word with a
rule of its own; what reads as a URL stays whole; the rest is cut at certain characters between letters or
digits; last, tokens that together spell a word with a rule of its own become what that rule says.
"""

from collections.abc import Iterator, Sequence
from functools import cache

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
    CUTS,
    DIGIT,
    HEADS,
    ICON,
    KEYS,
    LONGEST_RULE,
    LONGEST_UNIT,
    LOWER,
    MULTIPLIER,
    PATTERNS,
    PREFIX,
    QUOTE,
    SLOTS,
    SPACE,
    SUFFIX,
    UNIT,
    UNIT_END,
    UPPER,
    Tables,
    head_of,
    text_hash,
)
from edgelm.corpus.urls import is_url

CUT_MASK = (1 << CUT_LENGTH_BITS) - 1
PLUS, MINUS, DOT, COMMA, DOLLAR, DEGREE = map(ord, "+-.,$°")
STARTS, ENDS, PIECES = range(3)  # rows of what `make_words` gives
ELLIPSIS, EM_DASH = map(ord, "…—")
CAPITAL_S, CAPITAL_U = map(ord, "SU")
DOLLAR_LETTERS = tuple(map(ord, "AC"))  # A$ and C$
POSSESSIVES, APOSTROPHES = tuple(map(ord, "sS")), tuple(map(ord, "'’"))
SCALES = tuple(map(ord, "FfCcKk"))  # of degrees
BETWEEN_DIGITS = tuple(map(ord, "+-*^"))
BETWEEN_LETTERS = tuple(map(ord, ":<>=/~–"))


def make_words(characters: int) -> np.ndarray:
    """Room for the tokens of a document of so many characters: int64 [3, room].

    Rows `STARTS` and `ENDS` hold positions in the flat array of code points, row `PIECES` is scratch. There
    is room for twice as many, for kernels tokenize single lines behind a document's tokens.
    """
    return np.empty((3, 2 * characters + 2), dtype=np.int64)


@njit(cache=True, nogil=True)
def _rule(codes: np.ndarray, first: int, last: int, rules: np.ndarray) -> int:
    """The slot of the rule for codes[first:last], or -1."""
    if last <= first or last - first > LONGEST_RULE:
        return -1
    return find(rules, span_hash(codes, first, last))


head = njit(cache=True, nogil=True)(head_of)


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
def _suffix(codes: np.ndarray, first: int, last: int, classes: np.ndarray, rules: np.ndarray) -> int:
    """How many characters come off the end."""
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
    if not classes[code] & UNIT_END:
        return 0
    start = last - 1
    while start > first and last - start <= LONGEST_UNIT and not classes[codes[start - 1]] & DIGIT:
        start -= 1
    if start == first or last - start > LONGEST_UNIT:
        return 0
    return last - start if find(rules, span_hash(codes, start, last) ^ UNIT) >= 0 else 0


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
def _add(words: np.ndarray, count: int, first: int, last: int) -> int:
    words[STARTS, count] = first
    words[ENDS, count] = last
    return count + 1


@njit(cache=True, nogil=True)
def _add_by_rule(words: np.ndarray, count: int, first: int, last: int, cuts: int) -> int:
    """Add codes[first:last], cut as a rule says."""
    while cuts:
        count = _add(words, count, first, first + (cuts & CUT_MASK))
        first += cuts & CUT_MASK
        cuts >>= CUT_LENGTH_BITS
    return _add(words, count, first, last)


@njit(cache=True, nogil=True)
def _split(
    codes: np.ndarray,
    first: int,
    last: int,
    classes: np.ndarray,
    rules: np.ndarray,
    words: np.ndarray,
    count: int,
) -> int:
    """Add the tokens of codes[first:last], which holds no white space."""
    begin, dropped, size = count, 0, 0
    rule = _rule(codes, first, last, rules)
    while rule < 0 and first < last and last - first != size:
        size = last - first
        prefix = _prefix(codes, first, last, classes)
        if prefix:
            rule = _rule(codes, first + prefix, last, rules)
            if rule >= 0:
                count = _add(words, count, first, first + prefix)
                first += prefix
                break
        suffix = _suffix(codes, first + prefix, last, classes, rules)
        if suffix:
            rule = _rule(codes, first, last - suffix, rules)
            words[PIECES, dropped] = last
            dropped += 1
            last -= suffix
            if rule >= 0:
                break
        if prefix:
            count = _add(words, count, first, first + prefix)
            first += prefix
        rule = _rule(codes, first, last, rules)
    if rule >= 0:
        count = _add_by_rule(words, count, first, last, np.int64(rules[CUTS, rule]))  # type: ignore[arg-type]
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
        count = _add(words, count, last, words[PIECES, number])
        last = words[PIECES, number]
    return _join(codes, rules, words, begin, count) if count - begin > 1 else count


@njit(cache=True, nogil=True)
def _join(codes: np.ndarray, rules: np.ndarray, words: np.ndarray, begin: int, count: int) -> int:
    """Where tokens together spell a word with a rule of its own, put what the rule says in their place."""
    kept, token = begin, begin
    while token < count:
        found, upto = -1, token
        value, pattern, after = np.uint64(0), 0, token
        first = words[STARTS, token]
        if token + 1 == count or not rules[HEADS, head(codes[first], codes[first + 1])]:
            after = count
        while after < count and words[ENDS, after] - first <= LONGEST_RULE:
            pattern |= 1 << (words[STARTS, after] - first)
            for at in range(words[STARTS, after], words[ENDS, after]):
                value = value * MULTIPLIER + np.uint64(codes[at]) + ONE
            after += 1
            if after - token > 1:
                rule = find(rules, value)
                if rule >= 0 and np.int64(rules[PATTERNS, rule]) == pattern:
                    found, upto = rule, after
        if found >= 0:
            last = words[ENDS, upto - 1]
            parts, cuts = 1, np.int64(rules[CUTS, found])
            while cuts:
                parts, cuts = parts + 1, cuts >> CUT_LENGTH_BITS
            more = max(kept + parts - upto, 0)
            if more:  # "°C.": of two tokens become three
                for moved in range(count - 1, upto - 1, -1):
                    _add(words, moved + more, words[STARTS, moved], words[ENDS, moved])
            kept = _add_by_rule(words, kept, first, last, np.int64(rules[CUTS, found]))  # type: ignore[arg-type]
            token, count = upto + more, count + more
        else:
            kept = _add(words, kept, first, words[ENDS, token])
            token += 1
    return kept


@njit(cache=True, nogil=True)
def tokenize(codes: np.ndarray, first: int, last: int, tables: Tables, words: np.ndarray, count: int) -> int:
    """Add the tokens of codes[first:last] to `words` behind the first `count`; how many there are then."""
    classes, rules = tables.classes, tables.rules
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
            count = _split(codes, start, at, classes, rules, words, count)
            continue
        rule = find(rules, value) if at - start <= LONGEST_RULE else -1
        count = _add_by_rule(words, count, start, at, np.int64(rules[CUTS, rule]) if rule >= 0 else 0)  # type: ignore[arg-type]
    return count


@cache
def make_tables() -> Tables:
    """The tokenizer's tables, made once a process."""
    words = token_tables.word_rules()
    tables = Tables(token_tables.character_classes(), np.zeros((4, SLOTS), dtype=np.uint64))
    units = [text_hash(unit) ^ int(UNIT) for unit in token_tables.read_rules()["units"].split()]
    token_tables.fill(tables.rules[KEYS], units)
    bare = tables._replace(rules=tables.rules.copy())
    slots = token_tables.fill(tables.rules[KEYS], [text_hash(word) for word in words])
    found = make_words(LONGEST_RULE)
    for slot, (word, parts) in zip(slots, words.items(), strict=True):
        for number, part in enumerate(parts[:-1]):
            tables.rules[CUTS, slot] |= len(part) << (CUT_LENGTH_BITS * number)
        count = tokenize(flatten([word])[0], 0, len(word), bare, found, 0)
        if count > 1:
            tables.rules[PATTERNS, slot] = sum(1 << int(start) for start in found[STARTS, :count])
            tables.rules[HEADS, head_of(ord(word[0]), ord(word[1]))] = 1
    return tables


def split_words(texts: Sequence[str]) -> list[list[str]]:
    """The tokens of each text."""
    found = []
    for text, first, words, count in tokenized(texts)[1]:
        spans = zip(words[STARTS, :count] - first, words[ENDS, :count] - first, strict=True)
        found.append([text[start:end] for start, end in spans])
    return found


def tokenized(texts: Sequence[str]) -> tuple[np.ndarray, Iterator[tuple[str, int, np.ndarray, int]]]:
    """The code points, and each text with its first position, its tokens and their number, one at a time."""
    tables, words = make_tables(), make_words(max(map(len, texts), default=0))
    codes, starts = flatten(texts)
    return codes, (
        (text, first, words, tokenize(codes, first, last, tables, words, 0))
        for text, first, last in zip(texts, starts[:-1], starts[1:], strict=True)
    )
