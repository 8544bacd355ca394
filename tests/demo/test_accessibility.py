"""What axe, the checker that accessibility auditors use, says of every tab in both themes."""

from importlib.resources import files

import pytest

pytest.importorskip("gradio", reason="the demo page is made with Gradio")
axe = pytest.importorskip("axe_playwright_python", reason="it brings axe")

from edgelm_demo.page import TABS, build  # noqa: E402
from edgelm_demo.server import launch  # noqa: E402

RULES = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
}
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def address(tiny_model_dir):
    page = build([tiny_model_dir])
    yield launch(page)
    page.close(verbose=False)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit, theme):
    page = visit(theme=theme)
    page.evaluate((files(axe) / "axe.min.js").read_text(encoding="utf-8"))
    serious = {}
    for number, name in enumerate(TABS):
        page.get_by_role("tab").nth(number).click()
        page.wait_for_timeout(300)  # colours fade
        found = page.evaluate("rules => axe.run(document, rules)", RULES)
        for rule in found["violations"]:
            if rule["impact"] in SERIOUS:
                nodes = [node["html"][:200] for node in rule["nodes"]]
                serious[name, rule["id"]] = (rule["help"], nodes)
    assert serious == {}
