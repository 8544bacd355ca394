import errno
import gzip
import json
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelm.corpus import readers
from edgelm.corpus.files import COMPRESSIONS, FORMATS, find_files, skipped_files
from edgelm.corpus.readers import SHOWN, BadRecord, Document, read_records
from edgelm.corpus.recipe import DOCUMENTS
from edgelm.errors import BadInput

TEXTS = ["Ḽiṅwe ḓuvha ṱhoho yo vha ṋamusi.", "Só ê dit: môre sê hulle nee.", "umfana uyahamba"]
EVERY = [kind + packed for kind in FORMATS for packed in COMPRESSIONS]
PACKED = [name for name in EVERY if not name.endswith(FORMATS)]
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _json(value: object) -> bytes:
    return json.dumps(value if isinstance(value, dict) else {"text": value}).encode()


def _run(script: str, path: Path) -> str:
    """What a new interpreter prints that runs the script with a path."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def read(
    path: Path, text_field: str = "text", documents: str = "lines"
) -> tuple[list[Document], list[BadRecord]]:
    records = list(read_records(path, text_field, documents))
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
        {"text": "d", "id": 0},
        {"text": "e", "id": [1, 2]},
    ]
    good, _ = read(write_file(tmp_path / "a.jsonl", records))
    assert [(one.id, one.language, one.source, one.split) for one in good] == [
        ("7", "zul", "radio", "test"),
        (None, "xho", None, None),
        (None, None, None, None),
        ("0", None, None, None),
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
        (7, "nested too deeply"),
    ]
    assert "no text here" in bad[1].text
    assert bad[0].text == "[1, 2]"


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


STORY = "Kwesukesukela.\r\nYayikhona  indoda.\n\n \t\nYahamba.\n\n\nYafika.\ncosu"


@pytest.mark.parametrize("packed", COMPRESSIONS)
@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        (
            "lines",
            [(1, "Kwesukesukela."), (2, "Yayikhona  indoda."), (5, "Yahamba."), (8, "Yafika."), (9, "cosu")],
        ),
        ("paragraphs", [(1, "Kwesukesukela.\nYayikhona  indoda."), (5, "Yahamba."), (8, "Yafika.\ncosu")]),
        ("files", [(1, STORY.replace("\r", ""))]),
    ],
)
def test_what_is_one_document_of_a_text_file(tmp_path, documents, expected, packed):
    pack = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.compress}[packed]
    path = tmp_path / f"a.txt{packed}"
    path.write_bytes(pack(b"\xef\xbb\xbf" + STORY.encode()))
    assert read(path, documents=documents) == ([Document(None, text, line) for line, text in expected], [])


def test_invalid_utf8_spoils_a_line_a_paragraph_or_a_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ncaf\xe9\n\ntwo\n")
    found = {documents: read(path, documents=documents) for documents in DOCUMENTS}
    assert [(one.line, one.text) for one in found["lines"][0]] == [(1, "one"), (4, "two")]
    assert [(one.line, one.text) for one in found["paragraphs"][0]] == [(4, "two")]
    assert found["files"][0] == []
    assert [(one.line, one.reason, one.text) for documents in DOCUMENTS for one in found[documents][1]] == [
        (2, "not UTF-8", "caf\ufffd"),
        (1, "not UTF-8", "one\ncaf\ufffd"),
        (1, "not UTF-8", "one\ncaf\ufffd\n\ntwo\n"),
    ]
    path.write_bytes("\ufeffone\n".encode("utf-16-le"))
    with pytest.raises(BadInput, match="line 1: not UTF-8 but UTF-16"):
        read(path, documents="files")


@pytest.mark.parametrize("packed", COMPRESSIONS)
@pytest.mark.parametrize("documents", DOCUMENTS)
def test_a_document_over_the_limit_is_a_bad_record_with_its_beginning(
    tmp_path, monkeypatch, documents, packed
):
    monkeypatch.setattr(readers, "LIMIT", 2 << 20)
    pack = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.compress}[packed]
    long = "ḓé" * 600_000
    path = tmp_path / f"a.txt{packed}"
    path.write_bytes(pack(f"one\n\n{long}\nthree\n\nfour\n".encode()))
    good, bad = read(path, documents=documents)
    start = {"lines": 3, "paragraphs": 3, "files": 1}[documents]
    text = (f"one\n\n{long}" if documents == "files" else long)[:SHOWN]
    text += "\nthree" if documents == "paragraphs" else ""
    assert [(one.reason, one.line, one.text) for one in bad] == [("longer than 16 MiB", start, text)]
    assert [one.text for one in good] == {
        "lines": ["one", "three", "four"],
        "paragraphs": ["one", "four"],
        "files": [],
    }[documents]


def test_a_paragraph_of_many_lines_over_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "LIMIT", 20_000)
    (tmp_path / "a.txt").write_text("one\n\n" + "a line\n" * 9000 + "\nthree\n")
    good, bad = read(tmp_path / "a.txt", documents="paragraphs")
    assert [(one.line, one.text) for one in good] == [(1, "one"), (9004, "three")]
    assert [(one.line, one.text) for one in bad] == [(3, ("a line\n" * 9000)[:SHOWN])]


def test_rows_over_the_limit_are_bad_records(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "LIMIT", 100_000)
    rows = ["one", "é" * 60_000, "three", None]
    parquet.write_table(arrow.table({"text": rows}), tmp_path / "a.parquet")
    good, bad = read(tmp_path / "a.parquet")
    assert [(one.line, one.text) for one in good] == [(1, "one"), (3, "three")]
    assert [(one.line, one.text) for one in bad] == [(2, "é" * SHOWN), (4, '{"text": null}')]


MEASURE = """
import resource, sys
from pathlib import Path
import pyarrow.parquet
from edgelm.corpus.readers import BadRecord, read_records
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)
before = peak()
found = [(isinstance(one, BadRecord), len(one.text)) for one in read_records(Path(sys.argv[1]))]
print(peak() - before, len(found), *(size for bad, size in found if bad))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is asked of the resource module")
@pytest.mark.parametrize("ending", [".txt", ".jsonl"])
def test_a_line_of_200_megabytes_takes_bounded_memory_and_time(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    pattern = '{"text": "%s"}' if ending == ".jsonl" else "%s"
    with path.open("wb") as file:
        file.write((pattern % "one").encode() + b"\n" + pattern.split("%s")[0].encode())
        for _ in range(200):
            file.write(b"umfana uyahamba " * 62_500)
        file.write(pattern.split("%s")[1].encode() + b"\n" + (pattern % "three").encode() + b"\n")
    start = time.monotonic()
    memory, count, *bad = map(int, _run(MEASURE, path).split())
    assert time.monotonic() - start < 60  # a second and a half on a quiet machine
    assert memory < 240  # MiB, beside the 60 that the interpreter and its packages take
    assert (count, bad) == (3, [SHOWN])


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is asked of the resource module")
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_parquet_file_larger_than_its_batches_takes_bounded_memory(tmp_path, packed):
    plain = tmp_path / "a.parquet"
    schema = arrow.schema([("text", arrow.string()), ("picture", arrow.binary())])
    with parquet.ParquetWriter(plain, schema, compression="none", use_dictionary=False) as writer:
        for number in range(20):
            text = [f"{number} {row} " + "umfana " * 3000 for row in range(100)]
            writer.write_table(arrow.table({"text": text, "picture": [bytes(50_000)] * 100}, schema))
    path = plain
    if packed:
        path = tmp_path / "b.parquet.gz"
        with plain.open("rb") as file, gzip.open(path, "wb", 1) as out:
            shutil.copyfileobj(file, out)
    memory, count = map(int, _run(MEASURE, path).split())
    assert count == 2000
    assert plain.stat().st_size > 130 << 20
    assert memory < 100


def test_no_room_to_unpack_a_parquet_file_is_said(tmp_path, monkeypatch, write_file):
    path = write_file(tmp_path / "a.parquet.gz", [{"text": "one"}])

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(BadInput, match=r"No space left on device\)\. Make room in .*TMPDIR"):
        read(path)


def test_deep_nesting_costs_no_time_and_no_neighbours(tmp_path):
    deep = '{"text": "x", "more": ' + "[" * 100_000 + "]" * 100_000 + "}"
    (tmp_path / "a.jsonl").write_text(f'{{"text": "one"}}\n{deep}\n{"[" * 100_000}\n{{"text": "two"}}\n')
    start = time.process_time()
    good, bad = read(tmp_path / "a.jsonl")
    assert time.process_time() - start < 1
    assert [one.text for one in good] == ["one", "two"]
    assert [(one.line, one.reason, one.text) for one in bad] == [
        (2, "nested too deeply", deep),
        (3, "nested too deeply", "[" * 100_000),
    ]


@pytest.mark.parametrize(
    "line", ['{"text": "x"} {"text": "y"}', '{"text": "x"}]', "{'text': 'x'}", "NaN x", '"']
)
def test_a_line_must_be_one_value_of_json(tmp_path, line):
    (tmp_path / "a.jsonl").write_text(f'{{"text": "one"}}\n  {line}\n')
    assert [(one.line, one.reason) for one in read(tmp_path / "a.jsonl")[1]] == [(2, "not JSON")]


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path, write_file):
    path = write_file(tmp_path / "a.parquet", [{"body": "x", "title": "y"}])
    with pytest.raises(BadInput, match=r"a\.parquet: no column 'text' among body, title\. Name the column"):
        read(path)


def test_a_date_that_python_has_not_spoils_one_row(tmp_path):
    dates = arrow.array([0, 400_000_000_000, 1], arrow.timestamp("s"))
    parquet.write_table(arrow.table({"text": ["a", "b", "c"], "id": dates}), tmp_path / "a.parquet")
    good, bad = read(tmp_path / "a.parquet")
    assert [one.text for one in good] == ["a", "c"]
    assert [(one.line, one.reason) for one in bad] == [(2, "a value that cannot be read")]


@quick
@given(
    st.lists(st.text("aḓ\r\u2028\x0b \U0001f600", max_size=8), max_size=30),
    st.integers(1, 9),
    st.sampled_from(COMPRESSIONS),
    st.booleans(),
)
def test_lines_are_the_same_wherever_the_pieces_end_in_which_they_are_read(
    tmp_path, lines, size, packed, ended
):
    pack = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.compress}[packed]
    path = tmp_path / f"a.txt{packed}"
    path.write_bytes(pack("\n".join(lines).encode() + b"\n" * ended))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "CHUNK", size)
        good, bad = read(path)
    assert [(one.line, one.text) for one in good] == [
        (number, line.rstrip("\r")) for number, line in enumerate(lines, 1) if line.strip()
    ]
    assert not bad


@quick
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.one_of(st.binary(max_size=20), st.text(max_size=20).map(_json))).map(b"\n".join),
        st.recursive(
            st.none() | st.text() | st.floats() | st.integers(),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.sampled_from(["text", "id", "language", "split"]), inner)
            ),
        ).map(_json),
    ),
    st.sampled_from(["a" + ending for ending in EVERY]),
    st.booleans(),
    st.sampled_from(DOCUMENTS),
)
def test_any_bytes_give_documents_bad_records_or_one_line(tmp_path, data, name, whole, documents):
    pack = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.compress}.get(Path(name).suffix)
    path = tmp_path / name
    path.write_bytes(pack(data) if pack and whole else data)
    said = ""
    try:
        good, bad = read(path, documents=documents)
    except BadInput as error:
        said = str(error)
    else:
        assert all(isinstance(one.text, str) for one in (*good, *bad))
        assert all(one.text.strip() for one in good) or not name.startswith("a.txt")
    assert "\n" not in said


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


def test_what_is_skipped_is_listed_with_the_reason(tmp_path):
    for name in ("a.txt", "b.docx", "c.TXT", "d.jsonl.bz2", ".e.txt", "made/edgelm.json", "made/f.txt",
                 ".g/h.txt", "i/j.jsonl.GZ", "i/k.pdf"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "l.txt").touch()
    os.mkfifo(tmp_path / "m.txt")
    (tmp_path / "n").symlink_to(tmp_path / "i")
    (tmp_path / "o").symlink_to(tmp_path)
    (tmp_path / "p.txt").symlink_to(tmp_path / "a.txt")
    shown = lambda path: path.relative_to(tmp_path).as_posix()  # noqa: E731
    assert [shown(path) for path in find_files(tmp_path)] == ["a.txt", "c.TXT", "i/j.jsonl.GZ", "p.txt"]
    assert [(shown(path), why) for path, why in skipped_files(tmp_path)] == [
        (".e.txt", "hidden"),
        (".g", "hidden"),
        ("b.docx", "unknown format"),
        ("d.jsonl.bz2", "unknown format"),
        ("i/k.pdf", "unknown format"),
        ("l.txt", "empty"),
        ("m.txt", "a named pipe"),
        ("made", "made by edgelm"),
        ("n", "a link to a folder"),
        ("o", "a link to a folder"),
    ]
    assert [one.text for one in read(tmp_path / "c.TXT")[0]] == ["x"]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (
            lambda path: path.symlink_to("nothing.txt"),
            r"is a link to a file that is not there\. Remove the link",
        ),
        (lambda path: path.symlink_to(path), r"cannot be read \(Too many levels .* the link leads|Too many"),
        (lambda path: os.mkfifo(path), r"is a named pipe, not a file( or folder)?\. Save it as a file"),
        (lambda path: None, r"no such file or folder\. Check the path"),
    ],
)
@pytest.mark.parametrize("ask", [find_files, lambda path: list(read_records(path))])
def test_what_is_no_file_is_said_in_one_line_and_not_waited_for(tmp_path, make, problem, ask):
    path = tmp_path / "a.txt"
    make(path)
    with pytest.raises(BadInput, match=problem) as caught:
        ask(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_devices_and_empty_files_are_no_text(tmp_path):
    with pytest.raises(BadInput, match="/dev/null: is a device, not a file or folder"):
        find_files(Path("/dev/null"))
    (tmp_path / "a.txt").touch()
    with pytest.raises(BadInput, match=r"a\.txt: is empty\."):
        find_files(tmp_path / "a.txt")
    with pytest.raises(BadInput, match=r"holds no \.txt .* \.zst, but empty ones\."):
        find_files(tmp_path)


@pytest.mark.parametrize("target", ["nothing.txt", "a.txt"])
def test_a_broken_link_in_a_folder_is_not_passed_over(tmp_path, target):
    (tmp_path / "b.txt").write_text("x")
    (tmp_path / "a.txt").symlink_to(target)
    with pytest.raises(BadInput) as caught:
        find_files(tmp_path)
    assert caught.value.file == tmp_path / "a.txt"


@pytest.mark.skipif(sys.platform != "linux", reason="only here are names of files any bytes")
def test_a_name_that_is_not_utf8_is_refused_before_it_gets_into_an_id(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    with pytest.raises(
        BadInput, match="caf\ufffd\\.txt: has a name that is not UTF-8\\. Rename it"
    ) as caught:
        find_files(tmp_path)
    str(caught.value).encode("utf-8")


REFUSED = """
import os, sys
from pathlib import Path
from edgelm.corpus.files import find_files
from edgelm.corpus.readers import read_records
from edgelm.errors import BadInput
if os.getuid() == 0:
    os.setuid(65534)  # root may read everything
folder = Path(sys.argv[1])
places = (".", "file", "file/a.txt", "folder", "inner/folder/a.txt")
for ask in (find_files, lambda path: list(read_records(path))):
    for path in (folder / place for place in places):
        try:
            ask(path)
            print(path, "was read")
        except BadInput as error:
            print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")
def test_what_may_not_be_read_is_said_in_one_line():
    folder = Path(tempfile.mkdtemp())  # where another user may look, unlike tmp_path
    try:
        folder.chmod(0o755)
        for name in ("file/a.txt", "folder/a.txt", "inner/folder/a.txt"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("x")
        closed = [folder / "file/a.txt", folder / "folder", folder / "inner/folder"]
        for path in closed:
            path.chmod(0)
        said = _run(REFUSED, folder).splitlines()
        for path in closed[1:]:
            path.chmod(0o755)
    finally:
        shutil.rmtree(folder)
    refused = "cannot be read (Permission denied). Allow yourself to read it (chmod u+rX), or leave it out."
    assert said == [
        f"{folder}/file/a.txt: {refused}",
        f"{folder}/file/a.txt: {refused}",
        f"{folder}/file/a.txt: {refused}",
        f"{folder}/folder: {refused}",
        f"{folder}/inner/folder/a.txt: {refused}",
        f"{folder}: is a folder, not a file. Save it as a file.",
        f"{folder}/file: is a folder, not a file. Save it as a file.",
        f"{folder}/file/a.txt: {refused}",
        f"{folder}/folder: is a folder, not a file. Save it as a file.",
        f"{folder}/inner/folder/a.txt: {refused}",
    ]
