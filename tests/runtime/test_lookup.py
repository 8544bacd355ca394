"""Prompt lookup: what is drafted, and when that is left alone."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scripted import BOS, VOCAB_SIZE, ByteModel, ByteSession

from edgelm.runtime import Generation, LanguageModel
from edgelm.runtime import lookup as module
from edgelm.runtime.lookup import DRAFT, Drafts, Lookup, Pace


def test_a_draft_is_what_followed_the_last_tokens() -> None:
    lookup = Lookup([1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3])
    assert lookup.draft() == [4, 5, 6, 7, 8]
    lookup.add(9)
    assert lookup.draft() == []


def test_the_last_place_counts_and_never_the_end_itself() -> None:
    assert Lookup([1, 2, 3, 4, 4, 4, 4, 4, 1, 2, 3, 9, 9, 9, 9, 9, 1, 2, 3]).draft() == [9, 9, 9, 9, 9]
    assert Lookup([1, 2, 3]).draft() == []
    assert Lookup([1]).draft() == []


def test_what_goes_round_is_drafted_on() -> None:
    assert Lookup([7, 7, 7, 7]).draft() == [7] * DRAFT
    assert Lookup([1, 2, 1, 2, 1, 2]).draft() == [1, 2, 1, 2, 1][:DRAFT]


def pace(single: float, batch: float) -> Any:
    return SimpleNamespace(single=single, batch=batch)


def test_drafts_are_read_once_those_that_were_not_came_true() -> None:
    drafts = Drafts()
    for count in range(20):
        assert not drafts.wanted(pace(1.0, 2.5)) or count > 6
        drafts.watch([1, 2, 3, 4, 5])
        drafts.watch([9, 9])  # one at a time
        drafts.see(1 + count % 5)
    assert drafts.wanted(pace(1.0, 2.5))
    assert not drafts.wanted(pace(1.0, 4.6))


def test_drafts_end_where_they_do_not_come_true() -> None:
    drafts = Drafts()
    drafts.accepted, read = 5.0, 0
    while drafts.wanted(pace(1.0, 2.0)):
        drafts.came_true(0)
        read += 1
    assert 1 < read < 8
    for _ in range(30):
        drafts.watch([1, 2])
        drafts.see(3)
    assert not drafts.promising
    drafts.watch([1, 2, 3])
    for token in (1, 2, 9):
        drafts.see(token)
    assert drafts.accepted == pytest.approx(0.6, abs=0.01)


class Repeating(ByteModel):
    """Says `abcdefgh` for ever; reading takes as long as `cost` says of a number of tokens."""

    def __init__(self, cost: Any = lambda count: 0.0, drift: float = 0.0, context: int = 400):
        super().__init__(self.after, context)
        self.cost, self.drift, self.clock, self.reads = cost, drift, 0.0, list[int]()

    def after(self, ids: list[int]) -> np.ndarray:
        logits = np.zeros(VOCAB_SIZE)
        logits[97 + (len(ids) - 1) % 8] = 9.0
        return logits

    def session(self) -> "Slow":
        return Slow(self)


class Slow(ByteSession):
    model: Repeating

    def feed(self, ids: Any, last_only: bool = False) -> np.ndarray:
        self.model.clock += self.model.cost(len(ids))
        self.model.reads.append(len(ids))
        return super().feed(ids, last_only) + self.model.drift * (len(ids) > 1)


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> Any:
    def clock(model: Repeating) -> Repeating:
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: model.clock))
        return model

    return clock


def written(model: LanguageModel, prompt: Any, **options: Any) -> tuple[str, Generation]:
    report = Generation()
    return "".join(model.generate(prompt, max_tokens=200, report=report, **options)), report


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_text_is_the_same_and_read_in_fewer_steps(clocked: Any, temperature: float) -> None:
    model = clocked(Repeating(lambda count: 1 + 0.1 * count))
    text, report = written(model, [BOS], temperature=temperature, seed=5)
    steps = len(model.reads)
    assert (text, report.ids) == (
        (plain := written(model, [BOS], temperature=temperature, seed=5, lookup=False))[0],
        plain[1].ids,
    )
    assert plain[1].drafted == 0
    assert report.accepted > 50
    assert steps < 150
    assert report.tokens == 200


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_drafts_that_are_wrong_leave_no_trace(monkeypatch: pytest.MonkeyPatch, temperature: float) -> None:
    """What follows depends on all that was read, so that a wrong token in the cache shows."""

    def after(ids: list[int]) -> np.ndarray:
        logits = np.full(VOCAB_SIZE, -50.0)
        logits[97:100] = np.random.default_rng([sum(ids) % 23, *ids[-4:]]).normal(size=3) * 2
        return logits

    monkeypatch.setattr(Drafts, "wanted", lambda self, pace: True)
    monkeypatch.setattr(Drafts, "promising", True)
    model, options = ByteModel(after, context=200), {"temperature": temperature, "seed": 2}
    text, report = written(model, [BOS, 97, 98], **options)
    assert text == written(model, [BOS, 97, 98], lookup=False, **options)[0]
    assert 0 < report.accepted < report.drafted


def test_it_is_left_alone_where_reading_several_takes_as_much_longer(clocked: Any) -> None:
    model = clocked(Repeating(lambda count: float(count)))
    _, report = written(model, [BOS], temperature=0)
    assert report.drafted == 0
    assert model.pace is not None
    assert model.pace.batch == (1 + DRAFT) * model.pace.single


def test_it_is_left_alone_where_it_would_change_figures_unless_that_is_accepted(clocked: Any) -> None:
    model = clocked(Repeating(lambda count: 1.0, drift=0.01))
    assert written(model, [BOS], temperature=0)[1].drafted == 0
    assert not model.pace.alike
    assert written(model, [BOS], temperature=0, reuse=True)[1].drafted > 0


def test_measuring_leaves_the_session_as_it_was(model: LanguageModel) -> None:
    ids = model.prompt("Sawubona")
    session = model.session()
    session.feed(ids)
    found = Pace(session, len(ids), [5, 6, 7, 8])
    after = session.feed([9])
    fresh = model.session().feed([*ids, 9])[-1:]
    np.testing.assert_allclose(after, fresh, atol=1e-3)
    assert found.alike
    assert found.single > 0
    assert found.batch > 0


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"temperature": 0.5, "seed": 3}])
def test_all_runtimes_write_the_same_with_drafts(
    model: LanguageModel, options: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drafts, "wanted", lambda self, pace: True)
    monkeypatch.setattr(Drafts, "promising", True)
    prompt = "Sawubona mngane wami. Sawubona mngane wami. Sawubona mngane"
    text, report = written(model, prompt, **options)
    plain, without = written(model, prompt, lookup=False, **options)
    assert report.drafted > 0
    assert (text, report.ids, report.ended) == (plain, without.ids, without.ended)


def test_nothing_is_measured_where_a_text_does_not_repeat_itself() -> None:
    model = ByteModel(lambda ids: np.eye(VOCAB_SIZE)[32 + len(ids) * 7 % 89] * 99.0, context=100)
    assert written(model, [BOS], temperature=0)[1].drafted == 0
    assert model.pace is None


@pytest.mark.parametrize("context", range(38, 46))
def test_a_draft_stops_at_the_last_token_that_there_is_room_for(clocked: Any, context: int) -> None:
    model = clocked(Repeating(lambda count: 1.0, context=context))
    report = Generation()
    text = "".join(model.generate([BOS], max_tokens=200, temperature=0, report=report))
    assert len(text) == report.tokens == context - 1
    assert report.ended == "length"
    assert report.drafted > 0
