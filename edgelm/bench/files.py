"""Which models lie in a folder, and how large they are."""

from collections.abc import Sequence
from pathlib import Path

from edgelm.errors import BadInput
from edgelm.runtime.graph_file import external_files, find_graph
from edgelm.runtime.inside import is_one, models_inside, writes


def find_models(paths: Sequence[Path]) -> dict[str, Path]:
    """Model files and folders by a short name each: those given, and all that lie in export folders given.

    Raises:
        BadInput: a path is missing or holds no model.
    """
    found: list[tuple[str, Path]] = []
    for path in paths:
        if not path.exists():
            raise BadInput("no such model", file=path, remedy="give a model or a folder of exports")
        if is_one(path):
            found.append((path.name or path.resolve().name, path))
            continue
        inside = [one for one in models_inside(path) if writes(one)]
        if not inside:
            raise BadInput("holds no model", file=path, remedy="give a model or what edgelm export wrote")
        found += [(_short(one.relative_to(path)), one) for one in inside]
    names = [name for name, _ in found]
    models = {name if names.count(name) == 1 else str(path): path for name, path in found}
    if len(models) < len(found):
        raise BadInput("a model was given twice", remedy="give each once")
    return models


def _short(path: Path) -> str:
    """What `edgelm export --to` calls a file or folder that it wrote; else its path."""
    if path.parent.as_posix() in ("onnx", "ort"):
        return f"{path.parent}:{path.name}"
    known = path.parent == Path() and path.name.startswith("model-")
    return f"gguf:{path.stem.removeprefix('model-')}" if known else path.as_posix()


def model_bytes(path: Path) -> int:
    """Bytes of a model's weights on the disk, with the graph where there is one.

    Raises:
        BadInput: the graph is damaged, or weights that it names are not beside it.
    """
    if path.is_file():
        return path.stat().st_size
    graph = find_graph(path)
    files = [graph, *external_files(graph)] if graph else path.glob("*.safetensors")
    return sum(file.stat().st_size for file in files)
