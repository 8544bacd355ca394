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
from edgelm.export.foreign import check_gguf, fallen_back
from edgelm.export.gguf import ALIKE, check_quantiser, quantize_gguf, write_gguf, written_here
from edgelm.export.importance import TOKENS, calibration_texts, measure, write_importance
from edgelm.export.judged import judged_texts, unsampled
from edgelm.export.prune import held_out, prune, training_texts
from edgelm.export.verify import check_size, get_bound, verify
from edgelm.extras import require
from edgelm.progress import Progress
from edgelm.runtime.inside import check_decoder
from edgelm.runtime.llama_c import compiled, llama_cpp
from edgelm.runtime.torch import TorchModel

EXACT = tuple(f"gguf:{kind}" for kind in ALIKE)
"""Formats that no importance matrix changes."""
WEIGHED = tuple(f"gguf:{kind}" for kind in ("IQ3_XXS", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS"))
"""Formats that llama.cpp does not write without one."""
IMATRIX, PRUNING = "imatrix.gguf", "pruning.json"


def artifact_name(name: str) -> str:
    """Where a format lies in an export: `gguf:Q8_0` is `model-Q8_0.gguf`, `onnx:int8` is `onnx/int8`."""
    family, kind = name.split(":")
    return f"model-{kind}.gguf" if family == "gguf" else f"{family}/{kind}"


def check_packages(formats: Sequence[str]) -> None:
    """See that what the formats are written and verified with is installed.

    Raises:
        MissingExtra: it is not.
    """
    kinds = [name.split(":")[1] for name in formats if name.startswith("gguf:")]
    if kinds:
        require("gguf", "export")
        llama_cpp()
        check_quantiser(kinds)
    if len(kinds) < len(formats):
        require("onnx", "export")
    if any(name.endswith((":fp32", ":int8")) for name in formats):
        require("optimum", "export")
    if any(name.endswith((":int4", ":int4-all", ":int8-genai")) for name in formats):
        require("onnxruntime_genai", "export")


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
        text: what quantisation to GGUF weighs the weights by (`edgelm.export.importance`), ONNX int8 is
            levelled by and exports are judged on: a corpus, a file or folder of text, `sample` for the
            embedded one, or `none`.
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
    check_decoder(model)
    if lora := [name for name in formats if name.startswith("lora:")]:
        raise BadInput(f"{lora[0]} is of a model with an adapter", remedy="see edgelm.export.adapter")
    limits = {name: asdict(get_bound(name)) for name in formats}
    few_bits = any(name.startswith("gguf:") and name not in EXACT for name in formats)
    weighed = text != "none" and few_bits and compiled() is not None  # the gguf package weighs nothing
    levelled = text != "none" and any(name.endswith(":int8") for name in formats)
    if text == "none" and (poor := [name for name in formats if name in WEIGHED]):
        raise BadInput(f"{poor[0]} needs an importance matrix", remedy="leave --text none out")
    given = [] if text in ("sample", "none") else [Path(text)]
    if languages and not given:
        raise BadInput(
            "it takes text to see which tokens languages use", remedy="give it, as in: --text my-corpus"
        )
    check_packages(formats)
    if kinds := [name.split(":")[1] for name in formats if name.startswith("gguf:")]:
        check_gguf(model, kinds)

    if not given and (codes := unsampled(model)):
        progress.say(
            f"edgelm's sample has no text in {', '.join(codes)}, so the figures below say little: "
            "give text in it, as in: --text my-corpus"
        )

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
        if weighed or levelled:
            texts = calibration_texts(given[0] if given else None)
            texts = {code: own for code, own in texts.items() if not languages or code in languages}
            with progress.track(len(texts), "measuring what weights matter") as step:
                found = measure(source, texts, step=step)
            if weighed:
                write_importance(found, partial / IMATRIX)
            importance = found.means
        figures, judged = {}, judged_texts(given[0] if given else None, languages)
        with progress.track(len(formats), "exporting and verifying") as step:
            for name in formats:
                try:
                    artifact = partial / artifact_name(name)
                    write_format(source, partial, name, importance)
                    check_size(artifact, name, reference.model.config)
                    figures[name] = verify(reference, source, artifact, name, languages, judged=judged)
                    if larger := _fallen_back(artifact, name):
                        figures[name]["fallen_back"] = larger
                except EdgelmError as error:
                    if not keep_going:
                        raise
                    figures[name] = {"failed": str(error)}
                step(1, name)
        written = [name for name in formats if "failed" not in figures[name]]
        if languages and written:
            whole = partial / ".scratch" / "whole"
            whole.mkdir()
            write_format(model, whole, written[0], importance={})
            names = [folder / artifact_name(written[0]) for folder in (whole, partial)]
            artifacts.write_json(partial / PRUNING, {**pruning, "tokens_per_second": decode_speed(names)})
        shutil.rmtree(partial / ".scratch", ignore_errors=True)
        artifacts.write_json(partial / "verification.json", figures)
        return figures

    provenance, _ = artifacts.build(
        output,
        command="export",
        config={
            "formats": limits,
            "imatrix": TOKENS if weighed else 0,
            **({"levelled": TOKENS} if levelled else {}),
            "languages": list(languages),
            **({"keep_going": True} if keep_going else {}),
        },
        inputs=[model, *given],
        work=work,
    )
    return provenance["results"]


def _fallen_back(artifact: Path, name: str) -> dict[str, str]:
    """Types of the matrices of a GGUF file that its kind does not fit."""
    family, kind = name.split(":")
    found = fallen_back(artifact, kind) if family == "gguf" else {}
    return {tensor: own for tensor, (own, _) in found.items()}


def write_format(model: Path, partial: Path, name: str, importance: Mapping[str, np.ndarray]) -> None:
    """Write `artifact_name(name)`; what it is quantised from is made once and kept in `.scratch`."""
    family, kind = name.split(":")
    scratch = partial / ".scratch"
    scratch.mkdir(exist_ok=True)
    artifact = partial / artifact_name(name)
    if family == "gguf":
        if written_here(kind):
            write_gguf(model, artifact, kind)
            return
        if not (scratch / "model-F32.gguf").exists():
            write_gguf(model, scratch / "model-F32.gguf", "F32")
        quantize_gguf(scratch / "model-F32.gguf", artifact, kind, importance)
    else:
        from edgelm.export.onnx import write_kind, write_ort

        source = write_kind(model, scratch, kind, importance)
        if family == "ort":
            write_ort(source, artifact)
        else:
            shutil.copytree(source, artifact)
