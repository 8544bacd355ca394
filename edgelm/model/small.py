"""Directories of small models that are no decoders: their config, weights, lists of text and card."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.files import check_file, read_json
from edgelm.model.card import LABELS, card, hub_languages, table


def read_config(directory: Path, model_type: str, version: int) -> dict[str, Any]:
    """`config.json` of a model of one kind.

    Raises:
        BadInput: it is missing, damaged, of another kind or of a later version.
    """
    path = directory / "config.json"
    try:
        config = read_json(path)
    except FileNotFoundError:
        raise BadInput("no such file", file=path, remedy="give a model directory") from None
    except (OSError, ValueError) as error:
        raise BadInput(
            f"cannot be read ({type(error).__name__})", file=path, remedy="copy the model again"
        ) from None
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != model_type:
        raise BadInput(f"is of the kind {kind!r}, not '{model_type}'", file=path, remedy="give another model")
    if config.get("version") != version:
        raise BadInput(
            f"is of version {config.get('version')!r}, this edgelm reads {version}",
            file=path,
            remedy="train the model again, or update edgelm",
        )
    return config


def read_weights(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, which must have these names.

    Raises:
        BadInput: the file is missing or damaged.
    """
    try:
        check_file(path)
        weights: dict[str, np.ndarray] = load_file(path)
    except FileNotFoundError:
        raise BadInput("no such file", file=path, remedy="copy the model again") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise BadInput(
            f"is not a safetensors file ({error})", file=path, remedy="copy the model again"
        ) from None
    if set(weights) != set(names):
        raise BadInput(
            f"holds {', '.join(sorted(weights)) or 'nothing'}, not {', '.join(names)}",
            file=path,
            remedy="copy the model again",
        )
    return weights


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, ended by line feeds and nothing else.

    Raises:
        BadInput: the file is missing, no regular file or not UTF-8.
    """
    try:
        check_file(path)
        text = path.read_bytes().decode("utf-8", "surrogatepass")
    except FileNotFoundError:
        raise BadInput("no such file", file=path, remedy="copy the model again") from None
    except (OSError, ValueError) as error:
        raise BadInput(
            f"cannot be read ({type(error).__name__})", file=path, remedy="copy the model again"
        ) from None
    return text.removesuffix("\n").split("\n") if text else []


def strings(values: Any) -> tuple[str, ...]:
    """A JSON value that must be a list of text; raises `TypeError`."""
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise TypeError("not a list of text")
    return tuple(values)


def small_card(
    name: str,
    pipeline: str,
    languages: Sequence[str],
    about: str,
    run: Sequence[str],
    figures: dict[str, Any],
    limits: str,
) -> str:
    """A model card for a model that is no decoder."""
    rows = [
        [(f"{key}, {inner}" if inner else key).replace("_", " "), value]
        for key, values in figures.items()
        for inner, value in (values.items() if isinstance(values, dict) else [("", values)])
    ]
    metadata = {"library_name": "edgelm", "pipeline_tag": pipeline, "language": hub_languages(languages)}
    lines = [
        *[about, "", "```python", "from pathlib import Path", *run, "```", ""],
        *(["## Figures", "", *table(["what", "value"], rows), ""] if rows else []),
        *["## Limits", "", limits, *LABELS],
    ]
    return card(name, metadata, lines)


def recorded(model: Any, model_type: str, version: int) -> dict[str, Any]:
    """What every such model's `config.json` says: its kind, and what it was trained on and how."""
    return {
        "model_type": model_type,
        "version": version,
        "task": model.task,
        "languages": list(model.languages),
        "method": model.method,
        "figures": model.figures,
    }


def read_recorded(config: dict[str, Any]) -> dict[str, Any]:
    """What the model was trained on and how, as its class takes it."""
    return {
        "task": str(config["task"]),
        "languages": strings(config["languages"]),
        "method": str(config["method"]),
        "figures": dict(config["figures"]),
    }


def write_small(
    directory: Path,
    config: dict[str, Any],
    weights: dict[str, np.ndarray],
    lists: dict[str, Sequence[str]],
    readme: str,
) -> None:
    """Write a model's directory, `config.json` last; `lists` are files of one text a line."""
    directory.mkdir(exist_ok=True)
    contiguous = {name: np.ascontiguousarray(one) for name, one in weights.items()}
    artifacts.write_bytes(directory / "model.safetensors", save(contiguous))
    for name, lines in lists.items():
        text = "".join(f"{one}\n" for one in lines)
        (directory / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    artifacts.write_text(directory / "README.md", readme)
    artifacts.write_json(directory / "config.json", config)


@contextmanager
def reading(directory: Path, kind: str) -> Iterator[None]:
    """Say of what file it is where something read from a model's directory is not as it should be."""
    try:
        yield
    except BadInput as error:
        if error.file is not None:
            raise
        raise BadInput(str(error), file=directory) from None
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise BadInput(
            f"is not {kind}'s ({error!r})", file=directory / "config.json", remedy="copy the model again"
        ) from None
