from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.words import encode_words, spaced


def test_words_stand_as_in_running_text() -> None:
    words = ["(", "Umfana", ",", "u", "-", "Sipho", ")", "uyahamba", "."]
    assert "".join(spaced(words)) == "(Umfana, u - Sipho) uyahamba."
    assert spaced([]) == []


def test_each_word_ends_where_it_is_said(sample_tokenizer: TextTokenizer) -> None:
    words = ["Umfana", "uyahamba", "esikoleni", ",", "namhlanje", "."]
    ids, ends = encode_words(sample_tokenizer, words, 100)
    assert ids == sample_tokenizer.encode("Umfana uyahamba esikoleni, namhlanje.")
    pieces = [
        sample_tokenizer.decode(ids[start + 1 : end + 1]).strip()
        for start, end in zip([-1, *ends], ends, strict=False)
    ]
    assert pieces == words


@given(
    words=st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=12),
    room=st.integers(12, 60),
)
def test_every_word_has_a_place_however_little_room_there_is(
    sample_tokenizer_dir: Path, words: list[str], room: int
) -> None:
    """Also words of white space alone, of other scripts and of control characters."""
    ids, ends = encode_words(TextTokenizer(sample_tokenizer_dir), words, room)
    assert len(ends) == len(words)
    assert len(ids) <= room
    assert ends == sorted(set(ends))
    assert ends[-1] == len(ids) - 1


def test_a_long_word_keeps_its_beginning_and_its_end(sample_tokenizer: TextTokenizer) -> None:
    word = "ngokungenasizathu" * 6
    whole, _ = encode_words(sample_tokenizer, [word], 1000)
    ids, ends = encode_words(sample_tokenizer, ["a", word, "b"], 20)
    assert len(ids) == 20
    assert ends[0] == 0
    kept = ids[1 : ends[1] + 1]
    assert kept[-9:] == whole[-9:]
    with pytest.raises(ValueError, match="21 words do not fit 20 tokens"):
        encode_words(sample_tokenizer, ["a"] * 21, 20)
