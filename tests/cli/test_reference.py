"""`docs/commands.md` says what the commands take, all of it and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from edgelm.cli import app
from edgelm.cli.reference import commands, page

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


def test_the_page_is_what_the_commands_say_now() -> None:
    hint = "stale; write it again: python -m edgelm.cli.reference > docs/commands.md"
    assert PAGE.read_text(encoding="utf-8") == page(), hint


def test_it_is_the_same_in_a_narrow_terminal_of_another_user(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "COLUMNS": "40", "TERM": "dumb", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "edgelm.cli.reference"], capture_output=True, cwd=tmp_path, env=environment
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == PAGE.read_bytes()


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_a_command_has_the_options_that_it_takes(name: str) -> None:
    """The page comes from the functions' signatures; what typer makes of them has the same options."""
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert section
    shown = set(re.findall(r"`(-[\w-]+)", "\n".join(re.findall(r"^\| (`-.*?) \| ", section[1], re.M))))
    found = typer.main.get_command(app)
    for word in name.split()[1:-1] if name.endswith(" phone") else name.split()[1:]:
        found = found.commands[word]  # type: ignore[attr-defined]
    if name.endswith(" phone"):
        found = found.make_context("export", ["phone", "-o", "out"]).command
    taken = {one for option in found.params for one in (*option.opts, *option.secondary_opts)}
    assert shown == {one for one in taken if one.startswith("-")} - {"-h", "--help"}
