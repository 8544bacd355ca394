import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.errors import BadInput
from edgelm.evaluate.bootstrap import summarise
from edgelm.evaluate.tagging_metrics import span_counts, tag_counts

BIO = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-DATE", "I-DATE")
POS = ("NOUN", "VERB", "ADJ")


def sides(tags: tuple[str, ...]) -> st.SearchStrategy:
    pair = st.tuples(st.sampled_from(tags), st.sampled_from(tags))
    return st.lists(st.lists(pair, max_size=9), min_size=1, max_size=6).filter(any)


def unzip(sentences: list[list[tuple[str, str]]]) -> tuple[list[list[str]], list[list[str]]]:
    gold, predicted = ([[word[side] for word in sentence] for sentence in sentences] for side in (0, 1))
    return gold, predicted


@given(sides(BIO))
@settings(max_examples=150, deadline=None)
def test_spans_are_those_of_seqeval(sentences: list[list[tuple[str, str]]]) -> None:
    from seqeval.metrics import accuracy_score, classification_report

    gold, predicted = unzip(sentences)
    counts = span_counts(gold, predicted)
    found = {name: value[0] for name, value in counts.measure(counts.rows.sum(axis=0)[None]).items()}
    assert found["accuracy"] == pytest.approx(accuracy_score(gold, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nothing to divide by
        if {tag for side in (gold, predicted) for one in side for tag in one} == {"O"}:
            assert found["span_f1"] == 0  # seqeval reports on no type at all
            return
        theirs = classification_report(gold, predicted, output_dict=True)
    micro = theirs.pop("micro avg")
    assert found["span_f1"] == pytest.approx(micro["f1-score"])
    assert found["span_precision"] == pytest.approx(micro["precision"])
    assert found["span_recall"] == pytest.approx(micro["recall"])
    ours = {name.removeprefix("span_f1_"): value for name, value in found.items() if "f1_" in name}
    assert ours == pytest.approx({kind: one["f1-score"] for kind, one in theirs.items() if "avg" not in kind})


@given(sides(POS))
@settings(max_examples=80, deadline=None)
def test_tags_are_those_of_scikit_learn(sentences: list[list[tuple[str, str]]]) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    gold, predicted = unzip(sentences)
    counts = tag_counts(gold, predicted, POS)
    found = {name: value[0] for name, value in counts.measure(counts.rows.sum(axis=0)[None]).items()}
    truth, guess = ([tag for one in side for tag in one] for side in (gold, predicted))
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, guess))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro"))
    assert len(counts.rows) == len(gold)


def test_sentences_are_resampled_whole() -> None:
    from seqeval.metrics import f1_score

    random = np.random.default_rng(1)
    gold = [[BIO[i] for i in random.integers(0, 7, 6)] for _ in range(12)]
    predicted = [[tag if random.random() < 0.7 else "O" for tag in sentence] for sentence in gold]
    drawn = np.random.default_rng(0).integers(0, 12, (1000, 12))
    ours = span_counts(gold, predicted).resampled()
    words = tag_counts(gold, predicted).resampled()["accuracy"]
    for place in range(0, 1000, 50):
        true, guess = ([side[row] for row in drawn[place]] for side in (gold, predicted))
        assert ours["span_f1"][place] == pytest.approx(f1_score(true, guess))
        right = np.mean(
            [a == b for one, other in zip(true, guess, strict=True) for a, b in zip(one, other, strict=True)]
        )
        assert ours["accuracy"][place] == words[place] == pytest.approx(right)


@pytest.mark.parametrize("counts", [span_counts, tag_counts])
def test_a_prediction_of_another_length_is_refused(counts) -> None:  # type: ignore[no-untyped-def]
    gold = [["B-PER", "O"], ["B-LOC", "I-LOC", "O"]]
    for predicted, problem in (
        ([["B-PER", "O"], ["B-LOC", "I-LOC"]], "sentence 2 has 3 words and 2 predicted tags"),
        ([["B-PER", "O", "O"], ["B-LOC", "I-LOC", "O"]], "sentence 1 has 2 words and 3 predicted tags"),
        ([["B-PER", "O"], []], "sentence 2 has 3 words and 0 predicted tags"),
        ([["B-PER", "O"]], "1 predictions for 2 items"),
    ):
        with pytest.raises(BadInput, match=problem):
            counts(gold, predicted)
    for empty, problem in (([], "nothing to score"), ([[], []], "no sentence has a word")):
        with pytest.raises(BadInput, match=problem):
            counts(empty, empty)


@pytest.mark.parametrize("counts", [span_counts, tag_counts])
def test_every_gold_token_counts(counts) -> None:  # type: ignore[no-untyped-def]
    gold = [["B-PER", "O", "O", "O"], ["O"], ["B-LOC"] * 5, []]
    predicted = [["B-PER", "O", "O", "O"], ["O"], ["O"] * 5, []]
    found = summarise(counts(gold, predicted), "accuracy")
    assert (found["accuracy"], found["items"]) == (0.5, 4)


def test_unknown_tags_are_named() -> None:
    with pytest.raises(BadInput, match="the tag 'PER' is none of O, B-TYPE and I-TYPE"):
        span_counts([["B-PER"]], [["PER"]])
    with pytest.raises(BadInput, match="the label 'X' is none of the task's"):
        tag_counts([["NOUN"]], [["X"]], POS)


def test_chance() -> None:
    gold = [["O"] * 7 + ["B-PER", "I-PER", "B-LOC"]] * 40
    found = summarise(span_counts(gold, gold, BIO), "span_f1")
    assert found["span_f1"] == found["span_f1_LOC"] == 1.0
    assert "span_f1_DATE" not in found
    assert found["chance"]["majority"] == {
        "span_f1": 0.0,
        "span_precision": 0.0,
        "span_recall": 0.0,
        "accuracy": 0.7,
        "span_f1_LOC": 0.0,
        "span_f1_PER": 0.0,
    }
    uniform = found["chance"]["uniform"]
    assert uniform["accuracy"] == pytest.approx(1 / 7, abs=0.04)
    assert 0 < uniform["span_f1"] < 0.15
    assert uniform["span_f1_DATE"] == 0.0
    assert (
        uniform["span_precision"] < uniform["span_recall"]
    )  # spans of every type are guessed, wrong ones too
    flat = summarise(tag_counts(gold, gold, BIO[:5]), "accuracy")["chance"]
    assert (flat["uniform"]["accuracy"], flat["majority"]["accuracy"]) == (0.2, 0.7)
