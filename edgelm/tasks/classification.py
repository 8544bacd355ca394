"""Text classification: a text in, one of a fixed set of labels out.

A model answers the text with the label's verbaliser; the likeliest one decides (rank classification).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgelm.errors import BadInput
from edgelm.tasks.description import Description
from edgelm.tasks.examples import Labelled
from edgelm.tasks.records import Report, refuse
from edgelm.tasks.task import ENGLISH, Task


@dataclass(frozen=True, kw_only=True)
class Classification(Task[Labelled]):
    """A text and its label.

    Attributes:
        published: label by what the publisher's files call it.
        verbalisers: what a model answers for a label, by language; without one the label, its underscores as
            blanks.
    """

    family = "classification"
    METRICS = ("macro_f1", "weighted_f1", "accuracy")
    FIELDS = ("text", "label")

    published: dict[str, str] = field(default_factory=dict)
    verbalisers: dict[str, dict[str, str]] = field(default_factory=dict)

    def read(self, split: str, language: str, report: Report = refuse) -> Iterator[tuple[Path, Labelled]]:
        path = self.path(split, language)
        names = self.published or {label: label for label in self.labels}
        for line, record in self.rows(split, language, report):
            text = self.text_of(record, path, line, report)
            value = record.get(self.fields["label"])
            label = names.get(str(value)) if isinstance(value, str | int) else None
            if label is None:
                report(
                    BadInput(
                        f"unknown label {value!r}",
                        file=path,
                        line=line,
                        remedy=f"known: {', '.join(names)}; correct it or the task's YAML",
                    )
                )
            elif text is not None:
                yield path, Labelled(text, label, language, line)

    def answer(self, example: Labelled, native: bool = False) -> str:
        return self.verbalise(example.label, example.language if native else ENGLISH)

    def choices(self, example: Labelled, native: bool = False) -> tuple[str, ...]:
        """In the order of `labels`."""
        return tuple(self.verbalise(label, example.language if native else ENGLISH) for label in self.labels)

    def values(self, example: Labelled, native: bool = False) -> dict[str, str]:
        return {"text": example.text, "labels": ", ".join(self.choices(example, native))}

    def verbalise(self, label: str, language: str) -> str:
        """What a model writes for a label in a language; the English word where that language has none."""
        for code in (language, ENGLISH):
            if label in self.verbalisers.get(code, {}):
                return self.verbalisers[code][label]
        return label.replace("_", " ")

    @classmethod
    def own(cls, description: Description) -> dict[str, Any]:
        value = description.needed("labels")
        published = description.text_mapping("labels") if isinstance(value, dict) else {}
        labels = description.texts("labels", list(published.values()) if published else value)
        if not labels:
            raise description.error("labels", "is empty", "write it as labels: [one, another]")
        verbalisers = {
            code: description.text_mapping("verbalisers", words)
            for code, words in description.mapping("verbalisers").items()
        }
        for code, words in verbalisers.items():
            description.known_names("verbalisers", list(words), labels)
            english = verbalisers.get(ENGLISH, {})
            said = [words.get(label) or english.get(label) or label.replace("_", " ") for label in labels]
            for word in said:
                if said.count(word) > 1:
                    raise description.error(
                        "verbalisers", f"{code}: '{word}' stands for two labels", "give each its own"
                    )
        return {"labels": labels, "published": published, "verbalisers": verbalisers}

    @classmethod
    def placeholders(cls, description: Description) -> tuple[str, ...]:
        return ("text", "labels")
