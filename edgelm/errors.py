"""The errors a user can cause, each one line that says what was wrong, where, and what to do.

The command line prints the line and leaves with `exit_code`; it never shows a traceback for these.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path


class EdgelmError(Exception):
    """Something failed that a user can act on. Exit code 1."""

    exit_code = 1


class BadInput(EdgelmError):
    """The input is at fault: a file, a line, a field or an option. Exit code 2."""

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        remedy: str = "",
    ):
        where = "" if file is None else f"{file}: " if line is None else f"{file}, line {line}: "
        parts = [f"{where}{problem}".rstrip(".")] + ([remedy.rstrip(".")] if remedy else [])
        super().__init__(
            ". ".join(part[:1].upper() + part[1:] if i else part for i, part in enumerate(parts)) + "."
        )
        self.file, self.line = file, line


class Unfit(EdgelmError):
    """What was made is not good enough, nor would it be the next time. Exit code 1; nothing of it is kept."""


class MissingExtra(EdgelmError):
    """A package that only one of the extras brings is not installed. Exit code 1."""


def instead_of(name: str, known: Iterable[str]) -> str:
    """What to do about a name that is none of those known: take the one it looks like, or one of all."""
    lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), lower, 1)
    listed = ", ".join(lower.values())
    return f"did you mean '{lower[close[0]]}'? All: {listed}" if close else f"choose from: {listed}"


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch says so in a plain `RuntimeError` on a CPU."""
    said = str(error)
    return isinstance(error, MemoryError) or "can't allocate memory" in said or "out of memory" in said
