"""The phone app's icon as PNG, drawn here: three lines of text and where the next word goes."""

import struct
import zlib

import numpy as np

GROUND, INK, NEXT = (0x14, 0x53, 0x4B), (0xF6, 0xF1, 0xE4), (0xF2, 0xB1, 0x34)
BARS = (
    (0.26, 0.32, 0.74, INK),
    (0.26, 0.50, 0.66, INK),
    (0.26, 0.68, 0.44, INK),
    (0.54, 0.68, 0.64, NEXT),
)
"""Left end, height and right end of each bar in shares of the icon; all within what a mask leaves."""
HALF = 0.055


def png(size: int) -> bytes:
    """The icon, `size` x `size` pixels, without transparency: a phone cuts it to its own shape."""
    middle = (np.arange(size) + 0.5) / size
    x, y = middle[None, :], middle[:, None]
    picture = np.broadcast_to(np.array(GROUND, dtype=float), (size, size, 3)).copy()
    for left, height, right, colour in BARS:
        along = np.clip(x, left + HALF, right - HALF)
        distance = np.hypot(x - along, y - height)
        cover = np.clip((HALF - distance) * size + 0.5, 0, 1)[..., None]
        picture = picture * (1 - cover) + np.array(colour) * cover
    rows = np.zeros((size, 1 + 3 * size), dtype=np.uint8)
    rows[:, 1:] = picture.round().astype(np.uint8).reshape(size, -1)
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    body = zlib.compress(rows.tobytes(), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
