"""A head and the cheap model of its task, weighed on validation."""

from pathlib import Path

import made_up_tasks
import numpy as np
import pytest

from edgelm.errors import BadInput
from edgelm.evaluate.backend import for_backend
from edgelm.evaluate.evaluate import evaluate
from edgelm.finetune import ensemble
from edgelm.finetune.config import FinetuneConfig
from edgelm.finetune.ensemble import finetune_ensemble, fit_weights
from edgelm.finetune.repeat import seconds_of
from edgelm.runtime import load_labeller
from edgelm.runtime.ensemble import read_parts
from edgelm.runtime.sampling import log_softmax
from edgelm.tasks.task import load_task

pytest.importorskip("sklearn", reason="the cheap models are scikit-learn's")

CONFIG = FinetuneConfig(steps=20, batch=4, learning_rate=0.01, warmup=5, precision="fp32", compile="off")
POOR = FinetuneConfig(steps=1, batch=1, precision="fp32", compile="off")


def test_weights_are_those_of_the_greatest_likelihood() -> None:
    draw = np.random.default_rng(0)
    useful, noise = draw.normal(size=(20_000, 3)), draw.normal(size=(20_000, 3))
    chances = np.exp(log_softmax(2 * useful))
    truth = (chances.cumsum(1) < draw.random((20_000, 1))).sum(1)
    logs = np.stack([useful, noise])
    first, second = fit_weights(logs, truth)
    assert first == pytest.approx(2, abs=0.06)
    assert 0 <= second < 0.05
    misleading = noise - 0.5 * useful
    assert fit_weights(np.stack([noise, misleading - noise]), truth)[1] == 0  # always wrong: no say
    assert fit_weights(logs[::-1], truth) == pytest.approx([second, first], abs=1e-3)


def test_few_items_decide_little() -> None:
    right = np.log(np.array([[0.6, 0.4]] * 10))
    first, second = fit_weights(np.stack([right, np.log(np.full((10, 2), 0.5))]), np.zeros(10, dtype=int))
    assert 0.5 < first < 10
    assert second == pytest.approx(0.5, abs=1e-3)  # says nothing either way
    wrong = np.stack([right[:, ::-1]] * 2)
    assert max(fit_weights(wrong, np.zeros(10, dtype=int))) < 0.5


def test_killed_between_the_parts_it_goes_on(
    tmp_path: Path, base_model: Path, task_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = load_task(task_file)
    with monkeypatch.context() as patch:
        patch.setattr(ensemble, "weigh", lambda models, examples: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            finetune_ensemble(base_model, task, tmp_path / "out", config=CONFIG)
    assert not (tmp_path / "out").exists()
    weights = tmp_path / ".out.partial" / "head" / "model.safetensors"
    stamp = weights.stat().st_mtime_ns
    finetune_ensemble(base_model, task, tmp_path / "out", config=CONFIG)
    assert (tmp_path / "out" / "head" / "model.safetensors").stat().st_mtime_ns == stamp
    each = [seconds_of(tmp_path / "out" / name) for name in ("head", "linear")]
    assert seconds_of(tmp_path / "out") >= sum(each)


def test_two_models_in_one_folder(tmp_path: Path, base_model: Path, task_file: Path) -> None:
    task, output = load_task(task_file), tmp_path / "out"
    found = finetune_ensemble(base_model, task, output, config=CONFIG)
    assert sorted(path.name for path in output.iterdir()) == [
        "README.md",
        "config.json",
        "edgelm.json",
        "head",
        "linear",
    ]
    assert set(found["alone"]) == {"linear", "head"}
    for name, score in found["alone"].items():
        again = evaluate(output / name, tmp_path / f"{name}-alone", tasks=[task], split="validation")
        assert again["tasks"]["made-up"]["macro_f1"] == score
    together = evaluate(output, tmp_path / "together", tasks=[task], split="validation")
    assert (together["name"], together["backend"]) == ("PyTorch fp32 + linear", "torch")
    assert together["tasks"] == found["tasks"]
    _, weights = read_parts(output)
    assert found["weights"] == {"head": round(weights[0], 4), "linear": round(weights[1], 4)}
    card = (output / "README.md").read_text(encoding="utf-8")
    assert "how much each counts was fitted to the validation examples" in card
    assert f"| made-up | all | macro_f1 | {found['tasks']['made-up']['macro_f1']:.3f} |" in card
    stamp = (output / "head" / "model.safetensors").stat().st_mtime_ns
    assert finetune_ensemble(base_model, task, output, config=CONFIG) == found
    assert (output / "head" / "model.safetensors").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("family", ["classification", "tagging"])
def test_its_onnx_form_labels_alike(
    tmp_path: Path, base_model: Path, task_file: Path, sentences: Path, family: str
) -> None:
    pytest.importorskip("onnx", reason="ONNX files are written with the extra 'export'")
    cheap = "linear" if family == "classification" else "crf"
    if cheap == "crf":
        pytest.importorskip("sklearn_crfsuite", reason="a CRF is sklearn-crfsuite's")
    task = load_task(task_file if family == "classification" else sentences)
    finetune_ensemble(base_model, task, tmp_path / "model", config=POOR, both_ways=True)
    folder = for_backend(tmp_path / "model", "onnx", tmp_path / "onnx")
    assert for_backend(folder, "onnx", tmp_path / "again") == folder
    assert {path.name for path in folder.iterdir()} == {"config.json", "head", cheap}
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {
        "edgelm.json",
        "onnx",
        "verification.json",
    }
    before, after = load_labeller(tmp_path / "model"), load_labeller(folder)
    assert after.backend == "onnx"
    if cheap == "linear":
        assert after.parts[1].backend == "onnx"
    held_out = task.validation()
    assert before.label(held_out) == after.label(held_out)
    for one, other in zip(before.scores(held_out), after.scores(held_out), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    with pytest.raises(BadInput, match="which GGUF does not hold"):
        for_backend(tmp_path / "model", "gguf", tmp_path / "other")


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    """Words whose tag is their last letter."""
    pairs = [(one, other) for one in "aeo" for other in "aeo"]
    blocks = "".join(f"ban{one} {one.upper()}\nfeg{other} {other.upper()}\n\n" for one, other in pairs)
    files = {split: f"{{language}}/{split}.txt" for split in ("train", "validation")}
    tagging = {"family": "tagging", "languages": {"zul": "z"}, "labels": list("AEO"), "scheme": "flat"}
    contents: dict[str, str | bytes] = {f"z/{split}.txt": blocks for split in files}
    return made_up_tasks.write_task(
        tmp_path / "task", contents, {**made_up_tasks.COMMON, **tagging}, files=files
    )


def test_what_cannot_be_weighed(tmp_path: Path, base_model: Path, blind_task_file: Path) -> None:
    with pytest.raises(BadInput, match="'instructions' has neither labels nor tags"):
        finetune_ensemble(base_model, load_task("instructions"), tmp_path / "out", config=POOR)
    with pytest.raises(BadInput, match=r"to weigh two models on\. Use --method head or linear"):
        finetune_ensemble(base_model, load_task(blind_task_file), tmp_path / "out", config=POOR)
    assert not (tmp_path / "out").exists()
