"""Which fault a seed means for a command."""

import errno
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from injected import HOWS

KINDS = ("kill", "disk", "call", "rights", "network", "damage")
REFUSALS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)


@dataclass
class Undisturbed:
    """A run that nothing befalls: file operations, seconds, bytes it adds, and its output."""

    events: int
    seconds: float
    size: int
    content: dict[str, str]


def drawn(
    command: str, kind: str, seed: int, undisturbed: Undisturbed, work: Path, mounted: bool
) -> list[dict[str, Any]]:
    """The faults of a trial, one after another; `injected.inject` says what each does."""
    draw = random.Random(f"{command} {kind} {seed}")
    event = lambda: draw.randint(1, undisturbed.events)  # noqa: E731
    if kind == "kill":
        return [_kill(draw, undisturbed) for _ in range(draw.randint(1, 3))]
    if kind == "disk" and mounted and draw.random() < 0.5:
        return [{"kind": kind, "room": draw.randrange(int(1.2 * undisturbed.size))}]
    if kind == "disk":
        return [{"kind": kind, "event": event(), "bytes": draw.choice([0, 1, 100, 4096, 65_536])}]
    if kind == "call":
        return [{"kind": kind, "event": event(), "errno": draw.choice(REFUSALS)}]
    files = sorted(path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file())
    if kind == "rights":
        file = draw.choice(files)
        paths, mode = draw.choice(
            [([".out.partial"], 0o555), (["."], 0o555), ([file], 0o000), ([file.split("/")[0]], 0o000),
             ([file.split("/")[0]], 0o555)]
        )  # fmt: skip
        return [{"kind": kind, "event": draw.choice([0, event(), event()]), "paths": paths, "mode": mode}]
    if kind == "damage":
        fault = {"kind": kind, "event": draw.choice([0, 0, event()]), "file": draw.choice(files)}
        return [{**fault, "how": draw.choice(HOWS), "draw": draw.randrange(1 << 30)}]
    return [{"kind": kind}]


def _kill(draw: random.Random, undisturbed: Undisturbed) -> dict[str, Any]:
    if draw.random() < 0.5:
        return {"kind": "kill", "event": draw.randint(1, undisturbed.events)}
    return {"kind": "kill", "seconds": draw.uniform(0, undisturbed.seconds)}
