"""`--method auto` keeps the smallest model that is as good as the best."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.evaluate.evaluate import evaluate
from edgelm.evaluate.predict import predict
from edgelm.evaluate.scores import compare
from edgelm.finetune import auto
from edgelm.finetune.auto import choose, finetune_auto, judge
from edgelm.finetune.config import FinetuneConfig
from edgelm.finetune.head import finetune_head
from edgelm.finetune.small import finetune_small
from edgelm.model.card import reserved_by
from edgelm.runtime import load_labeller
from edgelm.tasks.task import load_task

pytest.importorskip("sklearn", reason="the cheap models are scikit-learn's")

POOR = FinetuneConfig(steps=1, batch=1, precision="fp32", compile="off")


def test_the_cheap_one_is_kept_where_a_head_is_worse(
    tmp_path: Path, base_model: Path, task_file: Path
) -> None:
    task, output = load_task(task_file), tmp_path / "out"
    found = finetune_auto(base_model, task, output, config=POOR)
    assert found["chosen"] == "linear"
    linear, head = found["candidates"]["linear"], found["candidates"]["head"]
    assert head["difference_interval"][1] < 0
    assert "difference" not in linear
    assert head["bytes"] > 2 * linear["bytes"] > 0
    assert load_labeller(output).name == "linear"
    tried = output / "tried" / "ensemble"
    assert list((output / "tried").iterdir()) == [tried]
    ensemble = found["candidates"]["ensemble"]
    assert ensemble["bytes"] > head["bytes"]
    assert load_labeller(tried).name == "PyTorch fp32 + linear"
    assert json.loads((output / "auto.json").read_text(encoding="utf-8"))["chosen"] == "linear"

    again = evaluate(output, tmp_path / "evaluation", tasks=[task], split="validation")
    assert again["tasks"] == found["tasks"]
    other = evaluate(tried / "head", tmp_path / "other", tasks=[task], split="validation")
    assert other["tasks"]["made-up"]["macro_f1"] == head["score"]
    stamp = (output / "edgelm.json").stat().st_mtime_ns
    assert finetune_auto(base_model, task, output, config=POOR) == found
    assert (output / "edgelm.json").stat().st_mtime_ns == stamp


def test_an_ensemble_is_kept_whole(tmp_path: Path, base_model: Path, task_file: Path) -> None:
    """Where two models are better together than each alone, both are what is chosen."""
    task, output = load_task(task_file), tmp_path / "out"

    def prefers(candidates: dict[str, dict[str, Any]]) -> str:
        assert set(candidates) == {"linear", "head", "ensemble"}
        return "ensemble"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto, "choose", prefers)
        found = finetune_auto(base_model, task, output, config=POOR)
    assert {path.name for path in output.iterdir()} == {
        *("README.md", "auto.json", "config.json", "edgelm.json", "head", "linear")
    }
    assert load_labeller(output).name == "PyTorch fp32 + linear"
    again = evaluate(output, tmp_path / "evaluation", tasks=[task], split="validation")
    assert again["tasks"] == found["tasks"]
    assert (output / "head" / "edgelm.json").exists()
    assert (artifacts.read_provenance(output) or {})["results"]["chosen"] == "ensemble"
    assert artifacts.intact(output, artifacts.read_provenance(output) or {})


def test_what_a_model_below_was_trained_on_is_passed_on(
    tmp_path: Path, base_model: Path, task_file: Path
) -> None:
    base = Path(shutil.copytree(base_model, tmp_path / "base"))
    (base / "edgelm.json").write_text(json.dumps({"digest": "", "config": {"inherited": ["kept-back"]}}))
    finetune_auto(base, load_task(task_file), tmp_path / "out", config=POOR)
    assert reserved_by(tmp_path / "out") == ["kept-back"]


def test_the_files_count_that_run_a_model(tmp_path: Path, base_model: Path, task_file: Path) -> None:
    task = load_task(task_file)
    finetune_head(base_model, task, tmp_path / "head", config=POOR)
    found = judge(task, {"head": tmp_path / "head"})
    files = {path.name: path.stat().st_size for path in (tmp_path / "head").iterdir()}
    for name in ("edgelm.json", "metrics.jsonl", "speed.jsonl", "curve.html"):
        files.pop(name)
    assert found["candidates"]["head"]["bytes"] == sum(files.values())


def test_the_smallest_is_chosen_unless_another_is_better_by_more_than_chance(
    tmp_path: Path, base_model: Path, task_file: Path
) -> None:
    task = load_task(task_file)
    finetune_small(task, tmp_path / "linear", "linear")
    good = FinetuneConfig(steps=40, batch=4, learning_rate=0.01, warmup=5, precision="fp32", compile="off")
    finetune_head(base_model, task, tmp_path / "head", config=good)
    models = {name: tmp_path / name for name in ("linear", "head")}
    found = judge(task, models)
    held_out = task.validation()
    predicted = {name: predict(load_labeller(path), task, held_out) for name, path in models.items()}
    entries = compare(task.name, held_out, predicted, ["linear", "head"], labels=task.labels)
    own = {one["system"]: one for one in entries if one["language"] == "all"}
    best = max(own, key=lambda name: own[name]["scores"]["macro_f1"])
    (other,) = set(own) - {best}
    assert found["candidates"][other]["difference"] == own[other]["differences"][best]["difference"]
    assert found["candidates"][other]["difference_interval"][1] >= 0  # both are good
    assert found["chosen"] == "linear"
    weak = tmp_path / "weak"
    finetune_head(base_model, task, weak, config=POOR)
    assert judge(task, {"weak": weak, "head": models["head"]})["chosen"] == "head"


def test_worse_by_no_more_than_chance_is_good_enough() -> None:
    head = {"bytes": 9_000_000}
    assert choose({"linear": {"bytes": 5, "difference_interval": [-0.2, 0.01]}, "head": head}) == "linear"
    assert choose({"linear": {"bytes": 5, "difference_interval": [-0.2, -0.01]}, "head": head}) == "head"


def test_what_cannot_be_compared(tmp_path: Path, base_model: Path, blind_task_file: Path) -> None:
    with pytest.raises(BadInput, match="'instructions' has neither labels nor tags"):
        finetune_auto(base_model, load_task("instructions"), tmp_path / "out", config=POOR)
    with pytest.raises(BadInput, match="'blind' has no validation split to choose on"):
        finetune_auto(base_model, load_task(blind_task_file), tmp_path / "out", config=POOR)
    assert artifacts.read_provenance(tmp_path / "out") is None
