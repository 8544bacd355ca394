import re
import unicodedata
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.corpus.characters import LIMIT
from edgelm.corpus.recipe import known_columns
from edgelm.corpus.repair import normalise
from edgelm.corpus.statistics import alphabet_table, measure, text_keys
from edgelm.languages import load_languages

# any code point, half surrogate pairs and unassigned ones too, with the troublesome ones more often
TROUBLE = "\ud800\udfff\u200b\ufeff\ufffd\x00\x0b\x0c\x1c\x85\xa0\r\n\t  \u2028\u3000\u0323\u0302ḓâⒶ½²%$~𠀀"
ANY = st.lists(st.one_of(st.characters(codec=None), st.sampled_from(TROUBLE))).map("".join).map(normalise)
LETTERS = "".join(
    sorted({letter for one in load_languages().values() for letter in one.alphabet if letter.isalpha()})
)
ALPHABETS = ("", "abcdefghijklmnopqrstuvwxyz", "abcḓ")
TABLE = alphabet_table(ALPHABETS)


def measured(text: str, alphabet: int = 0) -> dict[str, float]:
    return {name: column[0].item() for name, column in measure([text], TABLE, np.array([alphabet])).items()}


def key(text: str) -> int:
    return int(text_keys([text])[0])


def is_letter(one: str) -> bool:
    return one.isalpha() or ord(one) >= LIMIT - 1


def is_name(one: str) -> bool:
    return is_letter(one) or one.isdigit()


def ended(line: str) -> bool:
    """Whether a sentence or clause ends at the end of a line."""
    end = re.sub(r"[\s\"'”’»)]+$", "", line)
    return end.endswith((".", "!", "?", "…", ",", ";"))


def has_diacritic(one: str) -> bool:
    base = unicodedata.normalize("NFD", one)[0]
    return one.isalpha() and base != one and base.isascii()


def one_by_one(text: str, alphabet: str) -> dict[str, float]:
    """The columns as they are defined."""
    words, lines = text.split(), text.split("\n") if text else []
    letters = [one for one in text if is_letter(one)]
    lettered = sum(any(map(is_letter, word)) for word in words)
    running = [line for line in lines if ended(line) or line.count(" ") >= 9]
    whole = max(sum(map(len, lines)), 1)
    data = text.encode("utf-8")
    ratio = len(zlib.compress(data, 1)) / len(data) if len(data) >= 400 else float(bool(data))
    known = set(alphabet.lower() + alphabet.upper())
    return {
        "words": len(words),
        "characters": len(text),
        "bytes": len(data),
        "letters": len(letters),
        "mean_word_length": len(letters) / max(lettered, 1),
        "lettered_words": lettered,
        "alphabetic_words": lettered / max(sum(any(map(is_name, word)) for word in words), 1),
        "digits": sum(one.isdigit() for one in text) / max(len(text), 1),
        "uppercase": sum(one.isupper() for one in letters) / max(len(letters), 1),
        "diacritics": sum(map(has_diacritic, letters)) / max(len(letters), 1),
        "foreign_letters": sum(one not in known for one in letters if alphabet) / max(len(letters), 1),
        "lines": len(lines),
        "duplicate_lines": 1 - sum(map(len, set(lines))) / whole if len(lines) > 1 else 0,
        "running_text": sum(map(len, running)) / whole if len(lines) > 1 else len(lines),
        "compression_ratio": ratio,
    }


@settings(deadline=None)  # the first call compiles
@given(ANY, st.sampled_from(range(len(ALPHABETS))))
def test_measure_counts_what_the_definitions_say(text: str, alphabet: int) -> None:
    found = measured(text, alphabet)
    assert found.pop("placeholders") >= 0
    assert found == pytest.approx(one_by_one(text, ALPHABETS[alphabet]), rel=1e-6)


@settings(deadline=None)
@given(st.lists(ANY, max_size=6))
def test_a_batch_gives_what_its_texts_give_alone(texts: list[str]) -> None:
    rows = np.arange(len(texts)) % len(ALPHABETS)
    together = measure(texts, TABLE, rows)
    for place, text in enumerate(texts):
        assert {name: column[place].item() for name, column in together.items()} == measured(
            text, int(rows[place])
        )
    assert text_keys(texts).tolist() == [key(text) for text in texts]
    assert all(len(column) == len(texts) for column in together.values())


def test_measure() -> None:
    found = measured("Umfana 12 UYAHAMBA ...\nnamhlanje\nnamhlanje", 1)
    assert found == pytest.approx(
        {
            "words": 6, "characters": 42, "bytes": 42, "letters": 32, "mean_word_length": 32 / 4,
            "lettered_words": 4, "alphabetic_words": 4 / 5, "running_text": 22 / 40,
            "digits": 2 / 42, "uppercase": 9 / 32, "diacritics": 0,
            "foreign_letters": 0, "lines": 3, "duplicate_lines": 9 / 40, "placeholders": 0,
            "compression_ratio": 1.0,
        }
    )  # fmt: skip
    assert measured("ḓḽṅ")["bytes"] == 9
    assert measured("ḓḽa ṅ", 2)["diacritics"] == 3 / 4
    assert measured("ḓḽa Ḓ", 2)["foreign_letters"] == 1 / 4
    assert set(measured("").values()) == {0}
    assert set(found) <= set(known_columns()), "a recipe may name every column"


@pytest.mark.parametrize("text", ["", "\n", "\n\n \n", " ", "\ufffd"])
def test_texts_of_nothing_are_measured_too(text: str) -> None:
    """A recipe may leave texts as they are."""
    assert all(np.isfinite(value) for value in measured(text).values())
    key(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Open %s and %1 of %PRODUCTNAME", 3),
        ("$name$ and $(ARG1) and ${home}", 3),
        ("~File and Save ~As", 2),
        ("100% of 50 %, R5 and $5, about ~7, x~y", 0),
        ("it costs 5%a day, http://x.y/~me", 0),
    ],
)
def test_placeholders_are_what_software_fills_in(text: str, count: int) -> None:
    assert measured(text)["placeholders"] == count


def test_compression_ratio_is_low_for_repetition_only() -> None:
    assert measured("umfana uyahamba " * 40)["compression_ratio"] < 0.1
    assert measured(" ".join(str(number**5) for number in range(99)))["compression_ratio"] > 0.4


@settings(deadline=None)
@given(ANY)
def test_text_key_fits_a_signed_column(text: str) -> None:
    assert 0 <= key(text) < 2**63


@settings(deadline=None)
@given(st.lists(st.text(LETTERS, min_size=1, max_size=9), min_size=1), st.randoms(use_true_random=False))
def test_text_key_sees_letters_in_their_order_only(words, draw) -> None:
    own = key(" ".join(words))
    dressed = "".join(word.upper() + draw.choice(["  ", "\n", ", ", " 12 ", "_", "!\t"]) for word in words)
    assert key(normalise("«" + dressed)) == own
    assert key(" ".join([*words, "x"])) != own
    assert key(" ".join(words).replace(words[0], "q" + words[0], 1)) != own


def test_text_key_tells_texts_without_letters_apart() -> None:
    assert key("1 2 3") != key("4 5 6")
    assert key("dira") != key("ḓira")
