"""The words of the page, in the languages that it speaks."""

import string

import pytest

pytest.importorskip("gradio", reason="the demo page is made with Gradio")

import gradio as gr
from edgelm_demo.interface import FIRST, STORED, chooser, follow, say, text, texts
from edgelm_demo.page import build
from edgelm_demo.server import launch

from edgelm.languages import load_languages

EVERY = sorted(texts())


@pytest.fixture(scope="module")
def address(tiny_model_dir):
    page = build([tiny_model_dir])
    yield launch(page)
    page.close(verbose=False)


def fields(words):
    """What is filled in, and how it is written: {count:,} is the field count."""
    return sorted((name, form) for _, name, form, _ in string.Formatter().parse(words) if name)


@pytest.mark.parametrize("code", EVERY)
def test_a_language_says_what_english_says_with_the_same_fields(code):
    assert code in load_languages()
    words = texts()[code]
    assert not words.keys() - texts()[FIRST].keys(), "words that no part of the page asks for"
    assert {key: fields(value) for key, value in words.items()} == {
        key: fields(texts()[FIRST][key]) for key in words
    }
    assert all(isinstance(value, str) and value.strip() == value != "" for value in words.values())


def test_what_a_language_does_not_say_is_said_in_english(monkeypatch):
    monkeypatch.setitem(texts(), "zul", {"write.write": "Bhala"})
    assert say("zul", "write.write") == "Bhala"
    assert say("zul", "write.stop") == say("eng", "write.stop")
    assert say("xxx", "write.tokens", count=3) == "3 tokens"
    with pytest.raises(KeyError):
        say("zul", "write.no_such_words")


def test_components_are_given_their_words_and_keep_the_rest():
    with gr.Blocks() as page:
        locale = chooser()
        gr.Button(text("write.stop"), variant="stop")
        gr.Radio(
            [(text("write.careful"), "careful"), ("0.7", "other")], label=text("write.style"), value="careful"
        )
        gr.Textbox("typed", label="not a text of ours")
        follow(page, locale)
    translate = next(one for one in page.fns.values() if one.name == "translate")
    code, *updates = translate.fn("zul")
    shown = {
        type(block).__name__: update for block, update in zip(translate.outputs[1:], updates, strict=True)
    }
    assert code == "zul"
    assert set(shown) == {"Dropdown", "Button", "Radio"}
    assert shown["Button"]["value"] == say("zul", "write.stop") != say("eng", "write.stop")
    assert shown["Radio"]["choices"] == [(say("zul", "write.careful"), "careful"), ("0.7", "other")]
    assert "value" not in shown["Radio"]


def test_the_page_speaks_the_language_of_the_browser(visit):
    page = visit(locale="zu-ZA")
    page.get_by_role("button", name=say("zul", "write.write"), exact=True).wait_for()
    assert page.evaluate("document.documentElement.lang") == "zu"
    page.get_by_text(say("zul", "page.subtitle")).wait_for()


def test_a_language_that_the_page_does_not_speak_gets_english(visit):
    page = visit(locale="fr-FR")
    page.get_by_role("button", name="Write", exact=True).wait_for()
    page.wait_for_function("document.documentElement.lang === 'en'")


def test_the_page_remembers_a_choice_and_leaves_what_is_typed(visit):
    page = visit()
    page.get_by_label("Your text").fill("Sawubona")
    page.get_by_label("Language of the page").click()
    page.get_by_role("option", name="isiZulu").click()
    page.get_by_label(say("zul", "write.text"), exact=True).wait_for()
    assert page.locator("#given textarea").input_value() == "Sawubona"
    page.locator("#write").click()
    finished = say("zul", "write.finished")
    page.wait_for_function(f"document.querySelector('#status .note')?.innerText.startsWith({finished!r})")
    assert page.evaluate(f"localStorage.getItem('{STORED}')") == "zu"
    again = page.context.new_page()
    again.goto(page.url)
    again.get_by_label(say("zul", "write.text"), exact=True).wait_for()
    assert again.evaluate("document.documentElement.lang") == "zu"
