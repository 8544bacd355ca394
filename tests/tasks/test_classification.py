import json
import os
import re
from collections import Counter

import pytest
from made_up_tasks import MOOD, line, told, write_task

from edgelm import resources
from edgelm.errors import BadInput
from edgelm.tasks.examples import Labelled
from edgelm.tasks.task import load_task

FILES = {
    "zulu/train.jsonl": line("Ngiyajabula") + "\n" + line("Ngidabukile ", "sad"),
    "english/train.jsonl": "\ufeff" + line("I am  glad\u0000 e\u0302"),
    "zulu/test.jsonl": line("Yebo"),
    "english/test.jsonl": "",
}


def test_examples_by_language_in_order_of_code(tmp_path):
    task = load_task(write_task(tmp_path, FILES))
    found = task.examples("train")
    assert found == [
        Labelled("I am glad ê", "glad", "eng"),
        Labelled("Ngiyajabula", "glad", "zul"),
        Labelled("Ngidabukile", "sad", "zul"),
    ]
    assert [one.line for one in found] == [1, 1, 3]
    assert [one.language for one in task.examples("train", ["zul"])] == ["zul", "zul"]
    assert task.inputs() == sorted(tmp_path / "data" / name for name in FILES)
    json.dumps(task.config())


def test_one_file_whose_records_say_their_split(tmp_path):
    lines = "".join(line(name, split=name) for name in ("train", "test", "validation", "train", "spare"))
    path = write_task(
        tmp_path,
        {"zulu.jsonl": lines},
        files="{language}.jsonl",
        languages={"zul": "zulu"},
        fields=MOOD["fields"] | {"split": "split"},
    )
    task = load_task(path)
    assert Counter(one.text for one in task.examples("train")) == {"train": 2}
    assert [one.text for one in task.examples("validation")] == ["validation"]
    assert task.inputs() == [tmp_path / "data" / "zulu.jsonl"]


@pytest.mark.parametrize(
    ("ending", "text", "quotes"),
    [
        ("tsv", 'id\tmood\tsentence\n1\tglad\t"Yebo, ndoda\n2\tsad\tCha\n', False),
        ("tsv", 'id\tmood\tsentence\n1\tglad\t"""Yebo, ndoda"\n2\tsad\tCha\n', True),
        ("csv", 'id,mood,sentence\r\n1,glad,"""Yebo, ndoda"\r\n2,sad,Cha\r\n', False),
    ],
)
def test_tables(tmp_path, ending, text, quotes):
    path = write_task(
        tmp_path, {f"a.{ending}": text}, files={"train": f"a.{ending}"}, languages={"zul": "x"}, quotes=quotes
    )
    found = [(one.text, one.label, one.line) for one in load_task(path).examples("train")]
    assert found == [('"Yebo, ndoda', "glad", 2), ("Cha", "sad", 3)]


def test_text_of_two_columns(tmp_path):
    path = write_task(
        tmp_path,
        {"a.tsv": "head\tbody\tmood\nUp\tand away\tglad\n\tonly this\tsad\n\t\tsad\n"},
        files={"train": "a.tsv"},
        fields={"text": ["head", "body"], "label": "mood"},
        languages={"zul": "x"},
    )
    found, reported = told(load_task(path), "train", "zul")
    assert [one.text for one in found] == ["Up\nand away", "only this"]
    assert [error.line for error in reported] == [4]
    assert "no text in the fields head, body" in str(reported[0])


def test_labels_by_what_the_publisher_calls_them(tmp_path):
    lines = line("a", 0) + line("b", "1") + line("c", True) + line("d", "glad")
    path = write_task(
        tmp_path, {"a.jsonl": lines}, files={"train": "a.jsonl"}, labels={"0": "sad", "1": "glad"}
    )
    task = load_task(path)
    found, reported = told(task, "train", "zul")
    assert task.labels == ("sad", "glad")
    assert [one.label for one in found] == ["sad", "glad"]
    assert [(error.line, "Known: 0, 1; " in str(error)) for error in reported] == [(3, True), (4, True)]


def test_what_a_model_answers(tmp_path):
    task = load_task(
        write_task(
            tmp_path,
            FILES | {"zulu/train.jsonl": line("Cha", "very_sad")},
            labels=["glad", "very_sad"],
            verbalisers={"zul": {"very_sad": "ngidabukile"}, "eng": {"glad": "happy"}},
        )
    )
    example = task.examples("train", ["zul"])[0]
    assert example.label == "very_sad"
    assert (task.answer(example), task.answer(example, native=True)) == ("very sad", "ngidabukile")
    assert task.choices(example) == ("happy", "very sad")
    assert task.choices(example, native=True) == ("happy", "ngidabukile")
    assert task.answer(example) in task.choices(example)


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
        ("a.tsv", "sentence\tmood\na\tglad\nb\n", 3, "has 1 cell, not 2"),
        ("a.tsv", "sentence\tmood\na\tglad\nb\tc\tsad\n", 3, "has 3 cells, not 2"),
        ("a.tsv", b"sentence\tmood\n\xff\tglad\n", 2, "not UTF-8"),
        ("a.tsv", "text\tmood\na\tglad\n", 1, "no column 'sentence'"),
        ("a.csv", 'sentence,mood\n"two\nlines",glad\nb,angry\n', 4, "unknown label 'angry'"),
        ("a.csv", 'sentence,mood\na,glad\n"two\nlines",angry\nb,sad\n', 3, "unknown label 'angry'"),
        ("a.csv", 'sentence,mood\na,glad\n"b,glad\nc,sad\n', 3, "not CSV"),
        ("a.csv", "sentence;mood\na;glad\n", 1, "no column 'sentence'. Its cells are parted by semicolons"),
        ("a.csv", "sentence\tmood\na\tglad\n", 1, "no column 'sentence'. Its cells are parted by tabs"),
        ("a.tsv", "sentence,mood\na,glad\n", 1, "no column 'sentence'. Its cells are parted by commas"),
        (
            "a.csv",
            "Yebo,glad\n",
            1,
            "no column 'sentence'. The first line has to name the columns; it says: Yebo,",
        ),
        ("a.jsonl", line("a", "glad "), 1, "unknown label 'glad '. Known: glad, sad; correct it"),
    ],
)
def test_a_bad_line_is_named(tmp_path, name, data, number, problem):
    path = write_task(tmp_path, {name: data}, files={"train": name}, languages={"zul": "x"})
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
    path = write_task(tmp_path, files)
    with pytest.raises(BadInput, match=problem) as caught:
        load_task(path).examples("train", ["zul"])
    assert caught.value.file == tmp_path / "data" / "zulu" / "train.jsonl"


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
    for one in count["test"]:
        assert (task.prompt(one), task.answer(one)) == (one.text, one.label), "nothing around the text"


@pytest.mark.skipif("EDGELM_DATA" not in os.environ, reason="EDGELM_DATA names no folder with labelled data")
def test_sib200_in_its_publishers_own_files():
    task = load_task("sib200")
    train, validation = task.examples("train"), task.examples("validation")
    assert {one.label for one in train} == set(task.labels)
    assert Counter(one.language for one in validation) == dict.fromkeys(task.languages, 99)
    assert Counter(one.language for one in train) == dict.fromkeys(task.languages, 701)
    assert task.prompt(train[0]) == train[0].text
    with pytest.raises(BadInput, match="no test split"):
        task.examples("test")


def test_an_article_may_be_long(tmp_path):
    """Python's csv module takes 128 kB in a cell unless it is told otherwise."""
    contents: dict[str, str | bytes] = {"a.csv": "sentence,mood\n" + "x" * 200_000 + ",glad\n"}
    task = load_task(write_task(tmp_path, contents, files={"train": "a.csv"}, languages={"zul": "zulu"}))
    assert [len(one.text) for one in task.examples("train")] == [200_000]
