"""What reads as a URL, as spaCy's tokenizer sees it: such a word is kept whole."""

import numpy as np
from numba import njit

from edgelm.corpus.token_tables import DECIMAL, DIGIT, HOST, HOST_EDGE, LOWER, SCHEME

LONGEST_HOST_LABEL, LONGEST_TOP_LEVEL = 64, 63
LONGEST_PORT = 5
DOT, SLASH, COLON, AT, QUESTION, HASH = map(ord, "./:@?#")


@njit(cache=True, nogil=True)
def is_url(codes: np.ndarray, first: int, last: int, classes: np.ndarray) -> bool:
    """Whether all of codes[first:last] reads as [scheme://][user@]host[:port][/path]."""
    start = first
    while start < last and classes[codes[start]] & SCHEME:
        start += 1
    slashes = start + 2 < last and codes[start] == COLON and codes[start + 1] == codes[start + 2] == SLASH
    if slashes and start - first >= 2 and _is_host(codes, start + 3, last, classes):
        return True
    if _is_host(codes, first, last, classes):
        return True
    for at in range(first + 1, last - 1):
        if codes[at] == AT and _is_host(codes, at + 1, last, classes):
            return True
    return False


@njit(cache=True, nogil=True)
def _is_host(codes: np.ndarray, first: int, last: int, classes: np.ndarray) -> bool:
    """Whether codes[first:last] reads as host[:port][/path]."""
    end = first
    while end < last and (classes[codes[end]] & HOST or codes[end] == DOT):
        end += 1
    dot = end - 1
    while dot > first and codes[dot] != DOT:
        dot -= 1
    if dot <= first or end - dot - 1 > LONGEST_TOP_LEVEL or not _is_rest(codes, end, last, classes):
        return False
    if _is_address(codes, first, end, classes):
        return True
    if end - dot - 1 < 2:
        return False
    for at in range(dot + 1, end):
        if not classes[codes[at]] & LOWER:
            return False
    start = first
    for at in range(first, dot + 1):
        if codes[at] == DOT:
            if at == start or at - start > LONGEST_HOST_LABEL:
                return False
            if not (classes[codes[start]] & HOST_EDGE and classes[codes[at - 1]] & HOST_EDGE):
                return False
            start = at + 1
    return True


@njit(cache=True, nogil=True)
def _is_rest(codes: np.ndarray, first: int, last: int, classes: np.ndarray) -> bool:
    """Whether codes[first:last] reads as [:port][/path]."""
    at = first
    if at < last and codes[at] == COLON:
        at += 1
        while at < last and classes[codes[at]] & DECIMAL:
            at += 1
        if not 2 <= at - first - 1 <= LONGEST_PORT:
            return False
    return at == last or codes[at] == SLASH or codes[at] == QUESTION or codes[at] == HASH


@njit(cache=True, nogil=True)
def _is_address(codes: np.ndarray, first: int, last: int, classes: np.ndarray) -> bool:
    """Whether codes[first:last] reads as four numbers with dots between: an IPv4 address, no private one."""
    parts, value, digits, network, second = 0, 0, 0, 0, 0
    for at in range(first, last + 1):
        if at < last and codes[at] != DOT:
            if not classes[codes[at]] & DIGIT or digits == 3:
                return False
            value = value * 10 + np.int64(codes[at]) - 48  # type: ignore[assignment]
            digits += 1
            continue
        if digits == 0 or value > (223 if parts == 0 else 255):
            return False
        if value == 0 and (parts == 0 or parts == 3):
            return False
        if parts == 0:
            network = value
        elif parts == 1:
            second = value
        parts, value, digits = parts + 1, 0, 0
    private = network in (10, 127) or (network == 192 and second == 168) or (network == 169 and second == 254)
    return parts == 4 and not private and not (network == 172 and 16 <= second <= 31)
