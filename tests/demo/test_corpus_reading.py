"""What the controls of the tab Corpus do, without a browser and mostly without a corpus."""

import threading
import time
from concurrent.futures import wait
from types import SimpleNamespace

import pytest

pytest.importorskip("gradio", reason="the demo page is made with Gradio")
pytest.importorskip("pyarrow", reason="corpora are read with the extra 'corpus'")

import gradio as gr
import numpy as np
from edgelm_demo import corpora
from edgelm_demo import corpus_views as views
from edgelm_demo.context import Context
from edgelm_demo.corpora import Corpus, Library
from edgelm_demo.corpus import ANY, KEPT, Reading

from edgelm.corpus.page.facts import Facts
from edgelm.corpus.probe import Judged
from edgelm.corpus.tune import Change
from edgelm.languages import load_languages

NAME = "small"
RULE = {"reason": "too_short", "column": "words", "language": "zul"}


def facts(*thresholds):
    """Of a corpus in isiZulu with documents in other languages and in none that is known."""
    codes = {code: {"kept": 1, "rejected": {}} for code in ("zul", "other", "unknown")}
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


@pytest.mark.parametrize(
    ("code", "said"),
    [("zul", "a document in the language of the whole text."), ("other", "as if it were a document.")],
)
def test_lines_are_said_to_be_in_the_language_of_the_whole_only_where_they_are(code, said):
    judged = Judged("umfana", code, None, {"zul": 0.4, "other": 0.6}, ())
    assert said in views.judgement(facts(), "eng", judged, [judged, judged], 0, "umfana")


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


def test_a_corpus_that_is_open_does_not_wait_for_one_that_opens(monkeypatch, tmp_path):
    begun, ended = threading.Event(), threading.Event()

    def opened(corpus):
        if corpus.name == "large":
            begun.set()
            ended.wait(20)
        return corpus.name

    monkeypatch.setattr(corpora, "Opened", opened)
    library = Library({name: Corpus(name, tmp_path) for name in ("small", "large")})
    library.open("small")
    large = library.workers.submit(library.open, "large")
    assert begun.wait(5)
    small = library.workers.submit(library.open, "small")
    done = wait([small], 5).done
    ended.set()
    assert small in done
    assert large.result() == "large"


@pytest.fixture
def slow(reading, monkeypatch):
    """A corpus whose checks last until `go` is set; those that have begun, and the most at one time."""
    work = SimpleNamespace(go=threading.Event(), begun=[], now=0, most=0)

    def check(text, code):
        work.begun.append(text)
        work.now += 1
        work.most = max(work.most, work.now)
        work.go.wait(20)
        work.now -= 1
        return None, [], 0

    monkeypatch.setattr(reading.library, "open", lambda name: SimpleNamespace(check=check))
    monkeypatch.setattr(views, "judgement", lambda *_: "judged")
    reading.library.facts = lambda name: facts()
    yield work
    work.go.set()


def press_check(reading, text, reader="one"):
    """The check of a reader, which has said that it works on it."""
    given = reading.check(text, "", NAME, "eng", gr.Request(session_hash=reader))
    next(given), next(given)
    return given


def test_stopped_checks_of_a_reader_do_not_pile_up(reading, slow):
    for at in range(4):
        given = press_check(reading, f"text {at}")
        reading.stops.press(gr.Request(session_hash="one"))
        *_, (_, said, *_) = given
        assert "Stopped" in said
    assert slow.begun == ["text 0"]
    assert not reading.library.workers._work_queue.qsize()
    last = press_check(reading, "last")
    slow.go.set()
    assert list(last)[-1][0] == "judged"
    assert slow.begun == ["text 0", "last"]
    assert slow.most == 1
    assert reading.library.at_work == {}


def test_what_has_not_begun_is_taken_back_at_stop(reading, slow):
    given = [press_check(reading, reader, reader) for reader in ("one", "two", "three")]
    reading.stops.press(gr.Request(session_hash="three"))
    list(given[2])
    slow.go.set()
    assert [list(one)[-1][0] for one in given[:2]] == ["judged"] * 2
    time.sleep(0.2)
    assert sorted(slow.begun) == ["one", "two"]


def test_the_buttons_are_busy_as_long_as_the_check_lasts(reading, slow):
    """They are freed by the page: a press before Gradio has ended the event would be lost."""
    slow.go.set()
    for text in ("umfana", " "):
        for *_, check, stop in reading.check(text, "", NAME, "eng", gr.Request(session_hash="one")):
            assert (check["interactive"], stop["interactive"]) == (False, True)
