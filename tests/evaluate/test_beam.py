"""Beam search against all texts there are, and against taking the likeliest token each time."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scripted import BOS, END, EOS, VOCAB_SIZE, ByteModel

from edgelm.evaluate import predict as module
from edgelm.evaluate.beam import beam_search
from edgelm.evaluate.predict import Asking, predict, write
from edgelm.runtime import LanguageModel, load
from edgelm.tasks.examples import Chat
from edgelm.tasks.task import load_task

LETTERS = "abc"


def wild(seed: int, ends: float = 0.0, scale: float = 2.0) -> ByteModel:
    """A model of three letters and END; what follows depends on all that stands before."""

    def after(ids: list[int]) -> np.ndarray:
        random = np.random.default_rng([seed, *ids])
        logits = np.full(VOCAB_SIZE, -1e9)
        logits[[*LETTERS.encode(), END]] = random.normal(size=4) * scale
        logits[END] += ends
        return logits

    return ByteModel(after)


def every_text(length: int) -> list[bytes]:
    """All that can be written in `length` tokens: those that end sooner, and those that are cut off."""
    ended = [bytes(one) for n in range(length) for one in itertools.product(LETTERS.encode(), repeat=n)]
    return ended + [bytes(one) for one in itertools.product(LETTERS.encode(), repeat=length)]


def best_by_hand(model: ByteModel, length: int, power: float) -> bytes:
    def value(text: bytes) -> float:
        said = [*text, END] if len(text) < length else [*text]
        return float(model.score([BOS], said).sum()) / len(said) ** power

    return max(every_text(length), key=value)


@pytest.mark.parametrize("power", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_as_many_beams_as_texts_find_the_best_of_all(seed: int, power: float) -> None:
    model = wild(seed, ends=-1.0)
    found = beam_search(model, [BOS], beams=4**4, max_tokens=4, power=power)
    assert bytes(found) == best_by_hand(model, 4, power)


@pytest.mark.parametrize("seed", range(6))
def test_as_many_beams_as_tokens_find_the_best_of_two(seed: int) -> None:
    model = wild(seed)
    found = beam_search(model, [BOS], beams=VOCAB_SIZE, max_tokens=2)
    assert bytes(found) == best_by_hand(model, 2, 0.6)


def test_more_beams_find_what_greed_misses() -> None:
    def after(ids: list[int]) -> np.ndarray:
        logits = np.full(VOCAB_SIZE, -1e9)
        if ids[-1] == BOS:
            logits[[ord("a"), ord("b")]] = 0.1, 0.0  # a is a little likelier
        elif ids[1] == ord("a"):
            logits[list(LETTERS.encode())] = 0.0  # but what follows is anybody's guess
            logits[END] = 0.1
        else:
            logits[[ord("c"), END]] = (5.0, 0.0) if len(ids) == 2 else (0.0, 5.0)
        return logits

    assert bytes(beam_search(ByteModel(after), [BOS], beams=1, max_tokens=5)) == b"a"
    assert bytes(beam_search(ByteModel(after), [BOS], beams=2, max_tokens=5)) == b"bc"


@pytest.mark.parametrize("seed", range(8))
def test_one_beam_is_greedy(seed: int) -> None:
    model = wild(seed, ends=-1.0)
    greedy = "".join(model.generate([BOS], temperature=0, max_tokens=12))
    assert model.detokenize(beam_search(model, [BOS], beams=1, max_tokens=12)) == greedy


@pytest.mark.parametrize("stop", [END, EOS])
def test_both_ends_end_and_are_not_written(stop: int) -> None:
    def after(ids: list[int]) -> np.ndarray:
        logits = np.zeros(VOCAB_SIZE)
        logits[ord("x") if ids[-1] == BOS else stop] = 20.0
        return logits

    assert bytes(beam_search(ByteModel(after), [BOS], beams=3, max_tokens=9)) == b"x"


def test_the_search_ends_when_nothing_can_win() -> None:
    longest = 0

    def after(ids: list[int]) -> np.ndarray:
        nonlocal longest
        longest = max(longest, len(ids))
        logits = np.full(VOCAB_SIZE, 0.0)
        logits[ord("x") if ids[-1] == BOS else END] = 12.0
        return logits

    assert bytes(beam_search(ByteModel(after), [BOS], beams=4, max_tokens=60, power=0.0)) == b"x"
    assert longest <= 3


def test_divided_by_length_a_longer_text_may_win() -> None:
    def after(ids: list[int]) -> np.ndarray:
        logits = np.full(VOCAB_SIZE, -1e9)
        if ids[-1] == BOS:
            logits[[ord("a"), END]] = np.log(0.6), np.log(0.4)
        else:
            logits[[ord("b"), END]] = (np.log(0.6), np.log(0.4)) if len(ids) < 4 else (-1e9, 0.0)
        return logits

    model = ByteModel(after)
    assert bytes(beam_search(model, [BOS], beams=4, max_tokens=9, power=0.0)) == b""
    assert bytes(beam_search(model, [BOS], beams=4, max_tokens=9, power=1.0)) == b"abb"


def test_beams_are_for_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = beam_search
    monkeypatch.setattr(
        module, "beam_search", lambda *one, **more: (asked.append(more["beams"]), real(*one, **more))[1]
    )
    model = wild(3, ends=-1.0)
    write(model, [("user", "x")])
    assert asked == []
    assert write(model, [("user", "x")], 3) == write(model, [("user", "x")], 3)
    assert asked == [3, 3]
    example = Chat((("user", "x"), ("assistant", "y")), "eng")
    predict(model, load_task("instructions"), [example], asking=Asking(beams=5))
    predict(model, load_task("instructions"), [example])
    assert asked == [3, 3, 5]


def test_all_runtimes_find_the_same_text(model_dir: Path, export_dir: Path) -> None:
    found = []
    for path in (model_dir, export_dir / "onnx" / "fp32", export_dir / "model-F32.gguf"):
        model: LanguageModel = load(path)
        ids = model.prompt("Umfana", language="zul")
        greedy = "".join(model.generate(ids, temperature=0, max_tokens=12))
        assert model.detokenize(beam_search(model, ids, beams=1, max_tokens=12)) == greedy
        found.append(beam_search(model, ids, beams=4, max_tokens=12))
        model.close()
    assert found[0] == found[1] == found[2]
