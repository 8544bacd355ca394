"""Heads as ONNX: the labels of PyTorch, both ways and causal, whatever the length."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="ONNX files are written with the extra 'export'")


from edgelm.errors import BadInput, EdgelmError
from edgelm.export import head as module
from edgelm.export.head import export_head, write_head_onnx
from edgelm.export.onnx import _to_eight_bits
from edgelm.model.directory import load_model
from edgelm.model.head_config import HeadConfig, Kind, Pooling
from edgelm.model.heads import save_labeller, with_head
from edgelm.runtime import load_labeller
from edgelm.runtime.labeller import HeadModel
from edgelm.runtime.onnx_labeller import OnnxLabeller
from edgelm.tasks.examples import Labelled, Tagged


def make(folder: Path, base: Path, kind: Kind, both_ways: bool) -> HeadConfig:
    pooling: Pooling = "mean" if both_ways and kind == "sequence" else "last"
    head = HeadConfig(kind, ("a", "b", "c"), both_ways, pooling=pooling)
    save_labeller(with_head(load_model(base), head, seed=1), base, folder, "# a head\n")
    return head


@pytest.mark.parametrize("kind", ["token", "sequence"])
@pytest.mark.parametrize("both_ways", [True, False])
def test_logits_are_those_of_pytorch(
    tmp_path: Path, tiny_model_dir: Path, kind: Kind, both_ways: bool
) -> None:
    head = make(tmp_path / "model", tiny_model_dir, kind, both_ways)
    found = export_head(tmp_path / "model", head, tmp_path / "out", ["onnx:fp32"])["onnx:fp32"]
    assert found["labels"] == 1.0
    assert found["logits"] < 1e-4
    assert found["compared"] >= 44
    assert json.loads((tmp_path / "out" / "verification.json").read_text(encoding="utf-8")) == {
        "onnx:fp32": found
    }
    before, after = load_labeller(tmp_path / "model"), load_labeller(tmp_path / "out" / "onnx" / "fp32")
    assert isinstance(after, OnnxLabeller)
    assert before is not None
    example = (
        Labelled("Umfana", "", "") if kind == "sequence" else Tagged(("Umfana", "uyahamba", "."), (), "")
    )
    assert after.label([example]) == before.label([example])
    assert len(after.label([example])[0]) == (1 if kind == "sequence" else 3)


def test_padding_is_not_attended_to(tmp_path: Path, tiny_model_dir: Path) -> None:
    head = make(tmp_path / "model", tiny_model_dir, "token", True)
    export_head(tmp_path / "model", head, tmp_path / "out", ["onnx:fp32"])
    model = OnnxLabeller.open(tmp_path / "out" / "onnx" / "fp32", head)
    tokens, mask = np.tile(np.arange(300, 309), (2, 1)), np.ones((2, 9), dtype=np.int64)
    mask[1, 5:] = 0
    padded = model.engine.run(None, {"input_ids": tokens, "attention_mask": mask})[0]
    np.testing.assert_allclose(padded[1, :5], model.logits([range(300, 305)])[0], atol=1e-5)
    np.testing.assert_allclose(padded[0], model.logits([range(300, 309)])[0], atol=1e-5)
    assert np.abs(padded[1, 4] - padded[0, 4]).max() > 1e-5


def test_padding_is_not_in_the_mean(tmp_path: Path, tiny_model_dir: Path) -> None:
    head = make(tmp_path / "model", tiny_model_dir, "sequence", True)
    export_head(tmp_path / "model", head, tmp_path / "out", ["onnx:fp32"])
    for folder in (tmp_path / "model", tmp_path / "out" / "onnx" / "fp32"):
        model = load_labeller(folder)
        assert isinstance(model, HeadModel)
        short, long = model.logits([range(300, 305), range(300, 309)])
        (alone,) = model.logits([range(300, 305)])
        np.testing.assert_allclose(short, alone, atol=1e-5)
        assert np.abs(short[0] - long[0]).max() > 1e-5


def test_in_eight_bits_it_is_smaller(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.FORMATS, "onnx:int8", 0.0)  # random weights decide by a hair
    head = make(tmp_path / "model", tiny_model_dir, "token", True)
    found = export_head(tmp_path / "model", head, tmp_path / "out", ["onnx:int8"])
    assert found["onnx:int8"]["bytes"] < 0.5 * (tmp_path / "model" / "model.safetensors").stat().st_size
    assert [path.name for path in (tmp_path / "out" / "onnx").iterdir()] == ["int8"]
    monkeypatch.setitem(module.FORMATS, "onnx:int8", 1.01)
    with pytest.raises(EdgelmError, match=r"onnx:int8 gives .* of the labels"):
        export_head(tmp_path / "model", head, tmp_path / "other", ["onnx:int8", "onnx:fp32"])
    assert not (tmp_path / "other").exists()


def test_in_four_bits_and_for_the_mobile_runtime(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnx:int4", "ort:int4"):
        monkeypatch.setitem(module.FORMATS, name, 0.5)  # random weights decide by a hair
    head = make(tmp_path / "model", tiny_model_dir, "sequence", True)
    found = export_head(tmp_path / "model", head, tmp_path / "out", ["ort:int4", "ort:fp32", "onnx:int4"])
    assert found["ort:fp32"]["labels"] == 1.0
    assert found["ort:fp32"]["logits"] < 1e-4
    assert found["onnx:int4"]["bytes"] < 0.3 * (tmp_path / "model" / "model.safetensors").stat().st_size
    assert 1e-3 < found["onnx:int4"]["logits"] < 0.5
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").glob("*/*/model.*"))
    assert names == ["onnx/int4/model.onnx", "ort/fp32/model.ort", "ort/int4/model.ort"]
    texts = [[300, 301, 302], [40] * 9, [41]]
    for kind in ("onnx/int4", "ort/int4"):
        model = load_labeller(tmp_path / "out" / kind)
        assert isinstance(model, OnnxLabeller)
        assert not model.alone
        for ours, text in zip(model.logits(texts), texts, strict=True):
            np.testing.assert_allclose(ours, model.logits([text])[0], atol=1e-4)


def test_embeddings_in_eight_bits() -> None:
    table = np.random.default_rng(0).normal(size=(50, 64)).astype(np.float32)
    table[3, :32] = 0
    rows, scales = _to_eight_bits(table)
    assert rows.dtype == np.uint8
    again = (rows.astype(np.float32) - 128).reshape(50, 2, 32) * scales[:, :, None]
    assert np.abs(again.reshape(table.shape) - table).max() <= scales.max() / 2 + 1e-6


def test_what_a_head_cannot_be(tmp_path: Path, tiny_model_dir: Path) -> None:
    head = make(tmp_path / "model", tiny_model_dir, "token", False)
    with pytest.raises(BadInput, match="a head cannot be written as gguf:Q8_0"):
        export_head(tmp_path / "model", head, tmp_path / "out", ["gguf:Q8_0"])
    write_head_onnx(
        with_head(load_model(tiny_model_dir), HeadConfig("token", ("a", "b"))), tmp_path / "two.onnx"
    )
    export_head(tmp_path / "model", head, tmp_path / "out", ["onnx:fp32"])
    (tmp_path / "two.onnx").replace(tmp_path / "out" / "onnx" / "fp32" / "model.onnx")
    with pytest.raises(BadInput, match=r"has 2 labels, config.json 3"):
        load_labeller(tmp_path / "out" / "onnx" / "fp32")
    (tmp_path / "out" / "onnx" / "fp32" / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(BadInput, match="is not an ONNX model"):
        load_labeller(tmp_path / "out" / "onnx" / "fp32")
