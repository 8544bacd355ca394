"""A model directory is evaluated in the runtime that is asked for, and no other model is forced into one."""

import json
from pathlib import Path
from typing import Any

import made_up
import pytest

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.evaluate.backend import for_backend
from edgelm.evaluate.evaluate import evaluate
from edgelm.model.head_config import HeadConfig
from edgelm.runtime import load_labeller
from edgelm.tasks.examples import Labelled
from edgelm.tasks.task import Task, load_task

Plain = tuple[Path, Task[Any], dict[str, Any]]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Plain:
    """A corpus, a task, and what PyTorch makes of them."""
    folder = tmp_path_factory.mktemp("plain")
    corpus, task = made_up.make_corpus(folder), load_task(made_up.make_task(folder))
    return corpus, task, evaluate(tiny_model_dir, folder / "out", corpus=corpus, tasks=[task])


@pytest.mark.parametrize(
    ("backend", "name"), [("torch", "PyTorch fp32"), ("onnx", "ONNX fp32"), ("gguf", "GGUF F32")]
)
def test_the_figures_are_those_of_the_backend(
    tmp_path: Path, tiny_model_dir: Path, plain: Plain, backend: str, name: str
) -> None:
    pytest.importorskip("llama_cpp", reason="GGUF files are run with llama-cpp-python")
    corpus, task, expected = plain
    file = for_backend(tiny_model_dir, backend, tmp_path / "export")
    assert (tmp_path / "export").exists() == (backend != "torch")
    found = evaluate(file, tmp_path / "out", corpus=corpus, tasks=[task], name="mine")
    assert found["name"] == name
    rows = (tmp_path / "out" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(row)["system"] for row in rows} == {f"{name}, mine"}
    assert found["bits_per_byte"] == pytest.approx(expected["bits_per_byte"], abs=2e-4)
    assert found["perplexity"] == pytest.approx(expected["perplexity"], rel=1e-3)
    assert found["tasks"] == expected["tasks"]
    digest = artifacts.digest_path(tiny_model_dir / "tokenizer.json")
    assert expected["tokenizer"] == {"tokens": 512, "sha256": digest}
    assert found["tokenizer"]["tokens"] == 512
    before = file.stat().st_mtime_ns
    assert for_backend(tiny_model_dir, backend, tmp_path / "export") == file
    assert file.stat().st_mtime_ns == before


def test_a_head_goes_to_onnx_and_not_to_gguf(tmp_path: Path, tiny_model_dir: Path) -> None:
    from edgelm.model.directory import load_model
    from edgelm.model.heads import save_labeller, with_head

    head = HeadConfig("sequence", ("a", "b"))
    save_labeller(
        with_head(load_model(tiny_model_dir), head), tiny_model_dir, tmp_path / "model", "# a head\n"
    )
    file = for_backend(tmp_path / "model", "onnx", tmp_path / "export")
    before, after = load_labeller(tmp_path / "model"), load_labeller(file)
    assert before is not None
    assert after is not None
    assert after.backend == "onnx"
    texts = [Labelled("Umfana", "", "zul"), Labelled("Imvula iyana.", "", "zul")]
    assert before.label(texts) == after.label(texts)
    with pytest.raises(BadInput, match=r"has a head, which GGUF does not hold\. Choose --backend onnx"):
        for_backend(tmp_path / "model", "gguf", tmp_path / "other")


def test_what_is_of_a_backend_stays_there(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").touch()
    (tmp_path / "linear").mkdir()
    (tmp_path / "linear" / "config.json").write_text('{"model_type": "edgelm-linear"}')
    gguf, onnx = tmp_path / "m.gguf", tmp_path / "onnx"
    assert for_backend(gguf, "gguf", tmp_path / "out") == gguf
    assert for_backend(onnx, "onnx", tmp_path / "out") == onnx
    for path, backend, problem in (
        (gguf, "torch", "is a model for gguf, and cannot be run in torch"),
        (gguf, "onnx", "is a model for gguf"),
        (onnx, "gguf", "is a model for onnx"),
        (tmp_path / "linear", "torch", "needs no backend"),
        (onnx, "tflite", "unknown backend 'tflite'"),
    ):
        with pytest.raises(BadInput, match=problem) as error:
            for_backend(path, backend, tmp_path / "out")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
