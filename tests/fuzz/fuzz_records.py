"""The data of tasks, in every form that a task may have."""

import json
from pathlib import Path
from typing import Any

import fuzz_files as sound
from fuzz_text import CONLL, CSV
from fuzzing import Files, Reader, Strategy, byte_edits, changed, damaged, dumps, edits
from hypothesis import strategies as st
from made_up_tasks import COMMON, MOOD

TSV = CSV.replace(b"one, two", b"one").replace(b",", b"\t")
MOODS = [
    {"sentence": text, "mood": mood} for text, mood in zip(sound.LINES, ("glad", "sad", "glad"), strict=True)
]
TRIPLES = b"<Bana> river <Zodwa>\n<Luya> river <Bala>\n"
CHAT = [
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "language": "zul"}
]
ASKED = [{"text": "a", "question": "b", "one": "c", "two": "d", "answer": 1}]


def task(**more: Any) -> bytes:
    return json.dumps(
        {**COMMON, "languages": {"zul": "zul"}, "files": {"train": "train", "test": "test"}, **more}
    ).encode()


def _files(ending: str) -> dict[str, str]:
    return {"train": f"train{ending}", "test": f"test{ending}"}


def table(ending: str, **more: Any) -> bytes:
    fields = {"text": "text", "label": "label"} if ending != ".jsonl" else MOOD["fields"]
    labels = {"labels": ["a", "b"]} if ending != ".jsonl" else {"labels": MOOD["labels"]}
    return task(family="classification", files=_files(ending), fields=fields, **labels, **more)


TASKS: dict[str, tuple[bytes, str, bytes]] = {
    "CoNLL": (task(family="tagging", scheme="bio", labels=["PER"], files=_files(".txt")), ".txt", CONLL),
    "CoNLL of flat tags": (
        task(
            family="tagging",
            scheme="flat",
            labels=["O", "N"],
            files=_files(".txt"),
            sentence_ends=["."],
            header=True,
        ),
        ".txt",
        CONLL,
    ),
    "csv": (table(".csv"), ".csv", CSV),
    "tsv": (table(".tsv"), ".tsv", TSV),
    "tsv with quotes": (table(".tsv", quotes=True), ".tsv", TSV),
    "jsonl": (table(".jsonl"), ".jsonl", sound.jsonl(*MOODS)),
    "chats": (
        task(family="chat", fields={"messages": "messages"}, files=_files(".jsonl")),
        ".jsonl",
        sound.jsonl(*CHAT),
    ),
}


def read(folder: Path) -> None:
    from edgelm.tasks.check import check_task
    from edgelm.tasks.task import load_task

    found = load_task(folder / "task.yaml")
    for line in (checked := check_task(found)).errors + checked.remarks:
        assert "\n" not in line
    dumps(checked.record())
    for example in found.examples("train"):
        found.messages(example)
        found.prompt(example, native=True)
        found.answer(example)
        found.choices(example)


def _sound(kind: str) -> Files:
    yaml, ending, data = TASKS[kind]
    return {"task.yaml": yaml, f"data/train{ending}": data, f"data/test{ending}": data}


def _inputs(kind: str) -> Strategy:
    _, ending, data = TASKS[kind]
    contents = st.builds(damaged, st.just(data), byte_edits)
    if ending == ".jsonl":
        first = json.loads(data.splitlines()[0])
        line = st.builds(lambda changes: dumps(changed(first, changes)), edits)
        contents |= st.lists(line, min_size=1, max_size=3).map(b"\n".join)
    return contents.map(lambda one: {f"data/train{ending}": one})


READERS = [
    Reader(f"task data: {kind}", lambda kind=kind: _sound(kind), _inputs(kind), read) for kind in TASKS
]
