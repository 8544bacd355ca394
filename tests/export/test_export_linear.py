"""A linear classifier's ONNX form answers as the classifier does, wherever it is used."""

import json
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="ONNX files are written with the extra 'export'")
pytest.importorskip("sklearn", reason="scikit-learn trains the classifier")

from edgelm.errors import BadInput, EdgelmError
from edgelm.evaluate.evaluate import evaluate
from edgelm.export import linear as module
from edgelm.export.linear import export_small
from edgelm.finetune.small import finetune_small
from edgelm.runtime import load_labeller
from edgelm.tasks.task import load_task


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("linear") / "topic"
    finetune_small(load_task("topic"), folder, "linear", languages=["zul", "ven"])
    return folder


@pytest.fixture(scope="module")
def exported(model: Path) -> Path:
    export_small(model, "edgelm-linear", model.parent / "out", ["onnx:fp32"])
    return model.parent / "out" / "onnx" / "fp32"


def test_labels_are_those_of_the_classifier(model: Path, exported: Path) -> None:
    found = json.loads((exported / "verification.json").read_text(encoding="utf-8"))
    assert (found["format"], found["equal_labels"]) == ("onnx:fp32", 1.0)
    assert found["texts"] > 700
    before, after = load_labeller(model), load_labeller(exported)
    assert before is not None
    assert after is not None
    assert (before.backend, after.backend) == ("numpy", "onnx")
    assert before.measure == after.measure
    texts = load_task("topic").examples("test")
    assert after.label(texts) == before.label(texts)


def test_it_is_evaluated_as_the_classifier(model: Path, exported: Path, tmp_path: Path) -> None:
    task = load_task("topic")
    found = [
        evaluate(path, tmp_path / path.name, tasks=[task], languages=["zul"]) for path in (model, exported)
    ]
    assert found[0]["tasks"] == found[1]["tasks"]


def test_what_cannot_be_exported(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    with pytest.raises(BadInput, match=r"cannot be written as gguf:Q8_0\. Give --to onnx:fp32"):
        export_small(model, "edgelm-linear", out, ["onnx:fp32", "gguf:Q8_0"])
    with pytest.raises(BadInput, match=r"a CRF has no ONNX form and needs none.*Copy its folder"):
        export_small(model, "edgelm-crf", out, ["onnx:fp32"])
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(EdgelmError, match="decision values differ by"):
        export_small(model, "edgelm-linear", out, ["onnx:fp32"])
    assert not out.exists()
