"""The tab Tasks as a reader meets it: small models that label, trained here, and one that writes nonsense."""

import json
import re
import shutil

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="the page is driven with playwright")
pytest.importorskip("gradio", reason="the demo page is made with Gradio")
pytest.importorskip("sklearn_crfsuite", reason="CRFsuite trains the tagger")

from driving import open_tab  # noqa: E402
from edgelm_demo.answered import answered  # noqa: E402
from edgelm_demo.interface import FIRST, texts  # noqa: E402
from edgelm_demo.models import find_models  # noqa: E402
from edgelm_demo.offers import find_offers, hues, kind_of, kinds  # noqa: E402
from edgelm_demo.page import build  # noqa: E402
from edgelm_demo.server import launch  # noqa: E402

from edgelm.evaluate.ask import FAMILIES  # noqa: E402
from edgelm.finetune.crf import train_crf  # noqa: E402
from edgelm.finetune.linear import train_linear  # noqa: E402
from edgelm.languages import load_languages  # noqa: E402
from edgelm.model.crf import save_crf  # noqa: E402
from edgelm.model.directory import load_model  # noqa: E402
from edgelm.model.head_config import HeadConfig  # noqa: E402
from edgelm.model.heads import save_labeller, with_head  # noqa: E402
from edgelm.model.linear import save_linear  # noqa: E402
from edgelm.tasks.examples import Labelled, Tagged  # noqa: E402
from edgelm.tasks.task import load_task, task_names  # noqa: E402

NAMES = [
    Tagged(("UBana", "Dube", "uya", "eKapa", "."), ("B-PER", "I-PER", "O", "B-LOC", "O"), "xho"),
    Tagged(("UZodwa", "uhleli", "eMonti", "."), ("B-PER", "O", "B-LOC", "O"), "zul"),
    Tagged(("Inja", "iya", "ekhaya", "."), ("O", "O", "O", "O"), "zul"),
] * 8
MOODS = [
    Labelled(f"{text} {number}", label, "tso")
    for label, text in {"positive": "ndza tsaka", "negative": "ndza rila", "neutral": "ndzi kona"}.items()
    for number in range(6)
]
TYPED = "UBana  Dube uya eKapa.\nInja iya ekhaya."


def remember(folder, *names, **config):
    """What `edgelm finetune` notes of the tasks."""
    tasks = [load_task(name, data=False).config() for name in names]
    made = {"command": "finetune", "digest": "x", "inputs": {}, "config": {"tasks": tasks, **config}}
    (folder / "edgelm.json").write_text(json.dumps(made))


@pytest.fixture(scope="module")
def models(tiny_model_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finetuned")
    shutil.copytree(tiny_model_dir, folder / "base")
    shutil.copytree(tiny_model_dir, folder / "writer")
    remember(folder / "writer", "afrihg", "t2x", "sona", "topic", "masakhaner", languages=["xho", "zul"])
    for name in ("topics", "moods", "names", "words"):
        (folder / name).mkdir()
    topics = load_task("topic").examples("train", ["eng", "zul"])
    save_linear(train_linear(topics, methods=["logistic"]), folder / "topics")
    remember(folder / "topics", "topic", languages=["eng", "zul"])
    save_linear(train_linear(MOODS, methods=["svm"]), folder / "moods")
    remember(folder / "moods", "afrisenti")
    save_crf(train_crf(NAMES), folder / "names")
    remember(folder / "names", "masakhaner", languages=["xho", "zul"])
    head = with_head(load_model(folder / "base"), HeadConfig("token", load_task("masakhapos").labels))
    save_labeller(head.eval(), folder / "base", folder / "words", "A random head for tests.\n")
    remember(folder / "words", "masakhapos")
    return folder


@pytest.fixture(scope="module")
def address(models):
    page = build([models])
    yield launch(page)
    page.close(verbose=False)


def settle(page):
    """Wait until the page has what it asked for, and asks for nothing more."""
    quiet = 0
    while quiet < 3:
        page.wait_for_timeout(50)
        quiet = 0 if page.asked else quiet + 1


def choose(page, label, beginning):
    box = page.get_by_label(label, exact=True)
    if not box.input_value().startswith(beginning):
        box.click()
        page.get_by_role("option", name=re.compile(f"^[✓ ]*{re.escape(beginning)}")).click()
        playwright.expect(box).to_have_value(re.compile(f"^{re.escape(beginning)}"))
        settle(page)


def open_tasks(visit, kind, model="", **options):
    page = visit(**options)
    page.asked = set()
    page.on("request", lambda one: one.url.endswith("/run/predict") and page.asked.add(one))
    page.on("requestfinished", lambda one: page.asked.discard(one))
    open_tab(page, "Tasks")
    page.locator(".samples button:visible").first.wait_for()  # what follows the page's language has come
    settle(page)
    choose(page, "What to do", kind)
    if model:
        choose(page, "Finetuned model", model)
    return page


def wait_for_status(page, beginning):
    page.wait_for_function(
        f"document.querySelector('#tasks-status .note')?.innerText.startsWith('{beginning}')"
    )


def look_at(page, text=""):
    if text:
        page.get_by_label("Text to try it on").fill(text)
    page.get_by_role("button", name="Try it").click()
    wait_for_status(page, "Finished")
    return page.locator("#tasks-result")


def test_labels_are_bars_with_words_and_numbers(visit):
    page = open_tasks(visit, "Topic of", "topics")
    choose(page, "Language of the text", "isiZulu")
    text = next(one.text for one in load_task("topic").examples("test", ["zul"]) if one.label == "music")
    result = look_at(page, text)
    assert result.locator(".bars > li:visible").count() == 5
    first = result.locator(".bars > li").first
    assert first.inner_text().split("\n")[0] == "music"
    share = int(first.locator(".share").inner_text().removesuffix(" %"))
    bar, track = (first.locator(one).bounding_box()["width"] for one in (".bar i", ".bar"))
    assert bar / track == pytest.approx(share / 100, abs=0.02)
    page.get_by_text("3 more").click()
    assert result.locator(".bars > li:visible").count() == 8
    shares = re.findall(r"(\d+) %", result.inner_text())
    assert list(map(int, shares)) == sorted(map(int, shares), reverse=True)
    assert page.locator("#tasks-text textarea").get_attribute("lang") == "zu"


def test_a_margin_is_an_order_without_shares(visit):
    result = look_at(open_tasks(visit, "Mood of"), "ndza tsaka namuntlha")
    assert result.locator(".order li").all_inner_texts()[0] == "positive"
    words = result.inner_text()
    assert "This model gives an order, not probabilities." in words
    assert "%" not in words
    assert result.locator(".bar").count() == 0


def test_names_are_marked_in_the_text_as_it_was_typed(visit):
    page = open_tasks(visit, "Names in", "names")
    choose(page, "Language of the text", "isiXhosa")
    result = look_at(page, TYPED)
    marks = result.locator(".paper mark").all_inner_texts()
    assert [" ".join(one.split()) for one in marks] == ["UBana Dube person", "eKapa place"]
    plain = result.locator(".paper").evaluate(
        "node => { node = node.cloneNode(true); node.querySelectorAll('b').forEach(one => one.remove());"
        " return node.textContent; }"
    )
    assert plain == TYPED
    assert result.locator(".paper").get_attribute("lang") == "xh"
    legend = result.locator(".legend li").all_inner_texts()
    assert [" ".join(one.split()) for one in legend] == ["PER person", "LOC place"]
    assert "The model found no names." in look_at(page, "Inja iya ekhaya.").inner_text()


def test_words_have_their_tags_and_doubt_is_shown(visit):
    page = open_tasks(visit, "Kinds of words")
    result = look_at(page, "Inja iya ekhaya.")
    words = [one.split("\n") for one in result.locator(".words mark").all_inner_texts()]
    assert [word for word, _ in words] == ["Inja", "iya", "ekhaya", "."]
    tags = [tag.removesuffix(" ?") for _, tag in words]
    assert set(tags) <= set(load_task("masakhapos", data=False).labels)
    assert any(tag.endswith(" ?") for _, tag in words), "a random head is not sure"
    assert "A question mark means that the model is less than half sure." in result.inner_text()
    legend = result.locator(".legend li i").all_inner_texts()
    assert set(legend) == set(tags)
    result.locator(".legend", has_text=texts()[FIRST][f"tasks.tags.{tags[0]}"]).wait_for()


def test_what_is_typed_is_shown_as_it_was_typed(visit):
    typed = "<img src=x onerror=\"console.error('ran')\"> & <b> ${console.error('ran')} {{value}}"
    page = open_tasks(visit, "Names in", "names")
    for kind in ("Names in", "Kinds of words"):
        choose(page, "What to do", kind)
        result = look_at(page, typed)
        assert result.locator("img").count() == 0
        assert "onerror" in result.inner_text()


def test_examples_follow_the_language_and_fill_the_box(visit):
    page = open_tasks(visit, "Topic of", "topics")
    samples, box = page.locator(".samples button:visible"), page.locator("#tasks-text textarea")
    held_out = {
        code: [one.text for one in load_task("topic").examples("test", [code])] for code in ("eng", "zul")
    }
    for name, code in (("isiZulu", "zul"), ("English", "eng")):
        choose(page, "Language of the text", name)
        page.wait_for_function(
            f"document.querySelector('.samples button').innerText.startsWith({held_out[code][0][:20]!r})"
        )
        assert samples.count() == 3
        samples.nth(1).click()
        page.wait_for_function(
            "before => document.querySelector('#tasks-text textarea').value != before", arg=""
        )
        playwright.expect(box).to_have_value(re.compile(re.escape(samples.nth(1).inner_text()[:40])))
        assert box.input_value() in held_out[code]


def test_without_a_model_there_is_the_command_that_makes_one(visit):
    page = open_tasks(visit, "What somebody wants", width=360)
    page.get_by_text("edgelm finetune injongo_intent --method linear").wait_for()
    assert not page.get_by_role("button", name="Try it").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    choose(page, "What to do", "Mood of")
    page.get_by_role("button", name="Try it").wait_for()
    assert not page.get_by_text("edgelm finetune").is_visible()


def test_a_model_that_writes_streams_and_can_be_stopped(visit, unhurried):
    page = open_tasks(visit, "Headline")
    go, stop = page.get_by_role("button", name="Try it"), page.get_by_role("button", name="Stop")
    playwright.expect(stop).to_be_disabled()
    page.get_by_label("Text to try it on").fill("Namhlanje kusasa ndivuke.")
    go.click()
    page.wait_for_function("document.querySelector('#tasks-result .paper')?.innerText.length > 10")
    assert go.is_disabled()
    stop.click()
    wait_for_status(page, "Stopped")
    tokens = int(page.locator("#tasks-status .note").inner_text().split(" · ")[1].removesuffix(" tokens"))
    assert 2 < tokens < 120
    playwright.expect(go).to_be_enabled()
    assert page.locator("#tasks-result .paper").get_attribute("lang") == "xh"


def test_a_model_that_writes_labels_by_likelihood_and_tags(visit):
    result = look_at(open_tasks(visit, "Topic of", "writer"), "Geza izandla zakho.")
    shares = re.findall(r"(\d+) %", result.text_content())
    assert sum(map(int, shares)) == pytest.approx(100, abs=4)
    result = look_at(open_tasks(visit, "Names in", "writer"), TYPED)
    text = result.locator(".paper").text_content()
    assert all(word in text for word in TYPED.split())


def test_translation_is_offered_by_direction(visit):
    page = open_tasks(visit, "Translation")
    page.get_by_label("Language of the text").click()
    page.get_by_role("option", name="English → isiZulu").wait_for()
    options = page.get_by_role("option", name="→").all_inner_texts()
    assert [one.strip("✓ \n") for one in options] == ["English → isiXhosa", "English → isiZulu"]
    page.keyboard.press("Escape")
    page.locator(".samples button:visible").first.click()
    opening = load_languages()["eng"].prompt
    playwright.expect(page.get_by_label("Text to try it on")).to_have_value(re.compile(opening))


@pytest.mark.parametrize(
    ("kind", "typed", "said"),
    [
        ("Mood of", " ", "There is no text yet."),
        ("Sentence from facts", "Pretoria", "The text has not 3 parts with | between. Write entity"),
    ],
)
def test_an_error_is_a_sentence(visit, kind, typed, said):
    page = open_tasks(visit, kind)
    page.get_by_label("Text to try it on").fill(typed)
    page.get_by_role("button", name="Try it").click()
    page.get_by_role("alert").wait_for()
    assert page.get_by_role("alert").inner_text().startswith(said)
    playwright.expect(page.get_by_role("button", name="Try it")).to_be_enabled()


CONTRASTS = """() => [...document.querySelectorAll(
    '.tasks mark, .tasks mark b, .tasks .legend li, .tasks .legend i, .tasks .note, .tasks .share,'
    + '.tasks .name, .tasks summary, .tasks .samples button, .tasks pre')].map(node => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let behind = node;
  while (/, 0\\)$/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
  const pair = [getComputedStyle(node).color, getComputedStyle(behind).backgroundColor].map(light);
  return [node.outerHTML, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
})"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_phone_in_both_themes(visit, theme):
    page = open_tasks(visit, "Topic of", "topics", width=360, theme=theme)
    seen = {}
    for kind, model in (("Topic of", "topics"), ("Names in", "names"), ("Kinds of words", "words")):
        choose(page, "What to do", kind)
        choose(page, "Finetuned model", model)
        look_at(page, TYPED)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        seen |= dict(page.evaluate(CONTRASTS))
    assert len(seen) > 20
    low = {node: ratio for node, ratio in seen.items() if ratio < 4.5}
    assert not low, "less contrast than WCAG 2 asks"


def test_every_task_has_a_kind_and_every_command_a_task():
    kinds_of = {name: kind_of(load_task(name, data=False)) for name in task_names()}
    named = [task for one in kinds().values() for task in one["tasks"]]
    takes_a_text = [name for name in task_names() if isinstance(load_task(name, data=False), FAMILIES)]
    assert sorted(named) == sorted(takes_a_text)
    assert all(name in kinds()[kinds_of[name]]["tasks"] for name in takes_a_text)
    assert all(f"tasks.kinds.{kind}" in texts()[FIRST] for kind in kinds())
    for kind, one in kinds().items():
        assert not one["tasks"] or set(one["command"].split()) & set(one["tasks"]), kind


def test_every_tag_of_a_task_has_plain_words_and_a_hue():
    for name in ("masakhapos", "nchlt_pos", "masakhaner", "nchlt_ner"):
        labels = load_task(name, data=False).labels
        assert not [one for one in labels if f"tasks.tags.{one}" not in texts()[FIRST]]
        assert set(labels) <= set(hues())


def test_the_offers_are_those_of_the_finetuned_models(models):
    offers = find_offers(find_models([models]).values())
    found = {(one.model.path.name, one.kind): one.languages for one in offers.values()}
    assert found == {
        ("topics", "topic"): ("eng", "zul"),
        ("moods", "sentiment"): ("tso",),
        ("names", "names"): ("xho", "zul"),
        ("words", "speech"): ("tsn", "xho", "zul"),
        ("writer", "headline"): ("xho", "zul"),
        ("writer", "triples"): ("xho",),
        ("writer", "translation"): ("eng>xho", "eng>zul"),
        ("writer", "topic"): ("xho", "zul"),
        ("writer", "names"): ("xho", "zul"),
    }


def test_a_model_whose_task_nobody_noted_is_offered_too(models, tmp_path):
    for name in ("topics", "names", "words"):
        shutil.copytree(models / name, tmp_path / name)
        (tmp_path / name / "edgelm.json").unlink()
    offers = find_offers(find_models([tmp_path]).values())
    assert {one.model.path.name: one.kind for one in offers.values()} == {
        "topics": "labels",
        "names": "names",
        "words": "speech",
    }
    assert all(len(one.languages) == len(load_languages()) for one in offers.values())


def test_doubt_about_a_whole_text_is_said():
    found = {"measure": "probability", "labels": {"a": 0.4, "b": 0.35, "c": 0.25}}
    assert "not sure" in answered(found, "", "", FIRST)
    assert "not sure" not in answered(found | {"labels": {"a": 0.6, "b": 0.4}}, "", "", FIRST)
    assert "&lt; 1 %" in answered(found | {"labels": {"a": 0.998, "b": 0.002}}, "", "", FIRST)
