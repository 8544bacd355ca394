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


STAGES = [
    *(ROOT / "docs" / f"{name}.md" for name in ("corpus", "tokenizer", "pretraining", "tasks", "finetuning")),
    *(ROOT / "docs" / f"{name}.md" for name in ("evaluation", "baselines", "running", "benchmarks")),
    *(ROOT / name / "README.md" for name in ("demo", "export")),
]


@pytest.mark.parametrize("page", STAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_stage_says_what_goes_in_and_out_what_it_costs_and_what_goes_wrong(page):
    rows = dict(re.findall(r"^\| (in|out|cost|goes wrong) \| (.+) \|$", page.read_text("utf-8"), re.M))
    assert list(rows) == ["in", "out", "cost", "goes wrong"]
    assert re.search(r"\d", rows["cost"]), "a figure"
    files = [*(ROOT / "edgelm").rglob("*.py"), *(ROOT / "demo" / "edgelm_demo").rglob("*.py")]
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    source = re.sub(r'"\s*\n?\s*f?"', "", re.sub(r"\{[^{}]*(\{[^{}]*\})?[^{}]*\}", "...", source))
    messages = [one for one in re.findall(r"`([^`]+)`:", rows["goes wrong"]) if " " in one]
    assert messages, "what edgelm says"
    for message in messages:
        parts = re.split(r"[,:] |\.\.\.|'[^']+'|\b\d+\b", re.sub(r"^--[\w-]+( \w+)? ", "", message))
        for part in filter(None, map(str.strip, parts)):
            assert part in source, f"{message}: edgelm does not say {part!r}"


def test_the_tutorial_is_found_from_the_first_lines_of_the_readme_and_from_the_guide():
    top = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## ")[0]
    assert "[Your language in an afternoon](docs/tutorial.md)" in top
    assert "[Your language in an afternoon](tutorial.md)" in (ROOT / "docs" / "guide.md").read_text("utf-8")
