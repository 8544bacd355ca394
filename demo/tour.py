"""Pictures of the demo page at work, for the README: python demo/tour.py MODELS FOLDER

edgelm quickstart
python demo/tour.py edgelm-quickstart docs/demo   # half a minute; one picture a tab, and one of a phone
python demo/tour.py edgelm-quickstart pictures dark

Drives the page in a Chromium, without a display. Needs playwright.
"""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edgelm_demo.page import build
from edgelm_demo.server import launch
from playwright.sync_api import Page, sync_playwright

from edgelm.errors import BadInput, EdgelmError, MissingExtra

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
WIDE, PHONE = {"width": 1200, "height": 1000}, {"width": 360, "height": 780}
LANGUAGE = "isiZulu"


def write(view: Page) -> None:
    """Continue the language's own opening."""
    view.get_by_label("Language", exact=True).first.click()
    view.get_by_role("option", name=LANGUAGE).click()
    view.wait_for_function("document.querySelector('#given textarea').value !== ''")
    view.locator("#write").click()
    finished(view, "#status")


def tasks(view: Page) -> None:
    """Ask of the first example."""
    view.locator(".tasks .samples button:visible").first.click()
    view.wait_for_function("document.querySelector('#tasks-text textarea').value !== ''")
    view.locator("#tasks-go").click()
    finished(view, "#tasks-status")


def compare(view: Page) -> None:
    """Let four files go on with the same text."""
    view.locator("#compare").click()
    finished(view, "#compare-status")


def words(view: Page) -> None:
    """Cut the example into tokens."""
    view.locator("#cut").click()
    view.wait_for_function(
        "document.querySelector('#tokens').innerText && document.querySelector('#words-languages').innerText"
    )


def seen(view: Page) -> None:
    """What is there without a press, once it has come."""
    view.wait_for_timeout(2000)


SCENES: dict[str, Callable[[Page], None]] = {
    "Write": write,
    "Tasks": tasks,
    "Compare": compare,
    "Words": words,
    "Corpus": seen,
    "Model": seen,
}


def finished(view: Page, status: str) -> None:
    """Wait for the end of what a tab does."""
    view.wait_for_function(f"document.querySelector('{status} .note')?.innerText.startsWith('Finished')")


def tour(models: Path, folder: Path, theme: str = "light") -> None:
    """Start the page and write a picture of each tab, and of the first one on a phone, into `folder`.

    Raises:
        BadInput, MissingExtra: no model, or no Chromium.
    """
    browsers = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    chromium = next(browsers, None)
    if chromium is None:
        raise MissingExtra("there is no Chromium on this machine. Install the package chromium.")
    if theme not in ("light", "dark"):
        raise BadInput(f"unknown theme '{theme}'", remedy="give light or dark")
    page = build([models])
    address = launch(page)
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        view = browser.new_page(viewport=WIDE, color_scheme=theme, locale="en-ZA")  # type: ignore[arg-type]
        view.goto(address)
        for name, scene in SCENES.items():
            view.get_by_role("tab", name=name, exact=True).click()
            scene(view)
            picture(view, folder / f"{name.lower()}.png")
        view.set_viewport_size(PHONE)  # type: ignore[arg-type]
        view.goto(address)
        write(view)
        picture(view, folder / "phone.png")
        browser.close()
    page.close(verbose=False)


def picture(view: Page, path: Path) -> None:
    """What the window shows, from the top."""
    view.mouse.move(0, 0)
    view.evaluate("scrollTo(0, 0)")
    view.wait_for_timeout(500)  # a pressed button fades back
    view.screenshot(path=path)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python demo/tour.py MODELS FOLDER [light|dark]")
    begin = time.monotonic()
    try:
        tour(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
    except EdgelmError as error:
        sys.exit(str(error))
    print(f"{len(SCENES) + 1} pictures in {sys.argv[2]}, {time.monotonic() - begin:.0f} s")
