"""`edgelm export`: a model directory to files for a device, each verified before it counts as written."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgelm import artifacts
from edgelm.bench.speed import decode_speed
from edgelm.errors import BadInput, EdgelmError
from edgelm.export.importance import TOKENS, calibration_texts, measure, write_importance
from edgelm.export.prune import held_out, prune, training_texts
from edgelm.export.verify import check_size, get_bound, verify
from edgelm.extras import require
from edgelm.progress import Progress
from edgelm.runtime.torch import TorchModel

EXACT = ("gguf:F32", "gguf:F16", "gguf:BF16", "gguf:Q8_0")
"""Formats that no importance matrix changes."""
WEIGHED = tuple(f"gguf:{kind}" for kind in ("IQ3_XXS", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS"))
"""Formats that llama.cpp does not write without one."""
IMATRIX, PRUNING = "imatrix.gguf", "pruning.json"


def artifact_name(name: str) -> str:
    """Where a format lies in an export: `gguf:Q8_0` is `model-Q8_0.gguf`, `onnx:int8` is `onnx/int8`."""
    family, kind = name.split(":")
    return f"model-{kind}.gguf" if family == "gguf" else f"onnx/{kind}"


def export(
    model: Path,
    output: Path,
    formats: Sequence[str],
    *,
    text: str | Path = "sample",
    languages: Sequence[str] = (),
    keep_going: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Export a model directory to `formats` into `output`; returns the verification of each.

    Args:
        text: what quantisation to GGUF weighs the weights by (`edgelm.export.importance`): a corpus,
            a file or folder of text, `sample` for the embedded one, or `none`.
        languages: drop the tokens that these do not use in `text`, which is then a corpus or files; writes
            `pruning.json` (`edgelm.export.prune`).
        keep_going: leave out a format that fails, with `failed` in place of its figures, rather than end.

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
    weighed = text != "none" and any(name.startswith("gguf:") and name not in EXACT for name in formats)
    if text == "none" and (poor := [name for name in formats if name in WEIGHED]):
        raise BadInput(f"{poor[0]} needs an importance matrix", remedy="leave --text none out")
    given = [] if text in ("sample", "none") else [Path(text)]
    if languages and not given:
        raise BadInput(
            "it takes text to see which tokens languages use", remedy="give it, as in: --text my-corpus"
        )
    for name in formats:
        require_packages(name)

    def work(partial: Path) -> dict[str, Any]:
        for leftover in partial.iterdir():
            if leftover.name != ".digest":
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        source = model
        if languages:
            source = partial / ".scratch" / "pruned"
            source.parent.mkdir()
            progress.say(f"dropping the tokens that {', '.join(languages)} do not use")
            pruning = prune(model, training_texts(given[0], languages), source, held_out(given[0], languages))
        reference = TorchModel.open(source)
        importance: dict[str, np.ndarray] = {}
        if weighed:
            texts = calibration_texts(given[0] if given else None)
            texts = {code: own for code, own in texts.items() if not languages or code in languages}
            with progress.track(len(texts), "measuring what weights matter") as step:
                found = measure(source, texts, step=step)
            write_importance(found, partial / IMATRIX)
            importance = found.means
        (partial / "onnx").mkdir()
        figures = {}
        with progress.track(len(formats), "exporting and verifying") as step:
            for name in formats:
                try:
                    artifact = partial / artifact_name(name)
                    _write(source, partial, name, importance)
                    check_size(artifact, name, reference.model.config.parameters, reference.vocab_size)
                    figures[name] = verify(reference, source, artifact, name, languages)
                except EdgelmError as error:
                    if not keep_going:
                        raise
                    figures[name] = {"failed": str(error)}
                step(1, name)
        written = [name for name in formats if "failed" not in figures[name]]
        if languages and written:
            whole = partial / ".scratch" / "whole"
            (whole / "onnx").mkdir(parents=True)
            _write(model, whole, written[0], importance={})
            names = [folder / artifact_name(written[0]) for folder in (whole, partial)]
            artifacts.write_json(partial / PRUNING, {**pruning, "tokens_per_second": decode_speed(names)})
        shutil.rmtree(partial / ".scratch", ignore_errors=True)
        if not any((partial / "onnx").iterdir()):
            (partial / "onnx").rmdir()
        artifacts.write_json(partial / "verification.json", figures)
        return figures

    provenance, _ = artifacts.build(
        output,
        command="export",
        config={
            "formats": limits,
            "imatrix": TOKENS if weighed else 0,
            "languages": list(languages),
            **({"keep_going": True} if keep_going else {}),
        },
        inputs=[model, *(given if weighed or languages else [])],
        work=work,
    )
    return provenance["results"]


def require_packages(name: str) -> None:
    """Raise `MissingExtra` where what writes a format is not installed."""
    modules = {
        "gguf": (("gguf", "export"), ("llama_cpp", "gguf")),
        "onnx": (("onnx", "export"), ("optimum", "export")),
    }
    for module, extra in modules[name.split(":")[0]]:
        require(module, extra)


def _write(model: Path, partial: Path, name: str, importance: Mapping[str, np.ndarray]) -> None:
    """Write one format; what it is quantised from is made once and kept in `.scratch`."""
    family, kind = name.split(":")
    scratch = partial / ".scratch"
    scratch.mkdir(exist_ok=True)
    artifact = partial / artifact_name(name)
    if family == "gguf":
        from edgelm.export.gguf import FILE_TYPES, quantize_gguf, write_gguf

        if kind in FILE_TYPES:
            write_gguf(model, artifact, kind)
            return
        if not (scratch / "model-F32.gguf").exists():
            write_gguf(model, scratch / "model-F32.gguf", "F32")
        quantize_gguf(scratch / "model-F32.gguf", artifact, kind, importance)
    else:
        from edgelm.export.onnx import quantize_onnx, write_onnx

        if not (scratch / "fp32").exists():
            write_onnx(model, scratch / "fp32")
        if kind == "fp32":
            shutil.copytree(scratch / "fp32", artifact)
        else:
            quantize_onnx(scratch / "fp32", artifact)
