from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgelm.errors import BadInput
from edgelm.tasks.examples import Tagged

pytest.importorskip("sklearn_crfsuite", reason="CRFsuite trains the tagger")

from edgelm.finetune.crf import from_crfsuite, tagging_score, train_crf


def sentence(*pairs: str, language: str = "xho") -> Tagged:
    """`word/TAG` each."""
    words, tags = zip(*(one.split("/") for one in pairs), strict=True)
    return Tagged(words, tags, language)


NAMES = [
    sentence("uBana/B-PER", "Dube/I-PER", "uya/O", "eKapa/B-LOC", "./O"),
    sentence("uZodwa/B-PER", "uhleli/O", "eMonti/B-LOC", "./O"),
    sentence("inja/O", "iya/O", "ekhaya/O", "./O", language="zul"),
] * 8
HELD_OUT = [sentence("uLuya/B-PER", "uya/O", "eBala/B-LOC", "./O"), sentence("ikati/O", "iya/O", "ekhaya/O")]


def test_learns_from_spelling_and_says_how() -> None:
    tagger = train_crf(NAMES, HELD_OUT, task="names", penalties=((0.1, 0.1), (0.01, 0.01)))
    assert tagger.tag([["uVela", "uya", "eTheku", "."]]) == [["B-PER", "O", "B-LOC", "O"]]
    assert (tagger.task, tagger.languages) == ("names", ("xho", "zul"))
    assert tagger.figures["training_sentences"] == 24
    assert tagger.figures["validation_sentences"] == 2
    assert set(tagger.figures["tried"]) == {"CRF, c1=0.1, c2=0.1", "CRF, c1=0.01, c2=0.01"}
    assert tagger.figures["validation_span_f1"] == max(tagger.figures["tried"].values()) == 1.0
    assert tagger.method == "CRF, c1=0.1, c2=0.1"  # the first of equals


def test_the_penalty_is_chosen_on_validation() -> None:
    tagger = train_crf(NAMES, HELD_OUT, penalties=((1000, 0.1), (0.1, 0.1), (100, 0.1)))
    assert tagger.method == "CRF, c1=0.1, c2=0.1"
    assert tagger.figures["tried"]["CRF, c1=1000, c2=0.1"] < 0.5  # so heavy a penalty leaves no weight
    without = train_crf(NAMES, penalties=((0.3, 0.1), (0.1, 0.1)))
    assert without.method == "CRF, c1=0.3, c2=0.1"
    assert without.figures == {"training_sentences": 24}


def test_what_few_words_have_can_be_left_out() -> None:
    once = sentence("inkawu/O", "iya/O", "eZola/B-LOC", "./O")
    taggers = [train_crf([*NAMES, once], penalties=((0.0, 0.001),), seen=seen) for seen in (1, 2)]
    every, common = (one.attributes for one in taggers)
    assert any("inkawu" in one for one in every)
    assert not any("inkawu" in one for one in common)
    assert any("ekhaya" in one for one in common)
    for tagger in taggers:  # what never happens weighs against a tag in both
        place = {tag: number for number, tag in enumerate(tagger.tags)}
        assert tagger.transitions[place["O"], place["I-PER"]] < 0


def test_sixteen_bits_tag_alike() -> None:
    half, whole = train_crf(NAMES), train_crf(NAMES, half=False)
    assert (half.states.dtype, whole.states.dtype) == (np.float16, np.float32)
    words = [one.words for one in NAMES + HELD_OUT]
    assert half.tag(words) == whole.tag(words)


def test_weights_take_the_places_of_their_names() -> None:
    fitted = SimpleNamespace(
        classes_=["O", "B-PER"],
        state_features_={("0:w=b", "B-PER"): -2.0, ("0:w=a", "O"): 1.0, ("0:w=c", "O"): 1e-5},
        transition_features_={("O", "B-PER"): 3.0},
    )
    tagger = from_crfsuite(fitted, "made up", half=False)
    assert (tagger.tags, tagger.attributes) == (("O", "B-PER"), ("0:w=a", "0:w=b"))
    assert tagger.states.tolist() == [[1, 0], [0, -2]]
    assert tagger.transitions.tolist() == [[0, 3], [0, 0]]


def test_one_tag_is_enough() -> None:
    tagger = train_crf([sentence("a/NOUN", "b/NOUN")])
    assert tagger.tag([["c", "d"]]) == [["NOUN", "NOUN"]]


@pytest.mark.parametrize("none", [[], [Tagged((), (), "xho")]])
def test_nothing_to_train_on(none: list[Any]) -> None:
    with pytest.raises(BadInput, match="no training sentences"):
        train_crf(none)


def test_score_is_span_f1_or_accuracy() -> None:
    truth = [sentence("a/B-PER", "b/I-PER", "c/O", "d/B-LOC")]
    assert tagging_score(truth, [["B-PER", "I-PER", "O", "B-LOC"]]) == 1
    assert tagging_score(truth, [["B-PER", "O", "O", "B-LOC"]]) == pytest.approx(0.5)
    flat = [sentence("a/NOUN", "b/VERB", "c/NOUN")]
    assert tagging_score(flat, [["NOUN", "NOUN", "NOUN"]]) == pytest.approx(2 / 3, abs=1e-4)
    assert tagging_score([], []) == 0
