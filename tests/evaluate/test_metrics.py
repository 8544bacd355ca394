import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.errors import BadInput
from edgelm.evaluate.bootstrap import interval, summarise
from edgelm.evaluate.metrics import choice_counts, classification_counts, classification_scores

LABELS = ("health", "food", "school", "weather")
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


def named(pairs: list[tuple[int, int]]) -> tuple[list[str], list[str]]:
    truth, predicted = ([LABELS[one] for one in side] for side in zip(*pairs, strict=True))
    return truth, predicted


@given(PAIRS)
@settings(max_examples=60, deadline=None)
def test_figures_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    truth, predicted = named(pairs)
    counts = classification_counts(truth, predicted, LABELS)
    found = counts.measure(counts.rows.sum(axis=0)[None])
    for average in ("macro", "micro", "weighted"):
        assert found[f"{average}_f1"][0] == pytest.approx(f1_score(truth, predicted, average=average))
    assert found["accuracy"][0] == pytest.approx(accuracy_score(truth, predicted))


def test_intervals_are_those_of_scoring_each_resample_with_scikit_learn() -> None:
    from sklearn.metrics import f1_score

    random = np.random.default_rng(3)
    truth = random.integers(0, 4, 30)
    predicted = np.where(random.random(30) < 0.6, truth, random.integers(0, 4, 30))
    drawn = np.random.default_rng(0).integers(0, 30, (1000, 30))
    found = classification_scores([LABELS[i] for i in truth], [LABELS[i] for i in predicted], LABELS)
    for average in ("macro", "weighted"):
        scores = [f1_score(truth[rows], predicted[rows], average=average) for rows in drawn[::8]]
        counts = classification_counts([LABELS[i] for i in truth], [LABELS[i] for i in predicted], LABELS)
        assert counts.resampled()[f"{average}_f1"][::8] == pytest.approx(scores)
    assert found["interval"] == found["intervals"]["macro_f1"]


def test_resamples_do_not_depend_on_how_many_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, predicted = list(LABELS) * 8, list(LABELS[::-1] + LABELS) * 4
    whole = classification_scores(truth, predicted, LABELS)
    monkeypatch.setattr("edgelm.evaluate.bootstrap.CELLS", 7 * 32)
    assert classification_scores(truth, predicted, LABELS) == whole


@given(PAIRS)
@settings(max_examples=15, deadline=None)
def test_scores_lie_where_they_must(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = named(pairs)
    found = classification_scores(truth, predicted, LABELS)
    for low, high in found["intervals"].values():
        assert 0 <= low <= high <= 1
    assert found["accuracy"] == found["micro_f1"] == round(sum(a == b for a, b in pairs) / len(pairs), 4)
    assert found["items"] == len(pairs)
    assert classification_scores(truth, predicted, LABELS) == found


def test_interval_holds_the_score_and_narrows_with_more_items() -> None:
    random = np.random.default_rng(0)
    widths = []
    for items in (40, 400, 4000):
        truth = random.integers(0, 4, items)
        predicted = np.where(random.random(items) < 0.7, truth, random.integers(0, 4, items))
        found = classification_scores([LABELS[i] for i in truth], [LABELS[i] for i in predicted], LABELS)
        low, high = found["interval"]
        assert low < found["macro_f1"] < high
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_all_right_and_all_wrong() -> None:
    right = classification_scores(list(LABELS) * 3, list(LABELS) * 3, LABELS)
    assert (right["macro_f1"], right["interval"]) == (1.0, [1.0, 1.0])
    wrong = classification_scores(list(LABELS), [*LABELS[1:], LABELS[0]], LABELS)
    assert (wrong["macro_f1"], wrong["interval"], wrong["accuracy"]) == (0.0, [0.0, 0.0], 0.0)


def test_chance_is_what_guessing_scores() -> None:
    from sklearn.metrics import f1_score

    truth = ["health"] * 6 + ["food"] * 3 + ["school"]
    found = classification_scores(truth, truth, LABELS)["chance"]
    assert found["majority"]["accuracy"] == 0.6
    constant = f1_score(truth, ["health"] * 10, average="macro", zero_division=0)
    assert found["majority"]["macro_f1"] == pytest.approx(constant, abs=1e-4)
    assert found["uniform"]["accuracy"] == 0.25
    many = np.random.default_rng(0).choice(LABELS, 40_000)
    drawn = f1_score(truth * 4000, many, average="macro")
    assert found["uniform"]["macro_f1"] == pytest.approx(drawn, abs=0.01)


def test_what_cannot_be_scored_is_named() -> None:
    for problem, arguments in {
        "nothing to score": ([], [], LABELS),
        "1 predictions for 2 items": (["food", "food"], ["food"], LABELS),
        "the label 'sport' is none of the task's": (["food"], ["sport"], LABELS),
    }.items():
        with pytest.raises(BadInput, match=problem):
            classification_scores(*arguments)


def test_choices() -> None:
    answers, options, predicted = [0, 0, 1, 3], [4, 4, 2, 4], [0, 1, 1, 3]
    found = summarise(choice_counts(answers, options, predicted), "accuracy")
    assert (found["accuracy"], found["items"]) == (0.75, 4)
    assert found["chance"] == {
        "uniform": {"accuracy": round((0.25 * 3 + 0.5) / 4, 4)},
        "majority": {"accuracy": 0.5},
    }
    hits = np.array([1, 0, 1, 1])
    drawn = hits[np.random.default_rng(0).integers(0, 4, (1000, 4))].mean(axis=1)
    assert found["interval"] == interval(drawn)
    with pytest.raises(BadInput, match="question 3 has 2 options, not one numbered 3"):
        choice_counts(answers, options, [0, 1, 3, 3])
    with pytest.raises(BadInput, match="3 predictions for 4 items"):
        choice_counts(answers, options, [0, 1, 1])
    with pytest.raises(BadInput, match="nothing to score"):
        choice_counts([], [], [])
