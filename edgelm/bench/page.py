"""`bench.html`: the tables and plots of `edgelm bench` in one page, with no network and no script."""

from collections.abc import Callable, Mapping
from typing import Any

from edgelm import __version__
from edgelm.bench.pareto import fastest
from edgelm.bench.tables import Rows, language_table, notes, pareto_table, speed_table
from edgelm.page import document
from edgelm.page.markup import Html, element, foreign, table
from edgelm.page.plot import COLOURS, STYLE, Across, Line, caption, plot

NAMES = ".plot.named { grid-template-columns: 3rem minmax(0, 1fr) 1.25rem 7.5rem; }"
"""Room for such as onnx:int8-genai beside a plot."""


def page(figures: Mapping[str, Any]) -> str:
    """The figures of `bench.json` as an HTML document."""
    settings = figures["settings"]
    told = element(
        "p",
        f"Tokens/s are means of {settings['repetitions']} turns, each in a process of its own, and their "
        "standard deviations. pp: tokens of a prompt that is read at once. tg: tokens that are written one "
        "after another; with the threads that suit the model best, where it is not said with how many. "
        "Bits per byte: on ",
        foreign(figures["text"]),
        "; less is better. A model is not beaten in speed (or size) where no other is at least as good and "
        "as fast (or small) and better in one of the two.",
        class_="quiet",
    )
    body = [
        element("header", element("h1", "Models side by side"), told),
        element(
            "main",
            element(
                "section",
                element("h2", "Quality, speed and size"),
                element(
                    "div",
                    _plot(figures, "Tokens/s written", lambda one: float(fastest(one)["mean"])),
                    _plot(figures, "Megabytes", lambda one: one["bytes"] / 1e6),
                    class_="plots",
                ),
                _table("Which models are not beaten", pareto_table(figures)),
                *(element("p", note, class_="quiet") for note in notes(figures)),
            ),
            element("section", element("h2", "Speed"), _table("Speed by threads", speed_table(figures))),
            element(
                "section",
                element("h2", "By language"),
                _table(
                    "Characters a second",
                    language_table(figures, "characters_per_second"),
                ),
                _table("Bits per byte", language_table(figures, "bits_per_byte")),
            ),
        ),
        element("footer", element("p", f"Made by edgelm {__version__}. The numbers are in bench.json.")),
    ]
    return document("Models side by side", body, style=STYLE + NAMES)


def _table(name: str, found: Rows) -> Html:
    header, rows = found
    return table(name, header, [[foreign(row[0]), *row[1:]] for row in rows])


def _plot(figures: Mapping[str, Any], across: str, value: Callable[[Mapping[str, Any]], float]) -> Html:
    models = figures["models"]
    lines, most = [], max(map(value, models))
    for number, one in enumerate(models):
        bits, name = one["bits_per_byte"]["mean"], one["name"]
        guide = [(most, bits), (value(one), bits)]  # from the label to the dot, which is at the end
        lines.append(Line(guide, name, f"k{number % COLOURS} d2"))
    title = f"Bits per byte over {across[0].lower()}{across[1:]}"
    said = "; ".join(
        f"{one['name']} {value(one):,.4g} and {one['bits_per_byte']['mean']:.4f}" for one in models
    )
    named = caption(title, "From left to right: ", across, ". Lower is better.")
    return element("figure", named, plot(f"{title}: {said}.", lines, Across(most)))
