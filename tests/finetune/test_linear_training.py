import numpy as np
import pytest

from edgelm.errors import BadInput
from edgelm.tasks.examples import Labelled

pytest.importorskip("sklearn", reason="scikit-learn trains the classifier")

from edgelm.finetune import linear
from edgelm.finetune.linear import train_linear

TEXTS = {
    "rain": "imvula iyana namhlanje",
    "bread": "isinkwa nobisi ekuseni",
    "song": "ingoma emnandi",
}
TRAIN = [
    Labelled(f"{text} {number}", label, "zul" if number % 2 else "xho")
    for label, text in TEXTS.items()
    for number in range(6)
]
HELD_OUT = [
    Labelled("isinkwa sethu", "bread", "zul"),
    Labelled("imvula yethu", "rain", "zul"),
    Labelled("ingoma yethu", "song", "xho"),
]


def test_learns_what_letters_tell_and_says_how() -> None:
    model = train_linear(TRAIN, HELD_OUT, task="topics")
    assert model.predict([one.text for one in HELD_OUT]) == ["bread", "rain", "song"]
    assert (model.task, model.languages, model.labels) == (
        "topics",
        ("xho", "zul"),
        ("bread", "rain", "song"),
    )
    assert model.figures["training_texts"] == 18
    assert model.figures["validation_texts"] == 3
    assert model.figures["validation_macro_f1"] == 1.0
    assert len(model.figures["tried"]) == 5
    assert model.method == next(iter(model.figures["tried"]))  # the first of equals


def test_the_cost_is_chosen_on_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(linear.COSTS, "logistic", (1e-7, 100.0, 1e-8))
    lopsided = TRAIN + [one for one in TRAIN if one.label == "rain"] * 3
    model = train_linear(lopsided, HELD_OUT, methods=("logistic",))
    assert model.method == "LogisticRegression, C=100"
    # so little cost tells nothing apart: `rain` for all three, an F1 of 1/2, 0 and 0
    assert model.figures["tried"]["LogisticRegression, C=1e-07"] == pytest.approx(1 / 6, abs=1e-4)


def test_without_validation_there_is_one_candidate() -> None:
    assert train_linear(TRAIN).method == "LinearSVC, C=1"
    assert train_linear(TRAIN, methods=("logistic",)).method == "LogisticRegression, C=10"
    assert train_linear(TRAIN).figures == {"training_texts": 18}


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("method", ["svm", "logistic"])
def test_decides_as_the_estimator_it_came_from(labels: int, method: str) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    train = [one for one in TRAIN if one.label in sorted(TEXTS)[:labels]]
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    known = vectorizer.fit_transform([one.text for one in train])
    estimator = linear._estimator(method, {"svm": 1.0, "logistic": 10.0}[method])
    estimator.fit(known, [one.label for one in train])
    texts = [one.text for one in TRAIN + HELD_OUT] + ["", "?"]
    theirs = estimator.decision_function(vectorizer.transform(texts))
    model = train_linear(train, methods=(method,), half=False)
    ours = model.decision(texts)
    assert np.abs((ours if labels > 2 else ours[:, 1]) - theirs).max() < 1e-5
    assert model.predict(texts) == estimator.predict(vectorizer.transform(texts)).tolist()


def test_rare_ngrams_and_sixteen_bits_make_it_smaller() -> None:
    whole, half, common = (
        train_linear(TRAIN, half=False),
        train_linear(TRAIN),
        train_linear(TRAIN, seen=4),
    )
    assert (whole.coefficients.dtype, half.coefficients.dtype) == (np.float32, np.float16)
    assert common.bytes < half.bytes < whole.bytes
    assert set(common.features) < set(half.features)


def test_same_training_same_weights() -> None:
    first, second = (train_linear(TRAIN, HELD_OUT) for _ in range(2))
    assert np.array_equal(first.coefficients, second.coefficients)


def test_what_cannot_be_trained_is_one_line() -> None:
    with pytest.raises(BadInput, match="fewer than two labels"):
        train_linear(TRAIN[:3])
    with pytest.raises(BadInput, match="fewer than two labels"):
        train_linear([])
    with pytest.raises(BadInput, match="no n-gram in common"):
        train_linear(TRAIN, seen=100)
    with pytest.raises(BadInput, match="unknown method 'forest'"):
        train_linear(TRAIN, methods=("forest",))
    with pytest.raises(BadInput, match="n-grams of 5 to 2"):
        train_linear(TRAIN, ngrams=(5, 2))
