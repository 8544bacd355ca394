"""`curve.html`: how a run went, or goes: one page that needs nothing but itself, no network and no script.

    write_curve(folder, folder / "curve.html", "zul-30m", unfinished=True)

A person may keep it open: while the run is unfinished the page loads itself again.
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edgelm import __version__, artifacts
from edgelm.languages import Language, load_languages
from edgelm.page import document
from edgelm.page.markup import Html, element, foreign, join, number, table
from edgelm.page.plot import STYLE, Across, Line, Point, caption, nice, plot, short, style_of
from edgelm.pretrain.metrics import read_lines

REFRESH_S = 30
OPENING = 0.04  # share of a run that may lie above a plot, as the rest would else be flat
RECENT = 10  # records in the table, and of which the speed is the median
NOISY = 100  # points, from which a figure is drawn smoothed over what was recorded
MEAN = "mean"
NUMBERS = {
    "loss": "{:.4f}",
    "smoothed": "{:.4f}",
    "epoch": "{:.2f}",
    "learning_rate": "{:.3g}",
    "gradient_norm": "{:.3g}",
    "tokens_per_second": "{:,.0f}",
    "mfu": "{:.1%}",
}


def write_curve(
    run: Path | Sequence[Mapping[str, Any]],
    path: Path,
    title: str,
    *,
    unfinished: bool = False,
    registry: Mapping[str, Language] | None = None,
) -> None:
    """Write the page to `path`; who reads it meanwhile sees the old one or the new one.

    Args:
        run: its folder, or the lines of its `metrics.jsonl` and `speed.jsonl`.
        title: what was trained.
        registry: languages by code, for their names; every known one by default.
    """
    lines = read_lines(run) if isinstance(run, Path) else run
    known = load_languages() if registry is None else registry
    artifacts.write_text(path, make_page(lines, title, unfinished, known))


def make_page(
    lines: Sequence[Mapping[str, Any]], title: str, unfinished: bool, registry: Mapping[str, Language]
) -> str:
    """The page as an HTML document."""
    run = Run(lines)
    state = f"Still training; the page loads itself again every {REFRESH_S} s." if unfinished else "Finished."
    body = [
        element("header", element("h1", "Training of ", foreign(title)), element("p", state, class_="lead")),
        element("main", *(_sections(run, registry) if lines else [element("p", "Nothing is recorded yet.")])),
        element(
            "footer",
            element(
                "p", f"Made by edgelm {__version__}. The numbers are in metrics.jsonl and speed.jsonl beside "
                "this page.",
            ),
        ),
    ]  # fmt: skip
    return document(join(["Training of ", title]), body, style=STYLE, refresh=REFRESH_S if unfinished else 0)


def plots(lines: Sequence[Mapping[str, Any]]) -> list[Html]:
    """The curves of the loss and of bits per byte on validation, as far as a run recorded them.

    They want `edgelm.page.plot.STYLE` in the page's style.
    """
    run = Run(lines)
    return [*_loss(run), *_validation(run)]


class Run:
    """The lines of a run by what they say, over tokens, or over steps where no tokens were recorded.

    Attributes:
        last: the greatest x, 0 where there are no lines.
        validation: points of each language in bits per byte, the mean last.
    """

    def __init__(self, lines: Sequence[Mapping[str, Any]]):
        self.lines = lines
        known = sorted({(line["step"], line["tokens"]) for line in lines if line.get("tokens") is not None})
        self.unit = "Tokens" if known else "Steps"
        self.steps_known = bool(known)
        self.steps, self.tokens = np.array(known or [(0, 0)], dtype=float).T.copy()
        self.last = max(self.xs([line["step"] for line in lines]), default=0.0)
        self.validation: dict[str, list[Point]] = {}
        checked = [line for line in lines if line.get("validation")]
        for x, line in zip(self.xs([line["step"] for line in checked]), checked, strict=True):
            for code, value in line["validation"].items():
                if value is not None:
                    self.validation.setdefault(code, []).append((x, value))
        if MEAN in self.validation:
            self.validation[MEAN] = self.validation.pop(MEAN)

    def xs(self, steps: Sequence[int]) -> list[float]:
        """Places of steps on the horizontal axis."""
        if not self.steps_known:
            return list(map(float, steps))
        return [float(x) for x in np.interp(steps, self.steps, self.tokens)]

    def step(self, x: float) -> float:
        return float(np.interp(x, self.tokens, self.steps)) if self.steps_known else x

    def points(self, name: str) -> list[Point]:
        """The figure over the run, where it was recorded."""
        found = [(line["step"], line[name]) for line in self.lines if line.get(name) is not None]
        return list(zip(self.xs([step for step, _ in found]), (y for _, y in found), strict=True))

    def across(self) -> Across:
        return Across(self.last, (lambda x: f"{self.step(x):,.0f}") if self.steps_known else None)

    def where(self, x: float) -> str:
        """A place on the horizontal axis in words."""
        step = f"step {self.step(x):,.0f}"
        return f"{step}, {short(x)} tokens" if self.steps_known else step


def smooth(points: Sequence[Point]) -> list[Point]:
    """The mean over a window of an eightieth of the points to either side; less at first, where they fall."""
    ys = np.concatenate([[0.0], np.cumsum([y for _, y in points])])
    at = np.arange(len(points))
    half = np.minimum(at // 8, ceil(len(points) / 80))
    low, high = at - half, np.minimum(at + half, len(points) - 1) + 1
    return list(zip((x for x, _ in points), ((ys[high] - ys[low]) / (high - low)).tolist(), strict=True))


def _sections(run: Run, registry: Mapping[str, Language]) -> list[Html]:
    axis = (
        "From left to right: tokens read (k, M, B: thousands, millions, billions), and below them steps."
        if run.steps_known
        else "From left to right: steps."
    )
    small = [
        ("learning_rate", "Learning rate", None),
        ("gradient_norm", "Norm of the gradient", None),
        ("tokens_per_second", "Tokens a second", 0.0),
        ("mfu", "MFU, of the measured peak", 0.0),
    ]
    few = [_figure(run, *one) for one in small if run.points(one[0])]
    parts = [
        _headline(run),
        element("p", axis, class_="quiet"),
        element("div", *plots(run.lines), class_="plots"),
        element("div", *few, class_="plots few"),
        *_languages(run, registry),
        *_recent(run),
    ]
    return [element("section", *parts, aria_label="Curves and figures")]


def _headline(run: Run) -> Html:
    losses, bits, speeds = run.points("loss"), run.validation.get(MEAN, []), run.points("tokens_per_second")
    epochs, shares, seconds = run.points("epoch"), run.points("mfu"), run.points("seconds")
    steps = f"step {run.step(run.last):,.0f}"
    cards = [
        (
            f"{run.unit} so far",
            short(run.last),
            ", ".join([steps, *(f"epoch {y:.2f}" for _, y in epochs[-1:])]),
        )
    ]
    if losses:
        cards.append(
            ("Training loss", f"{smooth(losses)[-1][1]:.3f}", f"smoothed; {losses[0][1]:.3f} at first")
        )
    if bits:
        x, least = min(bits, key=lambda point: point[1])
        lowest = f"on validation; lowest {least:.3f} at step {run.step(x):,.0f}"
        cards.append(("Bits per byte", f"{bits[-1][1]:.3f}", lowest))
    if speeds:
        share = f"{median(y for _, y in shares[-RECENT:]):.0%} of the measured peak" if shares else "at last"
        cards.append(("Tokens a second", f"{median(y for _, y in speeds[-RECENT:]):,.0f}", share))
    if seconds:
        cards.append(("Time", duration(seconds[-1][1]), "of training"))
    made = (
        element("div", element("dt", name), element("dd", element("strong", value), element("span", rest)))
        for name, value, rest in cards
    )
    return element("dl", *made, class_="cards")


def duration(seconds: float) -> str:
    """`3 h 05 min`, `12 min 30 s` or `45 s`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60:,} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _ceiling(run: Run, lines: Sequence[Sequence[Point]]) -> tuple[float | None, str]:
    """The highest point after the opening of a long run, and what to say of that; else nothing."""
    later = [y for points in lines for x, y in points if x >= run.last * OPENING]
    first = max((points[0][1] for points in lines if points), default=0.0)
    if min(map(len, lines), default=0) < 1 / OPENING or not later:
        return None, ""
    least = min(y for points in lines for _, y in points)
    if nice(least, max(later))[-1] >= first:
        return None, ""
    return max(later), f"It begins above the plot, at {first:.2f}. "


def _loss(run: Run) -> list[Html]:
    points = run.points("loss")
    if not points:
        return []
    smoothed = smooth(points)
    high, said = _ceiling(run, [points])
    x, least = min(smoothed, key=lambda point: point[1])
    label = (
        f"Training loss: {points[0][1]:.3f} at first, {smoothed[-1][1]:.3f} at {run.where(run.last)}; "
        f"smoothed, it was lowest at {run.where(x)} with {least:.3f}."
    )
    drawn = [
        Line(points, style="raw"),
        Line(smoothed, f"loss {smoothed[-1][1]:.3f}", "mean", lambda x, y: f"{y:.3f} at {run.where(x)}"),
    ]
    note = [said, "Thin: as recorded. Bold: smoothed."]
    return [element("figure", caption("Training loss", *note), plot(label, drawn, run.across(), high=high))]


def _validation(run: Run) -> list[Html]:
    if not run.validation:
        return []

    def said(code: str) -> Callable[[float, float], str]:
        return lambda x, y: f"{code}: {y:.3f} bits per byte at {run.where(x)}"

    drawn = [
        Line(points, f"{code} {points[-1][1]:.2f}", MEAN if code == MEAN else style_of(at), said(code))
        for at, (code, points) in enumerate(run.validation.items())
    ]
    ordered = sorted(run.validation.items(), key=lambda item: item[1][-1][1])
    figures = ", ".join(f"{code} {points[-1][1]:.3f}" for code, points in ordered)
    label = f"Bits per byte on validation at {run.where(max(p[-1][0] for _, p in ordered))}: {figures}."
    high, note = _ceiling(run, list(run.validation.values()))
    name = caption("Bits per byte on validation", note, "Bold: the mean of the languages.")
    return [element("figure", name, plot(label, drawn, run.across(), high=high))]


def _figure(run: Run, name: str, title: str, low: float | None) -> Html:
    points, form = run.points(name), NUMBERS[name].format
    values = [y for _, y in points]
    at = run.where(points[-1][0])
    label = f"{title}: {form(min(values))} to {form(max(values))}, {form(values[-1])} at {at}."
    write = (lambda y: f"{y:.0%}" if max(values) > 0.05 else f"{y:.1%}") if name == "mfu" else number
    steady = name == "learning_rate" or len(points) < NOISY
    line = Line(points if steady else smooth(points), said=lambda x, y: f"{form(y)} at {run.where(x)}")
    drawn = [line] if steady else [Line(points, style="raw"), line]
    note = f"{form(values[-1])} at last"
    return element("figure", caption(title, note), plot(label, drawn, run.across(), low=low, write=write))


def _languages(run: Run, registry: Mapping[str, Language]) -> list[Html]:
    def row(code: str, points: Sequence[Point]) -> list[object]:
        x, least = min(points, key=lambda point: point[1])
        change = f"{points[-1][1] - points[-2][1]:+.3f}" if len(points) > 1 else "-"
        name: object = code
        if code in registry:
            name = join([foreign(registry[code].autonym, registry[code].bcp47), f" ({code})"])
        return [name, f"{points[-1][1]:.3f}", change, f"{least:.3f}", f"{run.step(x):,.0f}"]

    if not run.validation:
        return []
    rows = [row(code, points) for code, points in run.validation.items() if code != MEAN]
    total = row(MEAN, run.validation[MEAN]) if MEAN in run.validation else None
    header = ["language", "bits per byte", "since the last time", "lowest", "at step"]
    return [table("Bits per byte on validation; less is better", header, rows, total=total)]


def _recent(run: Run) -> list[Html]:
    """The last records of training, what both files say of a step in one row."""
    losses = run.points("loss")
    smoothed = dict(smooth(losses))
    rows: dict[int, dict[str, Any]] = {}
    for line in run.lines:
        if not line.get("validation"):
            rows.setdefault(line["step"], {}).update(line)
    steps = sorted(rows)[-RECENT:]
    places = run.xs(steps)
    shown = [rows[step] | {"smoothed": smoothed.get(x)} for step, x in zip(steps, places, strict=True)]
    names = [name for name in NUMBERS if any(one.get(name) is not None for one in shown)]
    tokens = ["tokens"] if run.steps_known else []
    cells: list[list[object]] = [
        [
            f"{one['step']:,}",
            *(f"{x:,.0f}" for _ in tokens),
            *("-" if one.get(name) is None else NUMBERS[name].format(one[name]) for name in names),
        ]
        for x, one in zip(places, shown, strict=True)
    ]
    header = ["step", *tokens, *(name.replace("_", " ").replace("mfu", "MFU") for name in names)]
    return [table("The last records of training", header, cells)] if shown else []
