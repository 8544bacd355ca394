"""The errors a user can cause, each one line that says what was wrong, where, and what to do.

The command line prints the line and leaves with `exit_code`; it never shows a traceback for these.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path

LIKE = 0.6
"""Share of two names that has to be the same for one to be meant by the other."""
LONGEST = 1000
"""Characters of a part of a message; a file may name a thing by a million."""


class EdgelmError(Exception):
    """Something failed that a user can act on. Exit code 1. Whatever a file said, its message is one line."""

    exit_code = 1

    def __init__(self, message: str = ""):
        super().__init__(shown(message))


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
        problem, remedy = shortened(problem), shortened(remedy)
        parts = [f"{where}{problem}".rstrip(".")] + ([remedy.rstrip(".")] if remedy else [])
        super().__init__(
            ". ".join(part[:1].upper() + part[1:] if i else part for i, part in enumerate(parts)) + "."
        )
        self.file, self.line = file, line


class Unfit(EdgelmError):
    """What was made is not good enough, nor would it be the next time. Exit code 1; nothing of it is kept."""


class MissingExtra(EdgelmError):
    """A package that only one of the extras brings is not installed. Exit code 1."""


def shown(text: str) -> str:
    """A text on one line: blanks of all kinds as such, what a terminal would obey or cannot write escaped."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(one: str) -> str:
    if one.isprintable():
        return one
    return " " if one.isspace() else one.encode("unicode_escape").decode("ascii")


def shortened(text: str) -> str:
    """A text of at most `LONGEST` characters, without its middle where it is longer."""
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that another is most like, whatever its capitals; empty where none is like it."""
    if len(name) > LONGEST:  # to compare takes their lengths' product
        return ""
    lower = {one.lower(): one for one in known}
    return next((lower[one] for one in difflib.get_close_matches(name.lower(), lower, 1, LIKE)), "")


def instead_of(name: str, known: Iterable[str]) -> str:
    """What to do about a name that is none of those known: take the one it looks like, or one of all."""
    known = list(known)
    close, listed = nearest(name, known), ", ".join(known)
    return f"did you mean '{close}'? All: {listed}" if close else f"choose from: {listed}"


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch says so in a plain `RuntimeError` on a CPU."""
    said = str(error)
    return isinstance(error, MemoryError) or "can't allocate memory" in said or "out of memory" in said
