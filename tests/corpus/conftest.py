import gzip
import io
import json
import lzma
import random
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="corpora are built with the extra 'corpus'")

import pyarrow as arrow
import pyarrow.parquet as parquet
import zstandard

from edgelm.corpus.build import build_corpus
from edgelm.corpus.recipe import Recipe, load_recipe
from edgelm.corpus.table import Table


@pytest.fixture(scope="session")
def prose() -> Callable[..., list[str]]:
    """`prose(40, seed)`: that many different sentences of made-up words that every default filter keeps."""

    def make(count: int, seed: int = 0, words: int = 8) -> list[str]:
        draw = random.Random(f"prose {seed}")
        syllables = [a + b for a in "bdfgklmnpstwyz" for b in "aeiou"]
        return [
            " ".join(
                "".join(draw.choices(syllables, k=draw.randint(2, 4))) for _ in range(words)
            ).capitalize()
            + "."
            for _ in range(count)
        ]

    return make


@pytest.fixture(scope="session")
def write_file() -> Callable[[Path, list[dict[str, Any]]], Path]:
    """Write records in the format and compression that the name says."""

    def write(path: Path, records: list[dict[str, Any]]) -> Path:
        kind = next(kind for kind in (".txt", ".jsonl", ".parquet") if kind in path.name)
        if kind == ".txt":
            data = "".join(one["text"] + "\n" for one in records).encode()
        elif kind == ".jsonl":
            data = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records).encode()
        else:
            buffer = io.BytesIO()
            parquet.write_table(arrow.Table.from_pylist(records), buffer)
            data = buffer.getvalue()
        pack: Callable[[bytes], bytes] = {
            ".gz": gzip.compress,
            ".xz": lzma.compress,
            ".zst": zstandard.compress,
        }.get(path.suffix, bytes)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pack(data))
        return path

    return write


@pytest.fixture(scope="session")
def build() -> Callable[..., dict[str, Any]]:
    """Build a folder, file or recipe with `build_corpus`; returns the manifest.

    Options that are fields of a recipe change it. Made-up prose is no language, so nothing is identified
    unless `identify` is asked for.
    """
    of_recipe = {one.name for one in fields(Recipe)}

    def work(source: Path | str, output: Path, **options: Any) -> dict[str, Any]:
        changes = {"identify": False} | {name: options.pop(name) for name in of_recipe & set(options)}
        return build_corpus(replace(load_recipe(source), **changes), output, **options)

    return work


@pytest.fixture(scope="session")
def rows() -> Callable[..., list[dict[str, Any]]]:
    """All rows of a corpus that lie in `data`, or in `rejected`, with the language from the folder's name."""

    def read(corpus: Path, part: str = "data") -> list[dict[str, Any]]:
        files = sorted((corpus / part).rglob("*.parquet"))
        return [row for file in files for row in parquet.ParquetFile(file).read().to_pylist()]

    return read


@pytest.fixture(scope="session")
def content() -> Callable[[Path], dict[str, bytes]]:
    """Every file of an artifact by name, but the provenance, which holds the time."""

    def read(folder: Path) -> dict[str, bytes]:
        return {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file() and file.name != "edgelm.json"
        }

    return read


@pytest.fixture(scope="session")
def make_table(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Table]:
    """`make_table(rows, shards=2)`: a table of measured documents, the rows divided over as many files."""
    folder = tmp_path_factory.mktemp("tables")
    strings = dict.fromkeys(
        ("id", "text", "language", "source", "claimed", "reading", "identified"), arrow.string()
    )
    number = iter(range(10**6))

    def make(rows: list[dict[str, Any]], shards: int = 2) -> Table:
        files = []
        for part in range(shards):
            own = rows[len(rows) * part // shards : len(rows) * (part + 1) // shards]
            columns = {name: [row[name] for row in own] for name in rows[0]}
            arrays = {
                name: arrow.array(values, strings.get(name) or KINDS[type(rows[0][name])])
                for name, values in columns.items()
            }
            files.append(folder / f"{next(number)}.parquet")
            parquet.write_table(arrow.table(arrays), files[-1])
        return Table(files)

    return make


KINDS = {int: arrow.int64(), float: arrow.float32(), bool: arrow.bool_(), bytes: arrow.binary()}


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, prose, write_file) -> Path:
    """Eight files that one process measures."""
    folder = tmp_path_factory.mktemp("small") / "texts"
    for number in range(8):
        code = ("eng", "tso", "zul")[number % 3]
        texts = [*prose(200, number), *prose(20, number + 1)]  # duplicates across files
        write_file(folder / f"{number}" / f"{code}.jsonl.xz", [{"text": text} for text in texts])
    return folder


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory, prose, write_file) -> Path:
    """Six files that two processes measure."""
    folder = tmp_path_factory.mktemp("large") / "texts"
    for seed, code in enumerate(("afr", "eng", "nso", "tso", "xho", "zul")):
        write_file(folder / f"{code}.txt", [{"text": text} for text in prose(800, seed, words=80)])
    return folder
