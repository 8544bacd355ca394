"""A model directory in another runtime: exported at full precision, verified, and evaluated as that file."""

from pathlib import Path

from edgelm.errors import BadInput
from edgelm.model.head_config import model_type
from edgelm.progress import Progress
from edgelm.runtime.ensemble import HEAD
from edgelm.runtime.graph_file import find_graph
from edgelm.runtime.labeller import SMALL

FORMATS = {"onnx": "onnx:fp32", "gguf": "gguf:F32"}


def for_backend(model: Path, backend: str, folder: Path, progress: Progress | None = None) -> Path:
    """The file or folder to evaluate `model` by in a runtime; one that has to be exported goes to `folder`.

    Raises:
        BadInput: no such runtime, or the model is already of another, or of none that can be chosen.
        MissingExtra: what exports it is not installed.
        EdgelmError: the export differs from PyTorch.
    """
    if backend not in ("torch", *FORMATS):
        raise BadInput(f"unknown backend '{backend}'", remedy="choose one of: torch, onnx, gguf")
    here = _backend_of(model)
    if here == backend:
        return model
    if here != "torch":
        runs = f"is a model for {here}" if here else "needs no backend"
        raise BadInput(f"{runs}, and cannot be run in {backend}", file=model, remedy="leave --backend out")
    from edgelm.export.ensemble import export_labeller, is_labeller
    from edgelm.export.export import artifact_name, export

    name = FORMATS[backend]
    if not is_labeller(model):
        export(model, folder, [name], progress=progress)
    elif backend == "onnx":
        export_labeller(model, folder, [name], progress=progress)
    else:
        raise BadInput("has a head, which GGUF does not hold", file=model, remedy="choose --backend onnx")
    return folder / artifact_name(name)


def _backend_of(model: Path) -> str:
    """What runs a model as it is; empty for what needs no runtime."""
    if model.suffix == ".gguf":
        return "gguf"
    if any(find_graph(folder) for folder in (model, model / HEAD)):
        return "onnx"
    return "" if model_type(model) in SMALL else "torch"
