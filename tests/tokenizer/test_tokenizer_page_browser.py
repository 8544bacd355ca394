"""The tokenizer page as a reader meets it, in the system's Chromium."""

import shutil
from pathlib import Path

import pytest

from edgelm.tokenizer.measure import Measured, open_tokenizer
from edgelm.tokenizer.page import page
from edgelm.tokenizer.report import measure

playwright = pytest.importorskip("playwright.sync_api", reason="the page is opened with playwright")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


def test_a_phone_shows_it_without_a_network(tmp_path: Path, sample_tokenizer_dir: Path) -> None:
    one = open_tokenizer(sample_tokenizer_dir)
    long = Measured(one.tokenizer, "x" * 200)  # a name without a place to break it
    path = tmp_path / "report.html"
    path.write_text(page(measure([one, long]), "y" * 200), encoding="utf-8")
    wrong: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS.split(), "--no-first-run"])
        for theme in ("light", "dark"):
            tab = browser.new_context(viewport={"width": 360, "height": 700}, color_scheme=theme).new_page()
            tab.on("console", lambda message: wrong.append(message.text))
            tab.on("request", lambda request: request.url != path.as_uri() and wrong.append(request.url))
            tab.goto(path.as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth") <= 360
            assert tab.locator("svg").count() == 2 * 11 * 2
            widths = "all => all.map(one => one.getBoundingClientRect().width)"
            assert min(tab.locator("svg rect").evaluate_all(widths)) > 40
            colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (colour == "rgb(255, 255, 255)") == (theme == "light")
        browser.close()
    assert wrong == []
