"""A path that is no model, or not the model that is wanted, is answered with the one to give."""

import json
import shutil
from pathlib import Path

import pytest

from edgelm.errors import BadInput
from edgelm.evaluate.evaluate import evaluate
from edgelm.runtime import load
from edgelm.runtime.inside import check_decoder, models_inside
from edgelm.tasks.task import load_task

pytest.importorskip("torch", reason="a decoder is one of PyTorch")


def config(folder: Path, value: dict[str, object]) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(value))
    return folder


@pytest.fixture
def ensemble(tmp_path: Path, tiny_model_dir: Path) -> Path:
    """What `--method ensemble` writes, as far as paths go, from the tiny model."""
    folder = config(tmp_path / "both", {"model_type": "edgelm-ensemble"})
    shutil.copytree(tiny_model_dir, folder / "head")
    own = json.loads((folder / "head" / "config.json").read_text())
    head = {"architectures": ["LlamaForTokenClassification"], "id2label": {"0": "a"}}
    extra = {"edgelm": {"both_ways": False, "scheme": "flat"}}
    (folder / "head" / "config.json").write_text(json.dumps({**own, **head, **extra}))
    config(folder / "crf", {"model_type": "edgelm-crf"})
    made = {"command": "finetune", "digest": "x", "inputs": {str(tiny_model_dir): "x"}, "config": {}}
    (folder / "edgelm.json").write_text(json.dumps(made))
    return folder


def said(path: Path, *, heads: bool = False) -> str:
    with pytest.raises(BadInput) as caught:
        check_decoder(path, heads=heads)
    return str(caught.value)


def test_what_is_no_decoder_names_the_one_to_give(ensemble: Path, tiny_model_dir: Path) -> None:
    check_decoder(tiny_model_dir)
    check_decoder(ensemble / "head", heads=True)
    assert said(ensemble, heads=True).endswith(f"Give the decoder in it, {ensemble / 'head'}.")
    assert "is a CRF, which has no decoder" in said(ensemble / "crf", heads=True)
    assert "has a head: it labels and cannot write" in said(ensemble / "head")
    (tiny_model_dir / "edgelm.json").write_text("{}")
    try:
        assert said(ensemble).endswith(f"Give the model that it was made from, {tiny_model_dir}.")
    finally:
        (tiny_model_dir / "edgelm.json").unlink()


def test_exports_and_folders_of_them(tmp_path: Path, export_dir: Path) -> None:
    inside = models_inside(export_dir)
    assert inside[0].suffix == ".gguf"
    assert export_dir / "onnx" / "fp32" in inside
    assert "is a folder of models, and none itself. Give one of: " in said(export_dir)
    assert "is a GGUF file" in said(inside[0])
    assert "is an ONNX model" in said(export_dir / "onnx" / "fp32")
    both = config(tmp_path / "with a graph beside", {"model_type": "llama"})
    for name in ("model.onnx", "model.safetensors"):
        (both / name).write_bytes(b"")
    check_decoder(both)
    with pytest.raises(BadInput, match="is a folder of models, and none itself") as caught:
        load(export_dir)
    assert str(inside[0]) in str(caught.value)
    with pytest.raises(BadInput, match="is a folder of models"):
        evaluate(export_dir, tmp_path / "out", tasks=[load_task("topic")])
    assert not (tmp_path / "out").exists()


def test_a_model_in_a_model_is_not_listed_and_many_are_counted(tmp_path: Path, ensemble: Path) -> None:
    for number in range(7):
        config(tmp_path / f"seed-{number}", {})
    inside = models_inside(tmp_path)
    assert ensemble in inside
    assert ensemble / "head" not in inside
    assert len(inside) == 8
    message = said(tmp_path)
    assert message.endswith(" and 2 more in it.")
    assert str(tmp_path / "seed-0") in message
    other = tmp_path / "corpus"
    other.mkdir()
    (other / "edgelm.json").write_text(json.dumps({"command": "corpus build", "digest": "x"}))
    assert "was written by edgelm corpus build and is no model" in said(other)
    assert "no such model" in said(tmp_path / "absent")
