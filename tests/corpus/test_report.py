import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from edgelm.corpus.recipe import load_recipe
from edgelm.corpus.report import read_manifest
from edgelm.corpus.tables import mix_table, sources_table, table, thresholds_table
from edgelm.errors import BadInput

BAD = '<script>alert("1")</script> & <b>fat</b> | pipe'


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, prose, write_file, build) -> Path:
    """Two languages, one of them with a document that would like to be HTML."""
    folder = tmp_path_factory.mktemp("report")
    zulu = [{"text": text, "source": "radio | tv\n<i>"} for text in prose(200)]
    write_file(folder / "in" / "zul.jsonl", zulu)
    english = [{"text": f"{BAD} {text}"} for text in prose(3, 1)]
    english += [{"text": "x", "language": BAD}, {"text": f"kwa {BAD[:20]}"}]
    write_file(folder / "in" / "eng.jsonl", english)
    build(folder / "in", folder / "out")
    return folder / "out"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.add(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_report_shows_documents_as_text_never_as_html(corpus):
    report = (corpus / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(report)
    assert not tags.found & {"script", "b"}
    assert BAD[:20] in "".join(tags.text), "the document is there to be read"
    assert "unknown language: <script>" in "".join(tags.text)
    assert "http" not in report, "nothing is fetched"
    assert {"table", "tr", "h1", "blockquote"} <= tags.found
    assert "isiZulu" in "".join(tags.text)


def test_manifest_counts_add_up(corpus, rows):
    manifest = read_manifest(corpus)
    assert manifest["documents"] == 205
    for one in manifest["languages"].values():
        assert one["documents"] == one["kept"] + sum(one["rejected"].values())
        assert sum(split["documents"] for split in one["splits"].values()) == one["kept"]
        assert sum(split["bytes"] for split in one["splits"].values()) == one["bytes"]
    kept = rows(corpus)
    assert len(kept) == manifest["kept"] == sum(one["kept"] for one in manifest["sources"].values())
    assert sum(len(row["text"].encode()) for row in kept) == manifest["bytes"]
    assert len(rows(corpus, "rejected")) == manifest["documents"] - manifest["kept"]
    assert manifest["recipe"]["name"] == "default"


def test_dataset_card_is_yaml_and_its_tables_stay_tables(corpus):
    card = (corpus / "README.md").read_text(encoding="utf-8")
    _, front, body = card.split("---\n", 2)
    meta = yaml.safe_load(front)
    assert meta["language"] == ["en", "zu"]
    assert [one["config_name"] for one in meta["configs"]] == ["default", "eng", "zul"]
    tables = re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE)
    assert len(tables) == 3
    for lines in map(str.splitlines, tables):
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1, lines
        assert len(lines) > 2
    assert "radio \\| tv &lt;i&gt;" in body
    assert "<script>" not in body


def test_table(corpus):
    header, rows = table(read_manifest(corpus))
    assert all(len(row) == len(header) for row in rows)
    assert [row[0] for row in rows] == ["eng", "unknown", "zul"]


def test_card_states_its_limits(corpus, tmp_path, build, prose, write_file):
    card = (corpus / "README.md").read_text(encoding="utf-8")
    for limit in ("Nothing checked it", "found by chance", "are tags", "No evaluation data was looked for"):
        assert limit in card, limit
    write_file(tmp_path / "a.txt", [{"text": text} for text in prose(30)])
    (tmp_path / "test.txt").write_text("another sentence that is nowhere in it\n")
    options = {
        "near_duplicates": None,
        "redact": "count",
        "evaluation": (tmp_path / "test.txt",),
        "identify": True,
    }
    build(tmp_path / "a.txt", tmp_path / "out", language="zul", filters=(), **options)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for limit in (
        "checked by an identifier",
        "Only exact duplicates",
        "Nothing personal",
        "evaluation files named",
    ):
        assert limit in card, limit


def test_tables(corpus):
    manifest = read_manifest(corpus)
    for header, rows in (f(manifest) for f in (sources_table, thresholds_table, mix_table)):
        assert rows
        assert all(len(row) == len(header) for row in rows)
        assert all(isinstance(cell, str) for row in rows for cell in row)
    bounds = {(row[0], row[5]): row[1:5] for row in thresholds_table(manifest)[1]}
    short = next(one for one in load_recipe("default").filters if one.reason == "too_short")
    assert bounds["too_short", "zul"] == [short.column, f"{short.conjunctive['min']:g}", "-", "-"]
    assert bounds["too_short", "eng unknown"] == [short.column, f"{short.min:g}", "-", "-"]
    assert bounds["capitals", "all"] == ["uppercase", "-", "0.5", "-"]
    assert sum(float(row[2].rstrip("%")) for row in mix_table(manifest)[1]) == pytest.approx(100, abs=0.2)


def test_datasets_reads_the_shards_and_the_card_without_a_network(corpus, rows, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="needs the extra 'dev'")
    import socket

    def refuse(*arguments: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    cache = str(tmp_path / "cache")
    files = str(corpus / "data" / "zul" / "*.parquet")
    zulu = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
    kept = rows(corpus)
    assert sorted(zulu["text"]) == sorted(row["text"] for row in kept if row["language"] == "zul")
    assert {"id", "text", "language", "source", "split", "words", "bytes"} <= set(zulu.column_names)
    whole = datasets.load_dataset(str(corpus), cache_dir=cache)
    for split in ("train", "validation", "test"):
        expected = sorted(row["text"] for row in kept if row["split"] == split)
        assert sorted(whole[split]["text"]) == expected
        assert expected
    english = datasets.load_dataset(str(corpus), "eng", cache_dir=cache)
    assert {one for split in english.values() for one in split["language"]} == {"eng"}


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"languages": []}', '{"name": "an app"}', "\xff"])
def test_a_folder_that_is_no_corpus(tmp_path, text):
    if text is not None:
        (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match=r"is not a corpus .* edgelm corpus build") as caught:
        read_manifest(tmp_path)
    assert caught.value.file == tmp_path


def test_manifest_is_json_a_person_can_read(corpus):
    text = (corpus / "manifest.json").read_text(encoding="utf-8")
    assert json.loads(text) == read_manifest(corpus)
    assert text.startswith('{\n  "recipe": {\n')
