"""Line plots without a script: stretched SVG, and labels in HTML, which keep their size on a phone.

    plot("Loss: 9.01 at first, 3.12 at the end.", [Line(points, label="loss")], Across(last=10_000_000))

A page with plots has `STYLE` in its style. Lines differ by colour and dash, and each is named at its end.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10
from pathlib import Path

import numpy as np

from edgelm.page.markup import Html, element, join, number

STYLE = Path(__file__).with_name("plot.css").read_text(encoding="utf-8")
COLOURS, DASHES = 6, 3
MOST_POINTS = 2000  # of a line; a screen shows no more
MOST_DOTS = 30
SIDE = 1000  # of the drawing's own coordinates

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """Points in order of x, and how they are drawn."""

    points: Sequence[Point]
    label: str = ""
    """Written at the line's end."""
    style: str = "k0 d0"
    """Classes; see `style_of`."""
    said: Callable[[float, float], str] | None = None
    """What a dot says on demand, of its x and y; no dots but the last without it."""


@dataclass(frozen=True, slots=True)
class Across:
    """The horizontal axis, from 0."""

    last: float
    second: Callable[[float], str] | None = None
    """A second label of a tick, of its x."""


def plot(
    label: str,
    lines: Sequence[Line],
    across: Across,
    *,
    low: float | None = None,
    high: float | None = None,
    write: Callable[[float], str] = number,
) -> Html:
    """A plot as tall as the labels at the ends of its lines need.

    Args:
        label: the plot in words.
        low: of the vertical axis; the lowest point by default.
        high: of the vertical axis; the highest point by default. What lies above is cut off.
        write: a number of the vertical axis.
    """
    lines = [line for line in lines if line.points]
    every = [y for line in lines for _, y in line.points]
    ticks = nice(
        min(every, default=0) if low is None else low, max(every, default=1) if high is None else high
    )
    bottom, top = ticks[0], ticks[-1]
    last = across.last or 1

    def place(x: float, y: float) -> str:
        return f"{SIDE * x / last:.1f} {SIDE * (top - y) / (top - bottom):.1f}"

    grid = "".join(f"M{place(0, y)}H{SIDE}" for y in ticks)
    drawn = [element("path", d=grid, class_="grid")]
    for line in lines:
        path = "M" + "L".join(place(x, y) for x, y in thin(line.points))
        drawn.append(element("path", d=path, class_=f"line {line.style}"))
        drawn += [
            element(
                "path",
                element("title", line.said(x, y)) if line.said else "",
                d=f"M{place(x, y)}h0",
                class_=f"dot {line.style}",
            )
            for x, y in (thin(line.points, MOST_DOTS) if line.said else line.points[-1:])
        ]
    ups = [element("span", write(y), style=f"bottom:{(y - bottom) / (top - bottom):.2%}") for y in ticks]
    marks = [x for x in nice(0, last) if x <= last * 1.0001]
    xs = [
        element(
            "span",
            short(x),
            element("small", across.second(x)) if across.second else "",
            style=f"left:{x / last:.2%}",
            class_="odd" if at % 2 else None,
        )
        for at, x in enumerate(marks)
    ]
    parts = [
        element("div", *ups, class_="ys"),
        element(
            "svg", *drawn, class_="area", viewBox=f"0 0 {SIDE} {SIDE}", preserveAspectRatio="none",
            aria_hidden="true",
        ),
        element("div", *xs, class_="xs"),
    ]  # fmt: skip
    named = [line for line in lines if line.label]
    rows = max(len(named) + 1, 12)
    if named:
        parts[2:2] = _ends(named, bottom, top, rows)
    return element(
        "div", *parts, class_="plot named" if named else "plot", style=f"--rows:{rows}", role="img",
        aria_label=label,
    )  # fmt: skip


def _ends(lines: Sequence[Line], bottom: float, top: float, rows: int) -> list[Html]:
    """Labels at the ends of lines, none over another, and a stroke from each line to its own."""
    wanted = [min(max((line.points[-1][1] - bottom) / (top - bottom), 0), 1) for line in lines]
    placed = spread(wanted, 1 / rows)
    strokes = (
        element(
            "path",
            d=f"M0 {SIDE * (1 - at):.1f}L{SIDE} {SIDE * (1 - to):.1f}",
            class_=f"leader {line.style}",
        )
        for line, at, to in zip(lines, wanted, placed, strict=True)
    )
    labels = (
        element("span", line.label, style=f"bottom:{to:.2%}", class_=line.style)
        for line, to in zip(lines, placed, strict=True)
    )
    return [
        element(
            "svg", *strokes, class_="leaders", viewBox=f"0 0 {SIDE} {SIDE}", preserveAspectRatio="none",
            aria_hidden="true",
        ),
        element("div", *labels, class_="ends"),
    ]  # fmt: skip


def style_of(place: int) -> str:
    """Colour and dash of a line by its place among others; 18 differ."""
    return f"k{place % COLOURS} d{place // COLOURS % DASHES}"


def nice(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers, `most` + 1 at most, from at or below `low` to at or above `high`.

    Where the two are as good as equal, there is room around them.
    """
    size = max(abs(low), abs(high))
    if size < 1e-200:
        low, high = 0.0, 1.0
    elif high - low < 1e-9 * size:
        low, high = low - size / 2, low + size / 2
    unit = 10.0 ** floor(log10((high - low) / most))
    for times in (1, 2, 2.5, 5, 10, 20):
        step = unit * times
        first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
        if last - first <= most:
            break
    return [round(at * step, 12 - floor(log10(step))) for at in range(first, last + 1)]


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> Sequence[Point]:
    """At most `most` of the points: the first, the last, and the lowest and highest of equal stretches."""
    if len(points) <= most:
        return points
    ys = np.array([y for _, y in points])
    kept = {0, len(points) - 1}
    for start, end in pairwise(np.linspace(0, len(points), (most - 2) // 2 + 1).astype(int)):
        kept |= {start + int(ys[start:end].argmin()), start + int(ys[start:end].argmax())}
    return [points[at] for at in sorted(kept)]


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Places from 0 to 1 in the order of `wanted`, near them and at least `gap` apart, if there is room.

    Neighbours that are too close move apart around their middle, as a block with those they then touch.
    """
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    blocks: list[list[int]] = []

    def start(block: list[int]) -> float:
        length = gap * (len(block) - 1)
        middle = sum(wanted[at] for at in block) / len(block)
        return max(min(middle - length / 2, 1 - length), 0.0)

    for at in order:
        blocks.append([at])
        while len(blocks) > 1 and start(blocks[-1]) < start(blocks[-2]) + gap * len(blocks[-2]) - 1e-12:
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    placed = {at: start(block) + gap * rank for block in blocks for rank, at in enumerate(block)}
    return [placed[at] for at in range(len(wanted))]


def short(count: float) -> str:
    """`12.5 M`: three digits with k, M or B for thousands, millions and (American) billions."""
    edges = [999.5, 999_500, 999_500_000]
    unit = bisect_left(edges, count + 1e-9)
    return f"{count / 1000**unit:.3g} {'kMB'[unit - 1]}" if unit else f"{count:.3g}"


def caption(name: object, *said: object) -> Html:
    """A plot's name and what is to be said of it."""
    return element("figcaption", element("strong", name), " ", join(said))
