"""GGUF files where llama-cpp-python, which takes a compiler, is not installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import exported
import made_up
import numpy as np
import pytest
from gguf import GGUFReader

from edgelm.errors import MissingExtra
from edgelm.export.export import artifact_name, check_packages, export
from edgelm.export.gguf import ALIKE, FILE_TYPES, quantize_gguf, write_gguf
from edgelm.export.verify import bounds

MAIN = "from edgelm.cli import main\nmain()\n"


def tensors(path: Path) -> dict[str, tuple[str, bytes]]:
    return {one.name: (one.tensor_type.name, one.data.tobytes()) for one in GGUFReader(path).tensors}


@pytest.mark.parametrize("kind", sorted({*FILE_TYPES} - {"F32"}))
def test_weights_are_the_bytes_that_llama_cpp_writes(tmp_path: Path, model_dir: Path, kind: str) -> None:
    """Of the kinds with fewer than 8 bits, all matrices but the embedding, for which llama.cpp has others."""
    pytest.importorskip("llama_cpp", reason="GGUF files are quantised with the extra 'gguf'")
    write_gguf(model_dir, tmp_path / "ours.gguf", kind)
    write_gguf(model_dir, tmp_path / "F32.gguf", "F32")
    quantize_gguf(tmp_path / "F32.gguf", tmp_path / "theirs.gguf", kind)
    ours, theirs = tensors(tmp_path / "ours.gguf"), tensors(tmp_path / "theirs.gguf")
    assert ours.keys() == theirs.keys()
    different = {name for name in ours if ours[name] != theirs[name]}
    assert different == (set() if kind in ALIKE else {"token_embd.weight"})
    assert ours["token_embd.weight"][0] == (kind if kind in ALIKE else "Q8_0")
    assert ours["blk.0.attn_q.weight"][0] == kind
    fields = {name: GGUFReader(path).fields for name, path in paths(tmp_path).items()}
    for key in ("general.file_type", *(["general.quantization_version"] if kind[0] == "Q" else [])):
        assert fields["ours"][key].contents() == fields["theirs"][key].contents()


def paths(folder: Path) -> dict[str, Path]:
    return {name: folder / f"{name}.gguf" for name in ("ours", "theirs")}


def test_rows_that_no_block_fits_stay_half_precision(tmp_path: Path, tiny_model_dir: Path) -> None:
    import shutil

    from safetensors.numpy import load_file, save_file

    model = Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps({**config, "intermediate_size": 200}), encoding="utf-8")
    weights = load_file(model / "model.safetensors")
    for name, one in weights.items():
        if "gate_proj" in name or "up_proj" in name:
            weights[name] = np.ascontiguousarray(one[:200])
        if "down_proj" in name:
            weights[name] = np.ascontiguousarray(one[:, :200])
    save_file(weights, model / "model.safetensors")
    write_gguf(model, tmp_path / "model.gguf", "Q8_0")
    found = tensors(tmp_path / "model.gguf")
    assert (found["blk.0.ffn_down.weight"][0], found["blk.0.ffn_up.weight"][0]) == ("F16", "Q8_0")


def test_export_and_run_without_llama_cpp_python(tmp_path: Path, model_dir: Path) -> None:
    pytest.importorskip("xllamacpp", reason="pip install 'edgelm[gguf-prebuilt]'")

    def edgelm(
        *arguments: str, blocked: tuple[str, ...] = ("llama_cpp",)
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            exported.python(MAIN, *arguments, blocked=blocked), capture_output=True, text=True, timeout=240
        )

    kinds = ("gguf:Q8_0", "gguf:Q4_0")
    chosen = [one for kind in kinds for one in ("--to", kind)]
    done = edgelm("export", str(model_dir), "-o", str(tmp_path / "out"), "-q", *chosen)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "out" / "verification.json").read_text(encoding="utf-8"))
    for kind in kinds:
        assert figures[kind]["kl"] <= bounds()[kind].kl
        run = edgelm(
            "run", str(tmp_path / "out" / artifact_name(kind)), "Molo", "-q", blocked=("llama_cpp", "torch")
        )
        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout.startswith("Molo")
    assert not (tmp_path / "out" / "imatrix.gguf").exists()
    lines = "\n".join(json.dumps({"text": one["text"]}) for one in made_up.documents("zul", 20))
    (tmp_path / "zul.jsonl").write_text(lines, encoding="utf-8")
    given = ("quantize", str(model_dir), "-q", "--qat", "--text", str(tmp_path / "zul.jsonl"), "--steps", "2")
    done = edgelm(*given, "--batch", "1", "--to", "gguf:Q4_0", "-o", str(tmp_path / "finished"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "finished" / "finishing.json").read_text(encoding="utf-8"))
    assert found["helped"]
    assert found["after"]["kl"] < found["before"]["kl"] < bounds()["gguf:Q4_0"].kl
    refused = edgelm(*given, "--to", "gguf:Q4_K_M", "-o", str(tmp_path / "not"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("edgelm: gguf:Q4_K_M takes llama.cpp's quantiser; without it gguf:F32, ")
    assert refused.stderr.count("\n") == 1
    refused = edgelm("export", str(model_dir), "-o", str(tmp_path / "not"), "-q", "--to", "gguf:Q4_K_M")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "edgelm: gguf:Q4_K_M takes llama.cpp's quantiser; without it gguf:F32, gguf:F16, gguf:BF16, "
        "gguf:Q8_0, gguf:Q4_0, gguf:Q5_0 can be written. "
        "Run: pip install 'edgelm[gguf]' (needs a C++ compiler)\n"
    )
    assert not (tmp_path / "not").exists()


def test_without_any_llama_cpp_nothing_is_written_that_cannot_be_verified(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("llama_cpp", "xllamacpp"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"gguf-prebuilt.*edgelm\[gguf\]"):
        export(model_dir, tmp_path / "out", ["gguf:Q8_0"])
    assert not os.listdir(tmp_path)
    check_packages(["onnx:fp32"])
