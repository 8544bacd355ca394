"""What a kind of GGUF leaves of weights is what llama.cpp writes of them, in their own order."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

gguf = pytest.importorskip("gguf", reason="GGUF files are written with the gguf package")
pytest.importorskip("llama_cpp", reason="llama.cpp quantises")

from edgelm.export.gguf import quantize_gguf, write_gguf  # noqa: E402
from edgelm.export.grid import Grid  # noqa: E402
from edgelm.export.importance import measure  # noqa: E402
from edgelm.tokenizer.texts import sample_texts  # noqa: E402

ERRORS = {"Q8_0": 0.01, "Q4_0": 0.12, "IQ2_XS": 0.5}


@pytest.fixture(scope="module")
def importance(tiny_model_dir: Path) -> dict[str, np.ndarray]:
    texts = {code: own[:2] for code, own in sample_texts().items()}
    return measure(tiny_model_dir, texts, tokens=64).means


@pytest.mark.parametrize("kind", ERRORS)
def test_it_is_what_an_export_holds(
    tmp_path: Path, tiny_model_dir: Path, importance: dict[str, np.ndarray], kind: str
) -> None:
    """Of other weights than those it was made with: they are put into the file each time."""
    grid = Grid(tiny_model_dir, kind, importance, tmp_path)
    draw = torch.Generator().manual_seed(0)
    weights = {
        name: weight + 0.01 * torch.randn(weight.shape, generator=draw)
        for name, weight in load_file(tiny_model_dir / "model.safetensors").items()
    }
    rounded = grid(weights)
    for name, weight in weights.items():
        error = float((rounded[name] - weight).norm() / weight.norm())
        assert error == 0 if weight.dim() == 1 else 0 < error < ERRORS[kind], name
    other = tmp_path / "other"
    other.mkdir()
    for file in tiny_model_dir.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    write_gguf(other, tmp_path / "f32.gguf", "F32")
    quantize_gguf(tmp_path / "f32.gguf", tmp_path / "export.gguf", kind, importance)
    written, held = (gguf.GGUFReader(tmp_path / name).tensors for name in ("export.gguf", "quantised.gguf"))
    assert len(written) == len(held) == len(weights)
    for one, two in zip(written, held, strict=True):
        assert (one.name, one.tensor_type) == (two.name, two.tensor_type)
        assert np.array_equal(one.data, two.data)
