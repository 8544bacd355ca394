import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgelm.corpus.characters import LIMIT
from edgelm.corpus.fineweb import columns
from edgelm.corpus.tokens import split_words

TROUBLE = (
    "\n",
    "\n",
    " \n",
    "\r",
    "\u2028",
    ".",
    "?",
    "”",
    "।",
    "\ud800",
    "🙂",
    "a",
    "a\n",
    "x" * 29,
    "don't",
)
ANY = st.lists(st.one_of(st.characters(codec=None), st.sampled_from(TROUBLE))).map("".join)


def one(text: str) -> dict[str, float]:
    found = columns([text])
    assert all(v.dtype == (np.int32 if name == "fineweb_lines" else np.float32) for name, v in found.items())
    return {name.removeprefix("fineweb_"): pytest.approx(values[0].item()) for name, values in found.items()}


def test_columns() -> None:
    # 4 lines, of which the one with a full stop repeats; a quotation mark and a blank are no terminal marks;
    # all but the last, of 31 characters, are short; 5 + 5 + 6 + 31 characters, 5 of them repeated;
    # tokens: Yebo . Yebo . Yebo . ” and the long one; 4 line feeds
    assert one("Yebo.\nYebo.\n\nYebo.”\n" + "x" * 31) == {
        "lines": 4,
        "terminal_lines": 2 / 4,
        "short_lines": 3 / 4,
        "duplicate_characters": 5 / 47,
        "newlines": 4 / 8,
    }


def test_thirty_characters_are_short() -> None:
    assert one("x" * 30)["short_lines"] == 1
    assert one("x" * 31)["short_lines"] == 0


def test_texts_without_any_terminal_line_pass() -> None:
    assert one("Yebo\nCha")["terminal_lines"] == 1
    assert one("Yebo. \nCha")["terminal_lines"] == 1
    assert one("Yebo\nCha\nYini?\nLutho!")["terminal_lines"] == 2 / 4


def test_repeated_blank_lines_are_not_lines() -> None:
    # 2 lines, one repeated: 1 character of 1 + 1 + 2 blanks
    found = one("a\n \n \na")
    assert (found["lines"], found["duplicate_characters"], found["newlines"]) == (2, 1 / 4, 3 / 2)


@pytest.mark.parametrize(("text", "newlines"), [("", 0), (" ", 0), ("\n \n", 2)])
def test_no_lines(text: str, newlines: int) -> None:
    assert one(text) == {
        "lines": 0, "terminal_lines": 0, "short_lines": 0, "duplicate_characters": 0, "newlines": newlines,
    }  # fmt: skip


@settings(deadline=None)  # the first example may compile
@given(ANY)
def test_columns_follow_their_definitions(text: str) -> None:
    assume(max(text, default="") < chr(LIMIT - 1))  # from there on all characters are one
    lines = [line for line in text.split("\n") if line.strip()]
    found = one(text)
    assert found["lines"] == len(lines)
    assert found["short_lines"] == sum(len(line) <= 30 for line in lines) / max(len(lines), 1)
    repeated = sum(len(line) for at, line in enumerate(lines) if line in lines[:at])
    assert found["duplicate_characters"] == repeated / max(len(text.replace("\n", "")), 1)
    assert found["newlines"] == text.count("\n") / max(len(split_words([text])[0]), 1)


@settings(deadline=None)  # the first example may compile
@given(st.lists(ANY, max_size=4))
def test_a_batch_is_measured_as_its_texts_are(texts: list[str]) -> None:
    alone = [columns([text]) for text in texts]
    for name, values in columns(texts).items():
        assert values.tolist() == [found[name][0] for found in alone]
        if name != "fineweb_newlines":
            assert name == "fineweb_lines" or all((values >= 0) & (values <= 1))
