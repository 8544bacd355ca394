"""A picture of the demo page at work, for the README: python demo/tour.py my-model page.png

Needs playwright and a Chromium on the machine; no display.
"""

import shutil
import sys
from pathlib import Path

from edgelm_demo.page import build
from edgelm_demo.server import launch
from playwright.sync_api import sync_playwright

from edgelm.errors import BadInput, EdgelmError, MissingExtra

LANGUAGE = "isiZulu"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def tour(models: Path, picture: Path, theme: str = "light") -> None:
    """Start the page, let the model continue the language's own opening, and write `picture`, 1200 x 800.

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
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        view = browser.new_page(viewport={"width": 1200, "height": 800}, color_scheme=theme, locale="en-ZA")  # type: ignore[arg-type]
        view.goto(address)
        view.get_by_label("Language", exact=True).click()
        view.get_by_role("option", name=LANGUAGE).click()
        view.wait_for_function("document.querySelector('textarea').value !== ''")
        view.get_by_role("button", name="Write").click()
        view.wait_for_function("document.querySelector('#status .note')?.innerText.startsWith('Finished')")
        view.mouse.move(0, 0)
        view.wait_for_timeout(500)  # the button fades back
        view.screenshot(path=picture)
        browser.close()
    page.close(verbose=False)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python demo/tour.py MODELS PICTURE.png [light|dark]")
    try:
        tour(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
    except EdgelmError as error:
        sys.exit(str(error))
