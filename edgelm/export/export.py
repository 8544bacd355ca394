"""`edgelm export`: a model directory to files for a device, each verified before it counts as written."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.export.verify import check_size, get_bound, verify
from edgelm.extras import require
from edgelm.progress import Progress
from edgelm.runtime.torch import TorchModel


def artifact_name(name: str) -> str:
    """Where a format lies in an export: `gguf:Q8_0` is `model-Q8_0.gguf`, `onnx:int8` is `onnx/int8`."""
    family, kind = name.split(":")
    return f"model-{kind}.gguf" if family == "gguf" else f"onnx/{kind}"


def export(
    model: Path, output: Path, formats: Sequence[str], *, progress: Progress | None = None
) -> dict[str, Any]:
    """Export a model directory to `formats` into `output`; returns the verification of each.

    Raises:
        BadInput: unknown format, or `model` is no model directory.
        MissingExtra: a format's packages are not installed.
        EdgelmError: an export differs from PyTorch beyond its bound; nothing is left as if it were good.
    """
    progress = progress or Progress(silent=True)
    if not formats:
        raise BadInput("no format was given", remedy="name at least one, as in: --to gguf:Q8_0")
    formats = list(dict.fromkeys(formats))
    limits = {name: asdict(get_bound(name)) for name in formats}
    families = {name.split(":")[0] for name in formats}
    if "gguf" in families:
        require("gguf", "export")
        require("llama_cpp", "gguf")
    if "onnx" in families:
        require("onnx", "export")
        require("optimum", "export")

    def work(partial: Path) -> dict[str, Any]:
        for leftover in partial.iterdir():
            if leftover.name != ".digest":
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        reference = TorchModel.open(model)
        (partial / "onnx").mkdir()
        found = {}
        with progress.track(len(formats), "exporting and verifying") as step:
            for name in formats:
                artifact = partial / artifact_name(name)
                _write(model, partial, name)
                check_size(artifact, name, reference.model.config.parameters, reference.vocab_size)
                found[name] = verify(reference, model, artifact, name)
                step(1, name)
        shutil.rmtree(partial / ".scratch", ignore_errors=True)
        if not any((partial / "onnx").iterdir()):
            (partial / "onnx").rmdir()
        artifacts.write_json(partial / "verification.json", found)
        return found

    provenance, _ = artifacts.build(
        output, command="export", config={"formats": limits}, inputs=[model], work=work
    )
    return provenance["results"]


def _write(model: Path, partial: Path, name: str) -> None:
    """Write one format; what it is quantised from is made once and kept in `.scratch`."""
    family, kind = name.split(":")
    scratch = partial / ".scratch"
    scratch.mkdir(exist_ok=True)
    artifact = partial / artifact_name(name)
    if family == "gguf":
        from edgelm.export.gguf import quantize_gguf, write_gguf

        if kind in ("F32", "F16"):
            write_gguf(model, artifact, kind)
            return
        if not (scratch / "model-F32.gguf").exists():
            write_gguf(model, scratch / "model-F32.gguf", "F32")
        quantize_gguf(scratch / "model-F32.gguf", artifact, kind)
    else:
        from edgelm.export.onnx import quantize_onnx, write_onnx

        if not (scratch / "fp32").exists():
            write_onnx(model, scratch / "fp32")
        if kind == "fp32":
            shutil.copytree(scratch / "fp32", artifact)
        else:
            quantize_onnx(scratch / "fp32", artifact)
