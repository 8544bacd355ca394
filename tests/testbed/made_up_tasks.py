"""Made-up labelled data and the YAML that describes it, for tests of tasks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgelm.errors import BadInput
from edgelm.tasks.task import Task

COMMON: dict[str, Any] = {
    "name": "made-up",
    "licence": "CC0-1.0",
    "attribution": "nobody",
    "folder": "data",
    "files": {"train": "{language}/train.jsonl", "test": "{language}/test.jsonl"},
    "languages": {"zul": "zulu", "eng": "english"},
}
MOOD: dict[str, Any] = COMMON | {
    "name": "mood",
    "family": "classification",
    "fields": {"text": "sentence", "label": "mood"},
    "labels": ["glad", "sad"],
}


def write_task(
    folder: Path, contents: dict[str, str | bytes], value: dict[str, Any] = MOOD, /, **changes: Any
) -> Path:
    """Files below `data/` and `mood.yaml` beside it; a change to None leaves a key out."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    value = {key: one for key, one in (value | changes).items() if one is not None}
    (folder / "mood.yaml").write_text(json.dumps(value))
    return folder / "mood.yaml"


def write_triples(folder: Path, slots: Sequence[str] = ("entity", "value")) -> Path:
    """Two triples and a sentence for each, the parts of which can be slots."""
    contents: dict[str, str | bytes] = {
        "t.data": "<Bana> river <Zodwa>\n<Luya> river <Bala>\n",
        "t.text": "iBana inoZodwa.\nILuya: uBala.\n",
    }
    return write_task(
        folder,
        contents,
        COMMON,
        family="generation",
        languages={"xho": "xho"},
        files={"train": "t.data"},
        references={"train": "t.text"},
        pattern="<{entity}> {relation} <{value}>",
        slots=list(slots),
    )


def jsonl(*records: object) -> str:
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records)


def line(text: object, label: object = "glad", **more: object) -> str:
    return jsonl({"sentence": text, "mood": label} | more)


def told(task: Task[Any], split: str, language: str) -> tuple[list[Any], list[BadInput]]:
    """Examples of a split, and all that was reported."""
    reported: list[BadInput] = []
    return [one for _, one in task.read(split, language, reported.append)], reported
