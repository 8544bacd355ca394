"""Everything that is wrong with a task's data, not only the first thing: lines, labels, duplicates, leaks."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from edgelm.errors import BadInput
from edgelm.tasks.examples import Chat, Choice, Example, Labelled, Pair, Tagged
from edgelm.tasks.pairs import fold
from edgelm.tasks.records import Remark
from edgelm.tasks.task import SPLITS, Task

SHOWN = 20
"""Problems of one kind in one file that are kept; the others are counted."""
# a first byte of UTF-8 and later ones, each shown as a character of Latin-1 or Windows-1252
TWICE = re.compile("[\u00c2-\u00f4][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]{1,3}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an example stands."""

    split: str
    language: str
    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"

    def record(self) -> dict[str, Any]:
        return {"split": self.split, "language": self.language, "file": str(self.file), "line": self.line}


@dataclass(slots=True)
class Counted:
    """A split in a language.

    Attributes:
        labels: how often each label, tag, kind of span or right option is there; for texts, of references.
        duplicates: examples whose text and answer stand in the split before.
        disagreeing: examples whose text stands there before, with another answer.
        leaked: examples whose text stands in an earlier split, by that split.
    """

    examples: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    disagreeing: int = 0
    leaked: Counter[str] = field(default_factory=Counter)

    def record(self) -> dict[str, Any]:
        return {
            "examples": self.examples,
            "labels": dict(sorted(self.labels.items())),
            "duplicates": self.duplicates,
            "disagreeing": self.disagreeing,
            "leaked": dict(self.leaked),
        }


@dataclass(slots=True)
class Findings:
    """What a check of a task found.

    Attributes:
        errors: lines that cannot be read as examples, at most `SHOWN` a file; `error_count` is of all.
        remarks: what is odd and yet read.
        absent: files that the YAML names and that are not there.
        counted: by split and language, of those that are there.
        duplicates: an example and the earlier one of the same split that it repeats.
        leaks: an example and the one of an earlier split with the same text.
    """

    task: str
    errors: list[str] = field(default_factory=list)
    error_count: int = 0
    remarks: list[str] = field(default_factory=list)
    absent: list[Path] = field(default_factory=list)
    counted: dict[tuple[str, str], Counted] = field(default_factory=dict)
    duplicates: list[tuple[Place, Place]] = field(default_factory=list)
    leaks: list[tuple[Place, Place]] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether there is data in each file, every line can be read and no text stands in two splits."""
        return bool(self.counted) and not self.error_count and not self.leaks

    def record(self) -> dict[str, Any]:
        """All of it as JSON takes it."""
        splits: dict[str, dict[str, Any]] = defaultdict(dict)
        for (split, language), one in self.counted.items():
            splits[split][language] = one.record()
        return {
            "task": self.task,
            "sound": self.sound,
            "error_count": self.error_count,
            "errors": self.errors,
            "remarks": self.remarks,
            "absent": [str(path) for path in self.absent],
            "splits": splits,
            "duplicates": [[one.record() for one in pair] for pair in self.duplicates],
            "leaks": [[one.record() for one in pair] for pair in self.leaks],
        }


def check_task(task: Task[Any]) -> Findings:
    """Read every line of every split that is there.

    Raises:
        BadInput: the folder is named through an environment variable that is not set.
    """
    findings = Findings(task.name)
    problems: dict[str, BadInput] = {}
    odd: dict[tuple[str, Path], list[int]] = defaultdict(list)
    texts: dict[str, dict[str, Place]] = {split: {} for split in SPLITS}
    examples: Counter[Path] = Counter()

    def report(error: BadInput) -> None:
        problems.setdefault(str(error), error)

    for split in task.files:
        for language in sorted(task.languages):
            if not task.has(split, language):
                continue
            absent = [path for path in task.sources(split, language) if not path.is_file()]
            findings.absent += [path for path in absent if path not in findings.absent]
            if absent:
                continue
            counted = findings.counted[split, language] = Counted()
            seen: dict[tuple[str | None, str], tuple[str, Place]] = {}
            for path, example in task.read(split, language, report):
                counted.examples += 1
                examples[path] += 1
                counted.labels.update(_labels(task, example))
                for what in _oddities(example):
                    odd[what, path].append(example.line)
                place = Place(split, language, path, example.line)
                text = fold(example.text)
                answer = example.references[0] if isinstance(example, Pair) else task.answer(example)
                texts[split].setdefault(text, place)
                source = example.source if isinstance(example, Pair) else None
                before = seen.setdefault((source, text), (answer, place))
                if before[1] is place:
                    pass
                elif before[0] == answer:
                    counted.duplicates += 1
                    findings.duplicates.append((before[1], place))
                elif not isinstance(example, Pair | Chat):
                    counted.disagreeing += 1
                for earlier in SPLITS[: SPLITS.index(split)]:
                    if text in texts[earlier]:
                        counted.leaked[earlier] += 1
                        findings.leaks.append((texts[earlier][text], place))
    faulty = {error.file for error in problems.values()}
    for split, language in findings.counted:
        paths = task.sources(split, language)
        if not any(examples[path] or path in faulty for path in paths):
            report(BadInput("holds no example", file=paths[0], remedy="fill it, or leave it out of the YAML"))
    _collect(findings, problems, odd)
    _missing_labels(findings, task)
    return findings


def leaked(task: Task[Any], split: str, languages: Sequence[str] | None = None) -> dict[str, int]:
    """How many examples of a split stand, by their text, in an earlier one: by language, those with some.

    Texts of all languages are looked through, as `check_task` does. Files that are not there are passed over.

    Args:
        languages: whose examples are counted; all by default.
    """

    def texts(name: str, codes: Sequence[str]) -> Iterator[tuple[str, str]]:
        for code in codes:
            if task.there(name, code):
                yield from ((code, fold(one.text)) for _, one in task.read(name, code, lambda _: None))

    every = list(task.languages)
    earlier = {text for name in SPLITS[: SPLITS.index(split)] for _, text in texts(name, every)}
    counts = Counter(code for code, text in texts(split, sorted(languages or every)) if text in earlier)
    return dict(counts)


def _collect(
    findings: Findings, problems: dict[str, BadInput], odd: dict[tuple[str, Path], list[int]]
) -> None:
    shown: Counter[object] = Counter()
    for text, error in problems.items():
        if isinstance(error, Remark):
            findings.remarks.append(text)
            continue
        findings.error_count += 1
        shown[error.file] += 1
        if shown[error.file] <= SHOWN:
            findings.errors.append(text)
    for (what, path), lines in odd.items():
        lines = sorted(set(lines))
        named = ", ".join(map(str, lines[:SHOWN])) + (" ..." if len(lines) > SHOWN else "")
        findings.remarks.append(f"{path}: {what} in {len(lines)} of its examples, at line {named}.")


def _missing_labels(findings: Findings, task: Task[Any]) -> None:
    """Labels that are held out in a language without one to learn from."""
    for (split, language), one in findings.counted.items():
        learnt = findings.counted.get(("train", language))
        if split == "train" or learnt is None or not task.labels:
            continue
        unseen = sorted(set(one.labels) - set(learnt.labels))
        if unseen:
            findings.remarks.append(
                f"{task.name}: {', '.join(unseen)} in {split} ({language}), never in train."
            )


def _labels(task: Task[Any], example: Example) -> list[str]:
    if isinstance(example, Labelled):
        return [example.label]
    if isinstance(example, Tagged):
        spans = getattr(task, "scheme", "flat") == "bio"
        return [tag[2:] for tag in example.tags if tag[:2] == "B-"] if spans else list(example.tags)
    if isinstance(example, Choice):
        return [str(example.answer + 1)]
    if isinstance(example, Pair):
        return [_count(len(example.references), "reference")]
    return [_count(len(example.messages), "message")]


def _oddities(example: Example) -> list[str]:
    found = []
    if isinstance(example, Tagged) and any(
        tag[:2] == "I-" and before[2:] != tag[2:] for before, tag in pairwise(("O", *example.tags))
    ):
        found.append("a span without a beginning")
    texts = [example.text, *(example.references if isinstance(example, Pair) else ())]
    if any(_encoded_twice(text) for text in texts if not text.isascii()):
        found.append("UTF-8 encoded twice")
    if any("\ufffd" in text for text in texts):
        found.append("characters lost in an encoding (U+FFFD)")
    return found


def _encoded_twice(text: str) -> bool:
    for one in TWICE.finditer(text):
        for codec in ("latin-1", "cp1252"):
            try:
                one.group().encode(codec).decode()
            except ValueError:
                continue
            return True
    return False


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
