"""Text classification: a text in, one of a fixed set of labels out.

A model answers the text with the label's name; the likeliest label decides (rank classification).
"""

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from edgelm import resources
from edgelm.corpus.repair import normalise
from edgelm.errors import BadInput

SPLITS = ("train", "validation", "test")
FORMATS = {".jsonl", ".tsv", ".csv"}


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled text."""

    text: str
    label: str
    language: str


@dataclass(frozen=True, slots=True)
class Task:
    """A classification task as its YAML describes it.

    Attributes:
        folder: where its files are.
        files: file of each split, `{language}` standing for the publisher's name of a language; one file for
            all splits where the records say their split.
        languages: publisher's name of each language by code.
        fields: names of the columns `text`, `label` and, where one file holds all splits, `split`.
        labels: every label, in a fixed order; also what a model answers.
    """

    name: str
    licence: str
    attribution: str
    folder: Path
    files: dict[str, str]
    languages: dict[str, str]
    fields: dict[str, str]
    labels: tuple[str, ...]

    def path(self, split: str, language: str) -> Path:
        return self.folder / self.files[split].format(language=self.languages[language])

    def inputs(self) -> list[Path]:
        """Every file of the task, once each."""
        return sorted({self.path(split, language) for split in self.files for language in self.languages})

    def config(self) -> dict[str, Any]:
        """What decides the examples, besides the files' bytes."""
        return {key: value for key, value in asdict(self).items() if key != "folder"}

    def examples(self, split: str, languages: list[str] | None = None) -> list[Example]:
        """Labelled texts of a split, by language in order of code.

        Raises:
            BadInput: the task has no such split or language, or a file or line is not as described.
        """
        if split not in self.files:
            raise BadInput(
                f"the task '{self.name}' has no {split} split",
                remedy=f"choose one of: {', '.join(self.files)}",
            )
        unknown = sorted(set(languages or []) - set(self.languages))
        if unknown:
            raise BadInput(
                f"the task '{self.name}' has no language {', '.join(unknown)}",
                remedy=f"it has: {', '.join(self.languages)}",
            )
        found = [one for code in sorted(languages or self.languages) for one in self._read(split, code)]
        if not found:
            raise BadInput(
                f"the task '{self.name}' has no {split} examples", file=self.folder, remedy="check its files"
            )
        return found

    def _read(self, split: str, language: str) -> Iterator[Example]:
        path = self.path(split, language)
        for line, record in _records(path):
            if "split" in self.fields and record.get(self.fields["split"]) != split:
                continue
            text, label = (record.get(self.fields[name]) for name in ("text", "label"))
            if not isinstance(text, str) or not text.strip():
                raise BadInput(
                    f"no text in the field '{self.fields['text']}'",
                    file=path,
                    line=line,
                    remedy="correct that line",
                )
            if label not in self.labels:
                raise BadInput(
                    f"unknown label {label!r}",
                    file=path,
                    line=line,
                    remedy=f"known: {', '.join(self.labels)}",
                )
            yield Example(normalise(text), label, language)


def load_task(name: str | Path) -> Task:
    """A task by name or by YAML file.

    Raises:
        BadInput: no such task, the YAML is not a task, or the folder it names through a variable is not set.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = resources.path("corpus", "tasks", f"{name}.yaml")
        if not path.is_file():
            tasks = resources.path("corpus", "tasks").glob("*.yaml")
            known = ", ".join(sorted(file.stem for file in tasks))
            raise BadInput(f"unknown task '{name}'", remedy=f"give a YAML file or one of: {known}")
    value = resources.read_yaml(path)
    try:
        if value["family"] != "classification":
            raise ValueError(f"family '{value['family']}' is not known")
        files = value["files"]
        task = Task(
            name=value["name"],
            licence=value["licence"],
            attribution=value["attribution"],
            folder=_folder(path, value["folder"]),
            files={split: files[split] for split in SPLITS if split in files}
            if isinstance(files, dict)
            else dict.fromkeys(SPLITS, files),
            languages=dict(value["languages"]),
            fields=dict(value["fields"]),
            labels=tuple(value["labels"]),
        )
        for label in task.labels:
            if not isinstance(label, str):
                raise ValueError(f"label {label!r} is not text; put it in quotes")
        for name in ("text", "label"):
            task.fields[name]
        task.inputs()
        return task
    except BadInput:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"no key {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise BadInput(
            f"is not a task ({what})", file=path, remedy="start from corpus/tasks/topic.yaml"
        ) from None


def _folder(path: Path, folder: str) -> Path:
    if folder.startswith("${"):
        variable, _, rest = folder.removeprefix("${").partition("}")
        if not os.environ.get(variable):
            raise BadInput(
                f"the environment variable {variable} is not set",
                file=path,
                remedy="set it to the data's folder",
            )
        return Path(os.environ[variable]) / rest.lstrip("/")
    return (path.parent.parent / folder).resolve() if path.parent.name == "tasks" else path.parent / folder


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix not in FORMATS:
        raise BadInput("is no .jsonl, .tsv or .csv file", file=path, remedy="name a file of these kinds")
    try:
        with path.open("rb") as stream:
            lines = _decoded(stream, path)
            if path.suffix == ".jsonl":
                for line, text in enumerate(lines, 1):
                    if text.strip():
                        yield line, _json_object(text, path, line)
            else:
                kind: dict[str, Any] = (
                    {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
                    if path.suffix == ".tsv"
                    else {"delimiter": ","}
                )
                reader = csv.DictReader(lines, **kind)
                try:
                    for row in reader:
                        yield reader.line_num, row
                except csv.Error as error:
                    raise BadInput(
                        f"not {path.suffix[1:].upper()} ({error})",
                        file=path,
                        line=reader.reader.line_num,
                        remedy="correct that line",
                    ) from None
    except FileNotFoundError:
        raise BadInput("no such file", file=path, remedy="check the task's folder") from None
    except OSError as error:
        raise BadInput(
            f"cannot be read ({error.strerror or error})", file=path, remedy="check the file"
        ) from None


def _decoded(stream: IO[bytes], path: Path) -> Iterator[str]:
    for line, raw in enumerate(stream, 1):
        try:
            yield raw.decode("utf-8-sig" if line == 1 else "utf-8")
        except UnicodeDecodeError:
            raise BadInput("not UTF-8", file=path, line=line, remedy="save the file as UTF-8") from None


def _json_object(text: str, path: Path, line: int) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", type(error).__name__)
        raise BadInput(
            f"not JSON ({reason})", file=path, line=line, remedy="write one JSON object a line"
        ) from None
    if not isinstance(value, dict):
        raise BadInput("not an object", file=path, line=line, remedy="write one JSON object a line")
    return value
