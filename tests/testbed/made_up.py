"""Made-up languages: documents with topics, and the corpus, tokenizer and task built from them.

A test room's conftest.py puts this folder on the path; nothing here is a test.
"""

import json
import random
from pathlib import Path

from edgelm.corpus.build import build_corpus
from edgelm.corpus.recipe import Recipe, Source, SplitRule
from edgelm.tokenizer.train import train_tokenizer

TOPICS = ("rain", "bread", "music")
SIZES = {"eng": 40, "xho": 80, "zul": 160}
"""Documents of each language."""
VOCAB_SIZE = 512


def documents(language: str, count: int) -> list[dict[str, str]]:
    """Short texts of made-up words, every third word from the topic's own few; splits 10 : 1 : 1."""
    draw = random.Random(f"made up {language}")
    syllables = [a + b for a in draw.sample("bdfgklmnpstwyz", 7) for b in "aeiouê"]
    words = ["".join(draw.choice(syllables) for _ in range(draw.randint(1, 4))) for _ in range(60)]
    topical = {
        topic: ["".join(draw.choice(syllables) for _ in range(3)) for _ in range(4)] for topic in TOPICS
    }
    found = []
    for number in range(count):
        topic = TOPICS[number % len(TOPICS)]
        chosen = [
            draw.choice(topical[topic] if place % 3 == 1 else words) for place in range(draw.randint(6, 24))
        ]
        split = {10: "validation", 11: "test"}.get(number // len(TOPICS) % 12, "train")
        text = " ".join(chosen).capitalize() + f", {draw.randint(1, 2050)}."
        found.append({"text": text, "language": language, "topic": topic, "split": split})
    return found


def write_documents(folder: Path, sizes: dict[str, int] = SIZES) -> Path:
    """One JSONL file a language."""
    folder.mkdir(parents=True, exist_ok=True)
    for language, count in sizes.items():
        lines = [json.dumps(one, ensure_ascii=False) + "\n" for one in documents(language, count)]
        (folder / f"{language}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def make_corpus(folder: Path, sizes: dict[str, int] = SIZES) -> Path:
    """A built corpus of all documents, none filtered out."""
    source = write_documents(folder / "documents", sizes)
    none = SplitRule(share=0, max_bytes=0)
    build_corpus(Recipe("made-up", (Source(source),), (), none, none), folder / "corpus")
    return folder / "corpus"


def make_tokenizer(folder: Path, corpus: Path) -> Path:
    train_tokenizer(corpus, folder / "tokenizer", vocab_size=VOCAB_SIZE)
    return folder / "tokenizer"


def make_task(folder: Path, sizes: dict[str, int] = SIZES) -> Path:
    """The YAML file of a task: say a document's topic."""
    write_documents(folder / "documents", sizes)
    task = {
        "name": "made-up",
        "family": "classification",
        "licence": "CC0-1.0",
        "attribution": "nobody",
        "folder": "documents",
        "files": "{language}.jsonl",
        "languages": {code: code for code in sizes},
        "fields": {"text": "text", "label": "topic", "split": "split"},
        "labels": list(TOPICS),
    }
    path = folder / "made-up.yaml"
    path.write_text(json.dumps(task), encoding="utf-8")  # JSON is YAML
    return path
