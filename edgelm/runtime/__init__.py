"""One interface over PyTorch, ONNX Runtime and llama.cpp."""

import os
from pathlib import Path

from edgelm import shipped
from edgelm.errors import BadInput
from edgelm.model.head_config import model_type, read_head
from edgelm.runtime.base import LanguageModel
from edgelm.runtime.ensemble import MODEL_TYPE as ENSEMBLE
from edgelm.runtime.ensemble import Ensemble, read_parts
from edgelm.runtime.generation import Generation
from edgelm.runtime.graph_file import find_graph
from edgelm.runtime.inside import no_model
from edgelm.runtime.labeller import SMALL, LabelModel, open_small

MOST_THREADS = 4
"""For each core."""
__all__ = ["Generation", "LabelModel", "LanguageModel", "load", "load_labeller"]


def load(path: str | Path, *, threads: int | None = None, adapter: str | Path | None = None) -> LanguageModel:
    """Load a model for use: a `.gguf` file, a directory with `model.onnx` or `model.ort`, one with
    `model.safetensors`, or `mzansi-tiny`, which ships with edgelm.

    Args:
        threads: CPU threads to use; all usable cores by default.
        adapter: a GGUF file of LoRA to put on a `.gguf` file; `LlamaCppModel.use_adapter` changes it.

    Raises:
        BadInput: the path is missing, damaged, no model or one that labels; or the adapter is missing,
            damaged, of another model, or for another runtime.
        MissingExtra: the runtime for it is not installed; the message names the command that installs it.
    """
    path = shipped.find(path)
    check_threads(threads)
    if not path.exists():
        raise BadInput("no such model", file=path, remedy="give a .gguf file or a model directory")
    if path.is_dir() and (model_type(path) in (*SMALL, ENSEMBLE) or read_head(path)):
        raise BadInput(
            "labels and writes no text", file=path, remedy="use edgelm run, or load_labeller from Python"
        )
    if path.suffix == ".gguf":
        from edgelm.runtime.llama import LlamaCppModel

        loaded = LlamaCppModel.open(path, threads)
        if adapter is not None:
            try:
                loaded.use_adapter(adapter)
            except BaseException:
                loaded.close()
                raise
        return loaded
    if adapter is not None:
        raise BadInput("an adapter goes on a .gguf file", file=path, remedy="export the base to one")
    if find_graph(path):
        from edgelm.runtime.onnx import open_model

        return open_model(path, threads)
    if (path / "model.safetensors").exists() or (path / "config.json").exists():
        from edgelm.extras import require

        require("torch", "train")
        from edgelm.runtime.torch import TorchModel

        return TorchModel.open(path, threads)
    raise no_model(path)


def check_threads(threads: int | None) -> None:
    """Raise `BadInput` for so many threads that they only wait for each other."""
    cores = os.cpu_count() or 1
    if threads is not None and not 1 <= threads <= MOST_THREADS * cores:
        raise BadInput(f"{threads} threads for {cores} cores", remedy=f"give 1 to {cores}, or leave it out")


def load_labeller(path: str | Path, *, threads: int | None = None) -> LabelModel | None:
    """Load a model that labels texts or words; None where `path` is no such model.

    Raises:
        BadInput: it is damaged, or the threads are far too many.
        MissingExtra: PyTorch is not installed.
    """
    path = shipped.find(path)
    check_threads(threads)
    if not path.is_dir():
        return None
    if (kind := model_type(path)) in SMALL:
        return open_small(path, kind, threads)
    if kind == ENSEMBLE:
        return _open_ensemble(path, threads)
    head = read_head(path)
    if head is None:
        return None
    if find_graph(path):
        from edgelm.runtime.onnx_labeller import OnnxLabeller

        return OnnxLabeller.open(path, head, threads)
    from edgelm.extras import require

    require("torch", "train")
    from edgelm.runtime.torch_labeller import TorchLabeller

    return TorchLabeller.open(path, head, threads)


def _open_ensemble(directory: Path, threads: int | None) -> Ensemble:
    folders, weights = read_parts(directory)
    parts = []
    for folder in folders:
        part = load_labeller(folder, threads=threads)
        if part is None:
            raise BadInput("is not a model that labels", file=folder, remedy="copy the model again")
        parts.append(part)
    return Ensemble(parts, weights)
