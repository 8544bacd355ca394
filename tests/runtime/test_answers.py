"""What models that label say of plain text."""

from pathlib import Path

import numpy as np
import pytest

from edgelm.errors import BadInput
from edgelm.model.crf import CrfTagger
from edgelm.model.head_config import HeadConfig
from edgelm.model.linear import LinearClassifier
from edgelm.runtime import load, load_labeller
from edgelm.runtime.answers import answer, spans, split_sentences, split_words
from edgelm.runtime.labeller import CrfModel, LinearModel
from edgelm.tasks.examples import Labelled, Tagged

NER = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("USipho uhlala eThekwini.", ["USipho", "uhlala", "eThekwini", "."]),
        ('Wathi: "Hamba!"', ["Wathi", ":", '"', "Hamba", "!", '"']),
        ("I-BBC (2026), R1.50", ["I", "-", "BBC", "(", "2026", ")", ",", "R1", ".", "50"]),
        ("sa ka n’", ["sa", "ka", "n", "’"]),
        ("nge'khaya n\u0302a", ["nge'khaya", "n\u0302a"]),
        ("हिन्दी!", ["हिन्दी", "!"]),
        ("  ", []),
    ],
)
def test_punctuation_is_a_word_of_its_own(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_marks_inside_words_stay_where_the_training_data_has_them() -> None:
    assert split_words("(I-BBC, 1.5%)...", whole=True) == ["(", "I-BBC", ",", "1.5", "%", ")", ".", ".", "."]
    assert split_words("- x", whole=True) == ["-", "x"]
    assert CrfModel(tagger(("0:w=i-BBC",))).whole
    assert not CrfModel(tagger(("0:w=-", "1:w=i-BBC", "pair=a-b c-d"))).whole


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Bayahamba. USipho uyasala.", ["Bayahamba", "."]),
        ("Ngubani? USipho.", ["Ngubani", "?"]),
        ("Isihloko\nUSipho uyasala.", ["Isihloko"]),
        ("UMnu. Dube uyahamba. Yebo.", ["UMnu", ".", "Dube", "uyahamba", "."]),
        ("Ngo 5. 6 uyahamba", ["Ngo", "5", ".", "6", "uyahamba"]),
        ("Bayahamba. kodwa", ["Bayahamba", ".", "kodwa"]),
    ],
)
def test_sentences_end_where_they_do(text: str, first: list[str]) -> None:
    assert split_sentences(text)[0] == first


def test_spans_of_tags() -> None:
    tags = ["B-PER", "I-PER", "B-PER", "O", "I-LOC", "I-PER", "I-PER", "B-LOC"]
    assert spans(tags) == [("PER", 0, 2), ("PER", 2, 3), ("LOC", 4, 5), ("PER", 5, 7), ("LOC", 7, 8)]
    assert spans(["B-PER", "O", "I-PER"]) == [("PER", 0, 1), ("PER", 2, 3)]
    assert spans([]) == []


def tagger(attributes: tuple[str, ...], tags: tuple[str, ...] = ("A", "B")) -> CrfTagger:
    states = np.zeros((len(attributes), len(tags)), dtype=np.float32)
    states[:, 1] = 2.0
    return CrfTagger(tags, attributes, states, np.zeros((len(tags), len(tags)), dtype=np.float32))


def classifier(method: str, labels: tuple[str, ...] = ("rain", "bread", "song")) -> LinearClassifier:
    outputs = len(labels) if len(labels) > 2 else 1
    weights = np.eye(2, outputs, dtype=np.float32)
    return LinearClassifier(
        labels, ("aa", "bb"), np.ones(2, np.float32), weights, np.zeros(outputs, np.float32), method=method
    )


def test_a_logistic_regression_gives_probabilities_and_an_svm_margins() -> None:
    found = answer(LinearModel(classifier("LogisticRegression, C=10")), "bb")
    assert found["measure"] == "probability"
    assert found["label"] == "bread"
    assert list(found["labels"]) == ["bread", "rain", "song"]
    assert found["labels"]["bread"] == pytest.approx(np.e / (np.e + 2), abs=1e-4)
    assert sum(found["labels"].values()) == pytest.approx(1, abs=1e-3)
    found = answer(LinearModel(classifier("LinearSVC, C=1")), "bb")
    assert found["measure"] == "margin"
    assert found["labels"] == {"bread": 1.0, "rain": 0.0, "song": 0.0}


@pytest.mark.parametrize("count", [2, 3])
def test_probabilities_are_scikit_learns(count: int) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn trains the classifier")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    from edgelm.finetune.linear import train_linear

    texts = {"rain": "imvula iyana", "bread": "isinkwa nobisi", "song": "ingoma emnandi"}
    train = [
        Labelled(f"{text} {n}", label, "zul") for label, text in list(texts.items())[:count] for n in range(5)
    ]
    model = LinearModel(train_linear(train, methods=("logistic",), half=False))
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    estimator = LogisticRegression(C=10, max_iter=1000)
    estimator.fit(vectorizer.fit_transform([one.text for one in train]), [one.label for one in train])
    ours = np.concatenate(model.scores(train))
    theirs = estimator.predict_proba(vectorizer.transform([one.text for one in train]))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_crf_tags_words_with_its_marginals() -> None:
    found = answer(CrfModel(tagger(("0:w=Sipho",), ("O", "B-PER"))), "Sipho uyahamba. Yebo!")
    (first, second) = found["sentences"]
    assert first["words"] == ["Sipho", "uyahamba", "."]
    assert first["tags"] == ["B-PER", "O", "O"]
    assert first["scores"] == pytest.approx([np.exp(2) / (1 + np.exp(2)), 0.5, 0.5], abs=1e-3)
    assert first["spans"] == [{"kind": "PER", "start": 0, "end": 1, "words": ["Sipho"]}]
    assert second["words"] == ["Yebo", "!"]
    assert "spans" not in answer(CrfModel(tagger(("0:w=Sipho",))), "Sipho")["sentences"][0]


@pytest.mark.parametrize("kind", ["sequence", "token"])
def test_a_head_gives_the_softmax_of_its_logits(tmp_path: Path, tiny_model_dir: Path, kind: str) -> None:
    from edgelm.model.directory import load_model
    from edgelm.model.heads import save_labeller, with_head

    head = HeadConfig(kind, NER, scheme="bio" if kind == "token" else "flat")  # type: ignore[arg-type]
    save_labeller(with_head(load_model(tiny_model_dir), head, seed=3), tiny_model_dir, tmp_path / "m", "#\n")
    model = load_labeller(tmp_path / "m")
    assert model is not None
    found = answer(model, "Sipho uyahamba.")
    assert found["measure"] == "probability"
    if kind == "sequence":
        assert sum(found["labels"].values()) == pytest.approx(1, abs=1e-3)
        assert model.label([Labelled("Sipho uyahamba.", "", "")]) == [[found["label"]]]
    else:
        words = ("Sipho", "uyahamba", ".")
        assert model.label([Tagged(words, (), "")]) == [found["sentences"][0]["tags"]]
        (scores,) = model.scores([Tagged(words, (), "")])
        assert scores.shape == (3, 5)
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    with pytest.raises(BadInput, match=r"labels and writes no text\. Use edgelm run"):
        load(tmp_path / "m")


def test_an_empty_text_is_said_to_be_empty() -> None:
    with pytest.raises(BadInput, match="the text is empty"):
        answer(LinearModel(classifier("LinearSVC, C=1")), " \n")
