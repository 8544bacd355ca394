"""The measured columns of all documents, read one at a time from many Parquet files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgelm.errors import BadInput
from edgelm.extras import require


class Table:
    """Columns over the rows of `shards`, in order. A column is read when it is asked for, and not kept.

    Args:
        derived: columns that are not in the shards, such as clusters; arrays with one value a row.
    """

    def __init__(self, shards: Sequence[Path], derived: dict[str, np.ndarray] | None = None):
        self.arrow = require("pyarrow", "corpus")
        self.parquet = require("pyarrow.parquet", "corpus")
        self.shards = list(shards)
        self.derived = dict(derived or {})
        self.coded: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {}
        self.metadata: dict[Path, Any] = {}  # read once: a corpus may have thousands of files
        self.rows = [self.open(shard).metadata.num_rows for shard in self.shards]
        self.starts = np.concatenate([[0], np.cumsum(self.rows)]).astype(np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __contains__(self, name: str) -> bool:
        return name in self.derived or (
            bool(self.shards) and name in self.open(self.shards[0]).schema_arrow.names
        )

    def __getitem__(self, name: str) -> np.ndarray:
        """A column of numbers, of shape [rows]; a missing value is NaN, or 0 among integers."""
        if name in self.derived:
            return self.derived[name]
        parts = [self._numbers(column) for column in self._columns(name, self.arrow.float32())]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)

    def codes(self, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """A column of strings: int32 numbers [rows] into the sorted values; a missing one is -1."""
        if name in self.coded:
            return self.coded[name]
        parts, names = [], []
        for column in self._columns(name):
            encoded = column.combine_chunks().dictionary_encode() if column.num_chunks else None
            if encoded is None:
                continue
            if hasattr(encoded, "combine_chunks"):
                encoded = encoded.combine_chunks()
            parts.append(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32))
            names.append(encoded.dictionary.to_pylist())
        values = tuple(sorted({value for own in names for value in own}))
        number = {value: index for index, value in enumerate(values)}
        found = [
            np.append(np.array([number[value] for value in own], dtype=np.int32), np.int32(-1))[part]
            for part, own in zip(parts, names, strict=True)
        ]
        return (np.concatenate(found) if found else np.zeros(0, dtype=np.int32)), values

    def binary(self, name: str, width: int) -> Iterator[tuple[int, np.ndarray]]:
        """A column of `width` bytes a row, shard by shard: the first row, and uint8 [rows, width]."""
        for start, column in zip(self.starts, self._columns(name), strict=False):
            for chunk in column.chunks:
                data = np.frombuffer(chunk.buffers()[1], dtype=np.uint8).reshape(-1, width)
                yield int(start), data[chunk.offset : chunk.offset + len(chunk)]
                start += len(chunk)

    def keep(self, names: Sequence[str], strings: Sequence[str] = ()) -> "Table":
        """This table with columns of numbers and of strings in memory, for deciding often."""
        self.derived |= {name: self[name] for name in names if name in self}
        self.coded |= {name: self.codes(name) for name in strings}
        return self

    def _columns(self, name: str, missing: Any = None) -> Iterator[Any]:
        """The column in each shard; where there is none, nulls of the type `missing`, strings by default."""
        for shard, rows in zip(self.shards, self.rows, strict=True):
            file = self.open(shard)
            if name in file.schema_arrow.names:
                yield file.read(columns=[name]).column(name)
            else:
                yield self.arrow.chunked_array([self.arrow.nulls(rows, missing or self.arrow.string())])

    def _numbers(self, column: Any) -> np.ndarray:
        if column.null_count and not self.arrow.types.is_floating(column.type):
            column = column.fill_null(0)
        return column.to_numpy()

    def open(self, shard: Path) -> Any:
        """A shard as a `ParquetFile`; its metadata is read once.

        Raises:
            BadInput: it is missing or damaged.
        """
        try:
            file = self.parquet.ParquetFile(shard, metadata=self.metadata.get(shard))
            self.metadata[shard] = file.metadata
            return file
        except (self.arrow.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise BadInput(
                f"cannot be read ({reason})", file=shard, remedy="build the corpus again"
            ) from None
