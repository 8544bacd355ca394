"""A task's YAML, key by key; every mistake in it is one line that names the file, the key and the remedy."""

import string
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from edgelm.errors import BadInput, nearest
from edgelm.languages import VARIABLE, find_language, load_languages

START = "start from corpus/tasks/topic.yaml"


class Description:
    """The keys of one YAML. Each is asked for once; `finish` refuses those that nobody asked for."""

    def __init__(self, path: Path, value: Any):
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise BadInput("is not a task: it has no keys", file=path, remedy=START)
        self.path, self.value = path, value
        self.asked: list[str] = []

    def error(self, key: str, problem: str, remedy: str) -> BadInput:
        return BadInput(f"key '{key}': {problem}", file=self.path, remedy=remedy)

    def raw(self, key: str) -> Any:
        """The value as it stands; None where the key is not given."""
        self.asked.append(key)
        return self.value.get(key)

    def needed(self, key: str) -> Any:
        if (value := self.raw(key)) is None:
            meant = nearest(key, set(self.value) - _keys())
            raise self.error(key, "is missing", f"is '{meant}' meant to be it?" if meant else START)
        return value

    def text(self, key: str) -> str:
        return self._as_text(key, self.needed(key))

    def optional(self, key: str) -> str:
        """A text, empty where the key is not given; blanks alone may mean something."""
        value = self.raw(key)
        if value is not None and not isinstance(value, str):
            raise self.error(key, f"{value!r} is not text", "put it in quotes")
        return value or ""

    def choice(self, key: str, known: Sequence[str], default: str | None = None) -> str:
        """One of `known`."""
        value = self.needed(key) if default is None else self.raw(key)
        if value is None:
            assert default is not None
            return default
        if value not in known:
            raise self.error(
                key, f"{value!r} is not known", f"{_close(value, known)}choose one of: {', '.join(known)}"
            )
        return str(value)

    def flag(self, key: str) -> bool:
        value = self.raw(key)
        if value is not None and not isinstance(value, bool):
            raise self.error(key, f"{value!r} is neither true nor false", "write true or false")
        return bool(value)

    def number(self, key: str) -> float | None:
        value = self.raw(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise self.error(key, f"{value!r} is not a number", "write a number")
        return value

    def texts(self, key: str, value: Any = None) -> tuple[str, ...]:
        """A list of different texts; of the value given, or of the key."""
        value = self.raw(key) if value is None else value
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.error(key, f"{value!r} is not a list", f"write it as {key}: [one, another]")
        found = tuple(self._as_text(key, one) for one in value)
        for one in found:
            if found.count(one) > 1:
                raise self.error(key, f"{one!r} stands in it twice", "leave one of them out")
        return found

    def mapping(self, key: str, value: Any = None, *, needed: bool = False) -> dict[str, Any]:
        """Names and values, of the value given or of the key; a name that YAML takes for a number is text."""
        if value is None:
            value = self.needed(key) if needed else self.raw(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(key, f"{value!r} is not a mapping", f"write it as {key}: {{name: value}}")
        for name in value:
            if isinstance(name, bool) or not isinstance(name, str | int):
                raise self.error(key, f"the name {name!r} is not text", "put it in quotes")
        return {str(name): one for name, one in value.items()}

    def text_mapping(self, key: str, value: Any = None, *, needed: bool = False) -> dict[str, str]:
        found = self.mapping(key, value, needed=needed)
        return {name: self._as_text(key, one, name) for name, one in found.items()}

    def languages(self, key: str, codes: Sequence[str]) -> None:
        """Raises `BadInput` for the first code that is of no known language."""
        registry = load_languages()
        for code in codes:
            if code not in registry:
                named = find_language(code)
                close = named.code if named else nearest(code, registry)
                more = f"known: {', '.join(registry)}; a file in the folder that {VARIABLE} names adds one"
                remedy = f"did you mean '{close}'?" if close else more
                raise self.error(key, f"'{code}' is no language that is known", remedy)

    def folder(self, path: Path) -> None:
        """Raises `BadInput` unless the folder of the data is there."""
        if path.is_dir():
            return
        beside = [one.name for one in path.parent.iterdir() if one.is_dir()] if path.parent.is_dir() else []
        close = nearest(path.name, beside)
        remedy = f"did you mean '{close}'?" if close else "correct it, or put the data there"
        raise self.error("folder", f"there is no folder {path}", remedy)

    def known_names(self, key: str, names: Sequence[str], known: Sequence[str]) -> None:
        """Raises `BadInput` for the first name that is not known."""
        for name in names:
            if name not in known:
                raise self.error(
                    key, f"'{name}' is not known", f"{_close(name, known)}known: {', '.join(known)}"
                )

    def template(self, key: str, text: str, known: Sequence[str]) -> None:
        """Raises `BadInput` unless every placeholder of a template is known."""
        try:
            pieces = list(string.Formatter().parse(text))
        except ValueError as error:
            raise self.error(key, f"{text!r} has a bracket too many ({error})", "write {{ for {") from None
        for _, name, form, conversion in pieces:
            if name is not None and (name not in known or form or conversion):
                placeholders = ", ".join(f"{{{one}}}" for one in known)
                raise self.error(key, f"unknown placeholder {{{name}}}", f"known: {placeholders}")

    def finish(self) -> None:
        for key in self.value:
            if key not in self.asked:
                known = sorted({*self.asked})
                remedy = _close(key, known).strip() or f"known: {', '.join(known)}"
                raise self.error(key, "is not known", remedy)

    def _as_text(self, key: str, value: Any, name: str = "") -> str:
        if not isinstance(value, str):
            what = f"{name}: {value!r}" if name else repr(value)
            raise self.error(key, f"{what} is not text", "put it in quotes")
        if not value.strip():
            raise self.error(key, "is empty", "write something or leave the key out")
        return value


def _close(name: object, known: Sequence[str]) -> str:
    """A question after what a name was meant to be, and a blank; empty where nothing known is like it."""
    close = nearest(str(name), known)
    return f"did you mean '{close}'? " if close else ""


def _keys() -> set[str]:
    """Every key that some family of tasks has: none of them is a misspelling of another."""
    from edgelm.tasks.task import families

    return {one.name for family in families().values() for one in fields(family)}
