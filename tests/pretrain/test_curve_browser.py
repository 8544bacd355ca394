"""The page of a run as a reader meets it, in the system's Chromium."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from test_curve import made_lines

from edgelm.languages import load_languages
from edgelm.pretrain.curve import make_page

playwright = pytest.importorskip("playwright.sync_api", reason="the page is opened with playwright")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS.split(), "--no-first-run"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Eleven languages that end close together, and a title without a place to break a line."""
    lines = made_lines()
    for line in lines:
        if "validation" in line:
            own = {code: 1.5 + at / 1000 for at, code in enumerate(load_languages())}
            line["validation"] = own | {"mean": 1.505}
    path = tmp_path_factory.mktemp("curve") / "curve.html"
    path.write_text(make_page(lines, "x" * 300, True, load_languages()), encoding="utf-8")
    return path.as_uri()


COVERED = """() => [...document.querySelectorAll('.plot')].flatMap(plot =>
  ['.ys span', '.xs span', '.ends span'].flatMap(kind => {
    const boxes = [...plot.querySelectorAll(kind)]
      .filter(node => getComputedStyle(node).visibility === 'visible')
      .map(node => [node.innerText, node.getBoundingClientRect()]);
    return boxes.flatMap(([name, one], at) => boxes.slice(at + 1)
      .filter(([, two]) => one.left < two.right - 1 && two.left < one.right - 1
                        && one.top < two.bottom - 1 && two.top < one.bottom - 1)
      .map(([other]) => `${name} and ${other}`));
  }))"""
CUT = """() => [...document.querySelectorAll(".ends span")].filter(one => one.scrollWidth > one.clientWidth)
  .map(one => one.innerText)"""
FAINT = """() => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return [...document.querySelectorAll('.plot .line, .plot .dot')].map(node => {
    const pair = [getComputedStyle(node).stroke, getComputedStyle(node.closest('.area')).backgroundColor]
      .map(light);
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    return [node.getAttribute('class'), ratio, node.matches('.raw') ? 2 : 3];
  });
}"""


@pytest.mark.parametrize(("width", "theme"), [(360, "light"), (768, "dark"), (1280, "light")])
def test_it_reads_at_any_width(browser: Any, address: str, width: int, theme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
    page, seen = context.new_page(), []
    page.on("console", lambda message: seen.append(message.text))
    page.on("request", lambda request: request.url != address and seen.append(request.url))
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(COVERED) == []
    assert page.evaluate(CUT) == []
    found = page.evaluate(FAINT)
    assert len(found) > 50
    assert not {f"{name}: {ratio:.2f} under {least}" for name, ratio, least in found if ratio < least}
    unnamed = "[...document.querySelectorAll('[role=img]')].filter(node => !node.ariaLabel).length"
    assert page.evaluate(unnamed) == 0
    context.close()
    assert seen == []
