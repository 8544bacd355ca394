import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_tasks import COMMON, MOOD, jsonl, line, write_task

from edgelm.errors import BadInput
from edgelm.tasks.task import families, load_task, task_names

FILES = {
    "zulu/train.jsonl": line("Ngiyajabula") + line("Ngidabukile", "sad"),
    "english/train.jsonl": line("I am glad"),
    "zulu/test.jsonl": line("Yebo"),
    "english/test.jsonl": line("Yes"),
}
PAIRS = COMMON | {
    "family": "generation",
    "files": "{pair}.jsonl",
    "languages": {"zul": "zul", "eng": "eng"},
    "pairs": ["eng-zul"],
}
TAGS = COMMON | {"family": "tagging", "scheme": "bio", "labels": ["RIVER"], "files": {"train": "a.txt"}}
CHOICE = COMMON | {"family": "choice", "fields": {"text": "t", "options": ["a", "b"], "answer": "r"}}


@pytest.mark.parametrize(
    ("value", "changes", "key", "remedy"),
    [
        (
            MOOD,
            {"family": "divination"},
            "family",
            "one of: classification, tagging, generation, choice, chat",
        ),
        (MOOD, {"family": None}, "family", "start from corpus/tasks/topic.yaml"),
        (MOOD, {"name": None}, "name", "start from corpus/tasks/topic.yaml"),
        (MOOD, {"licence": 5}, "licence", "put it in quotes"),
        (MOOD, {"attribution": " "}, "attribution", "write something"),
        (MOOD, {"folder": 5}, "folder", "put it in quotes"),
        (MOOD, {"files": None}, "files", "start from"),
        (MOOD, {"files": {}}, "files", "name the file"),
        (MOOD, {"files": 5}, "files", "name one"),
        (MOOD, {"files": {"train": 5}}, "files", "name one"),
        (MOOD, {"files": {"dev": "a.jsonl"}}, "files", "known: train, validation, test"),
        (MOOD, {"files": {"train": "{lang}.jsonl"}}, "files", "known: {language}"),
        (MOOD, {"files": {"train": "{language.jsonl"}}, "files", "write {{ for {"),
        (MOOD, {"languages": ["zul"]}, "languages", "languages: {name: value}"),
        (MOOD, {"languages": {}}, "languages", "languages: {zul: zul}"),
        (MOOD, {"languages": {"zul": 5}}, "languages", "put it in quotes"),
        (MOOD, {"without": {"ven": ["train"]}}, "without", "known: zul, eng"),
        (MOOD, {"without": {"zul": ["dev"]}}, "without", "known: train, test"),
        (MOOD, {"fields": {"text": "a"}}, "fields", "name the column of the label"),
        (MOOD, {"fields": MOOD["fields"] | {"id": "x"}}, "fields", "known: text, label, split, language"),
        (MOOD, {"fields": {"text": 1, "label": "x"}}, "fields", "write its name"),
        (MOOD, {"labels": None}, "labels", "start from"),
        (MOOD, {"labels": []}, "labels", "labels: [one, another]"),
        (MOOD, {"labels": "glad"}, "labels", "labels: [one, another]"),
        (MOOD, {"labels": [True, False]}, "labels", "put it in quotes"),
        (MOOD, {"labels": ["glad", "glad"]}, "labels", "leave one of them out"),
        (MOOD, {"labels": {"0": "glad", "1": "glad"}}, "labels", "leave one of them out"),
        (MOOD, {"verbalisers": {"zul": {"merry": "x"}}}, "verbalisers", "known: glad, sad"),
        (MOOD, {"verbalisers": {"zul": {"glad": "sad"}}}, "verbalisers", "give each its own"),
        (MOOD, {"prompts": {"zul": "{txt}"}}, "prompts", "known: {text}, {labels}"),
        (MOOD, {"prompts": {"zul": "{text.__class__}"}}, "prompts", "known: {text}, {labels}"),
        (MOOD, {"prompts": {"zul": "{text!r}"}}, "prompts", "known: {text}, {labels}"),
        (MOOD, {"prompts": {"fra": "{text}"}}, "prompts", "known: eng, zul."),
        (MOOD, {"metric": "luck"}, "metric", "one of: macro_f1, weighted_f1, accuracy"),
        (MOOD, {"quotes": "yes"}, "quotes", "write true or false"),
        (MOOD, {"measurement_only": 1}, "measurement_only", "write true or false"),
        (MOOD, {"promts": {"zul": "{text}"}}, "promts", "did you mean 'prompts'"),
        (MOOD, {"colour": "blue"}, "colour", "known: "),
        (MOOD, {"labels": None, "labls": ["glad", "sad"]}, "labels", "is 'labls' meant to be it?"),
        (MOOD, {"files": {"trian": "a.jsonl"}}, "files", "did you mean 'train'? known: train, validation, "),
        (MOOD, {"fields": {"text": "a", "labl": "b", "label": "b"}}, "fields", "did you mean 'label'?"),
        (
            MOOD,
            {"languages": {"zlu": "zulu"}},
            "languages",
            "'zlu' is no language that is known. did you mean",
        ),
        (MOOD, {"languages": {"zu": "zulu"}}, "languages", "did you mean 'zul'?"),
        (
            MOOD,
            {"languages": {"qqq": "zulu"}},
            "languages",
            "a file in the folder that edgelm_languages names",
        ),
        (MOOD, {"metric": "acuracy"}, "metric", "did you mean 'accuracy'? choose one of: macro_f1"),
        (MOOD, {"folder": "daat"}, "folder", "did you mean 'data'?"),
        (MOOD, {"folder": "nowhere/at-all"}, "folder", "put the data there"),
        (TAGS, {"scheme": None}, "scheme", "start from"),
        (TAGS, {"scheme": "bilou"}, "scheme", "one of: bio, flat"),
        (TAGS, {"labels": ["B-RIVER"]}, "labels", "leave out O, B- and I-"),
        (TAGS, {"fields": {"word": 0}}, "fields", "count columns from 1"),
        (TAGS, {"fields": {"lemma": 3}}, "fields", "known: word, tag"),
        (PAIRS, {"pairs": ["eng-ven"]}, "pairs", "known: zul, eng"),
        (PAIRS, {"pairs": ["eng"]}, "pairs", "write it as eng-zul"),
        (PAIRS, {"files": "{language}.jsonl"}, "files", "known: {pair}"),
        (PAIRS, {"minimum_score": 0.5}, "minimum_score", "fields: {score: score}"),
        (PAIRS, {"minimum_score": "high", "fields": {"score": "s"}}, "minimum_score", "write a number"),
        (PAIRS, {"held_out": {"test": 2}}, "held_out", "below 0.5"),
        (PAIRS, {"held_out": {"train": 0.2}}, "held_out", "known: validation, test"),
        (PAIRS, {"pairs": None, "files": "a.jsonl"}, "fields", "start from"),
        (PAIRS, {"references": {"train": "a"}}, "references", "one file a split"),
        (PAIRS, {"separator": 5}, "separator", "put it in quotes"),
        (PAIRS, {"pattern": ["{a}"]}, "pattern", "put it in quotes"),
        (CHOICE, {"fields": {"text": "t", "answer": "r"}}, "fields", "name the column of the options"),
        (CHOICE, {"fields": CHOICE["fields"] | {"options": "a"}}, "fields", "the column of each"),
        (CHOICE, {"answers": ["1"]}, "answers", "say what the file calls each option"),
        (CHOICE, {"options": ["yes"]}, "fields", "known: text, answer, split, language"),
    ],
)
def test_a_mistake_is_answered_with_file_key_and_remedy(tmp_path, value, changes, key, remedy):
    path = write_task(tmp_path, {}, value, **changes)
    with pytest.raises(BadInput) as caught:
        load_task(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: key '{key}': ")
    assert remedy.lower() in said.lower()
    assert "\n" not in said


def test_a_file_that_is_no_yaml(tmp_path):
    (tmp_path / "a.yaml").write_text("name: a\nlabels: [\n")
    with pytest.raises(BadInput, match=r"a.yaml, line 3: not YAML"):
        load_task(tmp_path / "a.yaml")
    for text in ("", "[1, 2]", "5: a"):
        (tmp_path / "b.yaml").write_text(text)
        with pytest.raises(
            BadInput, match=r"b\.yaml: is not a task: .* Start from corpus/tasks/topic.yaml\."
        ):
            load_task(tmp_path / "b.yaml")
    with pytest.raises(BadInput, match=r"c.yaml: no such file"):
        load_task(tmp_path / "c.yaml")
    with pytest.raises(BadInput, match=r"unknown task 'nothing'. Give a YAML file or one of: .*topic"):
        load_task("nothing")
    with pytest.raises(BadInput, match=r"unknown task '.*model'"):
        load_task(tmp_path / "model")


def test_a_folder_named_by_a_variable(tmp_path, monkeypatch):
    path = write_task(tmp_path, FILES, folder="${MOOD_DATA}/data")
    monkeypatch.delenv("MOOD_DATA", raising=False)
    with pytest.raises(BadInput, match="the environment variable MOOD_DATA is not set"):
        load_task(path)
    assert load_task(path, data=False).labels == ("glad", "sad")
    monkeypatch.setenv("MOOD_DATA", str(tmp_path))
    assert len(load_task(path).examples("train")) == 3


def test_a_split_or_language_that_the_task_does_not_have(tmp_path):
    task = load_task(write_task(tmp_path, FILES | {"english/test.jsonl": ""}))
    with pytest.raises(BadInput, match=r"'mood' has no validation split. Choose one of: train, test\."):
        task.examples("validation")
    with pytest.raises(BadInput, match=r"'mood' has no language ven. It has: zul, eng\."):
        task.examples("train", ["zul", "ven"])
    with pytest.raises(BadInput, match=r"english/test.jsonl: the task 'mood' has no test examples. See"):
        task.examples("test", ["eng"])
    with pytest.raises(BadInput, match=r"'mood' has no train split. It is for evaluation only\."):
        replace(task, files={"test": task.files["test"]}).examples("train")


def test_a_split_that_one_language_lacks(tmp_path):
    (tmp_path / "data" / "english").mkdir(parents=True)
    files = {name: text for name, text in FILES.items() if name != "english/train.jsonl"}
    task = load_task(write_task(tmp_path, files, without={"eng": ["train"]}))
    assert {one.language for one in task.examples("train")} == {"zul"}
    assert {one.language for one in task.examples("test")} == {"zul", "eng"}
    with pytest.raises(BadInput, match=r"'mood' has no train split in eng. It has one in: zul\."):
        task.examples("train", ["eng", "zul"])


def test_a_missing_file_is_one_line_and_no_input(tmp_path):
    task = load_task(write_task(tmp_path, {"zulu/train.jsonl": line("a")}, languages={"zul": "zulu"}))
    assert task.inputs() == task.inputs(["train"]) == [tmp_path / "data" / "zulu" / "train.jsonl"]
    assert task.inputs(["test"]) == []
    with pytest.raises(BadInput, match=r"zulu/test.jsonl: no such file\. Check the task's folder") as caught:
        task.examples("test")
    assert caught.value.file == tmp_path / "data" / "zulu" / "test.jsonl"


def test_prompts_in_english_and_natively(tmp_path):
    plain = load_task(write_task(tmp_path, FILES))
    zulu = plain.examples("train", ["zul"])[0]
    assert plain.prompt(zulu) == plain.prompt(zulu, native=True) == "Ngiyajabula"
    prompts = {"eng": "{text}\nMood ({labels}), in {{}}:", "zul": "{text}\nUmoya:"}
    task = load_task(write_task(tmp_path, FILES | {"zulu/train.jsonl": line("a {text} b")}, prompts=prompts))
    zulu, english = task.examples("train", ["zul"])[0], task.examples("train", ["eng"])[0]
    assert task.prompt(zulu) == "a {text} b\nMood (glad, sad), in {}:"
    assert task.prompt(zulu, native=True) == "a {text} b\nUmoya:"
    assert task.prompt(english, native=True) == "I am glad\nMood (glad, sad), in {}:"


def test_config_is_what_decides_the_examples(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    one, other = (load_task(write_task(tmp_path / name, FILES)) for name in "ab")
    assert one.config() == other.config(), "not where the files are"
    written = {key: value for key, value in MOOD.items() if key != "folder"}
    assert json.loads(json.dumps(one.config())) == written | {"metric": "macro_f1"}, "nor what was not said"
    for changes in ({"labels": ["sad", "glad"]}, {"prompts": {"eng": "{text}?"}}, {"quotes": True}):
        assert load_task(write_task(tmp_path / "b", FILES, **changes)).config() != one.config()


def test_records_that_say_their_language(tmp_path):
    lines = jsonl(
        *({"sentence": code, "mood": "glad", "tongue": code} for code in ("zulu", "english", "zulu"))
    )
    path = write_task(
        tmp_path,
        {"all.jsonl": lines},
        files={"train": "all.jsonl"},
        fields=MOOD["fields"] | {"language": "tongue"},
    )
    assert [(one.text, one.language, one.line) for one in load_task(path).examples("train")] == [
        ("english", "eng", 2),
        ("zulu", "zul", 1),
        ("zulu", "zul", 3),
    ]


def test_the_task_in_the_documentation(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert block
    (tmp_path / "mood.yaml").write_text(block[1], encoding="utf-8")
    for name in ("isizulu", "venda"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        (folder / "train.tsv").write_text("sentence\tmood\nYebo\tglad\n")
    assert [one.language for one in load_task(tmp_path / "mood.yaml").examples("train")] == ["ven", "zul"]
    assert all(f"| {name} |" in text for name in task_names()), "the table names every task"


@pytest.mark.parametrize("name", task_names())
def test_every_task_that_ships_is_described_whole(name):
    task = load_task(name, data=False)
    assert task.name == name
    assert task.family in families()
    assert re.search(r"^# \S", task.place.read_text(encoding="utf-8")), "a comment says what it is"
    assert task.licence
    assert task.measurement_only == (task.licence in ("none stated", "non-commercial", "CC-BY-NC-4.0"))


def test_one_file_need_not_hold_every_split(tmp_path):
    fields = {**MOOD["fields"], "split": "part", "language": "tongue"}
    records = line("Yebo", part="test", tongue="zulu") + line("Yes", part="train", tongue="english")
    task = load_task(write_task(tmp_path, {"all.jsonl": records}, files="all.jsonl", fields=fields))
    assert [one.text for one in task.training()] == ["Yes"]
    assert [one.text for one in task.examples("test")] == ["Yebo"]
    assert task.validation() == []
    assert task.validation(["zul"]) == []
    with pytest.raises(BadInput, match="has no validation examples"):
        task.examples("validation")


def test_training_examples_are_of_the_files_that_are_there(tmp_path):
    names = {"train": "{language}/train.jsonl", "test": "test.jsonl"}
    task = load_task(write_task(tmp_path, {"zulu/train.jsonl": line("Yebo")}, files=names))
    assert [(one.language, one.text) for one in task.training()] == [("zul", "Yebo")]
    (tmp_path / "data" / "zulu" / "train.jsonl").unlink()
    assert task.training() == []
    with pytest.raises(BadInput, match="no such file"):
        task.examples("train")
    only = load_task(write_task(tmp_path, {"test.jsonl": line("Yes")}, files={"test": "test.jsonl"}))
    assert only.training() == []
