"""The tab Corpus as a reader meets it, over a small corpus that the tests build."""

import json
import re
import shutil
import threading
import time

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="the page is driven with playwright")
pytest.importorskip("gradio", reason="the demo page is made with Gradio")
pytest.importorskip("pyarrow", reason="corpora are read with the extra 'corpus'")

import gradio as gr  # noqa: E402
import numpy as np  # noqa: E402
from driving import open_tab  # noqa: E402
from edgelm_demo import corpora  # noqa: E402
from edgelm_demo.context import Context  # noqa: E402
from edgelm_demo.corpora import Corpus, Library, Opened, find_corpora, slider_range  # noqa: E402
from edgelm_demo.corpus import MAX_CHARACTERS, Reading  # noqa: E402
from edgelm_demo.page import build  # noqa: E402
from edgelm_demo.server import launch  # noqa: E402

from edgelm.corpus.build import build_corpus  # noqa: E402
from edgelm.corpus.recipe import load_recipe  # noqa: E402
from edgelm.errors import BadInput  # noqa: E402
from edgelm.tokenizer.texts import sample_texts  # noqa: E402

ZULU = "Umfana omncane uhamba ngezinyawo aye esikoleni ekuseni kakhulu nsuku zonke."
ENGLISH = "The small boy walks to his school very early in the morning every day."
HOSTILE = "umfana <svg/onload=console.error('ran')> & <blink>omncane</blink>"  # which no repair takes out
SHORT = ("Ngiyabonga kakhulu.", "Umfana omncane.")
expect = playwright.expect


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the corpus `small` in it: 30 isiZulu and 20 Sesotho documents kept, 6 rejected."""
    folder = tmp_path_factory.mktemp("corpora")
    (folder / "in").mkdir()
    for code, count, more in (
        ("zul", 30, [*SHORT, ZULU.upper(), ENGLISH]),
        ("sot", 20, ["Kea leboha haholo.", "Dumelang bontate."]),
    ):
        texts = [*sample_texts()[code][:count], *more]
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (folder / "in" / f"{code}.jsonl").write_text(lines, encoding="utf-8")
    build_corpus(load_recipe(folder / "in"), folder / "out" / "small")
    return folder / "out"


@pytest.fixture(scope="module")
def address(folder):
    page = build([folder])
    yield launch(page)
    page.close(verbose=False)


def open_view(visit, view=None, **options):
    page = visit(**options)
    open_tab(page, "Corpus")
    page.locator("#funnel .bars").wait_for()
    if view:
        page.get_by_role("radio", name=view).check()
        expect(page.locator(".view.funnel")).to_be_hidden()  # what is not shown has the same labels
    return page


def choose(page, label, option):
    page.get_by_label(label, exact=True).locator("visible=true").click()
    page.get_by_role("option", name=option, exact=True).click()


def check(page, text):
    page.locator("#pasted textarea").fill(text)
    page.locator("#check").click()


def test_the_funnel_by_language_and_by_source(visit):
    page = open_view(visit)
    expect(page.locator("#headline")).to_contain_text("50 of 56 documents were kept (89.3%), in 2 languages")
    names = page.locator("#funnel dt")
    expect(names).to_have_text(["Sesotho90.9% kept of 22", "isiZulu88.2% kept of 34"])
    assert names.locator("bdi").last.get_attribute("lang") == "zu"
    assert "too short 5.9%" in page.get_by_role("img", name="isiZulu").first.get_attribute("aria-label")
    page.get_by_text("The numbers").click()
    table = page.get_by_role("region", name="Documents by the first reason to reject them")
    expect(table.get_by_role("row", name="too short")).to_have_text("too short422")
    assert table.get_attribute("tabindex") == "0"
    page.get_by_role("radio", name="Source").check()
    expect(names).to_have_text(["in89.3% kept of 56"])
    page.get_by_label("Language of the page").click()
    page.get_by_role("option", name="isiZulu").click()
    expect(names).not_to_contain_text("kept of")
    expect(names).to_have_text([re.compile("in.*89.3%")])


def test_a_distribution_has_its_bounds(visit):
    page = open_view(visit, "Measures")
    charts = page.locator("#distribution figure")
    expect(charts).to_have_count(2)
    expect(charts.last).to_contain_text("at least 3")
    choose(page, "What was measured", "share of letters that are capitals")
    expect(charts.last).to_contain_text("at most 0.5")
    expect(charts.last.get_by_role("img")).to_have_attribute(
        "aria-label", "isiZulu: 30 kept, 4 rejected. at most 0.5"
    )


def test_documents_are_read_one_by_one(visit):
    page = open_view(visit, "Read documents")
    where, text = page.locator("#document .note").first, page.locator("#document blockquote")
    expect(where).to_contain_text("Document 1 of 50")
    first = text.inner_text()
    page.get_by_role("button", name="Next").click()
    expect(where).to_contain_text("Document 2 of 50")
    assert text.inner_text() != first
    page.get_by_role("button", name="Previous").click()
    expect(text).to_have_text(first)
    page.get_by_role("button", name="Previous").click()
    expect(where).to_contain_text("Document 50 of 50")
    page.get_by_role("button", name="Another order").click()
    expect(where).to_contain_text("Document 1 of 50")
    expect(text).not_to_have_text(first)
    page.get_by_role("radio", name="Rejected").check()
    expect(where).to_contain_text("Document 1 of 6")
    choose(page, "Reason", "too many capital letters")
    expect(where).to_contain_text("Document 1 of 1 · isiZulu · in")
    expect(text).to_have_text(ZULU.upper())
    assert text.get_attribute("lang") == "zu"
    expect(page.locator("#document article")).to_contain_text("Rejected: too many capital letters")
    failed = page.locator("#document .fails")
    expect(failed).to_have_count(1)
    expect(failed).to_contain_text("too many capital letters: yes")
    expect(failed).to_contain_text("at most 0.5")
    choose(page, "Language", "Sesotho")
    expect(page.locator("#document")).to_have_text("The corpus has no such document.")


def test_a_text_is_judged_as_a_whole_and_line_by_line(visit):
    page = open_view(visit, "Check a text")
    check(page, f"{ZULU}\n{ENGLISH}\n12 34")
    shown = page.locator("#judgement")
    expect(shown.locator(".verdict")).to_contain_text("The filters would reject this text: ", timeout=60_000)
    expect(shown.locator(".likely li").first).to_contain_text("isiZulu")
    lines = shown.locator(".lines li")
    expect(lines).to_have_count(3)
    expect(lines.nth(0)).to_contain_text("kept alone")
    expect(lines.nth(1)).to_contain_text("English")
    expect(lines.nth(1)).to_contain_text("rejected alone: wrong language")
    assert lines.nth(1).locator(".line").get_attribute("lang") == "en"
    expect(lines.nth(2)).to_contain_text("it has no letters")
    check(page, sample_texts()["zul"][0])
    expect(shown.locator(".verdict")).to_have_text("The filters would keep this text.")
    expect(shown).to_contain_text("The corpus has this text already. Copies in it are 1.")
    choose(page, "Check it as", "Sesotho")
    page.locator("#check").click()
    expect(shown.locator(".verdict")).to_contain_text("wrong language")
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()


def test_markup_in_a_text_is_shown_and_not_obeyed(visit):
    page = open_view(visit, "Check a text")
    for text in (HOSTILE, "${console.error('ran')} {{value}} `x` umfana"):
        check(page, text)
        expect(page.locator("#judgement .line")).to_have_text(text)
    assert page.locator("#judgement :is(svg, blink)").count() == 0


def test_another_bound_and_what_it_changes(visit):
    page = open_view(visit, "Move a bound")
    effect = page.locator("#effect")
    expect(effect).to_contain_text("The corpus was built with: at least 4: Sesotho; at least 3: isiZulu")
    bound = page.locator("#bound input[type=number]")
    choose(page, "Language", "isiZulu")
    expect(effect).to_contain_text("at least 3: isiZulu")
    expect(bound).to_have_value("3")
    bound.fill("1")
    expect(effect.locator(".verdict")).to_have_text(
        f"With the new bound: +2 documents, +{sum(map(len, SHORT))} characters."
    )
    expect(effect.get_by_role("row", name="isiZulu")).to_contain_text("+2")
    expect(effect.get_by_role("row", name="Sesotho")).to_contain_text("+0")
    expect(effect.locator(".lines li")).to_have_count(2)
    expect(effect.locator(".lines li").first).to_contain_text("too short")
    page.locator("#bound input[type=range]").focus()
    page.keyboard.press("ArrowRight")  # the keyboard moves it too
    page.keyboard.press("ArrowRight")
    expect(effect.locator(".verdict")).to_contain_text("The new bound changes nothing.")


def test_errors_are_sentences(visit, folder, monkeypatch):
    page = open_view(visit, "Check a text")
    check(page, " ")
    expect(page.get_by_role("alert")).to_have_text("Paste a text first.")

    def damaged(*_):
        raise BadInput(
            "cannot be read", file=folder / "small" / "data" / "x.parquet", remedy="build it again"
        )

    monkeypatch.setattr(Opened, "check", damaged)
    check(page, ZULU)
    expect(page.get_by_role("alert")).to_have_text("Small/data/x.parquet: cannot be read. Build it again.")
    assert str(folder) not in page.content()
    monkeypatch.setattr(Library, "open", damaged)
    page.get_by_role("radio", name="Read documents").check()
    expect(page.locator("#document").get_by_role("alert")).to_contain_text("cannot be read")
    page.get_by_role("radio", name="Move a bound").check()
    expect(page.locator("#effect").get_by_role("alert")).to_contain_text("cannot be read")


def test_a_text_too_long_is_refused(folder):
    reading = Reading(Context({}, gr.Dropdown(), corpora=find_corpora([folder])))
    *_, last = reading.check("a" * (MAX_CHARACTERS + 1), "", "small", "eng", gr.Request(session_hash="x"))
    assert "The text has 20,001 characters. Give at most 20,000." in last[1]


def test_stop_ends_the_waiting(visit, monkeypatch):
    page = open_view(visit, "Check a text")
    done = threading.Event()
    monkeypatch.setattr(Opened, "check", lambda *_: done.wait(20) and None)
    check(page, ZULU)
    expect(page.locator("#checking")).to_contain_text("Working, 1 s.")
    expect(page.locator("#check")).to_be_disabled()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#checking")).to_have_text("Stopped")
    expect(page.locator("#check")).to_be_enabled()
    done.set()
    monkeypatch.undo()
    check(page, ZULU)
    expect(page.locator("#judgement .verdict")).to_be_visible()


def test_what_opens_a_corpus_waits_for_its_own_places_and_the_page_opens_without_any(folder):
    page = build([folder])
    own = [one for one in page.fns.values() if one.fn and one.fn.__module__ == "edgelm_demo.corpus"]
    work, quick = ([one for one in own if one.queue is queued] for queued in (True, False))
    assert {one.name for one in work} == {"funnel", "show", "come", "choose_rule", "move", "check"}
    assert {(one.concurrency_id, one.concurrency_limit) for one in work} == {("corpora", corpora.WORKERS)}
    assert {one.name for one in quick} == {"fill", "funnel_at_once", "distribution", "shuffle"}
    opens = {one._id for one in page.fns.values() if one.targets and one.targets[0][1] == "load"}
    while after := {one._id for one in page.fns.values() if one.trigger_after in opens} - opens:
        opens |= after
    assert len(opens & {one._id for one in quick}) == 3
    assert not opens & {one._id for one in work}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_view_fits_a_phone(visit, theme):
    page = open_view(visit, width=360, theme=theme)
    for view, shown in (
        ("What was kept", "#funnel .bars"),
        ("Measures", "#distribution figure"),
        ("Read documents", "#document .verdicts"),
        ("Check a text", "#judgement .lines"),
        ("Move a bound", "#effect .scroll"),
    ):
        page.get_by_role("radio", name=view).check()
        if view == "Check a text":
            check(page, f"{ZULU} {'w' * 300}\n{ENGLISH}")
        if view == "Move a bound":
            expect(page.locator("#effect .note")).to_contain_text("The corpus was built with")
            page.locator("#bound input[type=number]").fill("1")
        expect(page.locator(shown).first).to_be_visible()
        if view == "What was kept":
            page.get_by_text("The numbers").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, view
        low = {name: ratio for name, ratio in page.evaluate(CONTRASTS) if ratio < 4.5}
        assert not low, f"{view}: less contrast than WCAG 2 asks"


CONTRASTS = """() => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (!colour.startsWith('rgba') || !colour.endsWith(', 0)')) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const own = node => [...node.childNodes].some(one => one.nodeType === 3 && one.textContent.trim());
  return [...document.querySelectorAll('.corpus .view *')]
    .filter(node => node.checkVisibility() && own(node) && !node.closest('button, form, .block:has(> label)'))
    .map(node => {
      const pair = [light(getComputedStyle(node).color), light(behind(node))];
      return [node.outerHTML.slice(0, 120), (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
    });
}"""


def test_a_page_without_a_corpus_says_how_to_make_one(tiny_model_dir, browser):
    page = build([tiny_model_dir])
    address = launch(page)
    shown = browser.new_page()
    shown.goto(address)
    open_tab(shown, "Corpus")
    shown.get_by_text("edgelm corpus build FOLDER -o my-corpus").wait_for()
    shown.close()
    page.close(verbose=False)


def test_neither_a_model_nor_a_corpus_is_an_error(tmp_path, capsys):
    with pytest.raises(BadInput, match="no model in the given folders"):
        build([tmp_path])
    with pytest.raises(BadInput, match="absent: no such file or folder"):
        find_corpora([tmp_path / "absent"])
    assert capsys.readouterr().err == ""


def test_corpora_are_found_below_a_folder_and_damaged_ones_left_out(folder, tmp_path, capsys):
    for name in ("one", "deep/er/two", ".hidden", "a/b/c/d/e/far"):
        shutil.copytree(folder / "small", tmp_path / name)
    shutil.copytree(folder / "small", tmp_path / "damaged")
    (tmp_path / "damaged" / "manifest.json").write_text("{}")
    found = find_corpora([tmp_path, tmp_path / "one"])
    assert found == {name: Corpus(name, tmp_path / name) for name in ("deep/er/two", "one")}
    assert capsys.readouterr().err.startswith("damaged is left out: ")
    alike = find_corpora([tmp_path / "one", folder / "small"])
    assert list(alike) == ["one", "small"]
    shutil.copytree(folder / "small", tmp_path / "other" / "out" / "small")
    shutil.copytree(folder / "small", tmp_path / "more" / "small")
    alike = find_corpora([folder, tmp_path / "other" / "out", tmp_path / "more", tmp_path / "one"])
    assert list(alike) == ["out/small", "out/small (2)", "more/small", "one"]
    assert alike["out/small (2)"].path == tmp_path / "other" / "out" / "small"


def test_a_corpus_is_read_once_and_few_are_kept(folder, monkeypatch):
    opened = []

    class Slow:
        def __init__(self, corpus):
            time.sleep(0.1)
            opened.append(corpus.name)

    monkeypatch.setattr(corpora, "Opened", Slow)
    library = Library({name: Corpus(name, folder) for name in "abc"})
    readers = [threading.Thread(target=library.open, args="a") for _ in range(3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert opened == ["a"]
    for name in "babcba":
        library.open(name)
    assert opened == ["a", "b", "c", "a"], "the least recently used gives way"


def test_work_gives_signs_of_life_and_its_answer_or_error():
    library = Library({})
    *signs, answer = library.working(lambda: time.sleep(1) or 7)
    assert answer == (7,)
    assert 2 <= len(signs) <= 4
    assert signs == sorted(signs)
    with pytest.raises(ZeroDivisionError):
        list(library.working(lambda: 1 / 0))


@pytest.mark.parametrize(
    ("values", "side", "now", "expected"),
    [
        (np.arange(21, dtype=np.int32), "min", 4, (0, 10, 1)),
        (np.arange(4, 21, dtype=np.int32), "min", 5, (0, 12, 1)),
        (np.arange(21, dtype=np.int32), "max", 12, (10, 20, 1)),
        (np.arange(21, dtype=np.int32), "max", 100000, (10, 20, 1)),  # a bound that meets none
        (np.linspace(0, 1, 101, dtype=np.float32), "max", 0.2, (0.2, 1, 0.001)),  # below the half
        (np.zeros(5, dtype=np.int32), "max", 0, (0, 1, 1)),
        (np.full(5, np.nan, dtype=np.float32), "max", 1, (0, 1, 0.01)),
    ],
)
def test_a_slider_spans_what_its_bound_can_cut(values, side, now, expected):
    assert slider_range(values, side, now) == pytest.approx(expected, abs=2e-3)
