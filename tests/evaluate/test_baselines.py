import made_up

from edgelm.evaluate.baselines import BASELINES, majority, tfidf_svm
from edgelm.tasks.classification import Example, load_task


def example(label: str, language: str = "zul", text: str = "x") -> Example:
    return Example(text, label, language)


def test_majority_is_by_language() -> None:
    train = [example("a"), example("b"), example("b"), example("c", "xho"), example("d", "xho")]
    test = [example("d", "xho"), example("a"), example("a", "tso")]
    assert majority(train, test) == [
        "c",
        "b",
        "b",
    ]  # a tie: the first; a language without training: all of them


def test_tfidf_learns_what_letters_tell() -> None:
    texts = {"rain": "imvula iyana namhlanje", "bread": "isinkwa nobisi ekuseni"}
    train = [example(label, text=text) for label, text in texts.items() for _ in range(3)]
    test = [example("?", text="isinkwa sethu"), example("?", text="imvula yethu")]
    assert tfidf_svm(train, test) == ["bread", "rain"]


def test_one_label_is_nothing_to_learn() -> None:
    train, test = [example("rain"), example("rain")], [example("bread")]
    assert {name: predict(train, test) for name, predict in BASELINES.items()} == {
        "majority": ["rain"],
        "TF-IDF + SVM": ["rain"],
    }


def test_tfidf_is_deterministic_and_beats_majority(tmp_path) -> None:  # type: ignore[no-untyped-def]
    task = load_task(made_up.make_task(tmp_path))
    train, test = task.examples("train"), task.examples("test")
    truth = [one.label for one in test]
    hits = {name: sum(map(str.__eq__, predict(train, test), truth)) for name, predict in BASELINES.items()}
    assert hits["TF-IDF + SVM"] > 1.5 * hits["majority"]
    assert tfidf_svm(train, test) == tfidf_svm(train, test)
