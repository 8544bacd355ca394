"""The tab Words: what is counted and shown of tokens, and the tab in the system's Chromium."""

import re

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="the page is driven with playwright")
pytest.importorskip("gradio", reason="the demo page is made with Gradio")

from contrast import contrasts  # noqa: E402
from driving import open_tab  # noqa: E402
from edgelm_demo.interface import say  # noqa: E402
from edgelm_demo.page import build  # noqa: E402
from edgelm_demo.server import launch  # noqa: E402
from edgelm_demo.words import pieces, tokens  # noqa: E402

import edgelm  # noqa: E402
from edgelm.tokenizer.report import fertility  # noqa: E402
from edgelm.tokenizer.text import TextTokenizer  # noqa: E402
from edgelm.tokenizer.texts import sample_texts  # noqa: E402


@pytest.fixture(scope="module")
def address(tiny_model_dir):
    page = build([tiny_model_dir])
    yield launch(page)
    page.close(verbose=False)


def open_words(visit, text=None, **options):
    page = visit(**options)
    open_tab(page, "Words")
    if text is not None:
        page.locator("#words-given textarea").fill(text)
    page.get_by_role("button", name="Cut into tokens").click()
    return page


def counts(page):
    page.locator("#words-status dl").wait_for()
    names, values = (page.locator(f"#words-status {tag}").all_inner_texts() for tag in ("dt", "dd"))
    return dict(zip(names, values, strict=True))


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b" ngi", [(" ngi", False)]),
        ("ḓ".encode(), [("ḓ", False)]),
        (b"a\xe1\xb8", [("a", False), ("E1 B8", True)]),
        (b"\x93 b", [("93", True), (" b", False)]),
        (b"", []),
    ],
)
def test_bytes_of_a_split_letter_are_shown_as_bytes(data, shown):
    assert pieces(data) == shown


class Halves:
    """Cuts after every second byte."""

    def tokenize(self, text):
        return list(range(0, len(text.encode()), 2))

    def token_bytes(self, token):
        return "aḓ e\u032d\n<b>".encode()[token : token + 2]


def test_blanks_marks_and_markup_are_shown_and_never_obeyed():
    html = tokens(Halves(), "aḓ e\u032d\n<b>", "ve", "eng")
    boxes = re.findall(r'data-said="([^"]*)"[^>]*>(.*?)</span>(<br>)?', html)
    assert [shown for _, shown, _ in boxes] == [
        'a<code class="bytes">E1</code>',
        '<code class="bytes">B8 93</code>',
        "·e",
        "\u25cc\u032d",
        "⏎&lt;",
        "b&gt;",
    ]
    assert [bool(line) for *_, line in boxes] == [False, False, False, False, True, False]
    assert say("eng", "words.split") in html
    assert boxes[0][0] == "a‹E1›: token 1 of 6, number 0, 2 bytes: 61 E1"
    assert 'lang="ve"' in html


def test_a_text_of_ones_own_is_cut_and_counted(visit, tiny_model_dir):
    text = "Ḓuvha ḽi a fhisa <b>&amp;"
    page = open_words(visit, text)
    ids = TextTokenizer(tiny_model_dir).encode(text)
    page.locator("#tokens .token").nth(len(ids) - 1).wait_for()
    assert page.locator("#tokens .token").count() == len(ids)
    found = counts(page)
    assert (found["Characters"], found["Bytes"], found["Words"]) == ("25", str(len(text.encode())), "5")
    assert found["Tokens"] == str(len(ids))
    assert found["Tokens a word"] == f"{len(ids) / 5:.2f}"
    assert found["Bytes a token"] == f"{len(text.encode()) / len(ids):.2f}"
    assert page.locator("#tokens .tokens b").count() == 0
    page.locator("#words-given textarea").fill("a b")
    page.get_by_role("button", name="Cut into tokens").click()
    playwright.expect(page.locator("#tokens .token")).to_have_count(2)
    assert say("eng", "words.split") not in page.locator("#tokens").inner_text()


def test_a_text_cut_while_another_still_is_comes_next(visit):
    page, held = open_words(visit, "Ḓuvha ḽi a fhisa"), []
    page.locator("#words-languages table").wait_for()
    page.route("**/queue/join*", lambda request: held.append(request), times=1)
    for given in ("a b c", "a b"):
        page.locator("#words-given textarea").fill(given)
        page.get_by_role("button", name="Cut into tokens").click()
        while not held:
            page.wait_for_timeout(10)
    held[0].continue_()
    playwright.expect(page.locator("#tokens .token")).to_have_count(2)


def test_the_languages_stand_side_by_side_as_the_report_has_them(visit, tiny_model_dir):
    page = open_words(visit)
    rows = page.locator("#words-languages tbody tr")
    rows.first.wait_for()
    told = {row.split("\t")[0].strip(): re.findall(r"\d+\.\d\d", row) for row in rows.all_inner_texts()}
    assert len(told) == 11
    tokenizer = edgelm.load(tiny_model_dir).tokenizer.tokenizer
    figures = fertility(tokenizer, sample_texts()["zul"])
    assert told["isiZulu"][:2] == [f"{figures['fertility']:.2f}", f"{figures['bytes_per_token']:.2f}"]
    assert told["English"][2] == "1.00"


def test_an_example_never_touches_what_is_typed(visit):
    page = open_words(visit)
    given = page.locator("#words-given textarea")

    def choose(language):
        page.get_by_label("Example in").click()
        page.get_by_role("option", name=language).click()

    choose("Sesotho")
    page.wait_for_function(
        "want => document.querySelector('#words-given textarea').value === want", arg=sample_texts()["sot"][0]
    )
    given.fill("Sawubona")
    choose("Xitsonga")
    page.wait_for_timeout(300)
    assert given.input_value() == "Sawubona"


def test_a_token_tells_its_number_to_a_mouse_and_to_the_keyboard(visit, tiny_model_dir):
    page = open_words(visit, "Sawubona wena")
    ids = TextTokenizer(tiny_model_dir).encode("Sawubona wena")
    box, told = page.locator("#tokens .token"), page.locator("#tokens .told")
    box.nth(2).hover()
    playwright.expect(told).to_contain_text(f"token 3 of {len(ids)}, number {ids[2]},")
    assert page.locator('#tokens .token[tabindex="0"]').count() == 1, "one stop of the Tab key for all"
    box.nth(2).focus()
    for key, at in (("ArrowRight", 3), ("ArrowLeft", 2), ("End", len(ids) - 1), ("Home", 0)):
        page.keyboard.press(key)
        playwright.expect(box.nth(at)).to_be_focused()
        playwright.expect(told).to_contain_text(f"number {ids[at]},")


def test_what_cannot_be_cut_is_a_sentence(visit):
    page = visit()
    open_tab(page, "Words")
    given = page.locator("#words-given textarea")
    given.evaluate("box => box.removeAttribute('maxlength')")
    for text, sentence in (("  ", "There is no text."), ("a" * 4001, "The text has 4,001 characters.")):
        given.fill(text)
        page.get_by_role("button", name="Cut into tokens").click()
        playwright.expect(page.get_by_role("alert")).to_contain_text(sentence)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_fit_a_phone_in_both_themes(visit, theme):
    page = open_words(visit, "Ḓuvha ḽi a fhisa " * 20, width=360, theme=theme)
    page.locator("#words-languages table").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    places = [f"#tokens .s{shade}" for shade in range(4)]
    places += ["#tokens .told", "#words-status dt", "#words-languages th", "#words-languages caption"]
    ratios = contrasts(page, places)
    assert min(ratios.values()) >= 4.5, f"less contrast than WCAG 2 asks: {ratios}"
    assert contrasts(page, ["#words-languages .bar"], "backgroundColor")["#words-languages .bar"] >= 3
