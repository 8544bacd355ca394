import os

import made_up
import pytest

from edgelm.errors import BadInput
from edgelm.evaluate.baselines import (
    BASELINES,
    baselines,
    copy_source,
    crf,
    first_choice,
    frequent_tag,
    lead_sentence,
    majority,
    tfidf_logistic,
    tfidf_svm,
)
from edgelm.evaluate.template import template
from edgelm.tasks.examples import Choice, Labelled, Pair, Tagged
from edgelm.tasks.task import load_task


def example(label: str, language: str = "zul", text: str = "x") -> Labelled:
    return Labelled(text, label, language)


def triple(entity: str, relation: str, value: str, *references: str) -> Pair:
    parts = {"entity": entity, "relation": relation, "value": value}
    return Pair(f"{entity} | {relation} | {value}", references, "xho", parts=parts)


def test_majority_is_by_language() -> None:
    train = [example("a"), example("b"), example("b"), example("c", "xho"), example("d", "xho")]
    test = [example("d", "xho"), example("a"), example("a", "tso")]
    assert majority(train, test) == [
        "c",
        "b",
        "b",
    ]  # a tie: the first; a language without training: all of them


@pytest.mark.parametrize("predict", [tfidf_svm, tfidf_logistic])
def test_tfidf_learns_what_letters_tell(predict) -> None:  # type: ignore[no-untyped-def]
    texts = {"rain": "imvula iyana namhlanje", "bread": "isinkwa nobisi ekuseni"}
    train = [example(label, text=text) for label, text in texts.items() for _ in range(3)]
    test = [example("?", text="isinkwa sethu"), example("?", text="imvula yethu")]
    assert predict(train, test) == ["bread", "rain"]


def test_one_label_is_nothing_to_learn() -> None:
    train, test = [example("rain"), example("rain")], [example("bread")]
    assert {name: predict(train, test) for name, predict in BASELINES.items()} == {
        "majority": ["rain"],
        "TF-IDF + SVM": ["rain"],
        "TF-IDF + logistic regression": ["rain"],
    }


def test_tfidf_is_deterministic_and_beats_majority(tmp_path) -> None:  # type: ignore[no-untyped-def]
    task = load_task(made_up.make_task(tmp_path))
    train, test = task.examples("train"), task.examples("test")
    truth = [one.label for one in test]
    predicted = {name: predict(train, test) for name, predict in BASELINES.items()}
    hits = {name: sum(map(str.__eq__, labels, truth)) for name, labels in predicted.items()}
    assert hits["TF-IDF + SVM"] > 1.5 * hits["majority"]
    assert hits["TF-IDF + logistic regression"] > 1.5 * hits["majority"]
    assert tfidf_svm(train, test) == predicted["TF-IDF + SVM"]


def test_most_frequent_tag_backs_off_to_the_longest_known_suffix() -> None:
    train = [
        Tagged(("uyahamba", "inja", "inja", "inja", "Inja"), ("VERB", "NOUN", "NOUN", "X", "PROPN"), "zul"),
        Tagged(("kuhamba", "isitja", *["kwa"] * 4), ("VERB", "NOUN", *["ADP"] * 4), "zul"),
    ]
    test = [Tagged(("inja", "bahamba", "izitja", "Umnja", "bona", "!"), ("?",) * 6, "zul")]
    # known; ...hamba; ...itja; ...nja with a capital; ...a, the commonest of which is ADP; nothing known
    assert frequent_tag(train, test) == [["NOUN", "VERB", "NOUN", "PROPN", "ADP", "ADP"]]


def test_crf_tags_by_spelling() -> None:
    pytest.importorskip("sklearn_crfsuite", reason="CRFsuite trains the tagger")
    train = [Tagged(("uBana", "uya", "eKapa"), ("B-PER", "O", "B-LOC"), "xho")] * 8
    assert crf(train, [Tagged(("uVela", "uya", "eMonti"), ("?",) * 3, "xho")]) == [["B-PER", "O", "B-LOC"]]


def test_copy() -> None:
    assert copy_source([], [triple("A B", "is", "C"), Pair("Umntu.", ("x",), "eng")]) == ["A B C", "Umntu."]


@pytest.mark.parametrize(
    ("text", "lead"),
    [
        ("Kunetha namhlanje. Abantu bahlala ekhaya.", "Kunetha namhlanje."),
        ("  Kunetha namhlanje\nAbantu bahlala ekhaya.", "Kunetha namhlanje"),
        ("“Kunetha!” Abantu bahlala.", "“Kunetha!"),
        ("Kunetha nge-2.5 mm namhlanje", "Kunetha nge-2.5 mm namhlanje"),
        ("Kunetha namhlanje.Abantu bahlala ekhaya.", "Kunetha namhlanje."),
        ("I-U.S.A iphumelele. Abantu bahlala.", "I-U.S.A iphumelele."),
        ("", ""),
    ],
)
def test_lead_sentence(text: str, lead: str) -> None:
    assert lead_sentence([], [Pair(text, ("x",), "xho")]) == [lead]


def test_commonest_place_of_the_right_option() -> None:
    def choice(answer: int, options: tuple[str, ...] = ("a", "b", "c")) -> Choice:
        return Choice("?", options, answer, "xho")

    assert first_choice([choice(2), choice(1), choice(2)], [choice(0), choice(0, ("x", "y"))]) == [2, 1]
    assert first_choice([choice(2), choice(1)], [choice(0)]) == [1]
    assert first_choice([], [choice(2)]) == [0]


def test_each_family_has_its_own() -> None:
    assert list(baselines("classification")) == list(BASELINES)
    assert list(baselines("tagging")) == ["most frequent tag", "CRF"]
    assert list(baselines("generation", [triple("A", "is", "B")])) == ["copy", "template"]
    assert list(baselines("generation", [Pair("Umntu.", ("x",), "xho")])) == ["copy", "lead sentence"]
    assert list(baselines("generation", [Pair("A man.", ("Umntu.",), "xho", "eng")])) == ["copy"]
    assert baselines("chat") == {}
    with pytest.raises(BadInput, match="no family of tasks is called 'tag'"):
        baselines("tag")


def test_template_is_the_commonest_of_its_relation() -> None:
    train = [
        triple("Bana", "river", "Zodwa", "iBana linomlambo iZodwa."),
        triple("Kapa", "river", "Lwandle", "ILwandle ngumlambo waseKapa.", "iKapa linomlambo iLwandle."),
        triple("Monti", "river", "Nxuba", *["iMonti inomlambo."] * 3),
        triple("Monti", "leaderName", "Vela", "Inkokeli yaseMonti nguVela."),
    ]
    test = [
        triple("Luya", "river", "Bala"),
        triple("Luya", "leaderTitle", "Bala"),
        triple("Luya", "height", "9"),
    ]
    # the commonest with both slots; that of a relation with a word in common; a copy
    assert template(train, test) == ["iLuya linomlambo iBala.", "Inkokeli yaseLuya nguBala.", "Luya 9"]
    assert template([], test[:1]) == ["Luya Bala"]


def test_of_equal_templates_the_one_most_like_the_others_is_taken() -> None:
    train = [
        triple("Bana", "river", "Zodwa", "Kukho umfula phakathi kweBana obizwa Zodwa."),
        triple("Kapa", "river", "Lwandle", "iKapa inomlambo omde iLwandle."),
        triple("Monti", "river", "Nxuba", "iMonti inomlambo iNxuba."),
    ]
    assert template(train, [triple("Luya", "river", "Bala")])[0].startswith("iLuya inomlambo")


def test_backslashes_and_odd_letters_are_filled_in_as_they_are() -> None:
    train = [triple("Bana", "is", "Zodwa", "iBana yiZodwa.")]
    assert template(train, [triple(r"a\1\g<0>", "is", "b\\")]) == [r"ia\1\g<0> yib" + "\\."]


@pytest.mark.skipif(not os.environ.get("EDGELM_DATA"), reason="EDGELM_DATA does not name the data's folder")
def test_scores_on_published_data() -> None:
    """The figures of docs/baselines.md that take no more than a second each."""
    pytest.importorskip("sacrebleu", reason="BLEU and chrF are sacreBLEU's")
    from edgelm.evaluate.scores import score

    found = {}
    for name, split in (("injongo_intent", "test"), ("masakhapos", "validation"), ("t2x", "validation")):
        task = load_task(name)
        train, test = (task.examples(one, ["xho"]) for one in ("train", split))
        for baseline, predict in baselines(task.family, test).items():
            if baseline in ("TF-IDF + SVM", "most frequent tag", "copy", "template"):
                found[baseline] = score(test, predict(train, test), labels=task.labels)
    assert found["TF-IDF + SVM"]["accuracy"] == pytest.approx(0.973, abs=0.005)
    assert found["most frequent tag"]["accuracy"] == pytest.approx(0.770, abs=0.005)
    assert found["copy"]["bleu"] == pytest.approx(12.2, abs=0.3)
    assert found["template"]["bleu"] == pytest.approx(22.8, abs=0.3)
    assert found["template"]["chrf"] == pytest.approx(58.4, abs=0.3)
