import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.evaluate.metrics import classification_scores, macro_f1

LABELS = ("health", "food", "school", "weather")
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(PAIRS)
@settings(max_examples=150, deadline=None)
def test_macro_f1_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import f1_score

    truth, predicted = map(np.array, zip(*pairs, strict=True))
    assert macro_f1(truth, predicted, 4) == pytest.approx(f1_score(truth, predicted, average="macro"))


@given(PAIRS)
@settings(max_examples=15, deadline=None)
def test_scores_lie_where_they_must(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = ([LABELS[one] for one in side] for side in zip(*pairs, strict=True))
    found = classification_scores(truth, predicted, LABELS)
    low, high = found["interval"]
    assert 0 <= low <= high <= 1
    assert found["accuracy"] == round(sum(a == b for a, b in pairs) / len(pairs), 4)
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
