from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import BOS, END, EOS, saying, uniform

from edgelm.errors import BadInput, EdgelmError
from edgelm.runtime import Generation, LanguageModel
from edgelm.runtime.sampling import sample


@given(st.text(max_size=12))
@settings(max_examples=60, deadline=None)
def test_pieces_are_whole_characters(text: str) -> None:
    pieces = list(saying(*text.encode("utf-8")).generate([BOS], temperature=0))
    assert "".join(pieces) == text
    assert all(pieces)
    assert "�" not in "".join(pieces).replace("�", "", text.count("�"))


@pytest.mark.parametrize("text", ["ḓ", "Tshivenḓa", "👩🏾‍🌾", "🇿🇦 ê"])
def test_a_character_of_several_bytes_is_one_piece(text: str) -> None:
    assert list(saying(*text.encode("utf-8")).generate([BOS], temperature=0)) == list(text)


@given(st.binary(max_size=12))
@settings(max_examples=60, deadline=None)
def test_pieces_join_to_the_decoded_whole(data: bytes) -> None:
    model = saying(*data)
    assert "".join(model.generate([BOS], temperature=0)) == model.detokenize(data)


def test_a_character_cut_off_by_the_limit_is_replaced() -> None:
    assert list(saying(*"aḓ".encode()).generate([BOS], temperature=0, max_tokens=3)) == ["a", "�"]


def test_pieces_join_to_the_decoded_tokens(model: LanguageModel) -> None:
    report = Generation()
    pieces = list(model.generate("Vho", temperature=2.0, max_tokens=80, seed=3, report=report))
    random, session, ids = np.random.default_rng(3), model.session(), []
    new = model.prompt("Vho")
    while len(ids) < 80:
        new = [sample(session.feed(new, last_only=True)[-1], 2.0, 0.95, random)]
        if new[0] in (model.eos, model.end):
            break
        ids += new
    assert "".join(pieces) == model.detokenize(ids)
    assert report.tokens == len(ids)
    assert report.prompt_tokens == len(model.prompt("Vho"))


@pytest.mark.parametrize("stop", [EOS, END])
def test_stops_where_the_model_ends(stop: int) -> None:
    report = Generation()
    model = saying(*b"ab", stop, *b"never")
    assert "".join(model.generate([BOS], temperature=0, report=report)) == "ab"
    assert (report.tokens, report.ended) == (2, "stop")


def test_stops_at_max_tokens() -> None:
    report = Generation()
    assert "".join(saying(*b"abcdef").generate([BOS], temperature=0, max_tokens=4, report=report)) == "abcd"
    assert (report.tokens, report.ended) == (4, "length")


def test_a_full_context_ends_the_text(model: LanguageModel) -> None:
    ids = [model.bos] + [model.tokenize(" a")[0]] * (model.context - 4)
    report = Generation()
    list(model.generate(ids, temperature=0, max_tokens=50, report=report))
    assert report.tokens == 3
    assert report.ended == "length"
    with pytest.raises(BadInput, match=f"holds {model.context} in all"):
        model.generate([*ids, 5, 5, 5])


def test_special_tokens_are_not_text() -> None:
    assert "".join(saying(97, BOS, 98).generate([BOS], temperature=0)) == "ab"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", 4097),
        ("temperature", -0.1),
        ("temperature", 5.1),
        ("temperature", float("nan")),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("seed", -1),
    ],
)
def test_an_option_out_of_range_is_named_before_anything_runs(option: str, value: Any) -> None:
    with pytest.raises(BadInput, match=f"{option} .* is out of range"):
        uniform().generate("a", **{option: value})


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(BadInput, match="the prompt has no tokens"):
        uniform().generate([])
    assert list(saying(97).generate("", temperature=0)) == ["a"]  # text may be empty: BOS is a token


def test_speed_leaves_the_prompt_out() -> None:
    assert Generation(tokens=5, prompt_seconds=9.0, seconds=2.0, ended="length").tokens_per_second == 2
    assert Generation(tokens=4, prompt_seconds=9.0, seconds=2.0, ended="stop").tokens_per_second == 2
    assert Generation(tokens=1, prompt_seconds=9.0, ended="length").tokens_per_second == 0


def test_sample_follows_the_distribution() -> None:
    probability = np.array([0.5, 0.1, 0.3, 0.06, 0.04])
    random = np.random.default_rng(0)
    logits = np.log(probability).astype(np.float32)
    drawn = np.bincount([sample(logits, 1.0, 1.0, random) for _ in range(20_000)], minlength=5) / 20_000
    np.testing.assert_allclose(drawn, probability, atol=0.015)
    drawn = np.bincount([sample(logits, 1.0, 0.85, random) for _ in range(20_000)], minlength=5) / 20_000
    np.testing.assert_allclose(drawn, [0.5 / 0.9, 0.1 / 0.9, 0.3 / 0.9, 0, 0], atol=0.015)
    drawn = np.bincount([sample(logits, 0.5, 1.0, random) for _ in range(20_000)], minlength=5) / 20_000
    np.testing.assert_allclose(drawn, probability**2 / (probability**2).sum(), atol=0.015)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("temperature", [0.0, 1e-310, 1e-9])
def test_cold_is_greedy_and_ties_go_to_the_lower_id(temperature: float) -> None:
    logits = np.array([0.0, 3.0, 2.9, -80.0], dtype=np.float32)
    assert sample(logits, temperature, 1.0, np.random.default_rng(0)) == 1
    assert sample(np.zeros(4, dtype=np.float32), 0.0, 1.0, np.random.default_rng(0)) == 0
    assert sample(np.zeros(4, dtype=np.float32), 1.0, 0.01, np.random.default_rng(0)) == 0


def test_a_second_sequence_ends_the_first_loudly(models: dict[str, LanguageModel]) -> None:
    model = models["llama.cpp"]
    first = model.generate("Sawubona", max_tokens=20, temperature=3.0)
    next(first)
    assert "".join(model.generate("Dumela", max_tokens=5, temperature=3.0))
    with pytest.raises(EdgelmError, match="one sequence at a time"):
        list(first)
