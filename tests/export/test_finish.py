"""Finishing for few bits brings a quantised model nearer to its parent, or leaves it as it was."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_up
import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("gguf", reason="GGUF files are written with the gguf package")
pytest.importorskip("llama_cpp", reason="llama.cpp quantises")

from edgelm.errors import BadInput
from edgelm.export import finish as module
from edgelm.export import finishing_data, verify
from edgelm.export.export import export
from edgelm.export.finish import Finishing, finish
from edgelm.export.finishing_data import finishing_texts
from edgelm.export.grid import LlamaGrid, left_in_blocks
from edgelm.export.importance import measure
from edgelm.export.verify import compare
from edgelm.model.directory import load_model
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.validation import HeldOut
from edgelm.tokenizer.text import TextTokenizer

KIND = "gguf:Q2_K"
CONFIG = TrainConfig(
    steps=12, batch=2, learning_rate=2e-4, warmup=2, weight_decay=0, decay=1, optimizer="adamw",
    precision="fp32", compile="off",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """One thread on a busy machine; few strings, little text and two validations in place of many."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "STRINGS", 10)
        patch.setattr(finishing_data, "HELD_OUT", 600)
        patch.setattr(module, "VALIDATIONS", 2)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_corpus(tmp_path_factory.mktemp("made-up"))


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, model_dir: Path, corpus: Path
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("finished") / "model"
    return folder, finish(model_dir, folder, KIND, text=corpus, config=CONFIG)


def test_it_comes_nearer_to_its_parent(
    model_dir: Path, finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, found = finished
    assert found["helped"]
    assert found["after"]["kl"] < 0.85 * found["before"]["kl"]
    assert found["held_out"]["after"] < 0.85 * found["held_out"]["before"]
    assert found["after"]["top1"] > found["before"]["top1"]
    assert found["after"]["bits_per_byte_before"] == found["before"]["bits_per_byte_before"]
    assert set(found["before"]["languages"]) == {"eng", "xho", "zul"}
    assert json.loads((folder / "finishing.json").read_text(encoding="utf-8")) == found
    assert {path.name for path in folder.iterdir()} == {
        *(path.name for path in model_dir.iterdir()),
        *("finishing.json", "edgelm.json", "metrics.jsonl", "speed.jsonl", "curve.html"),
    }
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith((model_dir / "README.md").read_text(encoding="utf-8").rstrip())
    assert f"## Finished for {KIND}" in card
    assert f"| finished | {found['after']['kl']:.5f} |" in card


def test_an_export_leaves_the_finished_weights_where_they_are(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """They are values that the format holds: what is left to lose is a small part of what it was."""
    folder, found = finished
    verified = export(folder, tmp_path / "out", [KIND])[KIND]
    assert verified["kl"] < 0.1 * found["after"]["kl"]


def test_the_parent_stays_where_it_does_not_help(tmp_path: Path, model_dir: Path, corpus: Path) -> None:
    """A rate that throws the weights about: the file is the parent's, to the byte, and it is said."""
    config = replace(CONFIG, steps=2, learning_rate=0.5, warmup=0)
    found = finish(model_dir, tmp_path / "out", "gguf:Q4_0", text=corpus, config=config)
    assert not found["helped"]
    assert found["after"] == found["before"]
    names = ("model.safetensors", "config.json", "tokenizer.json")
    assert all((tmp_path / "out" / name).read_bytes() == (model_dir / name).read_bytes() for name in names)
    assert "did not help" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_killed_and_run_again_it_ends_with_the_same_bytes(
    tmp_path: Path,
    model_dir: Path,
    corpus: Path,
    finished: tuple[Path, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped after a checkpoint in the middle of an interval, whose rounding errors have to come back; and
    after the training, which is not done again. What is mistyped in between costs nothing."""

    class Killed(BaseException):
        pass

    real = Finishing.loss
    calls = []

    def loss(self: Finishing, *arguments: Any, **options: Any) -> Any:
        if torch.is_grad_enabled():
            calls.append(None)
            if len(calls) == 6:
                raise Killed
        return real(self, *arguments, **options)

    monkeypatch.setattr("edgelm.pretrain.loop.CHECKPOINT_EVERY_S", 0)
    monkeypatch.setattr("edgelm.pretrain.loop.SAVING_SHARE", 0)
    monkeypatch.setattr(Finishing, "loss", loss)
    with pytest.raises(Killed):
        finish(model_dir, tmp_path / "out", KIND, text=corpus, config=CONFIG)
    assert sorted((tmp_path / ".out.partial").glob("checkpoint-*"))[-1].name == "checkpoint-00000005"
    monkeypatch.setattr(Finishing, "loss", real)
    (tmp_path / "short.txt").write_text("Molo.", encoding="utf-8")
    for name, text in ((KIND, tmp_path / "short.txt"), (KIND, tmp_path / "none"), ("gguf:F16", corpus)):
        with pytest.raises(BadInput):
            finish(model_dir, tmp_path / "out", name, text=text, config=CONFIG)

    def killed(*arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, "compare", killed)
        with pytest.raises(Killed):
            finish(model_dir, tmp_path / "out", KIND, text=corpus, config=CONFIG)
        patch.setattr(module, "compare", compare)
        patch.setattr(Finishing, "loss", lambda *arguments, **options: real(*arguments, **options).detach())
        again = finish(model_dir, tmp_path / "out", KIND, text=corpus, config=CONFIG)
    for name in ("model.safetensors", "metrics.jsonl", "README.md"):
        assert (tmp_path / "out" / name).read_bytes() == (finished[0] / name).read_bytes(), name
    timed = {"tokens_per_second", "mfu"}
    assert {**again, **dict.fromkeys(timed)} == {**finished[1], **dict.fromkeys(timed)}
    assert json.loads((tmp_path / "out" / "finishing.json").read_text(encoding="utf-8")) == again


def test_between_roundings_a_weight_keeps_the_error_it_was_rounded_by(
    tmp_path: Path, tiny_model_dir: Path
) -> None:
    parent = load_model(tiny_model_dir)
    grid = LlamaGrid(tiny_model_dir, "Q4_0", {}, tmp_path)
    student = Finishing(parent, grid)
    student.refresh()
    weights = dict(parent.named_parameters())
    expected = grid(weights)
    name = "model.layers.0.mlp.up_proj.weight"
    now = dict(student.named_parameters())
    assert all(torch.equal(now[one], expected[one]) for one in now)
    with torch.no_grad():
        now[name] += 0.001
    student.refresh()
    moved = {one: weight + 0.001 if one == name else weight for one, weight in weights.items()}
    again = grid(moved)
    assert torch.allclose(now[name], again[name], rtol=0, atol=1e-6)
    assert not torch.allclose(again[name], expected[name], rtol=0, atol=1e-4)
    assert torch.equal(now["model.norm.weight"], weights["model.norm.weight"])


@pytest.mark.parametrize(("kind", "rounded"), [("Q4_0", True), ("IQ2_XXS", False)])
def test_an_export_of_what_is_given_out_is_what_was_trained(
    tmp_path: Path, model_dir: Path, corpus: Path, kind: str, rounded: bool
) -> None:
    """The rounded weights, where they stay; of two bits, whose blocks find other scales, those behind."""
    parent, texts = load_model(model_dir), finishing_texts(corpus)[0]
    importance = measure(model_dir, texts, tokens=64).means
    grid = LlamaGrid(model_dir, kind, importance, tmp_path)
    student = Finishing(parent, grid)
    student.refresh()
    trained = {name: weight.clone() for name, weight in student.named_parameters()}
    held = HeldOut({"zul": [texts["zul"][0][:100]]}, TextTokenizer(model_dir), parent.config.context)
    given = dict(student.decoder(held, student.divergences(held)["mean"]).named_parameters())
    left, again = grid(given), grid(trained)
    assert given.keys() == trained.keys()
    for name, weight in student.named_parameters():
        assert torch.equal(weight, trained[name])
        if weight.dim() == 1:
            continue
        assert torch.equal(given[name], weight) == rounded, name
        error = (weight - parent.get_parameter(name)).norm()
        assert (left[name] - weight).norm() < 0.02 * error, name
        assert ((again[name] - weight).norm() < 0.02 * error) == rounded, name


def test_for_onnx_of_four_bits(
    tmp_path: Path, model_dir: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both files are the builder's; the weights given out are those that it writes."""
    pytest.importorskip("onnx_ir", reason="onnxruntime-genai's builder imports it")
    pytest.importorskip("onnxruntime_genai", reason="the extra 'export' brings the builder")
    monkeypatch.setattr(finishing_data, "HELD_OUT", 300)
    config = replace(CONFIG, steps=8, learning_rate=5e-5)
    found = finish(model_dir, tmp_path / "out", "onnx:int4", text=corpus, config=config)
    assert found["helped"]
    assert found["after"]["kl"] < 0.95 * found["before"]["kl"]
    assert found["held_out"]["after"] < 0.95 * found["held_out"]["before"]
    assert found["after"]["kl"] == pytest.approx(
        found["held_out"]["after"], rel=0.5
    )  # in one and in the other
    weights = load_file(tmp_path / "out" / "model.safetensors")
    parent, again = load_file(model_dir / "model.safetensors"), left_in_blocks(weights)
    for name, weight in weights.items():
        if weight.dim() == 2:
            assert (again[name] - weight).norm() < 0.2 * (parent[name] - weight).norm(), name


def test_a_head_beside_the_embedding_is_refused_first(tmp_path: Path, tiny_model_dir: Path) -> None:
    model = Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}), encoding="utf-8")
    with pytest.raises(BadInput, match="has a head beside its embedding, which onnx:int4"):
        finish(model, tmp_path / "out", "onnx:int4", text=tmp_path, config=CONFIG)
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


def test_a_folder_of_text_does_instead_of_a_corpus(tmp_path: Path, model_dir: Path) -> None:
    for code in ("zul", "xho"):
        lines = [json.dumps({"text": one["text"]}) for one in made_up.documents(code, 25)]
        (tmp_path / "text").mkdir(exist_ok=True)
        (tmp_path / "text" / f"{code}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    chosen, told, learnt = finishing_texts(tmp_path / "text")
    parts = [[text for own in part.values() for text in own] for part in (chosen, told, learnt)]
    assert set(chosen) == set(told) == set(learnt) == {"zul", "xho"}
    assert [len(part) for part in parts] == [4, 4, 42]
    assert len(set().union(*parts)) == 50  # none in two of them
    config = replace(CONFIG, steps=1, batch=1)
    found = finish(
        model_dir, tmp_path / "out", "gguf:Q4_0", text=tmp_path / "text", config=config, context=64
    )
    assert set(found["after"]["languages"]) == {"zul", "xho"}
    metrics = (tmp_path / "out" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(metrics[-1])["tokens"] == 64
    with pytest.raises(BadInput, match=r"--context 9999 is out of range"):
        finish(model_dir, tmp_path / "no", KIND, text=tmp_path / "text", config=config, context=9999)
    (tmp_path / "short.txt").write_text("Molo.", encoding="utf-8")
    with pytest.raises(BadInput, match=r"short.txt: has too little text to hold some out"):
        finish(model_dir, tmp_path / "none", "gguf:Q4_0", text=tmp_path / "short.txt", config=config)


@pytest.mark.parametrize("name", ["gguf:F16", "gguf:Q8_0", "onnx:int8"])
def test_formats_with_nothing_to_win_back(tmp_path: Path, model_dir: Path, name: str) -> None:
    with pytest.raises(BadInput, match="is no format that a model is finished for"):
        finish(model_dir, tmp_path / "out", name, text=tmp_path, config=CONFIG)
    with pytest.raises(BadInput, match="unknown format 'gguf:Q9'"):
        finish(model_dir, tmp_path / "out", "gguf:Q9", text=tmp_path, config=CONFIG)
