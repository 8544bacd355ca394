"""Text classification: a text in, one of a fixed set of labels out.

A model answers the text with the label's name; which label is the likeliest answer decides (rank classification).
"""

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from edgelm import resources
from edgelm.corpus.statistics import repair
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
        files: file of each split, `{language}` standing for the publisher's name of a language; one file for all
            splits where the records say their split.
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
                f"the task '{self.name}' has no {split} split", remedy=f"choose one of: {', '.join(self.files)}"
            )
        unknown = sorted(set(languages or []) - set(self.languages))
        if unknown:
            raise BadInput(
                f"the task '{self.name}' has no language {', '.join(unknown)}",
                remedy=f"it has: {', '.join(self.languages)}",
            )
        return [one for code in sorted(languages or self.languages) for one in self._read(split, code)]

    def _read(self, split: str, language: str) -> Iterator[Example]:
        path = self.path(split, language)
        for line, record in _records(path):
            if "split" in self.fields and record.get(self.fields["split"]) != split:
                continue
            text, label = (record.get(self.fields[name]) for name in ("text", "label"))
            if not isinstance(text, str) or not text.strip():
                raise BadInput(f"no text in the field '{self.fields['text']}'", file=path, line=line)
            if label not in self.labels:
                raise BadInput(
                    f"unknown label {label!r}", file=path, line=line, remedy=f"known: {', '.join(self.labels)}"
                )
            yield Example(repair(text), label, language)


def load_task(name: str | Path) -> Task:
    """A task by name or by YAML file.

    Raises:
        BadInput: no such task, the YAML is not a task, or the folder it names through a variable is not set.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = resources.path("corpus", "tasks", f"{name}.yaml")
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
            raise BadInput(f"unknown task '{name}'", remedy=f"give a YAML file or one of: {known}")
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
        if value["family"] != "classification":
            raise ValueError(f"family '{value['family']}' is not known")
        files = value["files"]
        return Task(
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
    except BadInput:
        raise
    except FileNotFoundError:
        raise BadInput("no such file", file=path, remedy="check the path") from None
    except (KeyError, TypeError, ValueError, OSError, yaml.YAMLError) as error:
        raise BadInput(
            f"is not a task ({str(error).splitlines()[0]})", file=path, remedy="start from corpus/tasks/topic.yaml"
        ) from None


def _folder(path: Path, folder: str) -> Path:
    if folder.startswith("${"):
        variable, _, rest = folder.removeprefix("${").partition("}")
        if not os.environ.get(variable):
            raise BadInput(
                f"the environment variable {variable} is not set", file=path, remedy="set it to the data's folder"
            )
        return Path(os.environ[variable]) / rest.lstrip("/")
    return (path.parent.parent / folder).resolve() if path.parent.name == "tasks" else path.parent / folder


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix not in FORMATS:
        raise BadInput("is no .jsonl, .tsv or .csv file", file=path, remedy="name a file of these kinds")
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            if path.suffix == ".jsonl":
                for line, text in enumerate(stream, 1):
                    value = json.loads(text)
                    if not isinstance(value, dict):
                        raise BadInput("not an object", file=path, line=line, remedy="write one JSON object a line")
                    yield line, value
            else:
                kind: dict[str, Any] = (
                    {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if path.suffix == ".tsv" else {"delimiter": ","}
                )
                for line, row in enumerate(csv.DictReader(stream, **kind), 2):
                    yield line, row
    except FileNotFoundError:
        raise BadInput("no such file", file=path, remedy="check the task's folder") from None
    except json.JSONDecodeError as error:
        raise BadInput(f"not JSON ({error.msg})", file=path, line=line, remedy="write one JSON object a line") from None
    except UnicodeDecodeError:
        raise BadInput("not UTF-8", file=path, remedy="save the file as UTF-8") from None
