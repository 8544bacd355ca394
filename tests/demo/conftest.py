"""A Chromium, and the page in it."""

import shutil
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"


MOST_MS = 30_000
"""That a test waits for the page, which may be beside others on a busy machine."""


@pytest.fixture(scope="module")  # playwright runs once at a time, and other tests have one too
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="the page is driven with playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    playwright.expect.set_options(timeout=MOST_MS)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS.split(), "--no-first-run"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """Opens the page at `address`, a fixture of the module; an error or a request to another host fails the
    test. Its language is the browser's, `locale`, as long as the test chooses no other."""
    opened = []

    def open_page(width=1200, theme="light", locale="en-ZA"):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=theme, locale=locale
        )
        context.set_default_timeout(MOST_MS)
        page, seen = context.new_page(), SimpleNamespace(errors=[], hosts=set())
        page.on("console", lambda message: message.type == "error" and seen.errors.append(message.text))
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("response", lambda answer: answer.status >= 400 and seen.errors.append(answer.url))
        page.on("request", lambda request: seen.hosts.add(urlsplit(request.url).hostname))
        opened.append((context, seen))
        page.goto(address)
        page.wait_for_function("document.querySelector('#locale input')?.value")  # its controls are alive
        return page

    yield open_page
    for context, seen in opened:
        context.close()
        assert seen.errors == []
        assert seen.hosts - {None} == {"127.0.0.1"}
