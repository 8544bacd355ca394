"""Stop sequences: found across tokens and inside characters, and never shown in part."""

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.runtime.output import Output

LETTERS = "abḓṱ\n"


def fed(parts: list[bytes], stop: list[str]) -> tuple[list[str], Output]:
    output = Output(stop)
    pieces = []
    for part in parts:
        pieces.append(output.add(part))
        if output.stopped:
            break
    return [*pieces, output.end()], output


def before_the_first(text: str, stops: list[str]) -> str:
    """The text as far as it goes before a stop sequence is whole, taken byte by byte."""
    data = text.encode()
    for end in range(1, len(data) + 1):
        met = [len(stop.encode()) for stop in stops if data[:end].endswith(stop.encode())]
        if met:
            return data[: end - max(met)].decode()
    return text


@given(
    st.text(LETTERS, max_size=12),
    st.lists(st.text(LETTERS, min_size=1, max_size=3), max_size=3),
    st.lists(st.integers(0, 30), max_size=6),
)
@settings(max_examples=400, deadline=None)
def test_the_text_ends_before_the_first_stop_sequence(text: str, stops: list[str], cuts: list[int]) -> None:
    data = text.encode()
    bytewise = [data[place : place + 1] for place in range(len(data))]
    pieces, output = fed(bytewise, stops)
    assert "".join(pieces) == before_the_first(text, stops)
    assert output.stopped == ("".join(pieces) != text)
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    pieces, output = fed([data[a:b] for a, b in pairwise(places)], stops)
    shown = "".join(pieces)
    assert not any(stop in shown for stop in stops)
    if output.stopped:
        assert any(text.startswith(shown + stop) for stop in stops)
    else:
        assert shown == text


@given(st.text(LETTERS, max_size=12), st.text(LETTERS, min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_nothing_is_shown_that_a_stop_sequence_might_take_back(text: str, stop: str) -> None:
    output, shown = Output([stop]), ""
    data = text.encode()
    for place in range(len(data)):
        shown += output.add(data[place : place + 1])
        if output.stopped:
            break
        begun = data[: place + 1].decode(errors="ignore")
        if begun.encode() == data[: place + 1]:
            assert before_the_first(begun + stop, [stop]).startswith(shown)


def test_what_is_no_stop_sequence_is_not_held_back() -> None:
    output = Output(["END"])
    assert [output.add(b"a "), output.add(b"E"), output.add(b"N"), output.add(b"x")] == ["a ", "", "", "ENx"]
    assert output.shown == 5


def test_a_character_that_begins_like_a_stop_sequence_is_shown() -> None:
    output = Output(["ḓ"])
    first, *rest = [bytes([byte]) for byte in "ṱ".encode()]
    assert output.add(first) == ""
    assert "".join(map(output.add, rest)) == "ṱ"
    assert not output.stopped


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_stop_sequence_is_found_however_it_is_composed(form: str) -> None:
    output = Output([unicodedata.normalize(form, "ḓa")])
    assert output.add("kha ḓa".encode()) == "kha "
    assert output.stopped


def test_half_a_character_before_a_stop_sequence_is_replaced() -> None:
    pieces, _ = fed(["aḓ".encode()[:3], b"END"], ["END"])
    assert "".join(pieces) == "a�"
