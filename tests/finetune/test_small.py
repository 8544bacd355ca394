from pathlib import Path

import pytest

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


def test_a_method_that_does_not_suit(tmp_path: Path, task_file: Path) -> None:
    with pytest.raises(BadInput, match=r"--method crf does not suit 'made-up'\. Try --method linear"):
        finetune_small(load_task(task_file), tmp_path / "model", "crf")
    with pytest.raises(BadInput, match="Try --method full"):
        finetune_small(load_task("instructions"), tmp_path / "model", "linear")
