"""`bench.png`: bits per byte over speed and over size, for a page or a paper."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelm.bench.pareto import fastest
from edgelm.extras import require
from edgelm.page.plot import spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEATEN, LEADER = "#8a96a3", "#b7c0c9"
ROW, LONGEST = 0.19, 30
"""Inches for a label, and its most characters."""
COLOURS = {"speed": "#1c67a8", "size": "#1f7a5c"}


def write_picture(figures: Mapping[str, Any], path: Path) -> None:
    """Write the picture of the figures of `bench.json`.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    draw(figures).savefig(path, dpi=144, metadata={"Software": "edgelm"})


def draw(figures: Mapping[str, Any]) -> "Figure":
    """Two plots side by side; models that are not beaten are joined.

    Names stand to the right of the plots, each with a stroke to its dot, so that none is over another.
    """
    require("matplotlib", "bench")
    from matplotlib.figure import Figure

    models = figures["models"]
    rows = max(len(models) + 1, 20)  # labels below each other
    picture = Figure(figsize=(12, 1 + rows * ROW), layout="constrained")
    for number, (what, title) in enumerate(
        (("speed", "tokens/s written"), ("size", "MB on the disk")), start=1
    ):
        axes = picture.add_subplot(1, 2, number)
        places = [place_of(one, what) for one in models]
        for one, place in zip(models, places, strict=True):
            axes.plot(
                *zip(place, strict=True), "o", color=COLOURS[what] if what in one["unbeaten"] else BEATEN
            )
        axes.plot(*zip(*front(figures, what), strict=True), "-", color=COLOURS[what], linewidth=1)
        axes.set(xlabel=title, ylabel="bits per byte, lower is better" if number == 1 else "")
        axes.set_title(f"coloured: not beaten in quality and {what}", fontsize=9, loc="left")
        axes.set_xlim(left=0)
        axes.grid(color="#e3e7eb")
        axes.set_axisbelow(True)
        low, high = axes.get_ylim()
        beside = spread([(y - low) / (high - low) for _, y in places], 1 / rows)
        for one, place, y in zip(models, places, beside, strict=True):
            axes.annotate(
                shorten(one["name"]), place, (1.03, y), textcoords="axes fraction", fontsize=8, va="center",
                arrowprops={
                    "arrowstyle": "-", "color": LEADER, "linewidth": 0.6, "relpos": (0, 0.5), "shrinkA": 0,
                    "shrinkB": 3,
                },
            )  # fmt: skip
    return picture


def shorten(name: str) -> str:
    """A label of at most 30 characters, its end kept, which tells files apart."""
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


def front(figures: Mapping[str, Any], what: str) -> list[tuple[float, float]]:
    """Places of the models that are not beaten in `speed` or `size`, from left to right."""
    return sorted(place_of(one, what) for one in figures["models"] if what in one["unbeaten"])


def place_of(entry: Mapping[str, Any], what: str) -> tuple[float, float]:
    """Tokens/s or megabytes, and bits per byte."""
    x = fastest(entry)["mean"] if what == "speed" else entry["bytes"] / 1e6
    return x, entry["bits_per_byte"]["mean"]
