import unicodedata
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm.corpus.statistics import measure, repair, text_key
from edgelm.languages import load_languages

SHARES = ("alphabetic_words", "digits", "uppercase", "duplicate_lines")
# any code point, half surrogate pairs and unassigned ones too, with the troublesome ones more often
TROUBLE = "\ud800\udfff\u200b\ufeff\ufffd\x00\x0b\x0c\x1c\x85\xa0\r\n\t  \u2028\u3000\u0323\u0302ḓâⒶ½²"
ANY = st.lists(st.one_of(st.characters(codec=None), st.sampled_from(TROUBLE))).map("".join)
LETTERS = "".join(
    sorted({letter for one in load_languages().values() for letter in one.alphabet if letter.isalpha()})
)


@given(ANY)
def test_repair_is_idempotent_and_gives_plain_nfc(text: str) -> None:
    repaired = repair(text)
    assert repair(repaired) == repaired
    assert unicodedata.is_normalized("NFC", repaired)
    assert repaired == repaired.strip()
    assert not any(unicodedata.category(one) in ("Cc", "Cs") and one != "\n" for one in repaired)
    assert "  " not in repaired
    assert "\n\n" not in repaired
    repaired.encode("utf-8")


@given(ANY)
def test_repair_loses_no_letter_and_joins_no_words(text: str) -> None:
    words = [repair(word) for word in text.split()]
    assert repair(text).split() == [word for word in words if word]
    # decomposed, as a letter and an accent may meet where a control character stood between them
    before, after = (unicodedata.normalize("NFD", one) for one in (text, repair(text)))
    assert [one for one in after if one.isalnum()] == [one for one in before if one.isalnum()]


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("  two  spaces\t\xa0here \r\n\r\n next \n", "two spaces here\nnext"),
        ("d\u032di\u00adn\x00a\u200b", "ḓi\u00adna"),
        ("e\u0302 o\u0308", "ê ö"),
        ("a\ud83d b", "a b"),
        ("page one\x0cpage two", "page one page two"),
        ("", ""),
    ],
)
def test_repair(text: str, repaired: str) -> None:
    assert repair(text) == repaired


@given(ANY)
def test_measure_never_raises_and_stays_in_range(text: str) -> None:
    text = repair(text)
    found = measure(text)
    assert all(0 <= getattr(found, name) <= 1 for name in SHARES), found
    assert found.words == len(text.split())
    assert found.bytes == len(text.encode("utf-8")) >= found.characters == len(text)
    assert 0 <= found.compression_ratio <= 1.1


@given(ANY)
def test_measure_counts_characters_one_by_one(text: str) -> None:
    """The counting by bytes gives what the definitions give."""
    text = repair(text)
    found = measure(text)
    letters = [one for one in text if one.isalpha()]
    assert found.digits == sum(one.isdigit() for one in text) / max(len(text), 1)
    assert found.uppercase == sum(one.isupper() for one in letters) / max(len(letters), 1)
    words = text.split()
    lettered = [word for word in words if any(one.isalnum() and not one.isdecimal() for one in word)]
    assert found.alphabetic_words == len(lettered) / max(len(words), 1)


def test_measure() -> None:
    found = measure("Umfana 12 UYAHAMBA ...\nnamhlanje\nnamhlanje")
    assert asdict(found) == {
        "words": 6,
        "characters": 42,
        "bytes": 42,
        "mean_word_length": 37 / 6,
        "alphabetic_words": 4 / 6,
        "digits": 2 / 42,
        "uppercase": 9 / 32,
        "duplicate_lines": 1 - 2 / 3,
        "compression_ratio": 1.0,
    }
    assert measure("ḓḽṅ").bytes == 9
    assert set(asdict(measure("")).values()) == {0}


def test_compression_ratio_is_low_for_repetition_only() -> None:
    assert measure("umfana uyahamba " * 40).compression_ratio < 0.1
    assert measure(" ".join(str(number**5) for number in range(99))).compression_ratio > 0.4


@given(ANY)
def test_text_key_fits_a_signed_column(text: str) -> None:
    assert 0 <= text_key(repair(text)) < 2**63


@given(st.lists(st.text(LETTERS, min_size=1, max_size=9), min_size=1), st.randoms(use_true_random=False))
def test_text_key_sees_letters_in_their_order_only(words, draw) -> None:
    key = text_key(" ".join(words))
    dressed = "".join(word.upper() + draw.choice(["  ", "\n", ", ", " 12 ", "_", "!\t"]) for word in words)
    assert text_key(repair("«" + dressed)) == key
    assert text_key(" ".join([*words, "x"])) != key
    assert text_key(" ".join(words).replace(words[0], "q" + words[0], 1)) != key


def test_text_key_tells_texts_without_letters_apart() -> None:
    assert text_key("1 2 3") != text_key("4 5 6")
    assert text_key("dira") != text_key("ḓira")
