"""What the tab Compare shows: a card a file, and the figures of all of them as plots and a table."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from edgelm.bench.pareto import fastest, mark_unbeaten
from edgelm.languages import load_languages
from edgelm.page.markup import Html, element, foreign, join, table
from edgelm.page.plot import STYLE, Across, Line, caption, plot
from edgelm_demo.interface import say

if TYPE_CHECKING:
    from edgelm_demo.compare import Measured, Run

ENDED = ("done", "stopped", "failed")
LEAST_HEIGHT = 0.01
"""Of a plot, as a share of its bits per byte: no smaller difference looks like much."""
BEATEN = "beaten"
"""Class of what another file beats: its dot is a small square."""
Value = Callable[[Mapping[str, Any]], float]
FIGURES: dict[str, Value] = {
    "size": lambda one: float(one["bytes"]) / 1e6,
    "speed": lambda one: float(fastest(one)["mean"]),
}
"""Megabytes, and tokens/s."""


def departure(one: str, other: str) -> int | None:
    """The character, from 0, from which `other` is not what `one` is; None where they are the same.

    No mark is parted from its letter.
    """
    if one == other:
        return None
    differing = (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    at = next(differing, min(len(one), len(other)))
    while at and any(unicodedata.combining(text[at]) for text in (one, other) if at < len(text)):
        at -= 1
    return at


def cards(runs: Sequence["Run"], code: str, locale: str) -> str:
    """The files side by side; the first that can be used is the one that the others are compared with."""
    first = next((place for place, run in enumerate(runs) if run.state != "failed"), 0)
    made = [_card(place, run, first, runs[first], code, locale) for place, run in enumerate(runs)]
    return element("div", *made, class_="cards")


def _card(place: int, run: "Run", of_first: int, first: "Run", code: str, locale: str) -> Html:
    at, compared = None, of_first + 1
    if run is not first and run.text:
        at = departure(first.text, run.text)
        if at == len(run.text) and run.state not in ENDED:  # it may still go on alike
            at = None
    lang = load_languages()[code].bcp47
    return element(
        "section",
        element("h2", f"{place + 1}. ", foreign(run.found.name)),
        _paper(run.text, at, lang, say(locale, "compare.departs_here", number=compared)),
        Html(run.problem) if run.problem else _said(run, first, compared, at, locale),
        _figures(run, locale),
        class_="card",
    )


def _paper(written: str, at: int | None, lang: str, here: str) -> Html:
    """The text, with a sign where it departs from the first file's."""
    if at is None:
        return element("p", element("b", written), class_="paper", lang=lang)
    sign = element("span", "▸", class_="fork", role="img", aria_label=here, title=here)
    return element("p", element("b", written[:at], sign, written[at:]), class_="paper", lang=lang)


def _said(run: "Run", first: "Run", compared: int, at: int | None, locale: str) -> Html:
    """Where a file is, or how its text compares."""
    if run.state != "done":
        said = say(locale, f"compare.{run.state}")
    elif run is first:
        said = say(locale, "compare.first")
    elif at is None:
        said = say(locale, "compare.same", number=compared)
    else:
        said = say(locale, "compare.departs", number=compared, character=at + 1)
    untold = "" if run.tagged else " " + say(locale, "compare.untagged")
    return element("p", said + untold, class_="note")


def _figures(run: "Run", locale: str) -> Html:
    speed, unknown = run.report.tokens_per_second, "–"
    cells = {
        "speed": say(locale, "write.speed", speed=speed) if speed else unknown,
        "size": f"{run.found.size / 1e6:,.1f} MB",
        "memory": unknown if run.memory is None else f"{run.memory / 1e6:,.0f} MB",
        "bits": unknown if run.bits is None else f"{run.bits:.3f}",
    }
    pairs = (
        element("div", element("dt", say(locale, f"compare.{name}")), element("dd", value))
        for name, value in cells.items()
    )
    return element("dl", *pairs)


def chart(measured: "Measured", code: str, locale: str) -> str:
    """Quality over size and over speed of all files measured in a language, and the same as a table."""
    entries = {name: dict(one) for name, one in measured.get(code, {}).items()}
    if len(entries) < 2:
        return ""
    mark_unbeaten(entries)
    ranked = sorted(entries.values(), key=lambda one: -one["bytes"])
    language = load_languages()[code].autonym
    return element(
        "section",
        element("style", Html(f".compare {{ {STYLE} }}")),
        element("h2", say(locale, "compare.chart")),
        element("p", say(locale, "compare.chart_note", language=language), class_="note"),
        element("div", *(_plot(ranked, what, locale) for what in FIGURES), class_="plots"),
        _table(ranked, language, locale),
        element("p", say(locale, "compare.sample_note"), class_="note"),
        element("p", say(locale, "compare.memory_note"), class_="note"),
    )


def _plot(entries: Sequence[Mapping[str, Any]], what: str, locale: str) -> Html:
    value = FIGURES[what]
    most = max(map(value, entries))
    lines, best = [], []
    for number, one in enumerate(entries, start=1):
        place = (value(one), one["bits_per_byte"]["mean"])
        unbeaten = what in one["unbeaten"]
        best += [place] if unbeaten else []
        guide = [(most, place[1]), place]  # from the label to the dot, which is at the end
        lines.append(
            Line(guide, f"{number} {short(one['name'])}", "guide" if unbeaten else f"guide {BEATEN}")
        )
    title = say(locale, f"compare.by_{what}")
    said = "; ".join(
        f"{number} {short(one['name'])}: {value(one):,.4g}, {one['bits_per_byte']['mean']:.3f}"
        for number, one in enumerate(entries, start=1)
    )
    bits = [one["bits_per_byte"]["mean"] for one in entries]
    room = max(LEAST_HEIGHT * max(bits) - (max(bits) - min(bits)), 0) / 2
    drawn = plot(
        f"{title}. {said}.",
        [Line(sorted(best), style="front"), *lines],
        Across(most),
        low=min(bits) - room,
        high=max(bits) + room,
        write=lambda value: f"{value:.3f}",
    )
    return element("figure", caption(title, say(locale, f"compare.{what}_note")), drawn)


def _table(entries: Sequence[Mapping[str, Any]], language: str, locale: str) -> Html:
    header = [say(locale, f"compare.{one}") for one in ("file", "size", "speed", "bits", "unbeaten")]
    rows = [
        [
            join([f"{number}. ", foreign(one["name"])]),
            f"{one['bytes'] / 1e6:,.1f} MB",
            say(locale, "write.speed", speed=fastest(one)["mean"]),
            f"{one['bits_per_byte']['mean']:.3f}",
            ", ".join(say(locale, f"compare.{what}") for what in FIGURES if what in one["unbeaten"]) or "–",
        ]
        for number, one in enumerate(entries, start=1)
    ]
    return table(say(locale, "compare.table", language=language), header, rows, words=[4])


def short(name: str) -> str:
    """A label for a plot: Q4_K_M for export/model-Q4_K_M.gguf (4.4 MB), onnx/int8 for export/onnx/int8."""
    path = PurePosixPath(re.sub(r" \([\d.,]+ MB\)$", "", name))
    if path.suffix == ".gguf":
        return path.stem.removeprefix("model-")
    return "/".join(path.parts[-2:])
