"""One labelled item of each family of tasks."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and which of a fixed set of labels it has.

    Attributes:
        language: code of the text's language.
        line: where it stands in its file, from 1.
    """

    text: str
    label: str
    language: str
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Tagged:
    """A sentence with a tag for each of its words."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    language: str
    line: int = field(default=0, compare=False)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def part(self, start: int, end: int) -> "Tagged":
        """The words from one place to before another, with their tags."""
        return replace(self, words=self.words[start:end], tags=self.tags[start:end])


@dataclass(frozen=True, slots=True)
class Pair:
    """A text and what is to be written for it, in one or more good versions.

    Attributes:
        language: code of the language to write in.
        source: code of the text's language, where it is another.
        parts: what the text was put together from, by name; a data-to-text item has `entity`, `relation` and
            `value`.
    """

    text: str
    references: tuple[str, ...]
    language: str
    source: str | None = None
    parts: dict[str, str] = field(default_factory=dict, compare=False)
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """A question and the options to answer it with, `options[answer]` the right one."""

    text: str
    options: tuple[str, ...]
    answer: int
    language: str
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation of (role, content), roles `system`, `user` and `assistant`."""

    messages: tuple[tuple[str, str], ...]
    language: str
    line: int = field(default=0, compare=False)

    @property
    def text(self) -> str:
        """All before the last answer."""
        return "\n".join(content for _, content in self.messages[:-1])


Example = Labelled | Tagged | Pair | Choice | Chat


def languages_in(examples: Iterable[Example]) -> list[str]:
    """The languages that there are examples of, sorted."""
    return sorted({one.language for one in examples})


def marks_spans(tags: Iterable[str]) -> bool:
    """Whether tags are of the scheme `bio`."""
    return any(tag.startswith("B-") for tag in tags)
