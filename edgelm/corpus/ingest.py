"""The first pass: each source file is read and repaired into shards, independently of the others.

Beside the shards it leaves what later passes need to know of all text at once: in how many documents each
line occurs, and which words do.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgelm.artifacts import write_json
from edgelm.corpus import hyphens, lines
from edgelm.corpus.parquet import open_writer
from edgelm.corpus.readers import BadRecord, Document, read_records
from edgelm.corpus.recipe import REPAIRS, Recipe, Source
from edgelm.corpus.repair import Repairs, repair
from edgelm.extras import require
from edgelm.languages import Language, find_language, language_of_path, load_languages

SHARD_BYTES = 16_000_000  # of text: what one job of the second pass measures
BATCH_DOCUMENTS, BATCH_CHARACTERS = 8192, 1_000_000
UNKNOWN = "unknown"
SCHEMA = ("id", "text", "language", "source", "claimed", "reading")


@dataclass(frozen=True, slots=True)
class Input:
    """One file or stream to read.

    Attributes:
        number: its place among all inputs; names its shards.
        file: None for a dataset of the hub.
        root: the folder or file that the recipe names.
        prefix: what the ids of its documents begin with, where a recipe has several sources.
    """

    number: int
    source: Source
    file: Path | None
    root: Path | None
    prefix: str = ""

    @property
    def name(self) -> str:
        """What its documents' ids begin with."""
        if self.file is None or self.root is None:
            return f"{self.prefix}{self.source.hub}/{self.source.split}"
        return self.prefix + ("/".join(self.file.relative_to(self.root).parts) or self.file.name)

    @property
    def group(self) -> str:
        """The source its documents belong to, where they do not say another: a folder's or dataset's name."""
        if self.source.name:
            return self.source.name
        if self.file is None or self.root is None:
            return str(self.source.hub).rsplit("/", 1)[-1]
        inside = self.file.relative_to(self.root).parts if self.file != self.root else ()
        if len(inside) > 1:
            return inside[0]
        return self.root.name.split(".")[0] if self.root != self.file else self.root.parent.name

    def declared(self, languages: dict[str, Language], forced: str | None) -> str | None:
        """Code of the language its documents are in where they do not say it: by name, recipe or option."""
        found = None
        if self.file is not None and self.root is not None:
            found = language_of_path(self.file.relative_to(self.root.parent), languages)
        return found.code if found else self.source.language or forced

    @property
    def paths(self) -> list[Path]:
        """What it reads on this machine."""
        if self.file is not None:
            return [self.file]
        hub = Path(str(self.source.hub))
        return [hub] if hub.is_dir() else []

    @property
    def size(self) -> int:
        """Bytes on disk, to tell how far the work is."""
        return self.file.stat().st_size if self.file is not None else 1


def ingest(one: Input, folder: Path, recipe: Recipe, forced: str | None) -> dict[str, Any]:
    """Read and repair the documents of one input into `folder`; an input that is there already is left.

    Returns:
        its shards by name, and the group of sources it belongs to.
    """
    done = folder / f"{one.number:05d}.json"
    if done.exists():
        return dict(json.loads(done.read_text(encoding="utf-8")))
    languages = load_languages()
    name, group, declared = one.name, one.group, one.declared(languages, forced)
    seen_lines = lines.LineCounter()
    seen_words = hyphens.WordCounter()
    shards = _Shards(folder, f"{one.number:05d}")
    for batch in _batches(_records(one, recipe)):
        rows = [_row(record, declared, name, group, one.source.name, languages) for record in batch]
        texts, counts = mend([record.text for record in batch], recipe)
        counts["read_words"] = np.array([len(record.text.split()) for record in batch], dtype=np.int32)
        counts["read_bytes"] = np.array(
            [len(record.text.encode("utf-8", "replace")) for record in batch], dtype=np.int32
        )
        good = [text for text, row in zip(texts, rows, strict=True) if row["reading"] is None]
        if recipe.boilerplate:
            seen_lines.add(good)
        if "hyphens" in (recipe.repair or ()):
            seen_words.add(good)
        shards.write(rows, texts, counts)
    answer = {"shards": shards.close(), "group": group}
    keys, found = seen_lines.counts()
    np.savez(folder / f"{one.number:05d}.lines.npz", keys=keys, counts=found, documents=seen_lines.documents)
    seen_words.counts().save(folder / f"{one.number:05d}.words.npz")
    write_json(done, answer)
    return answer


def input_number(shard: Path) -> int:
    """The number of the input that a shard was made of."""
    return int(shard.stem.split("-")[0])


def _records(one: Input, recipe: Recipe) -> Iterator[Document | BadRecord]:
    if one.file is None:
        from edgelm.corpus.hub import read_dataset

        source = one.source
        return read_dataset(
            str(source.hub),
            source.config,
            source.split,
            text_field=recipe.text_field,
            revision=source.revision,
        )
    return read_records(one.file, recipe.text_field, documents=one.source.documents)


def mend(texts: list[str], recipe: Recipe) -> tuple[list[str], dict[str, np.ndarray]]:
    """The texts as the recipe repairs them, and how many of each kind were mended, int32 [texts]."""
    if recipe.repair is None:  # but for halves of surrogate pairs, which UTF-8 cannot hold
        return [text.encode("utf-8", "replace").decode("utf-8") for text in texts], {}
    return repair(texts, Repairs(**{name: name in recipe.repair for name in REPAIRS}))


def _batches(records: Iterable[Document | BadRecord]) -> Iterator[list[Document | BadRecord]]:
    batch: list[Document | BadRecord] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record.text)
        if len(batch) == BATCH_DOCUMENTS or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _row(
    record: Document | BadRecord,
    declared: str | None,
    name: str,
    group: str,
    source: str | None,
    languages: dict[str, Language],
) -> dict[str, Any]:
    row: dict[str, Any] = {"id": f"{name}:{record.line}", "language": declared, "source": group}
    if isinstance(record, BadRecord):
        return {**row, "reading": f"bad record: {record.reason}", "claimed": None}
    reading = None
    if record.language is not None:
        found = find_language(record.language, languages)
        row["language"] = found.code if found else UNKNOWN
        reading = None if found else f"unknown language: {record.language[:40]}"
    return {
        "id": record.id or row["id"],
        "language": row["language"],
        "source": source or record.source or group,
        "claimed": record.split,
        "reading": reading,
    }


class _Shards:
    """Writes rows into Parquet files of bounded size; each has its name only once it is whole."""

    def __init__(self, folder: Path, stem: str):
        self.arrow = require("pyarrow", "corpus")
        self.folder, self.stem = folder, stem
        self.names: list[str] = []
        self.writer: Any = None
        self.size = 0

    def write(self, rows: list[dict[str, Any]], texts: list[str], counts: dict[str, np.ndarray]) -> None:
        columns = {"text": texts} | {name: [row[name] for row in rows] for name in SCHEMA if name != "text"}
        table = self.arrow.table(
            {name: self.arrow.array(columns[name], self.arrow.string()) for name in SCHEMA}
            | {name: self.arrow.array(values) for name, values in counts.items()}
        )
        if self.writer is None:
            self.part = self.folder / f"{self.stem}-{len(self.names):03d}.{os.getpid()}.part"
            self.writer = open_writer(self.part, table.schema, compression="lz4")
        self.writer.write_table(table)
        self.size += table["text"].nbytes
        if self.size >= SHARD_BYTES:
            self._end()

    def close(self) -> list[str]:
        if self.writer is not None:
            self._end()
        return self.names

    def _end(self) -> None:
        self.writer.close()
        name = f"{self.stem}-{len(self.names):03d}.parquet"
        self.part.replace(self.folder / name)
        self.names.append(name)
        self.writer, self.size = None, 0
