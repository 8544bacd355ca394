"""`edgelm corpus sample`: a few random documents of a corpus, kept or rejected for a reason, to be read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgelm.corpus.report import read_manifest
from edgelm.corpus.tune import recipe_of
from edgelm.errors import BadInput
from edgelm.extras import require


@dataclass(frozen=True, slots=True)
class Sampled:
    """One document to show; `measured` holds the columns that the corpus's filters judge."""

    id: str
    language: str
    source: str
    text: str
    reasons: tuple[str, ...]
    measured: dict[str, float]


def sample(
    corpus: Path, rejected: str | None = None, language: str | None = None, count: int = 10, seed: int = 0
) -> list[Sampled]:
    """Up to `count` random documents: kept ones, or those whose first reason is `rejected` (`any` for all).

    Raises:
        BadInput: not a corpus, or no document was rejected for that reason or is in that language.
    """
    manifest = read_manifest(corpus)
    parquet = require("pyarrow.parquet", "corpus")
    codes = sorted(manifest["languages"])
    if language is not None and language not in codes:
        raise BadInput(f"holds no {language}", file=corpus, remedy=f"there is {', '.join(codes)}")
    files = sorted((corpus / "data").rglob("*.parquet"))
    if rejected is not None:
        files = sorted((corpus / "rejected").glob("*.parquet"))
    places: list[tuple[Path, int]] = []
    for file in files:
        columns = parquet.ParquetFile(file).read(columns=["language", *(["reason"] if rejected else [])])
        own = np.ones(len(columns), dtype=bool)
        if language is not None:
            own &= np.array(columns["language"].to_pylist(), dtype=object) == language
        if rejected not in (None, "any"):
            own &= np.array(columns["reason"].to_pylist(), dtype=object) == rejected
        places += [(file, int(row)) for row in np.flatnonzero(own)]
    if not places:
        reasons = sorted({reason for one in manifest["languages"].values() for reason in one["rejected"]})
        raise BadInput(
            f"no document{f' in {language}' if language else ''} was "
            + (f"rejected as '{rejected}'" if rejected else "kept"),
            file=corpus,
            remedy=f"the reasons are any, {', '.join(reasons)}" if reasons else "none was rejected",
        )
    draw = np.random.default_rng(seed).permutation(len(places))[:count]
    filtered = dict.fromkeys(one.column for one in recipe_of(manifest, corpus).filters)
    found = []
    for file, row in sorted(places[index] for index in draw):
        found.append(described(read_row(parquet.ParquetFile(file), row), filtered))
    return found


def read_row(reader: Any, row: int) -> dict[str, Any]:
    """One row of a `ParquetFile`; no more is read than the row group that holds it."""
    for group in range(reader.num_row_groups):
        size = reader.metadata.row_group(group).num_rows
        if row < size:
            return dict(reader.read_row_group(group).slice(row, 1).to_pylist()[0])
        row -= size
    raise IndexError(row)


def described(row: dict[str, Any], filtered: dict[str, None]) -> Sampled:
    """A row of a corpus as a document to show, with the columns in `filtered`."""
    return Sampled(
        row["id"],
        row["language"],
        row["source"],
        row["text"],
        tuple(row.get("reasons") or ()),
        {name: row[name] for name in filtered if row.get(name) is not None},
    )
