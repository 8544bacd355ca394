"""Sequence labelling: a tag for every word. Files in columns as CoNLL has them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm.errors import BadInput
from edgelm.tasks.description import Description
from edgelm.tasks.examples import Tagged
from edgelm.tasks.records import Report, read_sentences, refuse
from edgelm.tasks.task import Task

OUTSIDE = "O"


@dataclass(frozen=True, kw_only=True)
class Tagging(Task[Tagged]):
    """Words and their tags.

    Attributes:
        fields: numbers of the columns `word` and `tag`, from 1.
        labels: kinds of span for the scheme `bio`, tags for `flat`.
        scheme: `bio` marks spans (O, B-kind, I-kind); with `flat` each word has a label of its own.
        sentence_ends: words that end a sentence, where no blank line does.
        header: the first line names the columns.
    """

    family = "tagging"
    METRICS = ("span_f1", "accuracy", "macro_f1")

    scheme: str = "flat"
    sentence_ends: tuple[str, ...] = ()
    header: bool = False

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag a word may have, in a fixed order."""
        if self.scheme == "flat":
            return self.labels
        return (OUTSIDE, *(f"{begin}-{label}" for label in self.labels for begin in "BI"))

    def read(self, split: str, language: str, report: Report = refuse) -> Iterator[tuple[Path, Tagged]]:
        path, known = self.path(split, language), frozenset(self.tags)
        sentences = read_sentences(
            path,
            self.fields["word"],
            self.fields["tag"],
            header=self.header,
            ends=self.sentence_ends,
            report=report,
        )
        for sentence in sentences:
            numbers, words, tags = zip(*sentence, strict=True)
            for number, tag in zip(numbers, tags, strict=True):
                if tag not in known:
                    report(
                        BadInput(
                            f"unknown tag {tag!r}",
                            file=path,
                            line=number,
                            remedy=f"known: {', '.join(self.tags)}",
                        )
                    )
            if known.issuperset(tags):
                yield path, Tagged(words, tags, language, numbers[0])

    def answer(self, example: Tagged, native: bool = False) -> str:
        return " ".join(example.tags)

    def values(self, example: Tagged, native: bool = False) -> dict[str, str]:
        return {"text": example.text, "tags": ", ".join(self.tags)}

    @classmethod
    def own(cls, description: Description) -> dict[str, Any]:
        labels = description.texts("labels", description.needed("labels"))
        scheme = description.choice("scheme", ("bio", "flat"))
        for label in labels:
            if scheme == "bio" and (label == OUTSIDE or label[:2] in ("B-", "I-")):
                raise description.error(
                    "labels", f"'{label}' is a tag, not a kind of span", "leave out O, B- and I-"
                )
        columns = {"word": 1, "tag": 2, **description.mapping("fields")}
        description.known_names("fields", list(columns), ("word", "tag"))
        for name, column in columns.items():
            if isinstance(column, bool) or not isinstance(column, int) or column < 1:
                raise description.error("fields", f"{name}: {column!r} is no column", "count columns from 1")
        return {
            "labels": labels,
            "scheme": scheme,
            "fields": columns,
            "metric": "span_f1" if scheme == "bio" else "accuracy",
            "sentence_ends": description.texts("sentence_ends"),
            "header": description.flag("header"),
        }

    @classmethod
    def placeholders(cls, description: Description) -> tuple[str, ...]:
        return ("text", "tags")
