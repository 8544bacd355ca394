from pathlib import Path

import pytest
from made_up_tasks import line, write_task

from edgelm.errors import BadInput
from edgelm.evaluate.evaluate import evaluate
from edgelm.finetune.small import finetune_small
from edgelm.tasks.task import load_task


def test_a_linear_classifier_is_a_model_like_the_others(tmp_path: Path, task_file: Path) -> None:
    task = load_task(task_file)
    found = finetune_small(task, tmp_path / "model", "linear")
    assert found["tasks"]["made-up"]["macro_f1"] > 0.8
    again = evaluate(tmp_path / "model", tmp_path / "out", tasks=[task], split="validation")
    assert (again["name"], again["backend"]) == ("linear", "numpy")
    assert again["tasks"] == found["tasks"]
    one = finetune_small(task, tmp_path / "one", "linear", languages=["zul"])
    assert set(one["tasks"]["made-up"]["languages"]) == {"zul"}


def test_its_card_says_what_it_learnt_from(tmp_path: Path, task_file: Path) -> None:
    task = load_task(task_file)
    found = finetune_small(task, tmp_path / "model", "linear", languages=["zul"])["tasks"]["made-up"]
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    train, held_out = (len(task.examples(split, ["zul"])) for split in ("train", "validation"))
    assert f"| made-up | classification | CC0-1.0 | nobody | {train} | {held_out} |" in card
    low, high = found["interval"]
    assert f"| made-up | zul | macro_f1 | {found['macro_f1']:.3f} | {low:.3f} to {high:.3f} |" in card
    assert '- "zu"' in card
    assert "A linear classifier (" in card


def test_it_is_validated_in_the_languages_it_learnt(tmp_path: Path) -> None:
    text = line("Yebo") + line("Cha", "sad")
    names = {"train": "{language}-train.jsonl", "validation": "{language}-dev.jsonl"}
    contents: dict[str, str | bytes] = dict.fromkeys(("a-train.jsonl", "a-dev.jsonl", "b-dev.jsonl"), text)
    languages = {"zul": "a", "xho": "b"}
    task = load_task(
        write_task(tmp_path, contents, files=names, languages=languages, without={"xho": ["train"]})
    )
    found = finetune_small(task, tmp_path / "model", "linear")
    assert list(found["tasks"]["mood"]["languages"]) == ["zul"]


def test_a_method_that_does_not_suit(tmp_path: Path, task_file: Path) -> None:
    with pytest.raises(BadInput, match=r"--method crf does not suit 'made-up'\. Try --method linear"):
        finetune_small(load_task(task_file), tmp_path / "model", "crf")
    with pytest.raises(BadInput, match="Try --method full"):
        finetune_small(load_task("instructions"), tmp_path / "model", "linear")
