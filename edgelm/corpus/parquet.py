"""Parquet files that are written bit by bit."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from edgelm.extras import require


def open_writer(path: Path, schema: Any, **options: Any) -> Any:
    """A `ParquetWriter` that says once that its disk is full: pyarrow's prints a traceback as well."""

    class Writer(require("pyarrow.parquet", "corpus").ParquetWriter):  # type: ignore[misc]
        def __del__(self) -> None:
            with suppress(OSError):
                super().__del__()

    return Writer(path, schema, **options)
