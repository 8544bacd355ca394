"""Verification fails, loudly, on every kind of damage it is there for."""

import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from edgelm.errors import EdgelmError
from edgelm.export import gguf as writing
from edgelm.export import verify as verifying
from edgelm.export.export import export
from edgelm.export.gguf import quantize_gguf, write_gguf
from edgelm.export.verify import bounds, check_size, verify
from edgelm.model.config import get_preset, read_config
from edgelm.model.directory import read_weights
from edgelm.runtime import LanguageModel, load


@pytest.fixture(scope="module")
def reference(model_dir: Path) -> LanguageModel:
    return load(model_dir)


@pytest.fixture
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two languages' texts are enough to see damage by."""
    texts = verifying.verification_texts()
    few = {code: texts[code][:3] for code in ("ven", "zul")}
    monkeypatch.setattr(verifying, "verification_texts", lambda languages=(): few)


def damage_weights(change: Callable[[dict[str, np.ndarray]], None]) -> Callable[[Path, Path], None]:
    def write(model: Path, path: Path) -> None:
        folder = Path(shutil.copytree(model, path.parent / "damaged"))
        weights = {name: weight.copy() for name, weight in load_file(folder / "model.safetensors").items()}
        change(weights)
        save_file(weights, folder / "model.safetensors")
        write_gguf(folder, path, "F16")

    return write


def one_weight(weights: dict[str, np.ndarray]) -> None:
    weights["model.layers.1.mlp.down_proj.weight"][17, 33] = 4.0


def one_row(weights: dict[str, np.ndarray]) -> None:
    weights["model.embed_tokens.weight"][1999] = 0.0


def one_rare_token(weights: dict[str, np.ndarray]) -> None:
    weights["model.embed_tokens.weight"][1999] *= 1.05  # all but lost in the mean divergence


def one_layer(weights: dict[str, np.ndarray]) -> None:
    a, b = (f"model.layers.{number}.mlp.up_proj.weight" for number in (0, 1))
    weights[a], weights[b] = weights[b], weights[a]


def not_a_number(weights: dict[str, np.ndarray]) -> None:
    weights["model.embed_tokens.weight"][1999, 3] = np.nan


@pytest.mark.usefixtures("few_texts")
@pytest.mark.parametrize("change", [one_weight, one_row, one_rare_token, one_layer, not_a_number])
def test_a_corrupted_weight(
    tmp_path: Path, model_dir: Path, reference: LanguageModel, change: Callable[[dict[str, np.ndarray]], None]
) -> None:
    artifact = tmp_path / "model-F16.gguf"
    write_gguf(model_dir, artifact, "F16")
    verify(reference, model_dir, artifact, "gguf:F16")
    damage_weights(change)(model_dir, artifact)
    said = (
        "its weights are damaged" if change is not_a_number else "differs from PyTorch beyond the bounds of"
    )
    with pytest.raises(EdgelmError, match=rf"model-F16\.gguf: {said}"):
        verify(reference, model_dir, artifact, "gguf:F16")


@pytest.mark.usefixtures("few_texts")
def test_quantised_too_hard(
    tmp_path: Path, model_dir: Path, export_dir: Path, reference: LanguageModel
) -> None:
    artifact = tmp_path / "model-Q8_0.gguf"
    quantize_gguf(export_dir / "model-F32.gguf", artifact, "Q2_K")
    for name in ("gguf:Q8_0", "gguf:Q4_K_M"):
        with pytest.raises(EdgelmError, match=r"\(kl [\d.]+, bound") as caught:
            verify(reference, model_dir, artifact, name)
        assert caught.value.exit_code == 1
        assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("few_texts")
@pytest.mark.parametrize(
    ("attribute", "value", "problem"),
    [
        ("pre_tokenizer", lambda content, file: "default", "tokenises differently"),
        (
            "_arranged",
            lambda name, weight, config: weight,
            "differs from PyTorch",
        ),  # llama.cpp's rotary layout forgotten
    ],
)
def test_a_failing_export_leaves_no_output(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model_dir: Path,
    attribute: str,
    value: object,
    problem: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(writing, attribute, value)
        with pytest.raises(EdgelmError, match=problem) as caught:
            export(model_dir, tmp_path / "out", ["gguf:F32"])
        assert caught.value.exit_code == 1
        assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    found = export(model_dir, tmp_path / "out", ["gguf:F32"])  # what the failed run left does not matter
    assert found["gguf:F32"]["greedy"] == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "edgelm.json",
        "model-F32.gguf",
        "verification.json",
    ]


@pytest.mark.parametrize(
    "kind", ["F32", "F16", "Q8_0", "Q4_K_M", "Q4_K_L", "Q3_K_S", "IQ4_XS", "IQ3_S", "Q2_K"]
)
def test_an_embedding_stored_twice_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_dir: Path, export_dir: Path, kind: str
) -> None:
    config = get_preset("nano")
    if kind in ("F32", "F16", "Q8_0", "Q4_K_M"):
        good = export_dir / f"model-{kind}.gguf"
        check_size(good, f"gguf:{kind}", config)
    weights = read_weights(model_dir)
    doubled = {**weights, "lm_head.weight": weights["model.embed_tokens.weight"]}
    untied = replace(read_config(model_dir), tied=False)
    monkeypatch.setattr(writing, "read_weights", lambda path: doubled)
    monkeypatch.setattr(writing, "read_config", lambda path: untied)
    artifact = tmp_path / f"model-{kind}.gguf"
    write_gguf(model_dir, artifact, "F16" if kind == "F16" else "F32")
    if kind not in ("F32", "F16"):
        quantize_gguf(artifact, tmp_path / "quantised.gguf", kind)
        artifact = tmp_path / "quantised.gguf"
    with pytest.raises(EdgelmError, match="Is a tied weight stored twice"):
        check_size(artifact, f"gguf:{kind}", config)


@pytest.mark.parametrize(("kind", "dtype"), [("fp32", np.float32), ("int8", np.int8)])
def test_an_onnx_embedding_stored_twice_is_too_large(
    tmp_path: Path, export_dir: Path, kind: str, dtype: type
) -> None:
    import onnx

    config = get_preset("nano")
    check_size(export_dir / "onnx" / kind, f"onnx:{kind}", config)
    graph = onnx.load(export_dir / "onnx" / kind / "model.onnx")
    again = np.zeros((config.vocab_size, config.hidden_size), dtype=dtype)
    graph.graph.initializer.append(onnx.numpy_helper.from_array(again, "again"))
    onnx.save(graph, tmp_path / "model.onnx")
    with pytest.raises(EdgelmError, match="Is a tied weight stored twice"):
        check_size(tmp_path, f"onnx:{kind}", config)


def test_bits_per_byte_are_those_of_the_models(export_dir: Path, reference: LanguageModel) -> None:
    figures = json.loads((export_dir / "verification.json").read_text(encoding="utf-8"))
    exported = load(export_dir / "model-Q4_K_M.gguf")
    for code in ("ven", "zul"):
        found = figures["gguf:Q4_K_M"]["languages"][code]
        for model, key in ((reference, "bits_per_byte_before"), (exported, "bits_per_byte")):
            nats, size = 0.0, 0
            for text in verifying.verification_texts()[code][: verifying.LOGIT_DOCUMENTS]:
                ids = model.tokenize(text)[: reference.context - 1]
                nats -= float(model.score([model.bos], ids).sum())
                size += len(model.detokenize(ids).encode("utf-8"))
            assert found[key] == pytest.approx(nats / size / math.log(2), abs=2e-3)
        assert found["kl"] > 0
        assert found["top1"] < 1
    exported.close()
    assert set(figures["gguf:F16"]["languages"]) == set(verifying.verification_texts()) - {"other"}


def test_every_bound_is_explained() -> None:
    from edgelm import resources

    text = resources.path("export", "formats.yaml").read_text(encoding="utf-8")
    readme = resources.path("export", "README.md").read_text(encoding="utf-8")
    for name, bound in bounds().items():
        assert bound.kl < 1
        assert f"`{name}`" in readme or f"| {name.removeprefix('gguf:')} |" in readme
    for field in ("kl", "logits", "top1", "greedy", "bits"):
        assert re.search(rf"^#   {field}\s+\S", text, re.MULTILINE)
