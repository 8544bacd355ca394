import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from edgelm.corpus import ingest as ingest_module
from edgelm.corpus import summary, write
from edgelm.corpus.build import build_corpus
from edgelm.corpus.recipe import SplitRule, load_recipe

WIDE = SplitRule(0.3, 10**9)


@pytest.fixture
def source(tmp_path, prose, write_file) -> Path:
    """Two languages in three files, duplicates and short ones among them."""
    texts = prose(900)
    for number in range(3):
        part = [{"text": text} for text in texts[number * 200 : number * 200 + 300]]
        code = ("zul", "eng", "zul")[number]
        write_file(tmp_path / "in" / str(number) / f"{code}.jsonl", [*part, {"text": "ka"}, {"text": ""}])
    return tmp_path / "in"


def test_every_document_is_in_one_shard_of_bounded_size(tmp_path, source, build, rows, monkeypatch):
    monkeypatch.setattr(write, "SHARD_BYTES", 2000)
    monkeypatch.setattr(write, "BATCH", 16)
    monkeypatch.setattr(ingest_module, "SHARD_BYTES", 8000)
    monkeypatch.setattr(ingest_module, "BATCH_DOCUMENTS", 50)
    manifest = build(source, tmp_path / "out", test=WIDE)
    kept, rejected = rows(tmp_path / "out"), rows(tmp_path / "out", "rejected")
    assert Counter(row["id"] for row in kept + rejected) == Counter(
        f"{number}/{code}.jsonl:{line}"
        for number, code in enumerate(("zul", "eng", "zul"))
        for line in range(1, 303)
    )
    assert (len(kept), len(rejected)) == (manifest["kept"], manifest["documents"] - manifest["kept"])
    assert {row["row"] for row in kept + rejected} == set(range(906))
    for row in kept:
        assert "reason" not in row
    assert {row["reason"] for row in rejected} == {"too_short", "duplicate"}
    data = sorted((tmp_path / "out" / "data").rglob("*.parquet"))
    assert len(data) > 10
    for file in data:
        table = parquet.read_table(file)
        assert set(table["language"].to_pylist()) == {file.parent.name}
        assert set(table["split"].to_pylist()) == {file.name.split("-")[0]}
        assert table["text"].nbytes < 2000 + 16 * 200, "one batch more at the most"
        assert table["row"].to_pylist() == sorted(table["row"].to_pylist()), "in the order of the sources"
    numbers = [file.name for file in data if file.parent.name == "zul" and file.name.startswith("train")]
    assert numbers == [f"train-{number:05d}.parquet" for number in range(len(numbers))]
    assert sorted(file.name for file in (tmp_path / "out" / "rejected").iterdir())[:2] == [
        "eng-00000.parquet",
        "eng-00001.parquet",
    ]


def test_smaller_pieces_of_work_give_the_same_rows(tmp_path, source, build, rows, monkeypatch):
    build(source, tmp_path / "one")
    monkeypatch.setattr(write, "BATCH", 33)
    monkeypatch.setattr(ingest_module, "BATCH_DOCUMENTS", 33)
    monkeypatch.setattr(ingest_module, "SHARD_BYTES", 5000)
    manifest = build(source, tmp_path / "two")
    for part in ("data", "rejected"):
        assert repr(rows(tmp_path / "one", part)) == repr(rows(tmp_path / "two", part))  # nan is not nan
    assert manifest == json.loads((tmp_path / "one" / "manifest.json").read_text())


def test_rows_carry_what_was_decided_and_no_working_columns(tmp_path, source, build, rows):
    build(source, tmp_path / "out")
    kept, rejected = rows(tmp_path / "out"), rows(tmp_path / "out", "rejected")
    assert list(kept[0])[:5] == ["id", "text", "language", "source", "split"]
    assert list(rejected[0])[:6] == ["id", "text", "language", "source", "reason", "reasons"]
    assert set(kept[0]) ^ set(rejected[0]) == {"split", "reason", "reasons"}
    assert not any(name.startswith(("band_", "minhash", "guessed")) for name in kept[0])
    twice = [row for row in kept if row["cluster_size"] > 1]
    copies = {row["cluster"]: row["text"] for row in rejected if row["reason"] == "duplicate"}
    assert len(twice) == len(copies) == 200
    assert all(copies[row["cluster"]] == row["text"] and row["cluster_size"] == 2 for row in twice)
    empty = [row for row in rejected if row["text"] == ""]
    assert len(empty) == 3
    assert all(row["reason"] == "too_short" and row["reasons"][0] == "too_short" for row in empty)


def test_all_files_of_a_part_have_one_schema(tmp_path, prose, write_file):
    """A broken word in one file, e-mail in another: `datasets` reads what is written as one table."""
    first = [{"text": text} for text in prose(40)]
    write_file(tmp_path / "in" / "a" / "zul.jsonl", first)
    broken = [{"text": text.replace(" ", " ngo-\nkuhle ", 1)} for text in prose(40, 1)]
    write_file(
        tmp_path / "in" / "b" / "xho.jsonl", [*broken, {"text": f"ngokuhle {prose(1, 2)[0]} me@x.co.za"}]
    )
    texts = [{"text": text, "split": "test"} for text in prose(9, 4)]
    write_file(tmp_path / "in" / "c" / "eng.parquet", texts)
    (tmp_path / "in" / "d").mkdir()
    (tmp_path / "in" / "d" / "sot.jsonl").write_text('{"text": "ka"}\n{"text":\n')
    build_corpus(load_recipe(tmp_path / "in"), tmp_path / "out")
    for part, expected in (("data", "zul/train"), ("rejected", "sot")):
        schemas = {parquet.read_schema(file) for file in (tmp_path / "out" / part).rglob("*.parquet")}
        assert len(schemas) == 1, part
        assert any((tmp_path / "out" / part).glob(f"{expected}-*"))


def test_samples_are_of_every_language_and_reason(tmp_path, source, build, rows):
    manifest = build(source, tmp_path / "out")
    shown = manifest["samples"]
    assert list(shown) == ["eng", "zul"]
    every = rows(tmp_path / "out") + rows(tmp_path / "out", "rejected")
    texts = {row["id"]: (row["text"], row.get("reason", "kept")) for row in every}
    for code in ("eng", "zul"):
        counts = {reason: len(found) for reason, found in shown[code].items()}
        expected = {"kept": summary.SAMPLES_KEPT} | {
            reason: min(summary.SAMPLES_REJECTED, count)
            for reason, count in manifest["languages"][code]["rejected"].items()
        }
        assert counts == expected
        for reason, found in shown[code].items():
            for one in found:
                assert texts[one["id"]] == (one["text"], reason)


def test_a_long_sample_is_cut(tmp_path, prose, write_file, build):
    (text,) = prose(1, words=500)
    write_file(tmp_path / "zul.jsonl", [{"text": text}])
    (one,) = build(tmp_path / "zul.jsonl", tmp_path / "out")["samples"]["zul"]["kept"]
    assert one["text"] == text[: write.SHOWN]


def test_decisions_are_laid_where_workers_map_them(tmp_path):
    arrays = {name: np.arange(5) + place for place, name in enumerate(write.ARRAYS)}
    write.save_decisions(tmp_path / "decided", arrays)
    for name, array in arrays.items():
        assert np.load(tmp_path / "decided" / f"{name}.npy", mmap_mode="r").tolist() == array.tolist()
