"""The corpus report as a reader meets it, in the system's Chromium."""

import shutil

import pytest
from page_manifest import BAD, REGISTRY, make_manifest, spoil

from edgelm.corpus.page import page as make_page

playwright = pytest.importorskip("playwright.sync_api", reason="the page is opened with playwright")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS.split(), "--no-first-run"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Eleven languages, every text in them hostile and without a place to break a line."""
    manifest = spoil(make_manifest(tuple(REGISTRY)), BAD + "x" * 300)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(make_page(manifest, REGISTRY), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def visit(browser, report):
    """Opens the report; anything that runs, fails or is requested besides the page itself fails the test."""
    opened, seen = [], []

    def open_page(width=1280, theme="light", media="screen"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
        opened.append(context)
        page = context.new_page()
        page.emulate_media(media=media)
        page.on("console", lambda message: seen.append(message.text))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: request.url != report and seen.append(request.url))
        page.goto(report)
        return page

    yield open_page
    for context in opened:
        context.close()
    assert seen == []


UNFOLD = "document.querySelectorAll('details').forEach(one => { one.open = true })"


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_it_is_no_wider_than_the_window(visit, width):
    page = visit(width)
    page.evaluate(UNFOLD)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """width => [...document.querySelectorAll('main *')].filter(node => !node.closest('.scroll, pre, svg')
             && node.getBoundingClientRect().right > width + 1).map(node => node.outerHTML.slice(0, 200))""",
        width,
    )
    assert outside == []


CONTRASTS = """() => {
  const parse = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = colour => {
    const [r, g, b] = parse(colour).map(v => v / 255)
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
  const ratio = (one, other) => {
    const pair = [light(one), light(other)];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  };
  const texts = [...document.querySelectorAll('body *')].filter(node => node.checkVisibility() &&
    [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim()));
  const words = texts.map(node => {
    const style = getComputedStyle(node);
    return [node.tagName + '.' + node.getAttribute('class'),
      ratio(node.closest('svg') ? style.fill : style.color, behind(node)), 4.5];
  });
  const drawn = [...document.querySelectorAll('.part, .key, .meter > span')].map(node =>
    [node.className, ratio(getComputedStyle(node).backgroundColor, behind(document.body)), 3]);
  const shapes = [...document.querySelectorAll('.up, .down, .bound, .line')].map(node => {
    const style = getComputedStyle(node);
    const colour = style.fill === 'none' ? style.stroke : style.fill;
    return [node.getAttribute('class'), ratio(colour, behind(node)), 3];
  });
  return [...words, ...drawn, ...shapes];
}"""


@pytest.mark.parametrize(("theme", "media"), [("light", "screen"), ("dark", "screen"), ("dark", "print")])
def test_everything_stands_out_from_what_is_behind_it(visit, theme, media):
    page = visit(theme=theme, media=media)
    page.evaluate(UNFOLD)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (theme == "light" or media == "print")
    found = page.evaluate(CONTRASTS)
    assert len(found) > 1000
    weak = {f"{name}: {ratio:.2f} under {least}" for name, ratio, least in found if ratio < least}
    assert not weak


def test_every_colour_of_bars_carries_its_number(browser):
    styles = [
        "kept",
        "read0",
        "read1",
        *(f"r{at}" for at in range(10)),
        "dup",
        "near",
        *(f"g{at}" for at in range(7)),
    ]
    keys = "".join(f'<span class="key {style}">7</span>' for style in (*styles, "more", "none"))
    document = make_page(make_manifest(("zul",)), REGISTRY).replace("<main", f"{keys}<main")
    for theme in ("light", "dark"):
        context = browser.new_context(color_scheme=theme)
        page = context.new_page()
        page.set_content(document)
        found = [one for one in page.evaluate(CONTRASTS) if "key" in one[0]]
        context.close()
        assert len(found) >= 2 * len(styles)
        assert not {f"{name}: {ratio:.2f}" for name, ratio, least in found if ratio < least}


def test_it_reads_without_a_mouse(visit):
    page = visit()
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "A"
    summary = page.locator("#samples summary").nth(0)
    state = page.locator("#samples details").nth(0)
    before = state.get_attribute("open")
    summary.focus()
    page.keyboard.press("Enter")
    assert state.get_attribute("open") != before
    names = page.evaluate(
        """() => [...document.querySelectorAll('[role=img], [role=group], nav, section')].filter(node =>
             !node.ariaLabel && !document.getElementById(node.getAttribute('aria-labelledby'))?.innerText
           ).length"""
    )
    assert names == 0


def test_it_prints_whole(visit):
    page = visit(720, media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
    assert not page.locator("nav").is_visible()
    bounds = page.locator("#filters .rule details table").last
    assert bounds.evaluate("node => node.checkVisibility({contentVisibilityAuto: true})")
    assert bounds.evaluate("node => node.getBoundingClientRect().height") > 50
