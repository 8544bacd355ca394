import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgelm import resources
from edgelm.errors import BadInput
from edgelm.tasks.classification import Example, load_task

TASK: dict[str, Any] = {
    "name": "mood",
    "family": "classification",
    "licence": "CC0-1.0",
    "attribution": "nobody",
    "folder": "data",
    "files": {"train": "{language}/train.jsonl", "test": "{language}/test.jsonl"},
    "languages": {"zul": "zulu", "eng": "english"},
    "fields": {"text": "sentence", "label": "mood"},
    "labels": ["glad", "sad"],
}


def write(folder: Path, contents: dict[str, str | bytes], /, **changes: Any) -> Path:
    for name, text in contents.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    value = {key: one for key, one in (TASK | changes).items() if one is not None}
    (folder / "mood.yaml").write_text(json.dumps(value))
    return folder / "mood.yaml"


def line(text: object, label: object = "glad", **more: object) -> str:
    return json.dumps({"sentence": text, "mood": label} | more, ensure_ascii=False) + "\n"


FILES = {
    "zulu/train.jsonl": line("Ngiyajabula") + "\n" + line("Ngidabukile", "sad"),
    "english/train.jsonl": "\ufeff" + line("I am  glad\u0000 e\u0302"),
    "zulu/test.jsonl": line("Yebo"),
    "english/test.jsonl": "",
}


def test_examples_by_language_in_order_of_code(tmp_path):
    task = load_task(write(tmp_path, FILES))
    assert task.examples("train") == [
        Example("I am glad ê", "glad", "eng"),
        Example("Ngiyajabula", "glad", "zul"),
        Example("Ngidabukile", "sad", "zul"),
    ]
    assert [one.language for one in task.examples("train", ["zul"])] == ["zul", "zul"]
    assert task.inputs() == sorted(tmp_path / "data" / name for name in FILES)
    assert "folder" not in task.config()
    json.dumps(task.config())


def test_one_file_whose_records_say_their_split(tmp_path):
    lines = "".join(line(name, split=name) for name in ("train", "test", "validation", "train", "spare"))
    path = write(
        tmp_path,
        {"zulu.jsonl": lines},
        files="{language}.jsonl",
        languages={"zul": "zulu"},
        fields=TASK["fields"] | {"split": "split"},
    )
    task = load_task(path)
    assert Counter(one.text for one in task.examples("train")) == {"train": 2}
    assert [one.text for one in task.examples("validation")] == ["validation"]
    assert task.inputs() == [tmp_path / "data" / "zulu.jsonl"]


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        ("tsv", 'id\tmood\tsentence\n1\tglad\t"Yebo, ndoda\n2\tsad\tCha\n'),
        ("csv", 'id,mood,sentence\r\n1,glad,"""Yebo, ndoda"\r\n2,sad,Cha\r\n'),
    ],
)
def test_tables(tmp_path, ending, text):
    path = write(tmp_path, {f"a.{ending}": text}, files={"train": f"a.{ending}"}, languages={"zul": ""})
    found = [(one.text, one.label) for one in load_task(path).examples("train")]
    assert found == [('"Yebo, ndoda', "glad"), ("Cha", "sad")]


@pytest.mark.parametrize(
    ("name", "data", "number", "problem"),
    [
        ("a.jsonl", line("a") + "{not json\n", 2, "not JSON"),
        ("a.jsonl", line("a") + "[" * 100_000 + "\n", 2, "not JSON"),
        ("a.jsonl", line("a") + "\n[1]\n", 3, "not an object"),
        ("a.jsonl", line("a").encode() + b'{"sentence": "\xe9"}\n', 2, "not UTF-8"),
        ("a.jsonl", line("a") + line("  "), 2, "no text in the field 'sentence'"),
        ("a.jsonl", line(5), 1, "no text in the field 'sentence'"),
        ("a.jsonl", line("a", "angry"), 1, "unknown label 'angry'"),
        ("a.jsonl", line("a", ["glad"]), 1, "unknown label ['glad']"),
        ("a.tsv", "sentence\tmood\na\tglad\nb\n", 3, "unknown label None"),
        ("a.tsv", b"sentence\tmood\n\xff\tglad\n", 2, "not UTF-8"),
        ("a.tsv", "text\tmood\na\tglad\n", 2, "no text in the field 'sentence'"),
        ("a.csv", 'sentence,mood\n"two\nlines",glad\nb,angry\n', 4, "unknown label 'angry'"),
        ("a.csv", "sentence,mood\n" + "x" * 200_000 + ",glad\n", 2, "not CSV"),
    ],
)
def test_a_bad_line_is_named(tmp_path, name, data, number, problem):
    path = write(tmp_path, {name: data}, files={"train": name}, languages={"zul": ""})
    with pytest.raises(BadInput) as caught:
        load_task(path).examples("train")
    assert str(caught.value).startswith(f"{tmp_path / 'data' / name}, line {number}: {problem}")
    assert caught.value.line == number
    assert re.search(r"\. [A-Z][a-z]+", str(caught.value)), "a remedy"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "problem"),
    [({}, "no such file"), ({"zulu/train.jsonl/x": ""}, "cannot be read")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, files, problem):
    path = write(tmp_path, files)
    with pytest.raises(BadInput, match=problem) as caught:
        load_task(path).examples("train", ["zul"])
    assert caught.value.file == tmp_path / "data" / "zulu" / "train.jsonl"


def test_a_split_or_language_the_task_does_not_have(tmp_path):
    task = load_task(write(tmp_path, FILES))
    with pytest.raises(BadInput, match=r"'mood' has no validation split. Choose one of: train, test\."):
        task.examples("validation")
    with pytest.raises(BadInput, match=r"'mood' has no language ven. It has: zul, eng\."):
        task.examples("train", ["zul", "ven"])
    with pytest.raises(BadInput, match="'mood' has no test examples"):
        task.examples("test", ["eng"])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"family": "translation"}, "family 'translation' is not known"),
        ({"family": None}, "no key 'family'"),
        ({"labels": None}, "no key 'labels'"),
        ({"labels": [True, False]}, "label True is not text; put it in quotes"),
        ({"fields": {"text": "a"}}, "no key 'label'"),
        ({"files": {"train": "{lang}.jsonl"}}, "no key 'lang'"),
        ({"files": {"train": 5}}, "int"),
        ({"files": 5}, "int"),
        ({"folder": 5}, "int"),
        ({"languages": ["zul"]}, ""),
    ],
)
def test_a_file_that_is_no_task(tmp_path, changes, problem):
    path = write(tmp_path, {}, **changes)
    with pytest.raises(BadInput) as caught:
        load_task(path)
    assert str(caught.value).startswith(f"{path}: is not a task (")
    assert problem in str(caught.value)
    assert str(caught.value).endswith("Start from corpus/tasks/topic.yaml.")


def test_a_file_that_is_no_yaml(tmp_path):
    (tmp_path / "a.yaml").write_text("name: a\nlabels: [\n")
    with pytest.raises(BadInput, match=r"a.yaml, line 3: not YAML"):
        load_task(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").touch()
    with pytest.raises(BadInput, match=r"b\.yaml: is not a task"):
        load_task(tmp_path / "b.yaml")
    with pytest.raises(BadInput, match=r"c.yaml: no such file"):
        load_task(tmp_path / "c.yaml")
    with pytest.raises(BadInput, match=r"unknown task 'nothing'. Give a YAML file or one of: .*topic"):
        load_task("nothing")


def test_a_folder_named_by_a_variable(tmp_path, monkeypatch):
    path = write(tmp_path, FILES, folder="${MOOD_DATA}/data")
    monkeypatch.delenv("MOOD_DATA", raising=False)
    with pytest.raises(BadInput, match="the environment variable MOOD_DATA is not set"):
        load_task(path)
    monkeypatch.setenv("MOOD_DATA", str(tmp_path))
    assert len(load_task(path).examples("train")) == 3


def test_the_topic_task_is_the_embedded_sample():
    task = load_task("topic")
    sample = sorted(path.stem for path in resources.path("corpus", "sample").glob("*.jsonl"))
    assert set(task.languages) <= set(sample)
    count = {split: task.examples(split) for split in ("train", "validation", "test")}
    assert all(count.values())
    texts = [{one.text for one in found} for found in count.values()]
    assert not texts[0] & texts[1] | texts[0] & texts[2] | texts[1] & texts[2]
    for code in task.languages:
        assert {one.label for one in count["train"] if one.language == code} == set(task.labels)


@pytest.mark.skipif("EDGELM_DATA" not in os.environ, reason="EDGELM_DATA names no folder with labelled data")
def test_sib200_in_its_publishers_own_files():
    task = load_task("sib200")
    train, validation = task.examples("train"), task.examples("validation")
    assert {one.label for one in train} == set(task.labels)
    assert Counter(one.language for one in validation) == dict.fromkeys(task.languages, 99)
    assert Counter(one.language for one in train) == dict.fromkeys(task.languages, 701)
    with pytest.raises(BadInput, match="no test split"):
        task.examples("test")


def test_a_path_that_is_no_task_is_answered_with_the_tasks_there_are(tmp_path):
    with pytest.raises(BadInput, match=r"Give a YAML file or one of: sib200, topic"):
        load_task(tmp_path / "model")
