"""Messages: one line each, whatever stood in the file they are about."""

import pytest

from edgelm.errors import LONGEST, BadInput, EdgelmError, nearest


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("two\nlines", "two lines"),
        ("a tab\tand\r\u2028more", "a tab and  more"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\ud800 \x00", r"\ud800 \x00"),
        ("ḓ é 👩🏾 a b", "ḓ é 👩🏾 a b"),
    ],
)
def test_what_no_line_shows_is_escaped(said: str, shown: str) -> None:
    assert str(EdgelmError(said)) == shown
    assert str(BadInput("is wrong", file=said)) == f"{shown}: is wrong."
    assert str(BadInput("is wrong", remedy=said)) == f"is wrong. {shown[:1].upper()}{shown[1:]}."


def test_what_a_file_said_is_shortened() -> None:
    said = str(BadInput(f"unknown field '{'a' * 10**6}'", file="f", remedy="b" * 10**6))
    assert len(said) < 3 * LONGEST
    assert said.startswith("f: unknown field 'aaa")
    assert "' . Bbb" not in said
    assert said.endswith("bbb.")


def test_a_long_name_is_like_none() -> None:
    assert nearest("a" * 10**6, ["a" * 10**6 + "b"]) == ""
