import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("datasets", reason="datasets of the Hub are read with the extra 'hub'")

import datasets

from edgelm.corpus.hub import read_dataset
from edgelm.corpus.readers import BadRecord, Document
from edgelm.errors import BadInput, EdgelmError, MissingExtra

ROWS = [
    {"text": "Ndi ḓo ya", "id": 7, "language": "ven", "split": "test", "score": 0.5},
    {"text": "Ngiyahamba", "id": 8, "language": "zul", "split": None, "score": 0.1},
]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that `load_dataset` reads, with two configurations."""
    folder = tmp_path / "stories"
    for config, rows in (("mixed", ROWS), ("zulu", ROWS[1:])):
        for split in ("train", "validation"):
            file = folder / config / f"{split}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: mixed\n  default: true\n  data_files:\n  - split: train\n"
        "    path: mixed/train.jsonl\n  - split: validation\n    path: mixed/validation.jsonl\n"
        "- config_name: zulu\n  data_files:\n  - split: train\n    path: zulu/train.jsonl\n---\n"
    )
    return folder


def documents(name: Path, *where: str, text_field: str = "text") -> list[Document | BadRecord]:
    return list(read_dataset(str(name), *where, text_field=text_field))


def test_a_folder_of_files_is_read_as_a_stream(folder, monkeypatch):
    asked = []
    real = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: asked.append(k) or real(*a, **k))
    assert documents(folder) == [
        Document(id="stories/train:0", text="Ndi ḓo ya", line=1, language="ven", split="test"),
        Document(id="stories/train:1", text="Ngiyahamba", line=2, language="zul"),
    ]
    assert asked[0]["streaming"] is True
    assert [one.id for one in documents(folder, "mixed", "validation")] == [
        "stories/mixed/validation:0",
        "stories/mixed/validation:1",
    ]
    assert [one.id for one in documents(folder, "zulu")] == ["stories/zulu/train:0"]


@pytest.mark.parametrize("splits", [True, False])
def test_a_folder_that_save_to_disk_wrote(tmp_path, splits):
    rows = datasets.Dataset.from_list(ROWS)
    saved = datasets.DatasetDict({"train": rows, "test": rows.select([1])}) if splits else rows
    saved.save_to_disk(tmp_path / "saved")
    assert [one.id for one in documents(tmp_path / "saved")] == ["saved/train:0", "saved/train:1"]
    if splits:
        assert [one.text for one in documents(tmp_path / "saved", None, "test")] == ["Ngiyahamba"]
        with pytest.raises(BadInput, match=r"no split 'dev'\. Choose one of: test, train"):
            documents(tmp_path / "saved", None, "dev")


def test_text_in_another_column_and_columns_that_no_one_asked_for(tmp_path):
    picture = {"bytes": b"no picture at all", "path": None}
    features = datasets.Features({"body": datasets.Value("string"), "picture": datasets.Image()})
    rows = [{"body": "one", "picture": picture}, {"body": None, "picture": picture}]
    table = datasets.Dataset.from_list(rows, features=features)
    table.to_parquet(tmp_path / "train.parquet")
    good, bad = documents(tmp_path, text_field="body")
    assert isinstance(good, Document)
    assert good.text == "one"
    assert isinstance(bad, BadRecord)
    assert (bad.reason, bad.line, json.loads(bad.text)) == ("no text in the field 'body'", 2, {"body": None})


def test_rows_are_read_only_as_they_are_asked_for(tmp_path):
    (tmp_path / "train.jsonl").write_text(json.dumps({"text": "one " * 500_000}) + "\n")
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write((json.dumps({"text": "x" * 2_000_000}) + "\n") * 20 + "{broken\n")
    stream = read_dataset(str(tmp_path))
    assert next(stream).text.startswith("one")
    with pytest.raises(BadInput, match=r"train: the dataset cannot be read \("):
        list(stream)


@pytest.mark.parametrize(
    ("where", "text_field", "problem"),
    [
        ((None, "dev"), "text", r"the dataset cannot be read \(Bad split: dev. Available splits: \['train'"),
        (
            ("xho",),
            "text",
            r"the dataset cannot be read \(BuilderConfig 'xho' not found. Available: \['mixed'",
        ),
        ((), "body", r"no column 'body' among .*text"),
        ((), "id", "no text in the field 'id', and no other record is good"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(folder, where, text_field, problem):
    with pytest.raises(BadInput, match=problem) as caught:
        documents(folder, *where, text_field=text_field)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["pandas", "json", "a/b/c", "./nowhere", "/nowhere/x", "~/nowhere", ""])
def test_a_name_that_is_no_dataset(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pkl").write_bytes(b"")
    with pytest.raises(BadInput, match="is neither a folder nor a dataset's name"):
        list(read_dataset(name))


def test_without_a_network_one_line_says_so(tmp_path):
    script = (
        "from edgelm.corpus.hub import read_dataset\n"
        "from edgelm.errors import EdgelmError\n"
        "try:\n    list(read_dataset('dsfsi/vukuzenzele', 'zul'))\n"
        "except EdgelmError as error:\n    print(type(error).__name__, error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.startswith(
        "EdgelmError dsfsi/vukuzenzele/zul/train: the Hugging Face Hub cannot be reached ("
    )
    assert done.stdout.endswith("Connect to the network, or name a folder that holds the dataset.\n")
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("error", [ConnectionError("no route"), TimeoutError("too slow")])
def test_a_network_that_fails_in_the_middle_is_not_the_recipes_fault(monkeypatch, error):
    class Rows:
        column_names = None

        def __iter__(self):
            yield {"text": "one"}
            raise error

    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **options: asked.append((a, options)) or Rows())
    stream = read_dataset("owner/name", revision="abc")
    assert next(stream).id == "owner/name/train:0"
    assert asked == [(("owner/name", None), {"split": "train", "streaming": True, "revision": "abc"})]
    with pytest.raises(EdgelmError, match="cannot be reached") as caught:
        next(stream)
    assert caught.value.exit_code == 1


def test_without_the_extra_one_line_says_what_to_install(tmp_path, monkeypatch):
    def missing(module: str) -> None:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(MissingExtra, match=r"datasets is not installed; .* pip install 'edgelm\[hub\]'"):
        list(read_dataset("owner/name"))
