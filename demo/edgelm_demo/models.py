"""The models that the page offers, and those of them that are in memory."""

import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import edgelm
from edgelm.errors import BadInput, EdgelmError, MissingExtra
from edgelm.machine import usable_cores
from edgelm.model.head_config import model_type
from edgelm.runtime import load_labeller
from edgelm.runtime.ensemble import CHEAP, HEAD
from edgelm.runtime.ensemble import MODEL_TYPE as ENSEMBLE
from edgelm.runtime.gguf_header import is_model
from edgelm.runtime.inside import writes
from edgelm.runtime.labeller import SMALL

READERS = 2  # models at work at once
KEPT, MOST_BYTES = 4, 2_000_000_000  # models in memory, and their weights together
WAITING = 16  # requests that may wait for them
DEPTH = 4  # levels of folders searched for models
RUNS_WITH = {
    "llama.cpp": ("llama_cpp", "xllamacpp"),
    "onnx": ("onnxruntime",),
    "torch": ("torch",),
    "numpy": ("numpy",),
}
TRIED = "tried"  # where `finetune --method auto` leaves, in the model that it chose, those that it did not


@dataclass(frozen=True, slots=True)
class Found:
    """A model on the machine that serves the page."""

    name: str
    """What the page calls it."""
    path: Path
    size: int
    """Bytes of its weights."""
    writes: bool
    """It writes text; others label it."""


def find_models(paths: Iterable[Path]) -> dict[str, Found]:
    """Models at or below `paths` by the name that the page shows, smallest first.

    A model whose runtime is not installed is left out, with a line on stderr.

    Raises:
        BadInput: a path is missing, or there is no model.
        MissingExtra: there are models, and no runtime for any.
    """
    found: dict[Path, str] = {}
    for path in paths:
        if not path.exists():
            raise BadInput(
                "no such file or folder", file=path, remedy="give a model, or a folder that holds some"
            )
        for model in _models_below(path, DEPTH):
            name = path.resolve().name if model == path else model.relative_to(path).as_posix()
            found.setdefault(model.resolve(), apart(model, name, set(found.values())))
    if not found:
        remedy = (
            "give a .gguf file or a folder with model.onnx or model.safetensors, or run: edgelm quickstart"
        )
        raise BadInput("there is no model in the given folders", remedy=remedy)
    models, missing = {}, {}
    for path in sorted(found, key=lambda path: (_size(path), path)):
        backend = _backend(path)
        if any(find_spec(module) is not None for module in RUNS_WITH[backend]):
            name = f"{found[path]} ({_size(path) / 1e6:,.1f} MB)"
            models[name] = Found(name, path, _size(path), writes(path))
        elif backend not in missing:
            try:
                load_labeller(path) or edgelm.load(path)
            except EdgelmError as error:  # which names the command that installs it
                missing[backend] = f"{found[path]} and its kind are left out: {error}"
    if not models:
        raise MissingExtra(" ".join(missing.values()))
    for line in missing.values():
        print(line, file=sys.stderr)
    return models


def _models_below(path: Path, levels: int) -> Iterator[Path]:
    if path.suffix == ".gguf" and path.is_file():
        if is_model(path):
            yield path
    elif path.is_dir():
        together = model_type(path) == ENSEMBLE
        own = together or _graphs(path) or (path / "model.safetensors").is_file()
        if own:
            yield path
        for child in sorted(path.iterdir()) if levels and not together else ():
            if not (child.name.startswith((".", "checkpoint")) or (own and child.name == TRIED)):
                yield from _models_below(child, levels - 1)


def apart(path: Path, name: str, taken: Collection[str]) -> str:
    """A name for what lies at `path` that is not taken: `name`, or as much of the path's end as it needs."""
    parts = path.resolve().parts
    ends = ("/".join(parts[-count:]) for count in range(1, len(parts) + 1))
    return next(one for one in (name, *ends) if one not in taken)


def _graphs(path: Path) -> list[Path]:
    return [*path.glob("model.onnx*"), *path.glob("model.ort")]


def _backend(path: Path) -> str:
    """What a model runs with, a key of `RUNS_WITH`; of an ensemble its decoder, as the rest takes less."""
    if path.is_file():
        return "llama.cpp"
    kind = model_type(path)
    if kind == ENSEMBLE:
        return _backend(path / HEAD)
    return "onnx" if _graphs(path) else "numpy" if kind in SMALL else "torch"


def _size(path: Path) -> int:
    if model_type(path) == ENSEMBLE:
        return sum(_size(path / part) for part in (HEAD, *CHEAP) if (path / part).is_dir())
    weights = [path] if path.is_file() else _graphs(path) or [path / "model.safetensors"]
    return sum(file.stat().st_size for file in weights if file.is_file())


class Shelf:
    """The models in memory, each lent to one generation at a time; the least recently used gives way.

    A loaded model holds one sequence (llama.cpp clears it when the next begins), so two readers of one model
    get a copy each: neither waits for the other nor can spoil the other's text. That is cheap, as copies of a
    GGUF file share its pages and these models are small. Each copy has its share of the cores, as two that
    take all of them spin against each other: on two busy cores, two readers of nano's Q8_0 got 770 tokens/s
    together with two threads each, 3 500 with one.
    """

    def __init__(self) -> None:
        self.idle: list[tuple[Path, Any]] = []  # least recently used first
        self.lent: list[Path] = []
        self.changes = 0
        """How often a model was opened or closed."""
        self.places, self.lock = threading.BoundedSemaphore(READERS), threading.Lock()
        self.threads = max(1, usable_cores() // READERS)

    @contextmanager
    def borrow(self, path: Path, load: Callable[..., Any] | None = None) -> Iterator[Any]:
        """A model, loaded with `edgelm.load` unless told otherwise."""
        with self.places:
            with self.lock:
                place = next((n for n, (known, _) in enumerate(self.idle) if known == path), None)
                model = None if place is None else self.idle.pop(place)[1]
                self.lent.append(path)
                while self.idle and self._too_many():
                    _close(self.idle.pop(0)[1])
                    self.changes += 1
                self.changes += model is None
            try:
                model = model or (load or edgelm.load)(path, threads=self.threads)
                yield model
            finally:
                with self.lock:
                    self.lent.remove(path)
                    if model:
                        self.idle.append((path, model))

    def _too_many(self) -> bool:
        held = [*self.lent, *(path for path, _ in self.idle)]
        return len(held) > KEPT or sum(map(_size, held)) > MOST_BYTES


def _close(model: Any) -> None:
    """Free what a model holds; one that labels has nothing to free by hand."""
    if close := getattr(model, "close", None):
        close()
