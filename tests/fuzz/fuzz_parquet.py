"""Parquet files: of any columns, and damaged."""

import datetime
import decimal
import functools
from pathlib import Path
from typing import Any

import fuzz_files as sound
from fuzz_text import read_all, read_evaluation
from fuzzing import Files, Reader, byte_edits, damaged
from hypothesis import strategies as st

COLUMNS = ("text", "text", "text", "id", "language", "lang", "source", "split", "", "text.x", "ḓ\n", "list")


@functools.cache
def table(compression: str = "NONE", size: int = 3) -> bytes:
    import io

    import pyarrow
    import pyarrow.parquet

    into = io.BytesIO()
    rows = sound.records() * (size // 3)
    columns = pyarrow.table({name: [one[name] for one in rows] for name in rows[0]})
    pyarrow.parquet.write_table(columns, into, compression=compression, row_group_size=max(2, size // 2))
    return into.getvalue()


def values() -> st.SearchStrategy[list[Any]]:
    kinds = [
        st.text(max_size=5),
        st.binary(max_size=5),
        st.integers(-(2**62), 2**62),
        st.floats(),
        st.booleans(),
        st.just(datetime.datetime(2020, 1, 1)),
        st.just(decimal.Decimal("1.5")),
        st.just({"x": "a"}),
        st.lists(st.text(max_size=3), max_size=2),
        st.lists(st.just({"text": "a"}), min_size=1, max_size=2),
    ]
    return st.one_of(*(st.lists(kind | st.none(), min_size=3, max_size=3) for kind in kinds))


def write(columns: list[tuple[str, list[Any]]], broken: bool) -> bytes:
    import io

    import pyarrow
    import pyarrow.parquet

    arrays = []
    for _, cells in columns:
        array = pyarrow.array(cells)
        if broken and pyarrow.types.is_binary(array.type):
            array = pyarrow.Array.from_buffers(pyarrow.string(), len(array), array.buffers())
        if broken and pyarrow.types.is_int64(array.type):
            array = array.view(
                pyarrow.timestamp("ns", "Mars/Phobos") if len(columns) > 2 else pyarrow.timestamp("ns")
            )
        arrays.append(array)
    into = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=[name for name, _ in columns]), into)
    return into.getvalue()


def from_end(data: bytes, changes: list) -> bytes:  # type: ignore[type-arg]
    """Changes counted from the end, where the schema stands."""
    return damaged(data, [(len(data) - place % 700, *rest) for place, *rest in changes])


_any = st.builds(
    write, st.lists(st.tuples(st.sampled_from(COLUMNS), values()), min_size=1, max_size=4), st.booleans()
)
_damaged = st.builds(
    lambda compression, size, where, changes: where(table(compression, size), changes),
    st.sampled_from(["NONE", "ZSTD", "SNAPPY", "GZIP"]),
    st.sampled_from([3, 300]),
    st.sampled_from([damaged, from_end, from_end]),
    byte_edits,
)


def read_text(folder: Path) -> None:
    """As a corpus's shards are read."""
    from edgelm.corpus.shards import read_texts

    for text in read_texts(folder, "zul", "train"):
        assert text is None or isinstance(text, str)


def named(name: str, data: st.SearchStrategy[bytes]) -> st.SearchStrategy[Files]:
    return data.map(lambda one: {name: one})


READERS = [
    Reader("parquet", lambda: {"sound.parquet": table()}, named("a.parquet", _any | _damaged), read_all),
    Reader(
        "evaluation parquet",
        lambda: {"sound.parquet": table()},
        named("a.parquet", _any | _damaged),
        read_evaluation,
    ),
    Reader(
        "shards",
        lambda: {"data/zul/train-00001.parquet": table()},
        named("data/zul/train-00000.parquet", _any | _damaged),
        read_text,
    ),
]
