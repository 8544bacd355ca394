import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelm.corpus.table import Table
from edgelm.errors import BadInput

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
STRINGS = st.lists(
    st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "ḓ", "zul", "b" * 300]))), max_size=4
)


def write(folder, *shards, groups=10):
    """Each shard a dict of columns, in row groups of `groups` rows."""
    files = []
    for number, shard in enumerate(shards):
        files.append(folder / f"{number}.parquet")
        parquet.write_table(arrow.table(shard), files[-1], row_group_size=groups)
    return files


@quick
@given(STRINGS, st.booleans())
def test_codes_are_numbers_into_the_sorted_values(tmp_path, shards, dictionary):
    made = [arrow.array(values, arrow.string()) for values in shards]
    made = [one.dictionary_encode() if dictionary else one for one in made]
    numbers, names = Table(write(tmp_path, *({"x": one} for one in made), groups=2)).codes("x")
    flat = [value for values in shards for value in values]
    assert list(names) == sorted({value for value in flat if value is not None})
    assert [None if number < 0 else names[number] for number in numbers] == flat
    assert numbers.dtype == np.int32


def test_codes_where_a_shard_has_no_such_column(tmp_path):
    table = Table(write(tmp_path, {"y": [1, 2]}, {"x": ["b", None, "a"], "y": [3, 4, 5]}, {"y": [6]}))
    numbers, names = table.codes("x")
    assert (numbers.tolist(), names) == ([-1, -1, 1, -1, 0, -1], ("a", "b"))
    numbers, names = table.codes("z")
    assert (numbers.tolist(), names) == ([-1] * 6, ())


def test_numbers_keep_their_type_and_miss_as_nan_or_zero(tmp_path):
    one = {
        "whole": arrow.array([1, None, 2**62], arrow.int64()),
        "part": arrow.array([0.5, None, 2.0], arrow.float32()),
    }
    two = {"whole": arrow.array([4], arrow.int64()), "part": arrow.array([1.5], arrow.float32())}
    table = Table(write(tmp_path, one, two, groups=2))
    assert table["whole"].tolist() == [1, 0, 2**62, 4]
    assert table["whole"].dtype == np.int64
    np.testing.assert_array_equal(table["part"], np.array([0.5, np.nan, 2, 1.5], dtype=np.float32))
    assert table["part"].dtype == np.float32
    assert table.starts.tolist() == [0, 3, 4]
    assert len(table) == 4


def test_numbers_where_a_shard_has_no_such_column(tmp_path):
    table = Table(write(tmp_path, {"x": [1.5], "y": [0]}, {"y": [2, 3]}))
    np.testing.assert_array_equal(table["x"], [1.5, np.nan, np.nan])


def test_bytes_of_a_fixed_width(tmp_path):
    rows = np.arange(4 * 25, dtype=np.uint8).reshape(25, 4)
    shards = [rows[:11], rows[11:11], rows[11:]]
    buffers = [[None, arrow.py_buffer(one.tobytes())] for one in shards]
    made = [
        {"x": arrow.FixedSizeBinaryArray.from_buffers(arrow.binary(4), len(one), own)}
        for one, own in zip(shards, buffers, strict=True)
    ]
    found = np.zeros_like(rows)
    for start, part in Table(write(tmp_path, *made, groups=3)).binary("x", 4):
        found[start : start + len(part)] = part
    np.testing.assert_array_equal(found, rows)


def test_derived_and_kept_columns_are_not_read_again(tmp_path):
    files = write(tmp_path, {"x": [1, 2], "s": ["b", "a"], "y": [5, 6]})
    table = Table(files, {"z": np.array([7, 8])}).keep(["x", "nothing"], ["s"])
    files[0].unlink()
    assert table["x"].tolist() == [1, 2]
    assert table["z"].tolist() == [7, 8]
    assert table.codes("s")[1] == ("a", "b")
    assert "z" in table
    with pytest.raises(BadInput, match=r"cannot be read .*Build the corpus again"):
        table["y"]


def test_what_a_table_holds(tmp_path):
    table = Table(write(tmp_path, {"x": [1]}))
    assert "x" in table
    assert "y" not in table
    empty = Table([])
    assert ("x" in empty, len(empty), empty["x"].tolist(), empty.codes("x")[1]) == (False, 0, [], ())


def test_a_damaged_file_is_named(tmp_path):
    (file,) = write(tmp_path, {"x": [1] * 100})
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(BadInput, match="cannot be read") as caught:
        Table([file])
    assert caught.value.file == file
