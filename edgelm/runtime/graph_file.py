"""ONNX files before ONNX Runtime opens them: which one a folder has, and which others it wants to read.

Weights may lie outside the graph's file, anywhere its writer says. ONNX Runtime 1.23 goes there, or crashes
where there is nothing; so the places are read first, from the wire format of Protocol Buffers (protobuf.dev,
"Encoding"), as running a model needs no package `onnx`. Files in ORT's own format hold all their weights.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

from edgelm.errors import BadInput

GRAPHS = ("model.onnx", "model.ort")
AGAIN = "export or copy the model again"

# fields to go down into, by message, and what they hold, as onnx.proto numbers them
FIELDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
EXTERNAL_DATA = 13  # of a tensor: entries with a key (1) and a value (2)
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def find_graph(directory: Path) -> Path | None:
    """The ONNX file of a model folder, or None."""
    return next((directory / name for name in GRAPHS if (directory / name).exists()), None)


def external_files(graph: Path) -> list[Path]:
    """The files beside a graph that hold weights of it.

    Raises:
        BadInput: the graph is damaged, or wants a file that is missing, too short or outside its folder.
    """
    if graph.exists() and not graph.is_file():  # opening a pipe would wait for ever
        raise BadInput("is no file", file=graph, remedy=AGAIN)
    if graph.suffix != ".onnx":
        return []
    found: dict[str, int] = {}
    try:
        with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for entries in _external_entries(data):
                said = dict(entries)
                end = int(said.get("offset", 0)) + int(said.get("length", 0))
                for place in [value for key, value in entries if key == "location"] or [""]:
                    found[place] = max(end, found.get(place, 0))
    except (ValueError, IndexError, OSError):  # mmap refuses an empty file with ValueError
        raise BadInput("is not an ONNX model that can be read", file=graph, remedy=AGAIN) from None
    return [_checked(graph, place, size) for place, size in found.items()]


def quantises_activations(path: Path) -> bool:
    """Whether a graph in 8 bits scales its activations by all it is given at once: what is read together
    then changes the figures."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"DynamicQuantize") >= 0


def _checked(graph: Path, place: str, size: int) -> Path:
    parts = place.replace("\\", "/").split("/")
    if "\0" in place or ":" in place or parts[0] == "" or ".." in parts:
        raise BadInput(
            f"wants weights from outside its folder ({place[:60]!r})",
            file=graph,
            remedy="do not use this model",
        )
    path = graph.parent / place
    try:
        whole = path.is_file() and path.stat().st_size >= size
    except OSError:  # such as a name that is too long
        whole = False
    if not whole:
        raise BadInput(
            f"is missing or shorter than {graph.name} says ({size:,} bytes)", file=path, remedy=AGAIN
        )
    return path


def _external_entries(data: mmap.mmap) -> Iterator[list[tuple[str, str]]]:
    """What each tensor says of where it lies: `location`, `offset` and `length`, each perhaps twice."""
    waiting = [("model", 0, len(data))]
    while waiting:
        message, start, end = waiting.pop()
        if message == "tensor":
            entries = []
            for field, begin, stop in _fields(data, start, end):
                if field == EXTERNAL_DATA:
                    pair = {number: data[a:b].decode("utf-8") for number, a, b in _fields(data, begin, stop)}
                    entries.append((pair.get(1, ""), pair.get(2, "")))
            if entries:
                yield entries
        else:
            inner = FIELDS[message]
            waiting += [
                (inner[field], begin, stop)
                for field, begin, stop in _fields(data, start, end)
                if field in inner
            ]


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of each field of a message that has a length."""
    while start < end:
        tag, start = _varint(data, start)
        tag, kind = tag & 0xFFFFFFFF, tag & 7  # as Protocol Buffers reads it
        if kind == BYTES:
            length, start = _varint(data, start)
            yield tag >> 3, start, start + length
            start += length
        elif kind == VARINT:
            _, start = _varint(data, start)
        elif kind in (FIXED64, FIXED32):
            start += 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
    if start != end:
        raise ValueError("a field is longer than its message")


def _varint(data: mmap.mmap, start: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[start]
        start += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, start
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
