"""Find what identifies a person in running text, and put a tag in its place.

Four kinds, judged by their form and where they have one by their check digit:

* e-mail addresses;
* telephone numbers: South African ones of ten digits from 0 or eleven from +27, foreign ones with + or 00 in
  front, and the police numbers 10111 and 10177. The numbers of public services are telephone numbers too, as
  no form tells `0800 428 428` from a private one. Seven digits, without an area code, are taken for one only
  after a word such as `Tel.`;
* South African identity numbers: thirteen digits, a date of birth, citizenship and a Luhn check digit;
* bank cards: 13 to 19 digits, an issuer's prefix and a Luhn check digit.
"""

import re
from collections.abc import Sequence

import numpy as np

from edgelm.corpus.repair import in_address

COLUMNS = ("redacted_email", "redacted_phone", "redacted_id", "redacted_card")
TAGS = {"email": "<email>", "phone": "<phone>", "id": "<id>", "card": "<card>"}
ROUNDS = 4  # a tag may uncover a number that the one before it stood too close to

LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# blanks as a tokeniser leaves them: `user@ parliament .gov .za`, `user@mweb. co.za`
DOMAIN = re.compile(
    rf" ?(?:{LABEL} ?\.(?: (?=(?:ac|co|gov|org)\.[a-z]{{2}}\b|com\b))?){{1,6}}"
    r"(?:[a-z]{2,18}|[A-Z]{2,18}|[A-Z][a-z]{1,17})"
)
GROUP = re.compile(r"[0-9]+")
SEQUENCE = re.compile(r"[0-9]+(?:[ .\u00a0()-]{1,3}[0-9]+)*")
CUE = re.compile(r"(?:tel|fon|phone|fax|faks|feks|feksi|cell|ucingo|mnxeba|mogala)\W{0,4}$", re.IGNORECASE)
EXTENSION = re.compile(r"(?:/[0-9]{1,4}(?![ -]?[0-9])){1,4}")  # not the area code of another number
DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
EMERGENCY = ("10111", "10177")
# first digits from, to, lengths: Visa, Mastercard, American Express, Diners, JCB, Discover, UnionPay, Maestro
ISSUERS = (
    ("4", "4", (13, 16, 19)),
    ("51", "55", (16,)),
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),
    ("37", "37", (15,)),
    ("300", "305", (14,)),
    ("36", "36", (14,)),
    ("38", "39", (14,)),
    ("3528", "3589", (16,)),
    ("6011", "6011", (16, 19)),
    ("644", "659", (16, 19)),
    ("62", "62", (16, 17, 18, 19)),
    ("5018", "5018", (16, 19)),
    ("6759", "6763", (16, 19)),
)
Span = tuple[int, int, str]


def redact(texts: Sequence[str], tags: bool = True) -> tuple[list[str], dict[str, np.ndarray]]:
    """Texts with `TAGS` in place of what was found, and counts for each of `COLUMNS`, int32 of shape [texts].

    With `tags` off the texts stay as they are and the counts are the same. Idempotent, in linear time.
    """
    counts = np.zeros((len(texts), len(COLUMNS)), dtype=np.int32)
    result = list(texts)
    for at, text in enumerate(texts):
        found = []
        for _ in range(ROUNDS):
            spans = find(text)
            if not spans:
                break
            found += [kind for _, _, kind in spans]
            text = _replaced(text, spans)
        if found:
            counts[at] = [found.count(kind) for kind in TAGS]
            result[at] = text if tags else texts[at]
    return result, {name: counts[:, at].copy() for at, name in enumerate(COLUMNS)}


def find(text: str) -> list[Span]:
    """Start, end and kind of everything to redact, in order and without overlap."""
    emails = _emails(text) if "@" in text else []
    numbers = [
        span for match in SEQUENCE.finditer(text) if len(match[0]) > 4 for span in _numbers(text, match)
    ]
    if not emails:
        return numbers
    covered = [(start, end) for start, end, _ in emails]
    kept = emails
    at = 0
    for span in numbers:
        while at < len(covered) and covered[at][1] <= span[0]:
            at += 1
        if at == len(covered) or span[1] <= covered[at][0]:
            kept.append(span)
    return sorted(kept)


def is_identity_number(digits: str) -> bool:
    """Whether thirteen digits are a South African identity number: date of birth to check digit."""
    month, day = int(digits[2:4]), int(digits[4:6])
    if not (1 <= month <= 12 and 1 <= day <= DAYS[month - 1]) or digits[10] not in "012":
        return False
    leap = int(digits[:2]) % 4 == 0  # 1900 was none, 2000 was: the year's last two digits do not say which
    return luhn(digits) and (leap or digits[2:6] != "0229")


def is_card_number(digits: str) -> bool:
    """Whether digits have a card issuer's prefix, its length and a right check digit."""
    known = any(
        len(digits) in lengths and first <= digits[: len(first)] <= last for first, last, lengths in ISSUERS
    )
    return known and luhn(digits)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of those before it (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) << (place & 1)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def _emails(text: str) -> list[Span]:
    spans: list[Span] = []
    last = 0
    for at in (match.start() for match in re.finditer("@", text)):
        domain = DOMAIN.match(text, at + 1)
        start, floor = at, max(last, at - 64)
        while start > floor and (text[start - 1].isalnum() or text[start - 1] in "._%+-"):
            start -= 1
        while start < at and text[start] in ".-%+":
            start += 1
        if domain and start < at:
            last = domain.end()
            spans.append((start, last, "email"))
    return spans


def _numbers(text: str, sequence: re.Match[str]) -> list[Span]:
    """The identity, card and telephone numbers in one sequence of groups of digits."""
    groups = [match.span() for match in GROUP.finditer(text, *sequence.span())]
    spans: list[Span] = []
    at = 0
    while at < len(groups):
        window = groups[at : at + 7]
        taken, kind = _judge(text, window) if _begins(text, groups[at][0]) else (0, "")
        if taken:
            span = _whole(text, groups[at][0], groups[at + taken - 1][1], kind)
            if span:
                spans.append(span)
        at += taken or 1
    return spans


def _judge(text: str, groups: list[tuple[int, int]]) -> tuple[int, str]:
    """How many of the first groups are one number, and its kind."""
    for kind, judge in (("id", _identity), ("card", _card), ("phone", _phone)):
        taken = judge(text, groups)
        if taken:
            return taken, kind
    return 0, ""


def _begins(text: str, start: int) -> bool:
    """Whether a number may begin here: not inside a decimal, a date, a code or a longer number."""
    before = text[max(0, start - 2) : start]
    if not before:
        return True
    if before[-1] in ".,-:" and before[0].isdigit():
        return False
    return not (before[-1].isupper() or before[-1].isdigit() or before[-1] in "_#")


def _whole(text: str, start: int, end: int, kind: str) -> Span | None:
    """The span with its plus sign, bracket and extension, or None where it is part of something longer."""
    if kind == "phone":
        extension = EXTENSION.match(text, end)
        end = extension.end() if extension else end
        if text[max(0, start - 1) : start] == "+":
            start -= 1
        elif text[max(0, start - 2) : start] == "+ ":
            start -= 2
    after = text[end : end + 2]
    if after and (after[0].isalnum() or after[0] == "_" or (after[0] in ".,-" and after[1:].isdigit())):
        return None
    if text[max(0, start - 1) : start] == "(" and text.count(")", start, end) > text.count("(", start, end):
        start -= 1
    if "ISBN" in text[max(0, start - 20) : start].upper() or in_address(text, start):
        return None
    return start, end, kind


def _joined(text: str, groups: list[tuple[int, int]], sizes: tuple[int, ...]) -> str:
    """The digits of the first groups if these have the sizes, a blank or hyphen between them, else none."""
    if tuple(end - start for start, end in groups[: len(sizes)]) != sizes:
        return ""
    gaps = {text[groups[at][1] : groups[at + 1][0]] for at in range(len(sizes) - 1)}
    if len(gaps) > 1 or not gaps <= {" ", "-", "\u00a0"}:
        return ""
    return "".join(text[start:end] for start, end in groups[: len(sizes)])


def _identity(text: str, groups: list[tuple[int, int]]) -> int:
    """How many of the groups are an identity number, 0 if none is."""
    for sizes in ((13,), (6, 7), (6, 4, 3), (6, 4, 2, 1)):
        digits = _joined(text, groups, sizes)
        if digits and is_identity_number(digits):
            return len(sizes)
    return 0


def _card(text: str, groups: list[tuple[int, int]]) -> int:
    """How many of the groups are a card number, 0 if none is."""
    size = groups[0][1] - groups[0][0]
    for sizes in ((size,), (4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3)):
        digits = _joined(text, groups, sizes) if size in (4, *range(13, 20)) else ""
        if digits and is_card_number(digits):
            return len(sizes)
    return 0


def _phone(text: str, groups: list[tuple[int, int]]) -> int:
    """How many of the groups are a telephone number, 0 if none is."""
    start, end = groups[0]
    first = text[start:end]
    plus = text[max(0, start - 2) : start].rstrip(" ").endswith("+")
    if plus and first[0] != "0":
        lengths = (
            (11,)
            if first.startswith("27")
            else tuple(range(10, 14))
            if len(first) < 8
            else (8, 9, 10, 11, 12)
        )
        return _reach(text, groups, lengths)
    if first.startswith("00"):
        return _reach(text, groups, (12, 13, 14)) if len(first) > 3 and first[2] != "0" else 0
    bracketed = text[max(0, start - 1) : start] == "(" and text[end : end + 1] == ")"
    if first[0] == "0" and 3 <= len(first) <= 10 and first[1] in "12345678":
        return _reach(text, groups, (10,)) or (_reach(text, groups, (9,)) if bracketed else 0)
    if first == "27" and bracketed:
        return _reach(text, groups, (11,))
    if len(first) == 11 and first.startswith("27") and first[2] in "12345678":
        return 1
    if first in EMERGENCY:
        return 1
    if 3 <= len(first) <= 7 and CUE.search(text, max(0, start - 12), start):
        return _reach(text, groups[:2], (7,))
    return 0


def _reach(text: str, groups: list[tuple[int, int]], lengths: tuple[int, ...]) -> int:
    """How many groups together have one of the numbers of digits, 0 if none have."""
    total = 0
    for at, (start, end) in enumerate(groups):
        optional = text[start - 1 : end + 1] == "(0)"  # as in +27 (0)11
        if at and end - start < 2 and not optional and len(lengths) == 1:
            return 0
        total += 0 if optional else end - start
        if total in lengths:
            return 0 if at and text[start:end] == "000" else at + 1  # thousands of something
        if total > lengths[-1]:
            return 0
    return 0


def _replaced(text: str, spans: list[Span]) -> str:
    pieces, last = [], 0
    for start, end, kind in spans:
        pieces += [text[last:start], TAGS[kind]]
        last = end
    return "".join([*pieces, text[last:]])
