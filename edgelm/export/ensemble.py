"""Models that label as ONNX: a head alone, or the head of an ensemble with the cheap model beside it."""

import shutil
from pathlib import Path
from typing import Any

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.export.export import artifact_name
from edgelm.export.head import export_head
from edgelm.export.linear import export_linear
from edgelm.export.verify import verification_texts
from edgelm.model.head_config import model_type, read_head
from edgelm.model.linear import load_linear
from edgelm.progress import Progress
from edgelm.runtime.ensemble import HEAD, MODEL_TYPE, ensemble_config, read_parts


def is_labeller(model: Path) -> bool:
    """Whether a directory holds a decoder that labels, alone or in an ensemble."""
    return model_type(model) == MODEL_TYPE or read_head(model) is not None


def export_labeller(
    model: Path, output: Path, formats: list[str], *, progress: Progress | None = None
) -> dict[str, Any]:
    """Export to `formats` into `output`; returns the verification of each, which is the head's.

    In an ensemble a linear classifier becomes ONNX as well, with a `verification.json` of its own; a CRF is
    copied.

    Raises:
        BadInput: a format is none for a head, or a file is missing or damaged.
        EdgelmError: an export labels otherwise than PyTorch.
    """
    if head := read_head(model):
        return export_head(model, head, output, formats, progress=progress)
    (decoder, cheap), weights = read_parts(model)
    inner = read_head(decoder)
    if inner is None:
        raise BadInput("is no decoder with a head", file=decoder, remedy="copy the model again")
    progress = progress or Progress(silent=True)

    def work(partial: Path) -> dict[str, Any]:
        found = export_head(decoder, inner, partial / HEAD, formats, progress=progress)
        for name in formats:
            folder = partial / artifact_name(name)
            shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
            shutil.copytree(partial / HEAD / artifact_name(name), folder / HEAD)
            if cheap.name == "linear":
                texts = [text for some in verification_texts().values() for text in some]
                export_linear(load_linear(cheap), folder / cheap.name, texts)
            else:
                shutil.copytree(cheap, folder / cheap.name)
            artifacts.write_json(folder / "config.json", ensemble_config(cheap.name, weights))
        artifacts.write_json(partial / "verification.json", found)
        return found

    def clean(partial: Path) -> None:
        shutil.rmtree(partial / HEAD, ignore_errors=True)
        artifacts.clear_locks(partial)

    provenance, _ = artifacts.build(
        output,
        command="export",
        config={"formats": formats},
        inputs=[model],
        work=work,
        clean=clean,
        say=progress.say,
    )
    results: dict[str, Any] = provenance["results"]
    return results
