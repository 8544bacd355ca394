"""A few made-up lines in the layout of the publishers' files that the documented commands read."""

import json
from pathlib import Path

from made_up import documents

from edgelm.tasks.task import load_task

COUNTS = {"train": 24, "dev": 8, "test": 8}
LINES = sum(COUNTS.values())


def write(folder: Path) -> Path:
    """`folder` for EDGELM_DATA: masakhaner, masakhanews, injongo_intent and t2x."""
    tasks = folder / "tasks"
    for code in ("tsn", "xho", "zul"):
        _write(tasks / "masakhaner2" / code, ".txt", [_tagged(words) for words in _sentences(code)])
    topics = load_task("masakhanews", data=False).labels
    for code in ("eng", "xho"):
        rows = [
            f"{topics[number % len(topics)]}\t{' '.join(words[:3])}\t{' '.join(words)}\thttps://example.org/\n"
            for number, words in enumerate(_sentences(code))
        ]
        _write(tasks / "masakhanews" / code, ".tsv", rows, "category\theadline\ttext\turl\n")
    intents = load_task("injongo_intent", data=False).labels
    for code in ("eng", "sot", "xho", "zul"):
        records = [
            {"intent": intents[number % 4], "text": " ".join(words)}
            for number, words in enumerate(_sentences(code))
        ]
        _write(tasks / "injongo_intent" / code, ".jsonl", [json.dumps(one) + "\n" for one in records])
    triples = [
        f"__start_entity__ {words[0]} __end_entity__ __start_type__ river __end_type__ "
        f"__start_value__ {words[1]} __end_value__ \n"
        for words in _sentences("xho")
    ]
    said = [f"I{words[0]} inomlambo i{words[1]}.\n" for words in _sentences("xho")]
    for suffix, lines in ((".data", triples), (".text", said)):
        _write(tasks / "t2x", suffix, lines)
        (tasks / "t2x" / f"dev{suffix}").rename(tasks / "t2x" / f"valid{suffix}")
    return folder


def _sentences(code: str) -> list[list[str]]:
    return [one["text"].rstrip(" ,.0123456789").split() for one in documents(code, LINES)]


def _tagged(words: list[str]) -> str:
    """One name of two words and one of a place in each sentence."""
    tags = ["B-PER", "I-PER", *["O"] * (len(words) - 3), "B-LOC"]
    return "".join(f"{word} {tag}\n" for word, tag in zip(words, tags, strict=True)) + "\n"


def _write(folder: Path, suffix: str, items: list[str], header: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    begin = 0
    for split, count in COUNTS.items():
        text = header + "".join(items[begin : begin + count])
        (folder / f"{split}{suffix}").write_text(text, encoding="utf-8")
        begin += count
