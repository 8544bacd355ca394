"""Damage to GGUF files: one field set to a telling value, or bits that fall over."""

import random
import struct
from collections.abc import Callable

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
NUMBERS = (0, 1, 2, 3, 33, 64, 255, 256, 511, 513, 65_535, 65_536, 2**20, 2**31 - 1, 2**31, 2**32 - 1)
LENGTHS = (0, 1, 2, 31, 33, 64, 511, 513, 2**31, 2**32, 2**40, 2**60, 2**63 - 1, 2**63, 2**64 - 1)
Damage = Callable[[bytes], bytes]


def fields(data: bytes) -> list[tuple[str, int]]:
    """`struct` form and place of the numbers of a sound file's header, those of long arrays left out."""
    tensors, values = struct.unpack_from("<QQ", data, 8)
    place, found = 24, [("I", 4), ("Q", 8), ("Q", 16)]

    def string() -> None:
        nonlocal place
        found.append(("Q", place))
        place += 8 + struct.unpack_from("<Q", data, place)[0]

    for _ in range(values):
        string()
        kind = struct.unpack_from("<I", data, place)[0]
        found.append(("I", place))
        place += 4
        if kind == 8:
            string()
        elif kind == 9:
            inner, count = struct.unpack_from("<IQ", data, place)
            found += [("I", place), ("Q", place + 4)]
            place += 12
            for _ in range(count if inner == 8 else 0):
                place += 8 + struct.unpack_from("<Q", data, place)[0]
            place += 0 if inner == 8 else count * SIZES[inner]
        else:
            found += [("I" if SIZES[kind] == 4 else "B", place)] * 4  # these are what a model is made by
            place += SIZES[kind]
    for _ in range(tensors):
        string()
        count = struct.unpack_from("<I", data, place)[0]
        found += [("I", place), *(("Q", place + 4 + 8 * number) for number in range(count))]
        place += 4 + 8 * count
        found += [("I", place), ("Q", place + 4)]
        place += 12
    return [*found, ("", place)]


def damage(data: bytes, draw: random.Random) -> bytes:
    """A file with one field changed, a few bits or bytes of its header, or its end cut off."""
    *places, (_, end) = fields(data)
    changed, how = bytearray(data), draw.random()
    if how < 0.5:
        form, place = draw.choice(places)
        value = draw.choice(LENGTHS if form == "Q" else NUMBERS)
        struct.pack_into(f"<{form}", changed, place, value % 256 if form == "B" else value)
    elif how < 0.75:
        for _ in range(draw.randrange(1, 4)):
            changed[draw.randrange(end)] ^= 1 << draw.randrange(8)
    elif how < 0.9:
        changed[draw.randrange(end)] = draw.randrange(256)
    else:
        del changed[draw.randrange(len(changed)) :]
    return bytes(changed)


def number(key: str, form: str, value: float, after: int = 4) -> Damage:
    """Set a key's value, which is a number; `after` 8 bytes, the length of its array."""

    def change(data: bytes) -> bytes:
        place = data.index(key.encode()) + len(key) + after
        return data[:place] + struct.pack(f"<{form}", value) + data[place + struct.calcsize(f"<{form}") :]

    return change


def tensor(name: str, place: int, form: str, value: int) -> Damage:
    """Set a number of a matrix: at 0 how many dimensions, at 4 and 12 these, at 20 type, at 24 offset."""

    def change(data: bytes) -> bytes:
        at = data.index(name.encode()) + len(name) + place
        return data[:at] + struct.pack(f"<{form}", value) + data[at + struct.calcsize(f"<{form}") :]

    return change


def swap(old: bytes, new: bytes) -> Damage:
    """Put one text in the place of the first of another of equal length."""

    def change(data: bytes) -> bytes:
        assert old in data
        assert len(old) == len(new)
        return data.replace(old, new, 1)

    return change
