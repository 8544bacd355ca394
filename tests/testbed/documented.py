"""The `edgelm` commands and the Python that the pages for readers show."""

import functools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from edgelm.cli import app

ROOT = Path(__file__).parents[2]
STAGES = "corpus tokenizer pretraining tasks finetuning evaluation running benchmarks baselines".split()
FIRST = [
    ROOT / "docs" / "guide.md",
    ROOT / "README.md",
    *(ROOT / "docs" / f"{stage}.md" for stage in STAGES),
    *(ROOT / room / "README.md" for room in ("corpus", "export", "demo")),
    ROOT / "CONTRIBUTING.md",
]
OTHERS = {ROOT / "docs" / "log.md", ROOT / "docs" / "tutorial.md"}
"""The log tells what was, not what to type; the tutorial has a test and a folder of its own."""
PAGES = [*FIRST, *sorted({*ROOT.glob("docs/*.md")} - {*FIRST} - OTHERS)]
"""In the order in which their commands are run."""
CODE = re.compile(r"^```(\w*)\n(.*?)^```|(?<!`)`([^`]+)`(?!`)", re.M | re.S)
CALL = re.compile(r"(?:^|[\s/])edgelm [a-z]")
PARTS = re.compile(r"\s*(?:&&|\|\|)\s*")


@dataclass(frozen=True)
class Command:
    """A line with a call of `edgelm`.

    Attributes:
        text: as typed, without comment and `.venv/bin/`.
        words: what follows `edgelm`.
        shell: more than the call alone: a pipe, files for input and output, variables, another launcher.
        fenced: a line of a block, not code in running text.
        whole: nothing is left out of it, as `...` says.
    """

    page: str
    line: int
    text: str
    words: tuple[str, ...]
    shell: bool
    fenced: bool
    whole: bool

    @property
    def call(self) -> str:
        """The same for lines that differ only in the reader's own names: `my-model`, what follows `-o`."""
        return re.sub(r"(?<= -o )\S+|(?<= )my-", "", self.text)

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: str
    line: int
    kind: str
    text: str


def blocks(kind: str) -> list[Block]:
    """All blocks of a kind, as `python`, in the order of the pages."""
    return [
        Block(page.relative_to(ROOT).as_posix(), _line(text, one), kind, one[2])
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for one in CODE.finditer(text)
        if one[0].startswith("```") and one[1] == kind
    ]


def commands() -> list[Command]:
    """Every call of `edgelm` in a block, a table or running text."""
    found = []
    for page in PAGES:
        text, name = page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()
        for one in CODE.finditer(text):
            fenced = one[0].startswith("```")
            if fenced and one[1] not in ("", "bash"):
                continue
            lines = one[2].split("\n") if fenced else [" ".join(one[3].split()).replace(r"\|", "|")]
            for number, line in enumerate(lines, _line(text, one) + fenced):
                if CALL.search(line):
                    found.append(_command(name, number, line, fenced))
    return found


def _line(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1


def _command(page: str, number: int, line: str, fenced: bool) -> Command:
    line, cuts = re.subn(r"\s\.\.\.(?=\s|$)", "", line.replace(".venv/bin/", ""))
    (line,) = [part for part in PARTS.split(line) if CALL.search(part)]
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>")
    lexer.whitespace_split, lexer.commenters = True, "#"
    tokens = list(lexer)
    first = tokens.index("edgelm")
    end = next((place for place, one in enumerate(tokens) if place > first and one in "|<>"), len(tokens))
    shell = first > 0 or end < len(tokens)
    text = line.split("  #")[0].split(" # ")[0].strip()
    return Command(page, number, text, tuple(tokens[first + 1 : end]), shell, fenced, not cuts)


def named(words: tuple[str, ...]) -> tuple[str, Any, list[str]]:
    """The whole name of the command that a call is of, typer's object for it, and the words that are left.

    Raises:
        LookupError: there is no such command.
    """
    command, name, rest = _all_commands(), "edgelm", list(words)
    context = command.make_context(name, [], resilient_parsing=True)
    while hasattr(command, "commands") and rest:
        _, command, rest = command.resolve_command(context, rest)
        if command is None:
            raise LookupError(f"no command {words}")
        name = f"{name} {command.name}"
    if name == "edgelm export" and rest[:1] == ["phone"]:
        name, rest = f"{name} phone", rest[1:]
        command = command.make_context("export", ["phone", "-o", "out"]).command
    return name, command, rest


@functools.cache
def _all_commands() -> Any:
    return typer.main.get_command(app)


def check(words: tuple[str, ...]) -> str:
    """Parse a whole call; the name of its command.

    Raises:
        typer's UsageError: an option or a value that the command does not take, or an argument too few.
    """
    name, command, rest = named(words)
    command.make_context(name, rest)
    return name


def is_mention(one: Command) -> bool:
    """Whether running text only names a command and options of it: nothing says what it is to work on."""
    try:
        words = named(one.words)[2]
    except LookupError:
        return False
    return not one.fenced and (not words or words[0].startswith("-"))
