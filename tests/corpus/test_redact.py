import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm.corpus.redact import (
    COLUMNS,
    TAGS,
    find,
    is_card_number,
    is_identity_number,
    luhn,
    redact,
)

PIECES = [
    *"0123456789+-./() @_#<>\n",
    *("011", "082", "+27", "27", "0800", "4111", "8001015009087", "4111111111111111", "10111", "Tel: "),
    *("a@b.co", "info", "gov", ".za", "www.", "://", "R", "ku-", "\u00a0", "ISBN", "<phone>", "000"),
]
ANY = st.lists(st.one_of(st.sampled_from(PIECES), st.characters(codec=None))).map("".join)


def tagged(text: str) -> str:
    return redact([text])[0][0]


def counted(text: str) -> dict[str, int]:
    return {name.removeprefix("redacted_"): int(n[0]) for name, n in redact([text])[1].items() if n[0]}


@given(ANY)
def test_redact_is_idempotent_and_counts_what_it_replaces(text: str) -> None:
    (once,), counts = redact([text])
    (twice,), again = redact([once])
    assert twice == once
    assert not any(column[0] for column in again.values())
    for name, tag in TAGS.items():
        assert counts[f"redacted_{name}"][0] >= once.count(tag) - text.count(tag)
    (kept,), same = redact([text], tags=False)
    assert kept == text
    assert {name: column.tolist() for name, column in same.items()} == {
        name: column.tolist() for name, column in counts.items()
    }


@given(ANY)
def test_what_is_found_is_in_order_and_apart(text: str) -> None:
    last = 0
    for start, end, kind in find(text):
        assert last <= start < end <= len(text)
        assert kind in TAGS
        last = end


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Imeyili: thabo.m+1@tlhalo.gov.za.", "Imeyili: <email>."),
        ("vukuzenzele@gcis.gov.zaAddress", "<email>Address"),
        ("Mun@Saldanhabay.Co.Za NGO@X-Y.ORG", "<email> <email>"),
        ("kgovender@parliament .gov .za, jan@mweb. co.za", "<email>, <email>"),
        ("importctn@ xsinet.co.za", "<email>"),
        (
            "0821234567@mail.co.za, a@0821234567.co.za, info@x.com2020, b@ X.0821234567.ORG",
            "<email>, <email>, <email>2020, <email>",
        ),
        ("@MISA_CoGTA user@ @ a@b x@y.1", "@MISA_CoGTA user@ @ a@b x@y.1"),
        ("weke @ 700gr. Gaan", "weke @ 700gr. Gaan"),
    ],
)
def test_email(text: str, left: str) -> None:
    assert tagged(text) == left


@pytest.mark.parametrize(
    "number",
    [
        "0821234567",
        "011 123 4567",
        "(011) 123-4567",
        "(0331) 42-655",
        "011.123.4567",
        "011 - 626 1040",
        "0800 428 428",
        "0800 60 10 11",
        "0861-470-047",
        "021 572 7403/4/5",
        "+27 11 123 4567",
        "+27 (0)11 123 4567",
        "+2721 4195320",
        "+ 27 14 557 53 80",
        "(27) 11 780-7684",
        "27821234567",
        "0027 11 123 4567",
        "+44 20 7946 0958",
        "(+268) 416 2000",
        "+33 1 46 61 22 66",
        "10111",
    ],
)
def test_phone(number: str) -> None:
    assert tagged(f"Shayela ku-{number}, noma ku{number}.") == "Shayela ku-<phone>, noma ku<phone>."
    assert tagged(number) == "<phone>"
    assert tagged(f"Tel:{number} of {number}; ({number})") == "Tel:<phone> of <phone>; (<phone>)"


@pytest.mark.parametrize(
    "text",
    [
        "ngo-2010-2011, 2010 2011 2012, 1900 2000",
        "2007-05-14 01.01.1999 08.00-15.30 08:00-16:00",
        "R1 000 000.00 P581 996.68 13 000 000 011 234",
        "abantu abangu-9 032 622 kanye no-1 500 000",
        "ISBN 978-3-643-50176-9, ISBN 0742511898",
        "3.0123456789 0,0821234567 -922337203685477.5808",
        "+10 000 000 000 no +12 500 000",
        "00000300 0700 1000 000 443 6440",
        "Account No. 62123256382",
        "0821234567.50 0821234567,5 8001015009087-1",
        "0912345678 090 123 4567 012 345 678 0331 42-655",
        "4111 1111-1111 1111 4111  1111  1111  1111",
        "AB0821234567 x_0821234567 0821234567x 08212345678",
        "https://example.org/0821234567/x www.x.org/011-123-4567",
        "doi:10.1007/s10806-018-9711-1",
        "1-11 2-38 3-64 4-73 5-81 6-120 7-135 8-150",
        "General 300 2757",
        "110111 1011",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert tagged(text) == text


def test_seven_digits_are_a_phone_after_a_word_that_says_so() -> None:
    assert (
        tagged("Tel: 3950 821, Faks. 505 6215, Umnxeba:3426587")
        == "Tel: <phone>, Faks. <phone>, Umnxeba:<phone>"
    )
    assert counted("Tel 300 2757") == {"phone": 1}


def with_check(digits: str) -> str:
    return next(digits + check for check in "0123456789" if luhn(digits + check))


@pytest.mark.parametrize("shape", ["{}", "{0:.6} {0:.10}"])
def test_identity_number(shape: str) -> None:
    good = with_check("800101500908")
    assert good == "8001015009087"
    assert is_identity_number(good)
    for text in (
        good,
        f"{good[:6]} {good[6:10]} {good[10:12]} {good[12]}",
        f"{good[:6]}-{good[6:10]}-{good[10:]}",
    ):
        assert tagged(f"ID: {text}.") == "ID: <id>."
        assert counted(text) == {"id": 1}
    for bad in (
        good[:-1] + str((int(good[-1]) + 1) % 10),
        with_check("801301500908"),
        with_check("800132500908"),
        with_check("810229500908"),
        with_check("800101500958"),
    ):
        assert not is_identity_number(bad)
        assert "<id>" not in tagged(bad)
    assert is_identity_number(with_check("000229500908"))
    assert tagged("x" + good) == "x<id>"
    assert tagged("1" + good) == "1" + good


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5500005555555559",
        "2223003122003222",
        "3782 822463 10005",
        "30569309025904",
        "6011111111111117",
        "3530111333300000",
        "6200000000000005",
    ],
)
def test_card(number: str) -> None:
    assert tagged(f"khadi {number}.") == "khadi <card>."
    assert counted(number) == {"card": 1}
    digits = number.replace(" ", "").replace("-", "")
    assert is_card_number(digits)
    for check in set("0123456789") - {digits[-1]}:
        assert not is_card_number(digits[:-1] + check)
        assert tagged(number[:-1] + check) == number[:-1] + check


@pytest.mark.parametrize("number", ["9111111111111119", "411111111111116", "1234567812345670"])
def test_a_check_digit_alone_makes_no_card(number: str) -> None:
    assert not is_card_number(number)
    assert tagged(number) == number


@given(st.text("0123456789", min_size=1, max_size=19), st.integers(0, 18))
def test_luhn_sees_every_single_wrong_digit(digits: str, place: int) -> None:
    whole = with_check(digits)
    place %= len(whole)
    wrong = whole[:place] + str((int(whole[place]) + 1) % 10) + whole[place + 1 :]
    assert luhn(whole)
    assert not luhn(wrong)


def test_each_text_of_a_batch_is_counted() -> None:
    texts, counts = redact(["a@b.co c@d.org 0821234567", "", "8001015009087 4111111111111111"])
    assert texts == ["<email> <email> <phone>", "", "<id> <card>"]
    assert {name: column.tolist() for name, column in counts.items()} == {
        "redacted_email": [2, 0, 0],
        "redacted_phone": [1, 0, 0],
        "redacted_id": [0, 0, 1],
        "redacted_card": [0, 0, 1],
    }
    assert tuple(counts) == COLUMNS
    assert all(column.dtype == np.int32 for column in counts.values())


def hostile() -> Iterator[str]:
    yield from ("1", "0 ", "@", "a@", "a.", "a-", "+", "(", "1.", "a@.", "0800-", "Tel 123 ", "011 123 4567 ")
    yield from ("x" * 70 + "@", "a@" + "b-" * 30, "a@" + "b." * 20, "(0)", "4111 ", "1/")


@pytest.mark.parametrize("piece", hostile())
def test_redact_takes_linear_time(piece: str) -> None:
    start = time.process_time()
    redact([piece * (100_000 // len(piece))])
    assert time.process_time() - start < 5
