import gzip
import json
import lzma
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pyarrow", reason="evaluation files are read with the extra 'corpus'")

import pyarrow as arrow
import pyarrow.parquet as parquet
import zstandard

from edgelm.corpus.evaluation_files import find_evaluation_files, read_items
from edgelm.errors import BadInput

ROWS = ["Ndi livhuwa Muthihi", 'a "quoted" one, with comma', "ṱhompho\tx", "line\nline"]


def items(path: Path, data: str | bytes) -> list[str]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return [item for item in read_items(path) if item.strip()]


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".zst", zstandard.compress)],
)
def test_packed(tmp_path: Path, suffix: str, pack: type[bytes]) -> None:
    assert items(tmp_path / f"a.txt{suffix}", pack("one\r\ntwo\n".encode("utf-8-sig"))) == ["one", "two"]


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_damaged(tmp_path: Path, suffix: str) -> None:
    pack = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.compress}[suffix]
    with pytest.raises(BadInput, match=r"cut short|damaged"):
        items(tmp_path / f"a.txt{suffix}", pack(bytes(range(256)) * 50)[:-20])


def test_json_lines_and_documents(tmp_path: Path) -> None:
    records = [{"text": "one two", "spans": [{"label": "x"}], "n": 1}, {"text": None, "deep": {"a": ["b"]}}]
    lines = "\n".join(json.dumps(one) for one in records)
    assert items(tmp_path / "a.jsonl", lines) == ["one two", "x", "b"]
    assert items(tmp_path / "a.json", json.dumps({"data": records})) == ["one two", "x", "b"]
    assert items(tmp_path / "b.jsonl", '{"text": "alone"}\n') == ["alone"]
    with pytest.raises(BadInput, match="line 2: not JSON"):
        items(tmp_path / "bad.jsonl", '{"a": "b"}\nnot\n')
    with pytest.raises(BadInput):
        items(tmp_path / "deep.jsonl", "[" * 100_000)


@settings(max_examples=40)
@given(
    st.recursive(
        st.text(min_size=1) | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_every_string_of_a_record(value: object) -> None:
    def strings(one: object) -> list[str]:
        if isinstance(one, str):
            return [one]
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else []
        return [string for part in inner for string in strings(part)]

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.json"
        file.write_text(json.dumps(value))
        assert list(read_items(file)) == strings(value)


def test_tables(tmp_path: Path) -> None:
    comma = 'text,title\n"one, two\nthree",Four\n'
    assert items(tmp_path / "a.csv", comma) == ["text", "title", "one, two\nthree", "Four"]
    plain = 'id\ttext\n1\t"an open quote\n2\tnext\n'
    assert items(tmp_path / "a.tsv", plain) == ["id", "text", "1", '"an open quote', "2", "next"]
    quoted = 'id\ttext\n1\t"two\nlines"\n'
    assert items(tmp_path / "b.tsv", quoted) == ["id", "text", "1", "two\nlines"]
    huge = f'id\ttext\n1\t"open {"x" * 200_000}\n2\ta\tb\n'
    assert "2" in items(tmp_path / "c.tsv", huge)


def test_parquet(tmp_path: Path) -> None:
    parquet.write_table(
        arrow.table({"text": ROWS, "n": range(4), "list": [["a"], [], None, ["b"]]}), tmp_path / "a.parquet"
    )
    assert list(read_items(tmp_path / "a.parquet")) == [ROWS[0], "a", *ROWS[1:], "b"]
    with pytest.raises(BadInput, match=r"a\.parquet"):
        items(tmp_path / "a.parquet", "no parquet")


CONLL = "".join(f"Word{number} O\nnext{number} B-PER\n. O\n\n" for number in range(8))


def test_conll_is_read_by_sentences(tmp_path: Path) -> None:
    expected = [f"Word{number} next{number} ." for number in range(8)]
    assert items(tmp_path / "dev.txt", CONLL) == expected
    assert items(tmp_path / "test.nr", CONLL.replace(" ", "\tX-Y\t")) == expected
    header = "TOKEN\tMORPH ANALYSIS\tUPOS\n"
    unparted = header + CONLL.replace(" ", "\tX-Y\t").replace("\n\n", "\n")
    assert items(tmp_path / "nr.gold", unparted) == ["TOKEN Word0 next0 .", *expected[1:]]


def test_text_is_read_by_lines(tmp_path: Path) -> None:
    text = "".join(f"this is line {'and more ' * number}\n" for number in range(20))
    assert len(items(tmp_path / "a.txt", text)) == 20
    assert len(items(tmp_path / "b.txt", text.replace("\n", "\n\n"))) == 20
    assert len(items(tmp_path / "c.text", "two words\n" * 20)) == 20
    assert len(items(tmp_path / "f.text", "two words\tlabel\n" * 20)) == 20
    assert (
        items(tmp_path / "g.txt", "three words here\n\nnow four words here\n\n" * 10)[0] == "three words here"
    )
    assert items(tmp_path / "d.txt", "") == []
    with pytest.raises(BadInput, match="UTF-8"):
        items(tmp_path / "e.txt", b"\xff\xfe\x00")


def test_folders(tmp_path: Path) -> None:
    wanted = ["a/dev.txt", "a/test.nr", "b/x.csv.gz", "c.parquet"]
    for name in (*wanted, "README.md", "LICENSE", "a/paper.pdf", ".hidden/x.txt", "a/.x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_evaluation_files([tmp_path]) == [tmp_path / name for name in wanted]
    assert find_evaluation_files([tmp_path / "a", tmp_path / "a/dev.txt"]) == [
        tmp_path / name for name in wanted[:2]
    ]
    assert find_evaluation_files([tmp_path / "README.md"]) == [tmp_path / "README.md"]
    with pytest.raises(BadInput, match="no such"):
        find_evaluation_files([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no evaluation file"):
        find_evaluation_files([tmp_path / "empty"])
