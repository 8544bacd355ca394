"""What the controls of the tab Corpus do, without a browser and mostly without a corpus."""

from types import SimpleNamespace

import pytest

pytest.importorskip("gradio", reason="the demo page is made with Gradio")

import gradio as gr
import numpy as np
from edgelm_demo import corpus_views as views
from edgelm_demo.context import Context
from edgelm_demo.corpora import Corpus
from edgelm_demo.corpus import ANY, KEPT, Reading

from edgelm.corpus.page.facts import Facts
from edgelm.corpus.tune import Change
from edgelm.languages import load_languages

NAME = "small"
RULE = {"reason": "too_short", "column": "words", "language": "zul"}


def facts(*thresholds):
    """Of a corpus in isiZulu with documents in other languages and in none that is known."""
    codes = dict.fromkeys(("zul", "other", "unknown"), {"kept": 1, "rejected": {}})
    own = {"recipe": {"filters": []}, "sources": {}, "distributions": {}, "thresholds": list(thresholds)}
    return Facts({"languages": codes, **own}, load_languages())


@pytest.fixture
def reading(tmp_path):
    return Reading(Context({}, gr.Dropdown(), corpora={NAME: Corpus(NAME, tmp_path)}))


@pytest.mark.parametrize("locale", ["eng", "zul"])
def test_documents_and_characters_each_have_their_own_sign(locale):
    """One long document goes and two short ones come."""
    said = str(views.effect(facts(), locale, [Change("zul", (10, 11), (5000, 3000))]))
    verdict = said.partition("</p>")[0]
    assert "+1" in verdict
    assert "-2,000" in verdict


@pytest.mark.parametrize(("side", "expected"), [("min", 0), ("max", 100)])
def test_a_slider_for_a_bound_that_is_not_there_starts_where_it_asks_for_nothing(
    reading, monkeypatch, side, expected
):
    opened = SimpleNamespace(
        before=SimpleNamespace(thresholds=[RULE | {side: 50.0}]),
        columns={"words": np.arange(101, dtype=np.int32)},
    )
    monkeypatch.setattr(reading.library, "open", lambda name: opened)
    reading.library.facts = lambda name: facts()
    *_, (slider, said) = reading.choose_rule(NAME, f"too_short.{side}", "sot", "eng")
    assert slider["value"] == expected
    assert "no bound" in said


def test_a_bound_moves_in_languages_that_have_bounds(reading):
    reading.library.facts = lambda name: facts()
    offered = reading.choices(NAME, KEPT, "eng")
    assert [code for _, code in offered["scope"]] == [ANY, "zul"]
    assert [code for _, code in offered["language"]] == [ANY, "zul", "other", "unknown"]
