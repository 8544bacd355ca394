"""The models that ship with edgelm, in `demo/models/`, and the one that is used where none is named."""

import os
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


def place(path: str | Path) -> Path:
    """A path; where there is nothing and it is the name of a shipped model, that model's folder."""
    named = not os.path.exists(path) and os.fspath(path) in names()  # no, too, of a name that is too long
    return folder() / path if named else Path(path)


def find(path: str | Path) -> Path:
    """A path; where there is nothing and it is the name of a shipped model, that model.

    What writes is the GGUF where llama.cpp is installed, the ONNX where it is not.
    """
    own = place(path)
    if own.parent != folder():
        return own
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
