"""The header of a GGUF file, read strictly before llama.cpp opens it.

llama.cpp trusts a file that it can parse: a false layer count or a token that is there twice ends the
process. Every length and offset is held here against the length of the file before it is used, so no memory
is taken for what the file does not hold. The weights are not read.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgelm.errors import BadInput

MAGIC, VERSIONS = b"GGUF", (2, 3)
REMEDY = "copy or export the model again"
ARRAY, STRING = 9, 8
SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
"""`struct`'s name of each type of value, by its number."""
F32 = 0
BLOCKS = {
    F32: (1, 4), 1: (1, 2), 30: (1, 2),  # F16, BF16
    2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),  # Q4_0, Q4_1, Q5_0, Q5_1, Q8_0
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),  # Q2_K to Q6_K
    16: (256, 66), 17: (256, 74), 22: (256, 82),  # IQ2_XXS, IQ2_XS, IQ2_S
    18: (256, 98), 21: (256, 110), 19: (256, 50), 29: (256, 56),  # IQ3_XXS, IQ3_S, IQ1_S, IQ1_M
    20: (32, 18), 23: (256, 136), 34: (256, 54), 35: (256, 66),  # IQ4_NL, IQ4_XS, TQ1_0, TQ2_0
    39: (32, 17), 40: (64, 36), 41: (128, 18),  # MXFP4, NVFP4, Q1_0
}  # fmt: skip
"""Weights in a block and its bytes, by the number of a tensor's type."""
LONGEST_KEY, LONGEST_NAME, MOST_DIMENSIONS, MOST_WEIGHTS = 65535, 63, 4, 2**40


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """`shape` has the columns first, as llama.cpp does; `kind` is the number of its type."""

    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def bytes(self) -> int:
        weights, size = BLOCKS[self.kind]
        rows = 1
        for one in self.shape[1:]:
            rows *= one
        return self.shape[0] // weights * size * rows


@dataclass(slots=True)
class Header:
    """What a file says of itself: `values` by key, strings as bytes; `tensors` by name."""

    values: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, TensorInfo] = field(default_factory=dict)


def read_header(path: Path) -> Header:
    """Read and check the header.

    Raises:
        BadInput: the file is missing, no GGUF file, damaged or cut short.
    """
    if not path.is_file():  # opening a pipe would wait for ever
        raise BadInput("is no file", file=path, remedy="give a .gguf file")
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).read()
    except ValueError as error:  # an empty file cannot be mapped
        raise BadInput(f"is not a whole GGUF file ({error})", file=path, remedy=REMEDY) from None
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", file=path, remedy="check the path") from None


def is_model(path: Path) -> bool:
    """Whether a GGUF file is a model of its own, as importance matrices and adapters are not; a damaged one
    counts as such, and says what is wrong with it when it is opened."""
    try:
        return read_header(path).values.get("general.type", b"model") == b"model"
    except BadInput:
        return True


class _Reader:
    """Walks through a file; every method raises `ValueError` before it would read past the end."""

    def __init__(self, data: mmap.mmap):
        self.data, self.place, self.size = data, 0, len(data)

    def read(self) -> Header:
        magic, version = self.data[:4], int.from_bytes(self.data[4:8], "little")
        if magic != MAGIC or version not in VERSIONS:
            raise ValueError(f"begins with {magic!r}, version {version}")
        self.place = 8
        tensors, values = self._number("<Q"), self._number("<Q")
        found = Header()
        for _ in range(values):
            key = self._name()
            if key in found.values:
                raise ValueError(f"{key} is there twice")
            found.values[key] = self._value(self._number("<I"))
        for _ in range(tensors):
            name = self._name()
            if name in found.tensors or len(name) > LONGEST_NAME:
                raise ValueError(f"tensor {name[:LONGEST_NAME]} is there twice or has too long a name")
            found.tensors[name] = self._tensor(name)
        self._check_places(found)
        return found

    def _number(self, form: str) -> Any:
        start = self.place
        self._take(struct.calcsize(form))
        return struct.unpack_from(form, self.data, start)[0]

    def _name(self) -> str:
        name = self._string()
        if len(name) > LONGEST_KEY or not name.isascii() or not name.decode().isprintable():
            raise ValueError(f"{name[:LONGEST_NAME]!r} is no name")
        return name.decode()

    def _string(self) -> bytes:
        length = self._number("<Q")
        self._take(length)
        return self.data[self.place - length : self.place]

    def _take(self, length: int) -> None:
        if length > self.size - self.place:
            raise ValueError(f"ends at byte {self.size}, within its header")
        self.place += length

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self._string()
        if kind in SCALARS:
            return self._number(SCALARS[kind])
        if kind != ARRAY:
            raise ValueError(f"a value is of type {kind}")
        inner, count = self._number("<I"), self._number("<Q")
        if inner == STRING:
            return list(self._strings(count))
        if inner not in SCALARS:
            raise ValueError(f"an array is of type {inner}")
        form = SCALARS[inner][1]
        start = self.place
        self._take(count * struct.calcsize(f"<{form}"))
        return struct.unpack_from(f"<{count}{form}", self.data, start)

    def _strings(self, count: int) -> Iterator[bytes]:
        """Like `_string` many times, in a third of the time: vocabularies are long."""
        data, place, size = self.data, self.place, self.size
        for _ in range(count):
            start = place + 8
            place = start + int.from_bytes(data[place:start], "little")
            if place > size or start > size:
                raise ValueError(f"ends at byte {size}, within its header")
            yield data[start:place]
        self.place = place

    def _tensor(self, name: str) -> TensorInfo:
        dimensions = self._number("<I")
        if not 1 <= dimensions <= MOST_DIMENSIONS:
            raise ValueError(f"tensor {name} has {dimensions} dimensions")
        shape = tuple(self._number("<Q") for _ in range(dimensions))
        kind, offset = self._number("<I"), self._number("<Q")
        weights = 1
        for one in shape:
            weights *= one
        if not 0 < weights <= MOST_WEIGHTS:
            raise ValueError(f"tensor {name} has the shape {shape}")
        if kind not in BLOCKS or shape[0] % BLOCKS[kind][0]:
            raise ValueError(f"tensor {name} is of type {kind} and has rows of {shape[0]}")
        return TensorInfo(shape, kind, offset)

    def _check_places(self, found: Header) -> None:
        """The weights lie one after the other, as they are listed, up to the end of the file."""
        alignment = found.values.get("general.alignment", 32)
        if type(alignment) is not int or not 8 <= alignment <= 65536 or alignment & (alignment - 1):
            raise ValueError(f"general.alignment is {alignment}")
        start, end = -self.place % alignment + self.place, 0
        for name, one in found.tensors.items():
            if one.offset != end:
                raise ValueError(f"tensor {name} begins at {one.offset} and not at {end}")
            end += one.bytes
            if start + end > self.size:
                raise ValueError(f"ends at byte {self.size}, tensor {name} at {start + end}")
            end += -end % alignment
