"""`bench.png`: bits per byte over speed and over size, for a page or a paper."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgelm.bench.pareto import fastest
from edgelm.extras import require

BEATEN = "#8a96a3"
COLOURS = {"speed": "#1c67a8", "size": "#1f7a5c"}


def write_picture(figures: Mapping[str, Any], path: Path) -> None:
    """Write the figures of `bench.json` as two plots side by side; models that are not beaten are joined.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    require("matplotlib", "bench")
    from matplotlib.figure import Figure

    picture = Figure(figsize=(11, 4.5), layout="constrained")
    for number, (what, title) in enumerate(
        (("speed", "tokens/s written"), ("size", "MB on the disk")), start=1
    ):
        axes = picture.add_subplot(1, 2, number)
        for one in figures["models"]:
            x, y = place_of(one, what)
            axes.plot([x], [y], "o", color=COLOURS[what] if what in one["unbeaten"] else BEATEN)
            axes.annotate(one["name"], (x, y), (5, 4), textcoords="offset points", fontsize=7, clip_on=False)
        axes.plot(*zip(*front(figures, what), strict=True), "-", color=COLOURS[what], linewidth=1)
        axes.set(xlabel=title, ylabel="bits per byte, lower is better" if number == 1 else "")
        axes.set_xlim(left=0)
        axes.grid(color="#e3e7eb")
        axes.set_axisbelow(True)
    picture.savefig(path, dpi=144, metadata={"Software": "edgelm"})


def front(figures: Mapping[str, Any], what: str) -> list[tuple[float, float]]:
    """Places of the models that are not beaten in `speed` or `size`, from left to right."""
    return sorted(place_of(one, what) for one in figures["models"] if what in one["unbeaten"])


def place_of(entry: Mapping[str, Any], what: str) -> tuple[float, float]:
    """Tokens/s or megabytes, and bits per byte."""
    x = fastest(entry)["mean"] if what == "speed" else entry["bytes"] / 1e6
    return x, entry["bits_per_byte"]["mean"]
