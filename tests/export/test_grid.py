"""What a format leaves of weights is what an export writes of them, in their own order."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

gguf = pytest.importorskip("gguf", reason="GGUF files are written with the gguf package")

from edgelm.export.gguf import quantize_gguf, rotary_rows, tensor_name, write_gguf  # noqa: E402
from edgelm.export.grid import LlamaGrid, left_by_package, left_in_blocks  # noqa: E402
from edgelm.export.importance import measure  # noqa: E402
from edgelm.model.config import read_config  # noqa: E402
from edgelm.tokenizer.texts import sample_texts  # noqa: E402

ERRORS = {"Q8_0": 0.01, "Q4_0": 0.12, "IQ2_XS": 0.5}


@pytest.fixture(scope="module")
def importance(tiny_model_dir: Path) -> dict[str, np.ndarray]:
    texts = {code: own[:2] for code, own in sample_texts().items()}
    return measure(tiny_model_dir, texts, tokens=64).means


def moved(model: Path, folder: Path) -> tuple[dict[str, torch.Tensor], Path]:
    """A copy of a model with other weights, and these."""
    draw = torch.Generator().manual_seed(0)
    weights = {
        name: weight + 0.01 * torch.randn(weight.shape, generator=draw)
        for name, weight in load_file(model / "model.safetensors").items()
    }
    shutil.copytree(model, folder)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return weights, folder


@pytest.mark.parametrize("kind", ERRORS)
def test_it_is_what_an_export_holds(
    tmp_path: Path, tiny_model_dir: Path, importance: dict[str, np.ndarray], kind: str
) -> None:
    """Of other weights than those it was made with: they are put into the file each time."""
    pytest.importorskip("llama_cpp", reason="llama.cpp quantises")
    grid = LlamaGrid(tiny_model_dir, kind, importance, tmp_path)
    weights, other = moved(tiny_model_dir, tmp_path / "other")
    rounded = grid(weights)
    for name, weight in weights.items():
        error = float((rounded[name] - weight).norm() / weight.norm())
        assert error == 0 if weight.dim() == 1 else 0 < error < ERRORS[kind], name
    write_gguf(other, tmp_path / "f32.gguf", "F32")
    quantize_gguf(tmp_path / "f32.gguf", tmp_path / "export.gguf", kind, importance)
    written, held = (gguf.GGUFReader(tmp_path / name).tensors for name in ("export.gguf", "quantised.gguf"))
    assert len(written) == len(held) == len(weights)
    for one, two in zip(written, held, strict=True):
        assert (one.name, one.tensor_type) == (two.name, two.tensor_type)
        assert np.array_equal(one.data, two.data)


@pytest.mark.parametrize("kind", ["Q4_0", "Q5_0"])
def test_without_a_compiler_it_is_what_the_gguf_package_writes(
    tmp_path: Path, tiny_model_dir: Path, kind: str
) -> None:
    weights, other = moved(tiny_model_dir, tmp_path / "other")
    write_gguf(other, tmp_path / "export.gguf", kind)
    written = {one.name: one for one in gguf.GGUFReader(tmp_path / "export.gguf").tensors}
    found, config = left_by_package(weights, kind), read_config(tiny_model_dir)
    assert found.keys() == weights.keys()
    for name, left in found.items():
        one, rows = written[tensor_name(name)], rotary_rows(name, len(left), config)
        values = gguf.dequantize(one.data, one.tensor_type).reshape(left.shape)
        assert np.array_equal(values, left if rows is None else left[rows]), name


def test_in_onnx_it_is_what_the_builder_writes(genai_dir: Path, model_dir: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="ONNX files are written with the extra 'export'")
    left = left_in_blocks(load_file(model_dir / "model.safetensors"))
    graph = onnx.load(genai_dir / "onnx" / "int4" / "model.onnx").graph
    arrays = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulNBits"]
    for node in products:
        size = {one.name: one.i for one in node.attribute}
        steps, scales, zeros = (arrays[one] for one in node.input[1:4])
        if size["bits"] == 4:
            steps, zeros = (np.stack([one & 15, one >> 4], -1) for one in (steps, zeros))
        zeros = zeros.reshape(*scales.shape, 1).astype(np.float32)
        written = (steps.reshape(*scales.shape, -1) - zeros) * scales[..., None]
        name = node.input[1].split(".MatMul")[0].replace(".attn.", ".self_attn.")
        if name == "lm_head":
            name = "model.embed_tokens"
        parts = [name.replace("qkv_", f"{one}_") for one in "qkv"] if "qkv_" in name else [name]
        assert np.array_equal(
            written.reshape(size["N"], size["K"]), torch.cat([left[f"{one}.weight"] for one in parts])
        ), name
    assert len(products) == 5 * read_config(model_dir).layers + 1
    again = left_in_blocks(left)
    for name, weight in load_file(model_dir / "model.safetensors").items():
        if weight.dim() == 1:
            assert torch.equal(left[name], weight)
        else:  # rounded once more, it stays
            assert (again[name] - left[name]).norm() < 0.2 * (left[name] - weight).norm(), name


def test_rows_that_end_within_a_block() -> None:
    draw, name = torch.Generator().manual_seed(0), "model.layers.0.mlp.up_proj.weight"
    rows = torch.randn((4, 72), generator=draw)
    left = left_in_blocks({name: rows})[name]
    assert left.shape == rows.shape
    assert 0 < (left - rows).norm() / rows.norm() < 0.1
    for row, alone in zip(left, rows, strict=True):  # no block has weights of two rows
        assert torch.equal(left_in_blocks({name: alone[None]})[name][0], row)
    same = left_in_blocks({"a": torch.full((2, 32), 0.25), "b": torch.zeros(2, 32)})
    assert torch.isfinite(same["a"]).all()
    assert not same["b"].any()
