"""The models that ship with edgelm, in `demo/models/`, and the one that is used where none is named."""

from importlib.util import find_spec
from pathlib import Path

from edgelm import resources
from edgelm.errors import EdgelmError

WRITER = "mzansi-tiny"
"""A folder with the model twice, as GGUF and as ONNX."""


def folder() -> Path:
    """Where the shipped models are."""
    return resources.path("demo", "models")


def names() -> list[str]:
    """What a shipped model may be called in place of a path."""
    return sorted(one.name for one in folder().glob("*") if one.is_dir())


def find(path: str | Path) -> Path:
    """The model at a path; where there is nothing, the shipped one of that name; else the path as it is.

    What writes is the GGUF where llama.cpp is installed, the ONNX where it is not.
    """
    path = Path(path)
    if path.exists() or str(path) not in names():
        return path
    own = folder() / path
    runs_gguf = any(find_spec(module) for module in ("llama_cpp", "xllamacpp"))
    ggufs, graphs = sorted(own.glob("*.gguf")), sorted(one.parent for one in own.glob("*/model.onnx"))
    return next(iter((ggufs if runs_gguf else []) + graphs), own)


def writer() -> Path:
    """The shipped model that writes.

    Raises:
        EdgelmError: this installation has none.
    """
    found = find(WRITER)
    if not found.exists():
        raise EdgelmError(
            f"{folder()}: no model ships with this copy of edgelm. Name one, or run: edgelm quickstart"
        )
    return found
