"""What the README and the docs point to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    *(ROOT / d / "README.md" for d in ("corpus", "demo", "export")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_to_one(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_readme_has_its_two_commands_and_no_placeholder():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"```bash\n(python3 -m venv .*)\n```", text)
    assert [command.split()[-1] for command in commands] == ["quickstart", "pytest"]
    assert not re.search(r"\b(TODO|[A-Z]{6,}(SIZE|TABLE))\b", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_page_has_a_place_that_was_to_be_filled(page):
    assert not re.search(r"@@|\bTODO\b|\bTBD\b", page.read_text(encoding="utf-8"))
