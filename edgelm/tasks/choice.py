"""Multiple choice: a question and the options to answer it with."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm.corpus.repair import normalise
from edgelm.errors import BadInput
from edgelm.tasks.description import Description
from edgelm.tasks.examples import Choice
from edgelm.tasks.records import Report, refuse
from edgelm.tasks.task import Task, no_text


@dataclass(frozen=True, kw_only=True)
class Choices(Task[Choice]):
    """A question, its options and the right one.

    Attributes:
        fields: columns of the `text` (passage and question, say), of the `options` and of the right `answer`.
        options: the same options for every question, in place of columns.
        answers: for each option, what the column `answer` says where it is right; 1, 2, 3 ... if not given.
    """

    family = "choice"
    METRICS = ("accuracy",)

    options: tuple[str, ...] = ()
    answers: tuple[tuple[str, ...], ...]

    def read(self, split: str, language: str, report: Report = refuse) -> Iterator[tuple[Path, Choice]]:
        path = self.path(split, language)
        right = {said: at for at, sayings in enumerate(self.answers) for said in sayings}
        columns = self.fields.get("options", [])
        for line, record in self.rows(split, language, report):
            text = self.text_of(record, path, line, report)
            if text is None:
                continue
            found = [record.get(name) for name in columns]
            options = self.options or tuple(
                normalise(str(one)) for one in found if isinstance(one, str | int | float)
            )
            value = record.get(self.fields["answer"])
            if len(options) != len(self.answers) or not all(options):
                lacking = [
                    name for name, one in zip(columns, found, strict=True) if not str(one or "").strip()
                ]
                report(no_text(lacking, path, line))
            elif not isinstance(value, str | int) or str(value).strip() not in right:
                report(
                    BadInput(
                        f"unknown answer {value!r}", file=path, line=line, remedy=f"known: {', '.join(right)}"
                    )
                )
            else:
                yield path, Choice(text, options, right[str(value).strip()], language, line)

    def answer(self, example: Choice, native: bool = False) -> str:
        return example.options[example.answer]

    def choices(self, example: Choice, native: bool = False) -> tuple[str, ...]:
        return example.options

    def values(self, example: Choice, native: bool = False) -> dict[str, str]:
        return {"text": example.text, "options": "\n".join(f"- {one}" for one in example.options)}

    @classmethod
    def own(cls, description: Description) -> dict[str, Any]:
        fixed = description.texts("options")
        columns = description.mapping("fields", needed=True)
        needed = ("text", "answer") if fixed else ("text", "options", "answer")
        for name in needed:
            if name not in columns:
                raise description.error("fields", f"'{name}' is missing", f"name the column of the {name}")
        description.known_names("fields", list(columns), (*needed, "split", "language"))
        named = columns.get("options", [])
        if not fixed and (not isinstance(named, list) or len(named) < 2):
            raise description.error("fields", "options: not two columns or more", "name the column of each")
        if len(fixed) == 1:
            raise description.error("options", "there is only one", "write two or more")
        count = len(fixed or named)
        answers = description.raw("answers") or [str(number) for number in range(1, count + 1)]
        if not isinstance(answers, list) or len(answers) != count:
            raise description.error("answers", f"are not {count}", "say what the file calls each option")
        each = tuple(description.texts("answers", one if isinstance(one, list) else [one]) for one in answers)
        return {"options": fixed, "answers": each, "fields": columns}

    @classmethod
    def placeholders(cls, description: Description) -> tuple[str, ...]:
        return ("text", "options")
