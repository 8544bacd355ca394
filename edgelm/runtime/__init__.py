"""One interface over PyTorch, ONNX Runtime and llama.cpp."""

from pathlib import Path

from edgelm.errors import BadInput
from edgelm.runtime.base import Generation, LanguageModel

__all__ = ["Generation", "LanguageModel", "load"]


def load(path: str | Path, *, threads: int | None = None) -> LanguageModel:
    """Load a model for use: a `.gguf` file, a directory with `model.onnx`, or one with `model.safetensors`.

    Args:
        threads: CPU threads to use; all usable cores by default.

    Raises:
        BadInput: the path is missing, damaged or no model.
        MissingExtra: the runtime for it is not installed; the message names the command that installs it.
    """
    path = Path(path)
    if not path.exists():
        raise BadInput("no such model", file=path, remedy="give a .gguf file or a model directory")
    if path.suffix == ".gguf":
        from edgelm.runtime.llama import LlamaCppModel

        return LlamaCppModel.open(path, threads)
    if (path / "model.onnx").exists():
        from edgelm.runtime.onnx import OnnxModel

        return OnnxModel.open(path, threads)
    if (path / "model.safetensors").exists() or (path / "config.json").exists():
        from edgelm.extras import require

        require("torch", "train")
        from edgelm.runtime.torch import TorchModel

        return TorchModel.open(path, threads)
    raise BadInput(
        "is not a model",
        file=path,
        remedy="give a .gguf file, or a directory with model.onnx or model.safetensors",
    )
