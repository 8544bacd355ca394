"""What holds of every tab: nothing serious for axe, the checker that accessibility auditors use, and nothing
wider than a phone. Pictures of the tabs stay in build/screenshots."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the demo page is made with Gradio")
axe = pytest.importorskip("axe_playwright_python", reason="it brings axe")

from driving import open_tab  # noqa: E402
from edgelm_demo.interface import FIRST, say  # noqa: E402
from edgelm_demo.page import TABS, build  # noqa: E402
from edgelm_demo.server import launch  # noqa: E402
from tour import SCENES  # noqa: E402

from edgelm.corpus.build import build_corpus  # noqa: E402
from edgelm.corpus.recipe import load_recipe  # noqa: E402
from edgelm.finetune.linear import train_linear  # noqa: E402
from edgelm.model.linear import save_linear  # noqa: E402
from edgelm.tasks.task import load_task  # noqa: E402
from edgelm.tokenizer.texts import sample_texts  # noqa: E402

RULES = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
}
WIDTH = "document.documentElement.scrollWidth"
PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def address(tiny_model_dir, tiny_gguf, tmp_path_factory):
    """A page where every tab has something to show."""
    folder = tmp_path_factory.mktemp("everything")
    shutil.copytree(tiny_model_dir, folder / "base")
    shutil.copy(tiny_gguf, folder)
    (folder / "topics").mkdir()
    topics = load_task("topic").examples("train", ["eng", "zul"])
    save_linear(train_linear(topics, methods=["logistic"]), folder / "topics")
    made = {"tasks": [load_task("topic", data=False).config()], "languages": ["eng", "zul"]}
    made = {"command": "finetune", "digest": "x", "inputs": {}, "config": made}
    (folder / "topics" / "edgelm.json").write_text(json.dumps(made))
    texts = [*sample_texts()["zul"][:20], "Yebo."]
    (folder / "zul.txt").write_text("\n".join(texts), encoding="utf-8")
    build_corpus(load_recipe(folder / "zul.txt"), folder / "corpus")
    page = build([folder])
    yield launch(page)
    page.close(verbose=False)


@pytest.fixture
def tabs(visit):
    """Opens each tab in turn, does what the tour does there, and leaves a picture of it."""

    def walk(width, theme):
        page = visit(width=width, theme=theme)
        for name in TABS:
            open_tab(page, say(FIRST, f"page.tabs.{name}"))
            SCENES[say(FIRST, f"page.tabs.{name}")](page)
            page.wait_for_timeout(300)  # colours fade
            PICTURES.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=PICTURES / f"{name}-{width}-{theme}.png", full_page=True)
            yield name, page

    return walk


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(tabs, theme):
    serious = {}
    for name, page in tabs(1200, theme):
        page.evaluate((files(axe) / "axe.min.js").read_text(encoding="utf-8"))
        for rule in page.evaluate("rules => axe.run(document, rules)", RULES)["violations"]:
            if rule["impact"] in SERIOUS:
                nodes = [node["html"][:200] for node in rule["nodes"]]
                serious[name, rule["id"]] = (rule["help"], nodes)
    assert serious == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(tabs, theme):
    wide = [name for name, page in tabs(360, theme) if page.evaluate(WIDTH) > 360]
    assert wide == []
