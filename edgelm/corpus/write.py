"""Write a decided corpus: `data/<language>/<split>-NNNNN.parquet` and `rejected/<language>-NNNNN.parquet`.

Every row keeps what was measured of it, so that another decision needs no other pass over the texts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgelm.corpus.parquet import open_writer
from edgelm.corpus.readers import SPLITS
from edgelm.extras import require

SHARD_BYTES = 64_000_000  # of text, before compression
BATCH = 4096  # rows
LEADING = ("id", "text", "language", "source", "split")
ARRAYS = ("first", "failed", "split", "cluster", "cluster_size")
SHOWN = 600  # characters of a sample
WORKING = ("minhash", "guessed")  # columns of no use once clusters are known


def save_decisions(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Lay the decided arrays, one value a row, where every worker can map them."""
    folder.mkdir(exist_ok=True)
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", arrays[name])


def write_language(
    language: str,
    shards: Sequence[tuple[Path, int]],
    decisions: Path,
    output: Path,
    names: Sequence[str],
    filters: Sequence[str],
    samples: Sequence[int],
) -> dict[int, dict[str, Any]]:
    """Write the documents of one language; returns the texts of the rows in `samples`.

    Args:
        shards: measured files that hold such documents, each with the row its first document is.
        decisions: the folder of `save_decisions`.
        names: what the numbers in `first` stand for.
        filters: the reason of each filter, which the bits in `failed` stand for.
    """
    arrow = require("pyarrow", "corpus")
    compute = require("pyarrow.compute", "corpus")
    parquet = require("pyarrow.parquet", "corpus")
    arrays = {name: np.load(decisions / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
    wanted = set(samples)
    shown: dict[int, dict[str, Any]] = {}
    places = {part: _Rolling(output / "data" / language, f"{part}-") for part in SPLITS}
    rejected = _Rolling(output / "rejected", f"{language}-")
    try:
        for shard, start in shards:
            row = start
            for batch in parquet.ParquetFile(shard).iter_batches(batch_size=BATCH):
                own = np.asarray(compute.equal(batch["language"], language).fill_null(False))
                rows = row + np.flatnonzero(own)
                row += len(batch)
                if not len(rows):
                    continue
                table = arrow.Table.from_batches([batch]).filter(arrow.array(own))
                decided = {name: array[rows] for name, array in arrays.items()}
                for index in np.flatnonzero(np.isin(rows, samples)) if wanted else ():
                    shown[int(rows[index])] = {
                        name: str(table[name][int(index)].as_py())[:SHOWN]
                        for name in ("id", "source", "text")
                    }
                table = _with_decisions(arrow, table, rows, decided)
                for number, part in enumerate(SPLITS):
                    places[part].write(_kept(arrow, table, decided, number, part))
                rejected.write(_rejected(arrow, table, decided, names, filters))
    finally:
        for one in (*places.values(), rejected):
            one.close()
    return shown


class _Rolling:
    """Parquet files `<stem>00000.parquet` and on, begun when there is something to write, of bounded size."""

    def __init__(self, folder: Path, stem: str):
        self.folder, self.stem = folder, stem
        self.number, self.size = 0, 0
        self.writer: Any = None

    def write(self, table: Any) -> None:
        if not len(table):
            return
        if self.writer is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{self.stem}{self.number:05d}.parquet"
            self.writer = open_writer(path, table.schema, compression="zstd")
        self.writer.write_table(table)
        self.size += table["text"].nbytes
        if self.size >= SHARD_BYTES:
            self.close()
            self.number, self.size = self.number + 1, 0

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


def _with_decisions(arrow: Any, table: Any, rows: np.ndarray, decided: dict[str, np.ndarray]) -> Any:
    """The table with what both kept and rejected rows carry; `claimed` is the split the record named."""
    if "row" in table.column_names:  # from a finished corpus, which says where each document once stood
        return table.drop_columns(
            [name for name in ("split", "reason", "reasons") if name in table.column_names]
        )
    table = table.drop_columns([name for name in table.column_names if name.startswith(WORKING)])
    table = table.append_column("row", arrow.array(rows.astype(np.int64)))
    for name in ("cluster", "cluster_size"):
        table = table.append_column(name, arrow.array(decided[name]))
    return table


def _kept(arrow: Any, table: Any, decided: dict[str, np.ndarray], number: int, part: str) -> Any:
    chosen = (decided["first"] < 0) & (decided["split"] == number)
    picked = table.filter(arrow.array(chosen))
    picked = picked.append_column("split", arrow.array([part] * len(picked), arrow.string()))
    return picked.select([*LEADING, *(name for name in picked.column_names if name not in LEADING)])


def _rejected(
    arrow: Any, table: Any, decided: dict[str, np.ndarray], names: Sequence[str], filters: Sequence[str]
) -> Any:
    chosen = decided["first"] >= 0
    picked = table.filter(arrow.array(chosen))
    first = [names[number] for number in decided["first"][chosen]]
    every = [
        list(dict.fromkeys([reason, *(name for bit, name in enumerate(filters) if failed >> bit & 1)]))
        for reason, failed in zip(first, decided["failed"][chosen].tolist(), strict=True)
    ]
    picked = picked.append_column("reason", arrow.array(first, arrow.string()))
    picked = picked.append_column("reasons", arrow.array(every, arrow.list_(arrow.string())))
    leading = [*LEADING[:-1], "reason", "reasons"]
    return picked.select([*leading, *(name for name in picked.column_names if name not in leading)])
