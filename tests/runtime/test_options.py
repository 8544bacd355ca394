"""Stop sequences, choices, penalties, scores and the kept cache, as a text is written."""

import threading
from typing import Any

import numpy as np
import pytest
from scripted import BOS, END, EOS, VOCAB_SIZE, ByteModel, saying, uniform

from edgelm.errors import BadInput
from edgelm.runtime import Generation, LanguageModel
from edgelm.runtime.constrained import log_likelihoods
from edgelm.runtime.sampling import log_softmax

PROMPT = "Namhlanje ekuseni ngivuke"
CHOICES = ("yebo", "yebo mngane", "cha", "angazi kahle", "mhlawumbe")


def written(model: LanguageModel, prompt: Any, **options: Any) -> tuple[str, Generation]:
    report = Generation()
    return "".join(model.generate(prompt, report=report, **options)), report


def test_a_stop_sequence_ends_the_text_across_tokens() -> None:
    model = saying(*b"one END two")
    report = Generation()
    pieces = list(model.generate([BOS], temperature=0, stop=["END"], logprobs=0, report=report))
    assert pieces == list("one ")
    assert (report.ended, report.tokens) == ("stop", 7)
    assert [chr(one.token) for one in report.scores] == list("one ")


def test_what_was_held_back_comes_where_no_stop_sequence_does() -> None:
    for limit, ended in ((64, "stop"), (6, "length")):
        report = Generation()
        model = saying(*b"one EN")
        pieces = model.generate(
            [BOS], temperature=0, stop=["END"], logprobs=0, max_tokens=limit, report=report
        )
        assert "".join(pieces) == "one EN"
        assert report.ended == ended
        assert len(report.scores) == 6


def test_a_stop_sequence_at_the_last_token_is_a_stop() -> None:
    assert written(saying(*b"aEND"), [BOS], temperature=0, stop=["END"], max_tokens=4)[1].ended == "stop"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop": [""]}, "a stop sequence is empty"),
        ({"stop": ["a" * 1001]}, "a stop sequence is empty or too long"),
        ({"stop": list("abcdefghijklmnopq")}, "17 stop sequences are too many"),
        ({"choices": ["a", ""]}, "a choice is empty"),
        ({"choices": ["ê", "e\u0302"]}, "given twice"),
        ({"choices": ["a"], "stop": ["b"]}, "do nothing where the answer is one of some choices"),
        ({"choices": ["a"], "presence_penalty": 1.0}, "do nothing"),
        ({"choices": ["abcde"], "max_tokens": 4}, "a choice has 5 tokens; there is room for 4"),
        ({"presence_penalty": 2.1}, "presence_penalty 2.1 is out of range"),
        ({"frequency_penalty": -2.1}, "frequency_penalty -2.1 is out of range"),
        ({"logprobs": 21}, "logprobs 21 is out of range"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        uniform().generate([BOS], **options)


def choosing(probability: dict[bytes, float]) -> ByteModel:
    """A model that says each of some texts, and then its end, with a probability."""

    def after(ids: list[int]) -> np.ndarray:
        said, mass = bytes(ids[1:]), np.full(VOCAB_SIZE, 1e-9)
        for text, share in probability.items():
            if text[: len(said)] == said:
                mass[(*text, END)[len(said)]] += share
        return np.log(mass / mass.sum())

    return ByteModel(after)


UNEVEN = {b"aa": 0.25, b"ab": 0.24, b"ac": 0.15, b"b": 0.36}


def test_the_likeliest_choice_is_taken_though_another_begins_likelier() -> None:
    assert written(choosing(UNEVEN), [BOS], temperature=0, choices=["aa", "ab", "b"])[0] == "b"
    assert written(choosing({b"ab": 0.6, b"a": 0.4}), [BOS], temperature=0, choices=["a", "ab"])[0] == "ab"
    assert written(choosing({b"ab": 0.4, b"a": 0.6}), [BOS], temperature=0, choices=["a", "ab"])[0] == "a"


def test_choices_are_drawn_as_often_as_they_are_likely() -> None:
    model, drawn = choosing(UNEVEN), dict.fromkeys(["aa", "ab", "b"], 0)
    for seed in range(1500):
        drawn[written(model, [BOS], temperature=1.0, top_p=1.0, seed=seed, choices=list(drawn))[0]] += 1
    shares = np.array(list(drawn.values())) / 1500
    np.testing.assert_allclose(shares, np.array([0.25, 0.24, 0.36]) / 0.85, atol=0.04)
    longer: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0, "choices": ["a", "ab"]}
    model = choosing({b"ab": 0.8, b"a": 0.2})
    either = [written(model, [BOS], seed=seed, **longer)[0] for seed in range(300)]
    assert either.count("ab") / 300 == pytest.approx(0.8, abs=0.08)
    cold = {
        written(choosing(UNEVEN), [BOS], temperature=0.02, seed=seed, choices=list(drawn))[0]
        for seed in range(20)
    }
    assert cold == {"b"}


def test_a_choice_ends_with_either_end() -> None:
    def after(ids: list[int]) -> np.ndarray:
        mass = np.full(VOCAB_SIZE, 1e-9)
        if len(ids) == 1:
            mass[[97, 98]] = 0.6, 0.4
        else:
            mass[EOS if ids[1] == 97 else END] = 1.0
        return np.log(mass)

    text, report = written(ByteModel(after), [BOS], temperature=0, choices=["a", "b"])
    assert (text, report.ended, report.tokens) == ("a", "stop", 1)


def test_likelihoods_of_choices_are_those_of_each_alone(model: LanguageModel) -> None:
    prompt = model.prompt(PROMPT)
    texts = ("yebo", "yebo mngane", "yebo mama wami", "cha", "yebo mngane wami", "c")
    spelt = [tuple(model.tokenize(text)) for text in texts]
    session = model.session()
    logits = session.feed(prompt, last_only=True)[0]
    found = log_likelihoods(session, len(prompt), logits, spelt, model.ends)
    expected = [
        np.logaddexp(*(model.score(prompt, [*ids, end]).sum(dtype="float64") for end in model.ends))
        for ids in spelt
    ]
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"temperature": 1.0, "seed": 4}])
def test_all_runtimes_choose_alike(models: dict[str, LanguageModel], options: dict[str, float]) -> None:
    found = {
        name: written(model, PROMPT, chat=True, choices=CHOICES, logprobs=2, **options)
        for name, model in models.items()
    }
    text, report = found["torch"]
    assert text in CHOICES
    for other, others in found.values():
        assert other == text
        assert others.ids == report.ids
        np.testing.assert_allclose(
            [one.logprob for one in others.scores], [one.logprob for one in report.scores], atol=1e-3
        )
    model = models["torch"]
    expected = model.score(model.prompt(PROMPT, chat=True), model.tokenize(text))
    np.testing.assert_allclose([one.logprob for one in report.scores], expected, atol=1e-4)
    if not options["temperature"]:
        prompt = model.prompt(PROMPT, chat=True)
        spelt = [model.tokenize(choice) for choice in CHOICES]
        sums = [
            np.logaddexp(*(model.score(prompt, [*ids, end]).sum() for end in model.ends)) for ids in spelt
        ]
        assert text == CHOICES[int(np.argmax(sums))]


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.0, "seed": 11, "stop": ["a ku"]},
        {"temperature": 0.9, "seed": 3, "frequency_penalty": 0.7, "presence_penalty": 0.3},
        {"temperature": 1.5, "seed": 8, "top_p": 0.6},
        {"temperature": 0.0, "presence_penalty": 1.5},
    ],
)
def test_the_same_seed_gives_the_same_tokens_in_all_runtimes(
    models: dict[str, LanguageModel], options: dict[str, Any]
) -> None:
    found = {
        name: written(model, PROMPT, max_tokens=60, logprobs=3, **options) for name, model in models.items()
    }
    text, report = found["torch"]
    assert len(report.ids) > 3, text
    if "stop" in options:
        assert report.ended == "stop"
    for name, (other, others) in found.items():
        assert (other, others.ids, others.ended) == (text, report.ids, report.ended), name
        assert [[token for token, _ in one.top] for one in others.scores] == [
            [token for token, _ in one.top] for one in report.scores
        ], name


def test_scores_are_the_models_own(model: LanguageModel) -> None:
    _, report = written(
        model, PROMPT, temperature=2.0, top_p=0.9, seed=2, max_tokens=20, logprobs=4, presence_penalty=1.0
    )
    prompt = model.prompt(PROMPT)
    np.testing.assert_allclose(
        [one.logprob for one in report.scores], model.score(prompt, report.ids), atol=2e-3
    )
    rows = log_softmax(model.session().feed([*prompt, *report.ids])[len(prompt) - 1 : -1])
    assert [one.token for one in report.scores] == report.ids
    for one, row in zip(report.scores, rows, strict=True):
        assert len(one.top) == 4
        values = [score for _, score in one.top]
        assert values == sorted(values, reverse=True)
        assert values[0] == pytest.approx(row.max(), abs=2e-3)
        assert all(score == pytest.approx(row[token], abs=2e-3) for token, score in one.top)
    assert written(model, PROMPT, max_tokens=3)[1].scores == []


def test_penalties_are_taken_from_the_logits() -> None:
    wanted = {97: 3.0, 98: 2.5, 99: 0.9}

    def after(ids: list[int]) -> np.ndarray:
        logits = np.full(VOCAB_SIZE, -50.0)
        for token, value in wanted.items():
            logits[token] = value
        return logits

    def first(count: int, **options: float) -> str:
        return written(ByteModel(after), [BOS], temperature=0, max_tokens=count, **options)[0]

    assert first(4) == "aaaa"
    assert first(4, presence_penalty=1.0) == "abaa"  # 3 or 2.5, then 2 and 1.5
    assert first(6, frequency_penalty=1.0) == "ababab"[:5] + "c"


@pytest.mark.parametrize("name", ["torch", "onnx", "llama.cpp"])
def test_a_kept_cache_saves_reading_and_changes_no_text(models: dict[str, LanguageModel], name: str) -> None:
    model, options = models[name], {"max_tokens": 20, "temperature": 0.8, "lookup": False}
    _, report = written(model, PROMPT, reuse=True, seed=1, **options)
    assert report.reused == 0
    longer = [*model.prompt(PROMPT), *report.ids, *model.tokenize(" futhi")]
    again, kept = written(model, longer, reuse=True, seed=2, **options)
    assert kept.reused == len(model.prompt(PROMPT)) + len(report.ids) - 1
    assert again == written(model, longer, seed=2, **options)[0]
    other = [*model.prompt(PROMPT)[:4], *model.tokenize("kodwa umoya")]
    written(model, longer, reuse=True, seed=3, **options)
    turned, kept = written(model, other, reuse=True, seed=4, **options)
    assert kept.reused == 4
    assert turned == written(model, other, seed=4, **options)[0]


@pytest.mark.parametrize("name", ["torch", "onnx", "llama.cpp"])
def test_a_session_in_between_costs_the_cache_and_no_more(
    models: dict[str, LanguageModel], name: str
) -> None:
    model = models[name]
    expected = written(model, PROMPT, max_tokens=10)[0]
    assert model.held is None
    written(model, PROMPT, reuse=True, max_tokens=10)
    assert model.held is not None
    model.score(model.prompt("Umoya"), model.tokenize(" uyabanda"))
    text, report = written(model, PROMPT, reuse=True, max_tokens=10)
    assert text == expected
    assert report.reused == (0 if name == "llama.cpp" else report.prompt_tokens - 1)


def test_two_texts_in_progress_share_no_cache(models: dict[str, LanguageModel]) -> None:
    model, options = models["torch"], {"max_tokens": 12, "temperature": 1.0, "reuse": True}
    alone = written(model, PROMPT, seed=5, **options)[0]
    first, second = (model.generate(PROMPT, seed=5, **options) for _ in range(2))  # type: ignore[arg-type]
    texts = ["", ""]
    for one, other in zip(first, second, strict=True):
        texts = [texts[0] + one, texts[1] + other]
    assert texts == [alone, alone]


def test_a_text_left_in_the_middle_leaves_a_cache_that_is_right(model: LanguageModel) -> None:
    pieces = model.generate(PROMPT, reuse=True, max_tokens=30, seed=1)
    for _ in range(5):
        next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    text, report = written(model, PROMPT, reuse=True, max_tokens=30, seed=2)
    assert report.reused == report.prompt_tokens - 1
    assert text == written(model, PROMPT, max_tokens=30, seed=2)[0]


def test_another_thread_can_end_a_text(unhurried: None, model: LanguageModel) -> None:
    report = Generation()
    threading.Timer(0.3, report.cancel).start()
    text = "".join(model.generate(PROMPT, max_tokens=200, report=report))
    assert report.ended == "cancelled"
    assert 0 < report.tokens < 120
    assert text == model.detokenize(report.ids)


def test_a_prompt_can_be_given_up_between_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgelm.runtime import generation

    monkeypatch.setattr(generation, "PORTION", 10)
    reads: list[int] = []
    report = Generation()

    def after(ids: list[int]) -> np.ndarray:
        reads.append(len(ids))
        if len(ids) == 15:
            report.cancel()
        return np.zeros(VOCAB_SIZE)

    assert "".join(ByteModel(after).generate([BOS] * 40, report=report)) == ""
    assert (report.ended, report.tokens, max(reads)) == ("cancelled", 0, 20)


def test_a_cache_that_another_text_took_is_not_gone_on_with(models: dict[str, LanguageModel]) -> None:
    for model in models.values():
        ids = [model.bos, *model.tokenize("Sawubona")]
        alone = list(model.generate([*ids, 9], max_tokens=5, temperature=0))
        report = Generation()
        list(model.generate(ids[:-1], max_tokens=1, temperature=0, reuse=True))
        model.held.ids[:] = model.held.ids[: len(ids) - 1]
        model.score(ids, [7])  # its session ends the one that was kept
        again = list(model.generate([*ids, 9], max_tokens=5, temperature=0, reuse=True, report=report))
        assert again == alone
