"""A task: labelled data in its publisher's own files, described by one YAML in `corpus/tasks/`.

Each family (classification, tagging, generation, choice, chat) is a class in a file beside this one.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from edgelm import resources
from edgelm.corpus.repair import normalise
from edgelm.errors import BadInput
from edgelm.tasks.description import Description
from edgelm.tasks.examples import Example
from edgelm.tasks.few import few
from edgelm.tasks.records import Report, Row, read_table, refuse

SPLITS = ("train", "validation", "test")
ENGLISH = "eng"
One = TypeVar("One", bound=Example)


@dataclass(frozen=True, kw_only=True)
class Task(Generic[One]):
    """What all families have. A subclass says how its files are read and what a model has to answer.

    Attributes:
        place: the YAML file.
        folder: where the files are, as the YAML says it: relative to the YAML (to `corpus/` for those in
            `corpus/tasks/`), or `${VARIABLE}/rest`.
        files: file of each split, `{language}` standing for the publisher's name of a language; one file for
            all splits where the records say their split.
        languages: publisher's name of each language by code.
        measurement_only: no model that is released may have been trained on it.
        without: splits that a language does not have.
        fields: columns by what they hold; `split` and `language` choose records of a file that holds several.
        quotes: cells of a .tsv may stand in double quotes.
        prompts: template by code of the language it is written in.
        metric: the figure that decides.
        labels: every label, in a fixed order; empty where a family has none.
        few: train on so many examples of each language only; 0 is all. No YAML says it.
    """

    family: ClassVar[str]
    METRICS: ClassVar[tuple[str, ...]]
    """Metrics that suit the family; the first is taken where the YAML names none."""
    FIELDS: ClassVar[tuple[str, ...]] = ()
    """Columns that the YAML has to name."""
    OPTIONAL: ClassVar[tuple[str, ...]] = ()
    """Columns that it may name."""

    name: str
    licence: str
    attribution: str
    place: Path
    folder: str
    files: dict[str, str]
    languages: dict[str, str]
    fields: dict[str, Any]
    measurement_only: bool = False
    without: dict[str, tuple[str, ...]] = field(default_factory=dict)
    quotes: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    metric: str
    labels: tuple[str, ...] = ()
    few: int = 0

    # what a family says

    def read(self, split: str, language: str, report: Report = refuse) -> Iterator[tuple[Path, One]]:
        """Examples with the file each is from; what is wrong with a line goes to `report`."""
        raise NotImplementedError

    def answer(self, example: One, native: bool = False) -> str:
        """What a generating model has to write; `native`: in the example's language, if there is a word."""
        raise NotImplementedError

    def finish(self, text: str, example: One) -> str:
        """What a model means by the answer it wrote."""
        return text

    def choices(self, example: One, native: bool = False) -> tuple[str, ...] | None:
        """The answers to rank, the right one among them; None where the answer is free text."""
        return None

    def values(self, example: One, native: bool = False) -> dict[str, str]:
        """What the placeholders of a prompt stand for."""
        return {"text": example.text}

    @classmethod
    def own(cls, description: Description) -> dict[str, Any]:
        """The attributes that only this family has; also `fields` and `metric`, if it reads them itself."""
        return {}

    @classmethod
    def placeholders(cls, description: Description) -> tuple[str, ...]:
        """Names that a prompt may hold in braces."""
        return ("text",)

    # what all have

    @property
    def root(self) -> Path:
        """The folder of the files.

        Raises:
            BadInput: it is named through an environment variable that is not set.
        """
        if self.folder.startswith("${"):
            variable, _, rest = self.folder.removeprefix("${").partition("}")
            if not os.environ.get(variable):
                raise BadInput(
                    f"the environment variable {variable} is not set",
                    file=self.place,
                    remedy="set it to the data's folder",
                )
            return Path(os.environ[variable]) / rest.lstrip("/")
        beside = self.place.parent
        return (beside.parent / self.folder).resolve() if beside.name == "tasks" else beside / self.folder

    def has(self, split: str, language: str) -> bool:
        """Whether the publisher has such a split in such a language."""
        known = split in self.files and language in self.languages
        return known and split not in self.without.get(language, ())

    def there(self, split: str, language: str) -> bool:
        """Whether there is such a split and its files are here."""
        return self.has(split, language) and all(path.is_file() for path in self.sources(split, language))

    def path(self, split: str, language: str) -> Path:
        return self.root / self.files[split].format(language=self.languages[language])

    def sources(self, split: str, language: str) -> list[Path]:
        """Every file that a split of a language is read from."""
        return [self.path(split, language)]

    def inputs(self, splits: Sequence[str] = SPLITS) -> list[Path]:
        """Every file of these splits that is there, once each."""
        found = {
            path
            for split in splits
            for code in self.languages
            if self.has(split, code)
            for path in self.sources(split, code)
        }
        return sorted(path for path in found if path.is_file())

    def config(self) -> dict[str, Any]:
        """What decides examples, prompts and answers, besides the files' bytes. As JSON takes it."""
        found: dict[str, Any] = {"family": self.family}
        for one in fields(self):
            value = getattr(self, one.name)
            default = one.default if one.default_factory is MISSING else one.default_factory()
            if one.name not in ("place", "folder") and value != default:
                found[one.name] = value
        return found

    def examples(
        self, split: str, languages: Sequence[str] | None = None, report: Report = refuse
    ) -> list[One]:
        """Labelled examples of a split, by language in order of code.

        Args:
            report: told what is wrong with a line.

        Raises:
            BadInput: the task has no such split or language, or a file or line is not as described.
        """
        if split not in self.files:
            raise BadInput(
                f"the task '{self.name}' has no {split} split",
                remedy="it is for evaluation only"
                if split == "train"
                else f"choose one of: {', '.join(self.files)}",
            )
        unknown = sorted(set(languages or []) - set(self.languages))
        if unknown:
            raise BadInput(
                f"the task '{self.name}' has no language {', '.join(unknown)}",
                remedy=f"it has: {', '.join(self.languages)}",
            )
        having = [code for code in self.languages if self.has(split, code)]
        lacking = sorted(set(languages or []) - set(having))
        if lacking:
            raise BadInput(
                f"the task '{self.name}' has no {split} split in {', '.join(lacking)}",
                remedy=f"it has one in: {', '.join(having)}",
            )
        found = self._read_all(split, languages, report)
        if not found:
            raise BadInput(
                f"the task '{self.name}' has no {split} examples",
                file=next(iter(self.inputs([split])), self.root),
                remedy="see what is wrong with: edgelm tasks check",
            )
        return found

    def training(self) -> list[One]:
        """Training examples of those languages whose files are there; none where there are none."""
        codes = [code for code in self.languages if self.there("train", code)]
        return self._read_all("train", codes) if codes else []

    def validation(self, languages: Sequence[str] | None = None) -> list[One]:
        """Validation examples of those of the languages that have some; none where no language has."""
        return self._read_all("validation", languages)

    def _read_all(self, split: str, languages: Sequence[str] | None, report: Report = refuse) -> list[One]:
        codes = [code for code in sorted(self.languages) if self.has(split, code)]
        asked = [code for code in codes if code in (languages or codes)]
        found = [one for code in asked for _, one in self.read(split, code, report)]
        return few(found, self.few) if self.few and split == "train" else found

    def prompt(self, example: One, native: bool = False) -> str:
        """What a model reads: the English template filled in, or the one of the example's language."""
        template = self.prompts.get(example.language) if native else None
        template = template or self.prompts.get(ENGLISH, "{text}")
        return template.format_map(self.values(example, native))

    def messages(self, example: One, native: bool = False) -> tuple[tuple[str, str], ...]:
        """The (role, content) of all that a model reads before it answers; the prompt, as the user's."""
        return (("user", self.prompt(example, native)),)

    def rows(self, split: str, language: str, report: Report) -> Iterator[Row]:
        """Records of a .jsonl, .tsv or .csv file that belong to a split and language."""
        for line, record in read_table(
            self.path(split, language), self.columns(), quotes=self.quotes, report=report
        ):
            if "split" in self.fields and record.get(self.fields["split"]) != split:
                continue
            if "language" in self.fields and record.get(self.fields["language"]) != self.languages[language]:
                continue
            yield line, record

    def columns(self) -> list[str]:
        """Names of all columns."""
        return [name for one in self.fields.values() for name in ([one] if isinstance(one, str) else one)]

    def text_of(self, record: dict[str, Any], path: Path, line: int, report: Report) -> str | None:
        """The text of a record, several columns one below the other; None, and a report, if there is none."""
        names = self.fields["text"]
        names = [names] if isinstance(names, str) else names
        found = [record.get(name) for name in names]
        texts = [normalise(one) for one in found if isinstance(one, str)]
        if len(texts) == len(names) and any(texts):
            return "\n".join(text for text in texts if text)
        report(no_text(names, path, line))
        return None

    @classmethod
    def from_description(cls, description: Description) -> Self:
        """A task from its YAML.

        Raises:
            BadInput: a key is missing, unknown or not as it has to be.
        """
        files = description.needed("files")
        by_split = isinstance(files, dict)
        names = (
            {str(split): one for split, one in files.items()} if by_split else dict.fromkeys(SPLITS, files)
        )
        if not names:
            raise description.error("files", "names none", "name the file of each split")
        description.known_names("files", list(names), SPLITS)
        known = cls.file_placeholders(description)
        for one in names.values():
            if not isinstance(one, str):
                raise description.error("files", f"{one!r} is not the name of a file", "name one")
            description.template("files", one, known)
        languages = description.text_mapping("languages", needed=True)
        if not languages:
            raise description.error("languages", "names none", "write it as languages: {zul: zul}")
        description.languages("languages", list(languages))
        without = {
            code: description.texts("without", splits)
            for code, splits in description.mapping("without").items()
        }
        description.known_names("without", list(without), list(languages))
        for splits in without.values():
            description.known_names("without", splits, list(names))
        own = cls.own(description)
        prompts = description.text_mapping("prompts")
        description.known_names("prompts", list(prompts), sorted({ENGLISH, *languages}))
        for template in prompts.values():
            description.template("prompts", template, cls.placeholders(description))
        task = cls(
            name=description.text("name"),
            licence=description.text("licence"),
            attribution=description.text("attribution"),
            place=description.path,
            folder=description.text("folder"),
            files={split: names[split] for split in SPLITS if split in names},
            languages=languages,
            fields=own.pop("fields") if "fields" in own else cls._fields(description),
            measurement_only=description.flag("measurement_only"),
            without=without,
            quotes=description.flag("quotes"),
            prompts=prompts,
            metric=description.choice("metric", cls.METRICS, own.pop("metric", cls.METRICS[0])),
            **own,
        )
        description.finish()
        return task

    @classmethod
    def file_placeholders(cls, description: Description) -> tuple[str, ...]:
        return ("language",)

    @classmethod
    def _fields(cls, description: Description) -> dict[str, Any]:
        found = description.mapping("fields", needed=bool(cls.FIELDS))
        for name in cls.FIELDS:
            if name not in found:
                raise description.error("fields", f"'{name}' is missing", f"name the column of the {name}")
        description.known_names("fields", list(found), [*cls.FIELDS, *cls.OPTIONAL, "split", "language"])
        for name, column in found.items():
            columns = column if isinstance(column, list) and column else [column]
            if not all(isinstance(one, str) for one in columns):
                raise description.error(
                    "fields", f"{name}: {column!r} is no column", "write its name as text"
                )
        return found


def no_text(names: Sequence[str], path: Path, line: int) -> BadInput:
    """No usable text in a record."""
    where = f"field '{names[0]}'" if len(names) == 1 else f"fields {', '.join(names)}"
    return BadInput(f"no text in the {where}", file=path, line=line, remedy="correct that line")


def families() -> dict[str, type[Task[Any]]]:
    """Every family of tasks by name."""
    from edgelm.tasks.chat import Chats
    from edgelm.tasks.choice import Choices
    from edgelm.tasks.classification import Classification
    from edgelm.tasks.generation import Generation
    from edgelm.tasks.tagging import Tagging

    return {one.family: one for one in (Classification, Tagging, Generation, Choices, Chats)}


def task_names() -> list[str]:
    """The tasks that ship with edgelm."""
    return sorted(file.stem for file in resources.path("corpus", "tasks").glob("*.yaml"))


def load_task(name: str | Path, data: bool = True) -> Task[Any]:
    """A task by name or by YAML file.

    Args:
        data: the task's files will be read; without, its folder need not be known.

    Raises:
        BadInput: no such task, the YAML is not a task, or the folder it names is not there.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if str(name) not in task_names():
            raise BadInput(
                f"unknown task '{name}'", remedy=f"give a YAML file or one of: {', '.join(task_names())}"
            )
        path = resources.path("corpus", "tasks", f"{name}.yaml")
    description = Description(path, resources.read_yaml(path))
    known = families()
    task = known[description.choice("family", list(known))].from_description(description)
    if data:
        root = task.root
        if not task.folder.startswith("${"):  # of what a variable names, each file is asked for by itself
            description.folder(root)
    return task


def check_names(tasks: Sequence[Task[Any]]) -> None:
    """Raise `BadInput` where two tasks have one name: results could not be told apart."""
    names = [task.name for task in tasks]
    for task in tasks:
        if names.count(task.name) > 1:
            raise BadInput(
                f"the name '{task.name}' is that of two tasks", file=task.place, remedy="change one `name:`"
            )
