"""Which languages a model is evaluated in where none are named, and what is said of the others."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_up_tasks import line, write_task

from edgelm.errors import BadInput
from edgelm.evaluate.languages import check_files, languages_of, learnt_tasks, usual_languages
from edgelm.tasks.task import Task, load_task

SPLITS = ("train", "validation", "test")


@pytest.fixture
def task(tmp_path: Path) -> Task[Any]:
    names = {"zul": "zulu", "xho": "xhosa", "tsn": "tswana"}
    files: dict[str, str | bytes] = {
        f"{name}/{split}.jsonl": line(f"{name} {split}") for name in names.values() for split in SPLITS
    }
    described = {split: f"{{language}}/{split}.jsonl" for split in SPLITS}
    return load_task(write_task(tmp_path, files, languages=names, files=described))


def model(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True)
    made = {"command": "finetune", "digest": "x", "inputs": {}, "config": config}
    (folder / "edgelm.json").write_text(json.dumps(made))
    return folder


def test_those_it_was_finetuned_on_and_what_is_left_out_is_said(tmp_path: Path, task: Task[Any]) -> None:
    own = model(tmp_path / "own", tasks=[{"name": "mood"}], languages=["zul", "xho"])
    found, said = usual_languages(own, task, "test")
    assert found == ["xho", "zul"]
    assert said == (
        "mood: in xho, zul (what the model was finetuned on); "
        "not in tsn: for these give --languages tsn,xho,zul."
    )
    task.path("test", "xho").unlink()
    found, said = usual_languages(own, task, "test")
    assert found == ["zul"]
    assert "not in xho, whose test file is not here" in said
    every = model(tmp_path / "every", tasks=[{"name": "mood"}], languages=None)
    assert usual_languages(every, task, "validation")[0] == ["tsn", "xho", "zul"]
    fewer = replace(task, without={"tsn": ("train",)})
    assert usual_languages(every, fewer, "validation")[0] == ["xho", "zul"], "it cannot have learnt the third"
    other = model(tmp_path / "other", tasks=[{"name": "else"}], languages=["zul"])
    assert usual_languages(other, task, "validation")[0] == ["tsn", "xho", "zul"]
    assert languages_of(task, {"mood": ["zul"]}) == ["zul"]


def test_an_export_knows_what_it_was_made_from(tmp_path: Path, task: Task[Any]) -> None:
    own = model(tmp_path / "own", tasks=[{"name": "mood"}], languages=["zul"])
    inside = tmp_path / "export" / "onnx" / "fp32"
    inside.mkdir(parents=True)
    finished = tmp_path / "finished"
    finished.mkdir()
    made = {"command": "quantize", "digest": "x", "inputs": {str(own): "x"}, "config": {}}
    (finished / "edgelm.json").write_text(json.dumps(made))
    assert usual_languages(finished, task, "test")[0] == ["zul"]
    made = {"command": "export", "digest": "x", "inputs": {str(finished): "x"}, "config": {}}
    (tmp_path / "export" / "edgelm.json").write_text(json.dumps(made))
    assert usual_languages(inside, task, "test")[0] == ["zul"]
    assert usual_languages(tmp_path / "export" / "model-Q8_0.gguf", task, "test")[0] == ["zul"]


def test_a_missing_split_names_the_one_that_is_here(tmp_path: Path, task: Task[Any]) -> None:
    for code in task.languages:
        task.path("test", code).unlink()
    with pytest.raises(BadInput, match=r"no such file\. .* evaluate with --split validation, which is here"):
        usual_languages(tmp_path, task, "test")
    task.path("validation", "zul").unlink()
    with pytest.raises(BadInput) as caught:
        check_files(task, "test", ["zul"])
    assert "--split" not in str(caught.value)
    (tmp_path / "blind").mkdir()
    files: dict[str, str | bytes] = {"zulu/train.jsonl": line("a"), "zulu/validation.jsonl": line("b")}
    described = {split: f"{{language}}/{split}.jsonl" for split in ("train", "validation")}
    blind = load_task(write_task(tmp_path / "blind", files, files=described))
    with pytest.raises(BadInput, match=r"has no test split\. Evaluate with --split validation"):
        check_files(blind, "test")


def test_a_model_knows_its_tasks_without_their_files(tmp_path: Path, task: Task[Any]) -> None:
    gone = {"family": "divination", "name": "gone"}
    own = model(tmp_path / "own", tasks=[task.config(), gone], languages=["zul"])
    (found,) = learnt_tasks(own)
    assert found.config() == task.config()
    assert learnt_tasks(tmp_path / "nowhere") == []


def test_an_export_that_was_moved_knows_the_model_that_lies_beside_it(
    tmp_path: Path, task: Task[Any]
) -> None:
    model(tmp_path / "run" / "model", tasks=[task.config()], languages=["zul"])
    export = tmp_path / "run" / "export"
    export.mkdir()
    made = {"command": "export", "digest": "x", "inputs": {"elsewhere/model": "x"}, "config": {}}
    (export / "edgelm.json").write_text(json.dumps(made))
    (export / "model-Q8_0.gguf").touch()
    assert [one.name for one in learnt_tasks(export / "model-Q8_0.gguf")] == ["mood"]
