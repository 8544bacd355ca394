"""Which models are not beaten: no other is at least as good in two figures at once and better in one."""

from collections.abc import Mapping, Sequence
from typing import Any


def unbeaten(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Of pairs of figures that are better when smaller: whether no other pair beats each."""
    return [
        not any(other[0] <= one[0] and other[1] <= one[1] and other != one for other in points)
        for one in points
    ]


def fastest(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The test of writing with the number of threads that suits the model best, as `edgelm.load` takes."""
    writing = (test for test in entry["tests"] if test["test"].startswith("tg"))
    return max(writing, key=lambda test: test["mean"])


def mark_unbeaten(entries: Mapping[str, dict[str, Any]]) -> None:
    """Add `unbeaten` to the figures of each model: in quality with `speed`, with `size`, both or none.

    Quality is the mean of the languages' bits per byte, speed that of writing with the
    threads that suit it best.
    """
    every = list(entries.values())
    quality = [entry["bits_per_byte"]["mean"] for entry in every]
    others = {
        "speed": [-fastest(entry)["mean"] for entry in every],
        "size": [entry["bytes"] for entry in every],
    }
    for entry in every:
        entry["unbeaten"] = []
    for name, values in others.items():
        for entry, best in zip(every, unbeaten(list(zip(quality, values, strict=True))), strict=True):
            if best:
                entry["unbeaten"].append(name)
