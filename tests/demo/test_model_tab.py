"""The tab Model: what lies beside a model, shown without obeying any of it."""

import json
import shutil
import time

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="the page is driven with playwright")
pytest.importorskip("gradio", reason="the demo page is made with Gradio")

import gradio as gr  # noqa: E402
from driving import open_tab  # noqa: E402
from edgelm_demo import model  # noqa: E402
from edgelm_demo.context import Context  # noqa: E402
from edgelm_demo.corpora import Corpus  # noqa: E402
from edgelm_demo.markdown import render  # noqa: E402
from edgelm_demo.model import CARD as CARD_LENGTH  # noqa: E402
from edgelm_demo.model import Showing, facts, look  # noqa: E402
from edgelm_demo.models import Found, find_models  # noqa: E402
from edgelm_demo.page import build  # noqa: E402
from edgelm_demo.server import launch  # noqa: E402

from edgelm.errors import BadInput  # noqa: E402

expect = playwright.expect
AT_ONCE = 2  # seconds; a third of one is usual, and time in proportion to the square would be a minute
CARD = """---
license: cc-by-4.0
language:
- "zu"
- "no"
---

# A model <b>of tests</b>

It is **small**, `quick`
and ![a picture](https://example.org/x.png), see [this](https://example.org).
<script>console.error("ran")</script>

| task | score |
| --- | --- |
| topic | 0.5 <img src=x onerror="console.error('ran')"> |

- one
- two
  and more

```bash
edgelm run . "x" # <i>
```
"""


@pytest.fixture(scope="module")
def folder(tiny_model_dir, tiny_gguf, tmp_path_factory):
    """A model with a card, a curve and a record, and the GGUF file exported from it."""
    folder = tmp_path_factory.mktemp("about")
    model = folder / "model"
    shutil.copytree(tiny_model_dir, model)
    (model / "README.md").write_text(CARD, encoding="utf-8")
    lines = [{"step": at, "tokens": 4096 * (at + 1), "loss": 7 - at / 10} for at in range(10)]
    lines.append({"step": 9, "tokens": 40960, "validation": {"zul": 3.5, "mean": 3.5}})
    (model / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    task = {"name": "topic", "licence": "CC0-1.0", "attribution": "the edgelm authors"}
    results = {"parameters": 1312000, "validation_bits_per_byte": {"mean": 3.4567}}
    record(model, command="pretrain", config={"tasks": [task]}, results=results, inputs={})
    (folder / "export").mkdir()
    shutil.copy(tiny_gguf, folder / "export" / "model-F16.gguf")
    record(folder / "export", command="export", inputs={str(model.resolve()): "0"})
    return folder


def record(folder, **values):
    (folder / "edgelm.json").write_text(json.dumps({"digest": "0", **values}))


@pytest.fixture(scope="module")
def address(folder):
    page = build([folder])
    yield launch(page)
    page.close(verbose=False)


def open_model(visit, name="export", **options):
    page = visit(**options)
    open_tab(page, "Model")
    page.locator("#about .facts").wait_for()
    page.get_by_label("Model", exact=True).locator("visible=true").click()
    page.get_by_role("option", name=name).click()
    expect(page.locator("#about .facts")).to_contain_text("GGUF" if name == "export" else "safetensors")
    return page


def test_what_a_model_is_and_under_which_licences(visit):
    page = open_model(visit, "model (")
    about = page.locator("#about")
    for name, value in (
        ("Weights", "1,312,000"),
        ("Text read in training", "40,960 tokens"),
        ("Bits per byte of new text; less is better", "3.457"),
        ("Languages", "isiZulu and no"),
    ):
        expect(about.locator(".facts div", has=page.get_by_text(name, exact=True))).to_contain_text(value)
    assert about.locator(".facts bdi").first.get_attribute("lang") == "zu"
    expect(about).to_contain_text("The licence that the model states: cc-by-4.0.")
    expect(about.get_by_role("region", name="Data that it learnt from")).to_contain_text("the edgelm authors")
    expect(about).to_contain_text("Nobody who speaks these languages has reviewed what it writes.")
    label = about.get_by_role("img").first.get_attribute("aria-label")
    assert label.startswith("Training loss: 7.000 at first")
    assert "Bits per byte on validation" in about.get_by_role("img").last.get_attribute("aria-label")


def test_a_gguf_file_says_what_is_in_its_header_and_where_it_comes_from(visit):
    page = open_model(visit)
    about = page.locator("#about")
    expect(about).to_contain_text("It was made from another model: model (")
    expect(about).to_contain_text("cc-by-4.0")
    about.get_by_text("What the file says of itself").click()
    header = about.get_by_role("region", name="What the file says of itself")
    expect(header.get_by_role("row", name="llama.context_length")).to_contain_text("256")
    expect(header.get_by_role("row", name="tokenizer.ggml.tokens")).to_contain_text("[512]")


def test_a_card_cannot_act(visit):
    page = open_model(visit, "model (")
    page.get_by_text("Model card", exact=True).click()
    card = page.locator("#about .card")
    expect(card.get_by_role("heading").first).to_have_text("A model <b>of tests</b>")
    expect(card).to_contain_text('<script>console.error("ran")</script>')
    assert card.locator("script, img, a, b, i").count() == 0
    assert page.content().count("example.org") == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_phone(visit, theme):
    page = open_model(visit, width=360, theme=theme)
    page.get_by_text("Model card", exact=True).click()
    page.get_by_text("What the file says of itself").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_damaged_file_is_a_sentence(visit, folder):
    path = folder / "export" / "model-F16.gguf"
    whole = path.read_bytes()
    page = open_model(visit, "model (")
    path.write_bytes(whole[:1000])
    try:
        page.get_by_label("Model", exact=True).locator("visible=true").click()
        page.get_by_role("option", name="export").click()
        expect(page.get_by_role("alert")).to_contain_text("is not a whole GGUF file")
        assert str(folder) not in page.content()
    finally:
        path.write_bytes(whole)


def test_what_lies_beside_a_model_is_read_from_its_origin_only(folder):
    models = find_models([folder])
    export = next(one for one in models.values() if one.path.suffix == ".gguf")
    about = look(export, models.values())
    assert about.origin.path == folder / "model"
    assert about.card == CARD
    alone = look(export, [export])
    assert (alone.origin, alone.card, alone.lines) == (export, "", [])


def test_the_card_of_a_folder_is_that_of_its_gguf_and_onnx_and_of_no_other_model(folder, tmp_path):
    card = "---\nlicense: mit\npipeline_tag: text-generation\n---\n\n# it\n"
    (tmp_path / "README.md").write_text(card)
    (tmp_path / "int4").mkdir()
    (tmp_path / "int4" / "model.onnx").touch()
    shutil.copytree(folder / "model", tmp_path / "another")
    (tmp_path / "another" / "README.md").unlink()
    export = next(one.path for one in find_models([folder]).values() if one.path.suffix == ".gguf")
    shutil.copy(export, tmp_path / "model-F16.gguf")

    def said(name):
        model = Found(name, tmp_path / name, 1, True)
        return look(model, [model]).card

    assert said("model-F16.gguf") == said("int4") == card
    assert said("another") == ""
    shutil.copy(folder / "model" / "model.safetensors", tmp_path)  # the card is this one's
    assert said("model-F16.gguf") == ""


def test_bits_per_byte_are_those_of_the_file_itself(folder, tmp_path):
    shutil.copytree(folder / "export", tmp_path / "export")
    (tmp_path / "export" / "onnx" / "int8").mkdir(parents=True)
    figures = {
        name: {"languages": {"zul": {"bits_per_byte": at}, "sot": {"bits_per_byte": at + 1}}}
        for name, at in (("gguf:F16", 2.0), ("onnx:int8", 3.0))
    }
    (tmp_path / "export" / "verification.json").write_text(json.dumps(figures))
    origin = Found("model", folder / "model", 1, True)

    def said(path):
        about = look(Found("export", tmp_path / "export" / path, 1, True), [origin])
        assert about.origin is origin
        return {name: value for name, value in facts(about, "eng") if name.startswith("Bits per byte")}

    assert said("model-F16.gguf") == {"Bits per byte": "2.500"}
    assert said("onnx/int8") == {"Bits per byte": "3.500"}
    for damaged in ("{}", "[", '{"gguf:F16": {"languages": {}}}'):
        (tmp_path / "export" / "verification.json").write_text(damaged)
        assert said("model-F16.gguf") == {}


def test_no_error_shows_where_a_model_its_origin_or_a_corpus_lies(folder, tmp_path, monkeypatch):
    shutil.copytree(folder / "export", tmp_path / "export")
    export = Found("export (1 MB)", tmp_path / "export" / "model-F16.gguf", 1, True)
    origin = Found("origin (5 MB)", folder / "model", 1, True)
    corpus = Corpus("a corpus", tmp_path / "corpus")
    models = {one.name: one for one in (export, origin)}
    showing = Showing(Context(models, gr.Dropdown(), corpora={corpus.name: corpus}))
    for file, said in (
        (folder / "model" / "metrics.jsonl", "Origin (5 MB)/metrics.jsonl: "),
        (tmp_path / "corpus" / "manifest.json", "A corpus/manifest.json: "),
        (tmp_path / "export" / "edgelm.json", "Export/edgelm.json: "),
    ):

        def damaged(*_, file=file):
            raise BadInput("cannot be read", file=file)

        monkeypatch.setattr(model, "read_lines", damaged)
        shown = showing.show(export.name, "eng")
        assert said in shown
        assert str(tmp_path.parent) not in shown


def test_a_file_that_is_no_model_is_an_error(tmp_path):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    with pytest.raises(BadInput, match="is not a whole GGUF file"):
        look(Found("broken", tmp_path / "broken.gguf", 4, True), [])


@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "![",
        "[](",
        "[a](b ",
        "[x](",
        "`",
        "`a*",
        "*a",
        "**a",
        "* a\n  b\n",
        "- \n",
        "|\n",
        "|",
        "# a\n",
        "a\n",
    ],
)
@pytest.mark.parametrize("start", ["", "| a " * 4000 + "\n|---|\n"])
def test_a_hostile_card_takes_no_time(start, piece):
    begun = time.process_time()
    render((start + piece * CARD_LENGTH)[:CARD_LENGTH], "card")
    assert time.process_time() - begun < AT_ONCE


def test_a_hostile_line_below_a_table_takes_no_time():
    begun = time.process_time()
    render("| a |\n|---" + " " * CARD_LENGTH + "x", "card")
    assert time.process_time() - begun < AT_ONCE


def test_markdown_becomes_markup_and_nothing_else():
    text = str(render(CARD, "card"))
    assert "license" not in text
    assert "<strong>small</strong>, <code>quick</code> and a picture, see this. &lt;script&gt;" in text
    assert "<h3>A model &lt;b&gt;of tests&lt;/b&gt;</h3>" in text
    assert "<ul><li>one</li><li>two and more</li></ul>" in text
    assert "<code>edgelm run . &quot;x&quot; # &lt;i&gt;</code></pre>" in text
    assert '<th scope="row">topic</th>' in text
    assert str(render("| a | b |\n| --- | --- |\n| 1 |", "x")).count("<td") == 1
    assert (
        str(render("a\n\n```\nnever closed", "x"))
        == '<p>a</p><pre tabindex="0"><code>never closed</code></pre>'
    )
