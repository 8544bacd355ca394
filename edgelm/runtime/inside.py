"""What a path is that was given as a model, and which models lie in it: for a message that helps."""

from collections.abc import Iterator
from pathlib import Path

from edgelm.artifacts import PROVENANCE, read_provenance
from edgelm.errors import BadInput
from edgelm.model.head_config import model_type, read_head
from edgelm.runtime.ensemble import HEAD, MODEL_TYPE
from edgelm.runtime.gguf_header import is_model
from edgelm.runtime.graph_file import GRAPHS, find_graph

DEPTH = 4
"""Folders below the one given that are looked into."""
NAMED = 6
"""Models that a message names; the others are counted."""
KINDS = {"edgelm-linear": "a linear classifier", "edgelm-crf": "a CRF", MODEL_TYPE: "an ensemble"}


def is_one(path: Path) -> bool:
    """Whether a path is a model itself, whole or not."""
    return path.is_file() or any(
        (path / name).exists() for name in (*GRAPHS, "model.safetensors", "config.json")
    )


def models_inside(folder: Path) -> list[Path]:
    """Models in a folder that is none itself: .gguf files, then folders. None lies inside another."""
    found = sorted(_below(folder, DEPTH))
    return [one for one in found if one.is_file()] + [one for one in found if one.is_dir()]


def _below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        own = [one for one in folder.iterdir() if not one.name.startswith(".")]
    except OSError:  # a folder that may not be read
        return
    for one in own:
        if one.is_dir():
            if is_one(one):
                yield one
            elif depth > 1:
                yield from _below(one, depth - 1)
        elif one.suffix == ".gguf" and is_model(one):
            yield one


def writes(path: Path) -> bool:
    """Whether a model writes text; others label it. A damaged one counts as such, and says so when opened."""
    try:
        return path.is_file() or (model_type(path) not in KINDS and read_head(path) is None)
    except BadInput:
        return True


def no_model(path: Path) -> BadInput:
    """What to say of a path that is there and is no model."""
    inside = models_inside(path) if path.is_dir() else []
    if inside:
        what = "is a folder of models" if len(inside) > 1 else "is the folder of a model"
        return BadInput(f"{what}, and none itself", file=path, remedy=f"give {_one_of(inside)}")
    if (path / "adapter_config.json").exists():
        return BadInput(
            "is an adapter", file=path, remedy=f"give the model that it is merged in, {path.parent}"
        )
    made_by = (read_provenance(path) or {}).get("command")
    what = f"was written by edgelm {made_by} and is no model" if made_by else "is not a model"
    return BadInput(
        what, file=path, remedy="give a .gguf file, or a directory with model.onnx or model.safetensors"
    )


def check_decoder(path: Path, *, heads: bool = False) -> None:
    """See that a path may be the directory of a decoder in PyTorch; its files are not read.

    Args:
        heads: one that has a head will do.

    Raises:
        BadInput: it is missing or something else; the message says what, and what to give instead.
    """
    if not path.exists():
        raise BadInput("no such model", file=path, remedy="give a model directory, as edgelm pretrain writes")
    kind = model_type(path) if path.is_dir() else ""
    graph = path.is_dir() and find_graph(path) is not None and not (path / "model.safetensors").exists()
    if kind == MODEL_TYPE and (path / HEAD / "model.safetensors").exists():
        remedy = f"give the decoder in it, {path / HEAD}" if heads else _base(path)
        raise BadInput("is an ensemble, two models that label together", file=path, remedy=remedy)
    if kind in KINDS and not graph:
        raise BadInput(f"is {KINDS[kind]}, which has no decoder", file=path, remedy=_base(path))
    if path.suffix == ".gguf" or graph:
        what = "an ONNX model" if graph else "a GGUF file"
        raise BadInput(f"is {what}, which cannot be trained or exported again", file=path, remedy=_base(path))
    if not is_one(path):
        raise no_model(path)
    if path.is_file():
        raise BadInput("is a file, not a model directory", file=path, remedy=_base(path))
    if not heads and read_head(path):
        raise BadInput("has a head: it labels and cannot write", file=path, remedy=_base(path))


def _base(path: Path) -> str:
    """A remedy: the directory that a model was made from, where its provenance knows one that is there."""
    for folder in (path, *path.parents[:3]):
        if found := read_provenance(folder):
            bases = [Path(one) for one in found.get("inputs", {})]
            trained = [one for one in bases if (one / PROVENANCE).exists()]
            known = [one for one in trained if (one / "model.safetensors").exists() and writes(one)]
            return f"give the model that it was made from, {known[0]}" if known else GIVE
    return GIVE


GIVE = "give a model directory that writes, as edgelm pretrain makes"


def _one_of(models: list[Path]) -> str:
    named = ", ".join(map(str, models[:NAMED]))
    more = len(models) - NAMED
    one = "one of: " if len(models) > 1 else ""
    return f"{one}{named}" + (f" and {more} more in it" if more > 0 else "")
