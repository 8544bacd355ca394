"""Text to measure tokenizers on: a corpus, any file or folder of text, or the embedded sample."""

import json
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path

from edgelm import resources
from edgelm.corpus.files import find_files
from edgelm.corpus.readers import SPLITS, Document, read_records
from edgelm.corpus.report import read_manifest
from edgelm.corpus.shards import languages_of, read_texts
from edgelm.errors import BadInput
from edgelm.languages import find_language, language_of_path

UNKNOWN = "?"  # the language of text that neither records nor file names name


def spread(texts: Iterable[str], size: int, wanted: float) -> Iterator[str]:
    """Documents of `wanted` bytes in all, evenly spread over `texts` of `size` bytes.

    Where more is wanted than there is, documents come several times. Where less is, whether one is taken does
    not depend on its own length. No more than one is in memory.
    """
    rate = wanted / size if size else 0.0
    seen = taken = 0
    for text in texts:
        length = max(len(text.encode("utf-8")), 1)
        if rate < 1:
            times = int(taken <= seen * rate)
        else:
            times = max(1, round(((seen + length) * rate - taken) / length))
        yield from repeat(text, times)
        seen += length
        taken += length * times


def sample_texts(split: str = "all") -> dict[str, list[str]]:
    """The embedded sample by language: the same documents in the same order in each, so parallel text.

    Args:
        split: `train`, `validation` or `test`, which a model of `edgelm quickstart` has not read; or `all`.
    """
    found = {}
    for file in sorted(resources.path("corpus", "sample").glob("*.jsonl")):
        documents = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        found[file.stem] = [one["text"] for one in documents if split in ("all", one["split"])]
    return found


def is_corpus(source: Path) -> bool:
    """Whether a path is a directory that `edgelm corpus build` made."""
    return (source / "manifest.json").is_file()


def read_source(source: Path | None, split: str = "test") -> Iterator[tuple[str, str]]:
    """Language and text of each document, the documents of a language mostly together.

    Args:
        source: a corpus, a file or folder of text, or None for the embedded sample.
        split: of a corpus; `all` for every document.

    Raises:
        BadInput: the source cannot be read or has no document.
    """
    if source is None:
        for code, texts in sample_texts().items():
            yield from ((code, text) for text in texts)
    elif is_corpus(source):
        if not size_of(source, split):
            raise BadInput(f"has no documents in the split '{split}'", file=source, remedy="give --split all")
        for code in languages_of(source):
            for one in SPLITS if split == "all" else (split,):
                yield from ((code, text) for text in read_texts(source, code, one))
    else:
        for file in find_files(source):
            named = language_of_path(file)
            for record in read_records(file):
                if isinstance(record, Document) and record.text.strip():
                    said = find_language(record.language) if record.language else named
                    yield said.code if said else record.language or UNKNOWN, record.text


def size_of(source: Path | None, split: str = "test") -> int:
    """Bytes of text that `read_source` gives, as far as that is known without reading it; else 0."""
    if source is None or not is_corpus(source):
        return 0
    splits = SPLITS if split == "all" else (split,)
    return sum(
        one["splits"][name]["bytes"] for one in read_manifest(source)["languages"].values() for name in splits
    )
