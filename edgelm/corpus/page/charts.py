"""The charts of the corpus report: SVG and HTML that need no script, each with its content in words.

Every chart has `role="img"` and a label that says what it shows; colour is never the only carrier. Labels
stand in HTML beside stretched drawings, so that they keep their size on a phone.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import sqrt

import numpy as np

from edgelm.corpus.near_duplicates import NearDuplicates, collision_probability, detection_probability
from edgelm.page.markup import Html, element, number, percent

WIDE_ENOUGH = 0.05  # share of a bar whose number still fits on a phone


def bar(name: str, parts: Sequence[tuple[str, str, int, str]]) -> Html:
    """A stacked horizontal bar.

    Args:
        name: what the bar is of.
        parts: class, name, count and short key of each part; the key is written where it fits.
    """
    total = sum(count for _, _, count, _ in parts) or 1
    shown = [part for part in parts if part[2]]
    label = ", ".join(f"{what} {percent(count, total)}" for _, what, count, _ in shown) or "nothing"
    pieces = (
        element(
            "span",
            key if count / total >= WIDE_ENOUGH else "",
            class_=f"part {class_}",
            style=f"width:{count / total:.4%}",
            title=f"{what}: {count:,} ({percent(count, total)})",
        )
        for class_, what, count, key in shown
    )
    return element("div", *pieces, class_="bar", role="img", aria_label=f"{name}: {label}")


def legend(parts: Sequence[tuple[str, str, str]]) -> Html:
    """What the parts of bars are: class, key and name of each."""
    return element(
        "ul",
        *(
            element("li", element("span", key, class_=f"key {class_}", aria_hidden="true"), " ", what)
            for class_, key, what in parts
        ),
        class_="legend",
    )


def meter(share: float) -> Html:
    """A thin bar beside a number that is written, so that it needs no words of its own."""
    inner = element("span", style=f"width:{min(max(share, 0), 1):.2%}")
    return element("span", inner, class_="meter", aria_hidden="true")


def histogram(
    label: str,
    bins: Sequence[Sequence[int]],
    low: float,
    high: float,
    bounds: Sequence[Mapping[str, float]],
) -> Html:
    """Kept documents above a line and rejected ones below it, with the bounds and what lies outside them.

    Heights are square roots of counts: a rule that touches one document in a thousand could not be seen else.

    Args:
        label: the chart in words.
        bins: counts of kept and of rejected documents, equally wide bins from `low` to `high`.
        bounds: `min` and `max` of each rule, as far as it has them.
    """
    kept, rejected = ([sqrt(count) for count in half] for half in bins)
    width = len(kept)
    up, down = max(kept, default=0), max(rejected, default=0)
    scale = 96 / (up + down) if up + down else 0
    zero = 2 + up * scale
    outside, lines = [], []
    for bound in bounds:
        for side, value in bound.items():
            x = (value - low) / (high - low) * width if high > low else 0
            if 0 <= x <= width:
                start, end = (0.0, x) if side == "min" else (x, float(width))
                outside.append(
                    element("rect", x=f"{start:.2f}", y="0", width=f"{end - start:.2f}", height="100")
                )
                lines.append(f"M{x:.2f} 0V100")
    parts = [
        element("g", *outside, class_="outside"),
        element("path", d=_steps(kept, zero, -scale), class_="up"),
        element("path", d=_steps(rejected, zero, scale), class_="down"),
        element("path", d=f"M0 {zero:.1f}H{width}", class_="zero"),
        element("path", d="".join(lines), class_="bound"),
    ]
    return element(
        "svg", *parts, class_="histogram", role="img", aria_label=label,
        viewBox=f"0 0 {width} 100", preserveAspectRatio="none",
    )  # fmt: skip


def _steps(heights: Sequence[float], zero: float, scale: float) -> str:
    path, last = [f"M0 {zero:.1f}"], 0.0
    for at, height in enumerate(heights):
        if height != last:
            path.append(f"H{at}V{zero + scale * height:.1f}")
            last = height
    return "".join(path) + f"H{len(heights)}V{zero:.1f}Z"


def median(counts: Sequence[int], low: float, high: float) -> float | None:
    """The value below which half of the counted lie, to the width of a bin; None where there are none."""
    total = sum(counts)
    if not total:
        return None
    place = int(np.searchsorted(np.cumsum(counts), total / 2))
    return low + (place + 0.5) / len(counts) * (high - low)


def curve(near: NearDuplicates) -> Html:
    """How likely two documents are compared, and found to be near-duplicates, by how alike they are."""
    at = np.linspace(0, 1, 101)
    lines = {
        "found": ("found to be duplicates", detection_probability(at, near)),
        "compared": ("compared at all", collision_probability(at, near.bands, near.rows)),
    }
    x0, y0, width, height = 46, 20, 280, 160

    def place(x: float, y: float) -> str:
        return f"{x0 + width * x:.1f} {y0 + height * (1 - y):.1f}"

    ticks = [0, 0.25, 0.5, 0.75, 1]
    grid = "".join(f"M{place(0, y)}L{place(1, y)}" for y in ticks)
    marks = [
        element("text", f"{y:.0%}", x=str(x0 - 6), y=f"{y0 + height * (1 - y) + 4:.1f}", class_="end")
        for y in ticks
    ]
    marks += [
        element("text", f"{x:.0%}", x=f"{x0 + width * x:.1f}", y=str(y0 + height + 16), class_="middle")
        for x in ticks
    ]
    marks.append(
        element(
            "text",
            "how alike two documents are",
            x=str(x0 + width / 2),
            y=str(y0 + height + 34),
            class_="middle",
        )
    )
    drawn = [
        element(
            "path",
            d="M" + "L".join(place(x, y) for x, y in zip(at, values, strict=True)),
            class_=f"line {kind}",
        )
        for kind, (_, values) in lines.items()
    ]
    threshold = f"M{place(near.threshold, 0)}L{place(near.threshold, 1)}"
    marks.append(
        element(
            "text",
            f"threshold {number(near.threshold * 100)}%",
            x=f"{x0 + width * near.threshold:.1f}",
            y=str(y0 - 6),
            class_="middle",
        )
    )
    label = "Probability of finding a pair, by how alike its documents are. The table has the values."
    inner = [
        element("path", d=grid, class_="grid"),
        element("path", d=threshold, class_="bound"),
        *drawn,
        *marks,
    ]
    return element(
        "figure",
        element("svg", *inner, class_="curve", role="img", aria_label=label, viewBox="0 0 360 222"),
        element(
            "figcaption",
            element("span", class_="stroke found"), " found to be duplicates ",
            element("span", class_="stroke compared"), " compared at all (dashed)",
        ),
    )  # fmt: skip


def curve_points(near: NearDuplicates) -> list[tuple[float, float, float]]:
    """Similarity, probability of being compared, and of being found, at and around the threshold."""
    at = sorted({0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, near.threshold})
    compared = collision_probability(np.array(at), near.bands, near.rows)
    found = detection_probability(np.array(at), near)
    return [(x, float(a), float(b)) for x, a, b in zip(at, compared, found, strict=True)]


def shade(share: float) -> str:
    """A class from `h0` to `h5` for a share, for the cells of a shaded table."""
    edges = (0, 0.002, 0.01, 0.05, 0.25, 1.01)
    return next(f"h{at}" for at, (low, high) in enumerate(pairwise((-1.0, *edges))) if low < share <= high)
