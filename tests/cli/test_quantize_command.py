"""`edgelm quantize`, and adapters, as a user types them."""

import json
from collections.abc import Callable
from pathlib import Path

import made_up
import pytest

pytest.importorskip("llama_cpp", reason="GGUF files are quantised with the extra 'gguf'")

from edgelm.export import finishing_data, verify

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    for code in ("zul", "xho"):
        lines = [json.dumps({"text": one["text"]}) for one in made_up.documents(code, 20)]
        (folder / f"{code}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_finished(
    tmp_path: Path, edgelm: Run, model_dir: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing_data, "HELD_OUT", 300)
    given = ("quantize", model_dir, "--to", "gguf:Q2_K", "--text", text, "-o", tmp_path / "out", "-q")
    code, said, err = edgelm(*given)
    assert (code, said) == (2, "")
    assert "Give --qat, or run edgelm export instead" in err
    code, said, err = edgelm(*given, "--qat", "--steps", 4, "--batch", 2, "--precision", "fp32")
    assert code == 0, err
    found = json.loads((tmp_path / "out" / "finishing.json").read_text(encoding="utf-8"))
    assert found["helped"]
    for one in (found["before"], found["after"]):
        assert f"{one['kl']:.5f}" in said
        assert f"{one['bits_per_byte']:.4f}" in said
    assert f"next: edgelm export {tmp_path / 'out'} --to gguf:Q2_K" in said


def test_an_adapter_on_its_base(
    tmp_path: Path, edgelm: Run, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft", reason="peft makes the adapters")
    from adapted import adapted

    monkeypatch.setattr(verify, "STRINGS", 10)
    model, out = adapted(tiny_model_dir, tmp_path / "model", 0, rows=True), tmp_path / "out"
    code, said, err = edgelm("export", model, "--to", "lora:F32", "--to", "gguf:F32", "-o", out, "-q")
    assert (code, err) == (0, "")
    base, adapter = out / "base" / "model-F32.gguf", out / "adapter-F32.gguf"
    assert " adapter-F32.gguf " in said
    assert " base/model-F32.gguf " in said
    assert f"written: {out}\n" in said
    given = ("Molo", "--temperature", 1, "--max-tokens", 12, "-q")
    merged, with_it, without = (
        edgelm("run", *words, *given)[1] for words in ((model,), (base, "--adapter", adapter), (base,))
    )
    assert merged == with_it != without
    code, _, err = edgelm("run", model, "--adapter", adapter, *given)
    assert (code, err.count("\n")) == (2, 1)
    assert "an adapter goes on a .gguf file" in err
