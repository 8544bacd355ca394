"""Files that came from elsewhere, read so that none can hang the program or fill its memory."""

import json
import os
from pathlib import Path
from typing import Any

LONGEST = 2**27
"""Bytes of a JSON file; the largest tokenizers have a quarter of that."""


def read_text(path: Path) -> str:
    """Text of a file.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is no regular file, too long or not UTF-8.
    """
    check_file(path)
    with path.open("rb") as file:
        data = file.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise ValueError(f"longer than {LONGEST} bytes")
    return data.decode("utf-8")


def read_json(path: Path) -> Any:
    """What a JSON file says.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is no regular file, too long or not JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def check_file(path: Path) -> None:
    """Refuse what opening would wait for, or reading never end, such as a pipe or a device.

    Raises:
        OSError: it is missing.
        ValueError: it is something else.
    """
    if path.stat() and not path.is_file():
        raise ValueError("no regular file")


def allocate(path: Path) -> None:
    """Get the room on the disk for a file that was given its size without any.

    A process that writes to it through a memory map is killed by SIGBUS where there is no room.

    Raises:
        OSError: there is none.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
