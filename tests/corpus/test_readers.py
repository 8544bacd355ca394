import json
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import zstandard

from edgelm.corpus.readers import COMPRESSIONS, FORMATS, BadRecord, Document, find_files, read_records
from edgelm.errors import BadInput

TEXTS = ["Ḽiṅwe ḓuvha ṱhoho yo vha ṋamusi.", "Só ê dit: môre sê hulle nee.", "umfana uyahamba"]
EVERY = [kind + packed for kind in FORMATS for packed in COMPRESSIONS]
PACKED = [name for name in EVERY if not name.endswith(FORMATS)]


def read(path: Path, text_field: str = "text") -> tuple[list[Document], list[BadRecord]]:
    records = list(read_records(path, text_field))
    return (
        [one for one in records if isinstance(one, Document)],
        [one for one in records if isinstance(one, BadRecord)],
    )


@pytest.mark.parametrize("ending", EVERY)
def test_every_format_and_compression_gives_the_same_texts(tmp_path, write_file, ending):
    path = write_file(
        tmp_path / f"news{ending}", [{"text": text, "id": f"d{n}"} for n, text in enumerate(TEXTS)]
    )
    good, bad = read(path)
    assert [one.text for one in good] == TEXTS
    assert [one.line for one in good] == [1, 2, 3]
    assert not bad
    if ".txt" in ending:
        assert [(one.id, one.line) for one in good] == [(None, line) for line in (1, 2, 3)]
    else:
        assert [one.id for one in good] == ["d0", "d1", "d2"]
    assert find_files(tmp_path) == [path]


def test_fields_of_a_record(tmp_path, write_file):
    records = [
        {"text": "a", "id": 7, "language": "zul", "source": "radio", "split": "test"},
        {"text": "b", "id": None, "lang": "xho", "language": "", "split": "dev"},
        {"text": "c", "id": "", "language": 3, "source": ["x"], "split": 1},
    ]
    good, _ = read(write_file(tmp_path / "a.jsonl", records))
    assert [(one.id, one.language, one.source, one.split) for one in good] == [
        ("7", "zul", "radio", "test"),
        (None, "xho", None, None),
        (None, None, None, None),
    ]


def test_text_field_by_name(tmp_path, write_file):
    path = write_file(tmp_path / "a.jsonl.xz", [{"body": "hello", "text": 1}])
    assert [one.text for one in read(path, "body")[0]] == ["hello"]


def test_blank_lines_and_a_byte_order_mark_are_no_documents(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\n  \t\ntwo")
    assert [(one.line, one.text) for one in read(tmp_path / "a.txt")[0]] == [(1, "one"), (4, "two")]
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n\n')
    assert [one.text for one in read(tmp_path / "a.jsonl")[0]] == ["one"]


def test_bad_lines_of_a_good_jsonl_file(tmp_path):
    lines = [
        b'{"text": "good one"}',
        b"[1, 2]",
        b'{"id": "x", "title": "no text here"}',
        b"{not json",
        b'{"text": 5}',
        b'{"text": "caf\xe9"}',
        b"[" * 100_000,
        b'{"text": "good two"}',
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    good, bad = read(tmp_path / "a.jsonl")
    assert [one.text for one in good] == ["good one", "good two"]
    assert [(one.line, one.reason) for one in bad] == [
        (2, "not an object"),
        (3, "no text in the field 'text'"),
        (4, "not JSON"),
        (5, "no text in the field 'text'"),
        (6, "not UTF-8"),
        (7, "not JSON"),
    ]
    assert "no text here" in bad[1].text


def test_half_a_surrogate_pair_does_not_leave_the_reader_in_a_name(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        r'{"text": "x", "id": "i\ud800", "source": "s\udfff", "language": "z\ud900"}'
    )
    (one,), _ = read(tmp_path / "a.jsonl")
    assert (one.id, one.source, one.language) == ("i?", "s?", "z?")


def test_invalid_utf8_in_a_parquet_column_spoils_one_row(tmp_path):
    broken = arrow.array([b"good", b"\xff\xfe", b"more"]).cast(arrow.binary())
    strings = arrow.Array.from_buffers(arrow.string(), 3, broken.buffers())
    parquet.write_table(arrow.table({"text": strings}), tmp_path / "a.parquet")
    good, bad = read(tmp_path / "a.parquet")
    assert [one.text for one in good] == ["good", "more"]
    assert [(one.line, one.reason) for one in bad] == [(2, "not UTF-8")]


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        (b"\n[1]\n[2]\n", 2, "not an object"),
        (b'{"title": "a"}\n', 1, "no text in the field 'text'"),
        (b"hello\n", 1, "not JSON"),
    ],
)
def test_a_file_with_nothing_good_names_its_first_bad_line(tmp_path, data, line, problem):
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    with pytest.raises(BadInput) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, line {line}: {problem}, and no other record is good. ")
    assert caught.value.line == line


@pytest.mark.parametrize("ending", PACKED)
@pytest.mark.parametrize("kept", [0, 1, 20, 0.5, -1])
def test_a_compressed_file_that_was_cut_short(tmp_path, write_file, prose, ending, kept):
    path = write_file(tmp_path / f"a{ending}", [{"text": text} for text in prose(200)])
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(len(data) * kept)])
    with pytest.raises(BadInput, match="damaged or cut short") as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith("Copy or download the file again.")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", PACKED)
def test_a_compressed_file_with_flipped_bytes(tmp_path, write_file, prose, ending):
    path = write_file(tmp_path / f"a{ending}", [{"text": text} for text in prose(200)])
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 8] = bytes(byte ^ 0xFF for byte in data[middle : middle + 8])
    path.write_bytes(data)
    with pytest.raises(BadInput) as caught:
        read(path)
    assert caught.value.file == path


@pytest.mark.parametrize("ending", [".gz", ".xz", ".zst"])
def test_a_file_that_is_not_compressed_as_its_name_says(tmp_path, ending):
    path = tmp_path / f"a.txt{ending}"
    path.write_text("plain text")
    with pytest.raises(BadInput, match="damaged or cut short"):
        read(path)


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_parquet_file_that_was_cut_short(tmp_path, write_file, prose, part):
    path = write_file(tmp_path / "a.parquet", [{"text": text} for text in prose(50)])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(BadInput, match="is not a Parquet file that can be read") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_parquet_file_damaged_inside(tmp_path, prose):
    path = tmp_path / "a.parquet"
    table = arrow.table({"text": prose(500)})
    parquet.write_table(table, path, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[100:200] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(BadInput) as caught:
        read(path)
    assert caught.value.file == path
    assert "\n" not in str(caught.value)


def test_several_zstandard_frames_are_one_file(tmp_path, prose):
    texts = prose(300)
    half = (
        "".join(text + "\n" for text in texts[:150]).encode(),
        "".join(text + "\n" for text in texts[150:]).encode(),
    )
    path = tmp_path / "a.txt.zst"
    path.write_bytes(zstandard.compress(half[0]) + zstandard.compress(half[1]))
    assert [one.text for one in read(path)[0]] == texts
    path.write_bytes(zstandard.compress(half[0]) + zstandard.compress(half[1])[:-9])
    with pytest.raises(BadInput, match="cut short"):
        read(path)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_is_not_taken_for_utf8_with_letters_lost(tmp_path, encoding):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\nNdi ḓo ya\ntwo\n".encode(encoding))
    with pytest.raises(BadInput, match=r"a\.txt, line 1: not UTF-8 but UTF-16\. Save the file as UTF-8"):
        read(path)


def test_find_files_leaves_out_hidden_and_foreign_files(tmp_path):
    for name in (
        "b/zul.txt",
        "a.jsonl.gz",
        "a.csv",
        ".hidden.txt",
        ".out.partial/measured/00000.parquet",
        "c/d.txt.bz2",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"text": "x"}))
    assert [path.relative_to(tmp_path).as_posix() for path in find_files(tmp_path)] == [
        "a.jsonl.gz",
        "b/zul.txt",
    ]
    assert find_files(tmp_path / "b" / "zul.txt") == [tmp_path / "b" / "zul.txt"]


@pytest.mark.parametrize("name", ["nowhere", "empty", "a.csv"])
def test_find_files_needs_something_to_read(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").touch()
    with pytest.raises(BadInput) as caught:
        find_files(tmp_path / name)
    assert caught.value.file == tmp_path / name
