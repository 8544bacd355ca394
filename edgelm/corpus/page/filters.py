"""The rules of the report: what each measures, the bounds in each language, and where the documents lie."""

from typing import Any

from edgelm.corpus.page.charts import histogram, median
from edgelm.corpus.page.facts import Facts, counted
from edgelm.corpus.recipe import known_columns
from edgelm.page.markup import (
    Html,
    details,
    element,
    foreign,
    join,
    listed,
    number,
    percent,
    table,
    words_of,
)

MANY = 0.005  # share of documents that fail a rule, from which its charts are unfolded

NO_CHART = "This is computed from other columns, or no document has it: there is no chart."


def distributions(facts: Facts) -> list[Html]:
    """For each filtered column one chart a language, and a table of bounds and what they meet."""
    drawn = facts.manifest.get("distributions", {})
    columns = list(dict.fromkeys(one["column"] for one in facts.manifest.get("thresholds", ())))
    if not columns:
        return [element("p", "The recipe has no filters.")]
    described = known_columns()
    found = [
        element(
            "p",
            "Each rule keeps documents whose measured value lies between two bounds. In the charts, "
            "documents that were kept rise above the line and those that were left out, for whatever "
            "reason, hang below it. Upright lines are the bounds; what lies in the shaded part fails the "
            "rule. Heights are square roots of counts, so that few documents among many can still be seen; "
            "the last step holds all larger values.",
        )
    ]
    for at, column in enumerate(columns):
        own = [one for one in facts.manifest["thresholds"] if one["column"] == column]
        part = _column(facts, column, described.get(column, ""), own, drawn.get(column), not at)
        found.append(part)
    return found


def refused(facts: Facts) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Proposed bounds that were implausible, each with its threshold."""
    return [
        (one, note)
        for one in facts.manifest.get("thresholds", ())
        for note in one.get("proposed", ())
        if not note["used"]
    ]


def _column(
    facts: Facts,
    column: str,
    description: str,
    own: list[dict[str, Any]],
    drawn: dict[str, Any] | None,
    first: bool,
) -> Html:
    reasons = list(dict.fromkeys(one["reason"] for one in own))
    fail = sum(one.get("failed", {}).get(reason, 0) for one in facts.own.values() for reason in reasons)
    flagged = any(not note["used"] for one in own for note in one.get("proposed", ()))
    summary = [
        element("h3", listed([foreign(words_of(reason)) for reason in reasons])),
        element("span", f" {description or words_of(column)} ", class_="what"),
        element("span", f"{counted(fail)} fail{'s' if fail == 1 else ''}", class_="quiet"),
    ]
    if flagged:
        summary.append(element("span", " ⚠ implausible proposal, see below", class_="flag"))
    charts = [_chart(facts, code, own, drawn) for code in drawn["languages"]] if drawn else []
    rows = [_row(facts, one, drawn) for one in own]
    return details(
        join(summary),
        element("div", *charts, class_="small") if charts else element("p", NO_CHART, class_="quiet"),
        details(
            "Bounds and numbers",
            table(
                join(["Bounds of ", element("code", column)]),
                ["language", "rule", "at least", "at most", "fail it", "half of the kept below", "proposed"],
                rows,
                words=(1, 6),
                name=f"Bounds of {column}",
            ),
            open_=flagged,
        ),
        open_=first or flagged or fail > MANY * facts.manifest["documents"],
        class_="rule",
    )


def _chart(facts: Facts, code: str, own: list[dict[str, Any]], drawn: dict[str, Any]) -> Html:
    bins, low, high = drawn["languages"][code], drawn["low"], drawn["high"]
    bounds = [_bounds(one) for one in own if one["language"] == code]
    kept, rejected = map(sum, bins)
    said = "; ".join(filter(None, (_range(one) for one in bounds))) or "no bounds"
    beyond = [value for one in bounds for value in one.values() if not low <= value <= high]
    half = median(bins[0], low, high)
    label = f"{facts.label(code)}: {kept:,} kept, {rejected:,} left out, "
    label += f"values from {_end(low, high - low)} to {_end(high, high - low)}; {said}"
    if half is not None:
        label += f"; half of the kept are below {_rough(half)}"
    return element(
        "figure",
        element("figcaption", element("span", facts.name(code)), element("span", said, class_="quiet")),
        histogram(label, bins, low, high, bounds),
        element(
            "p",
            element("span", _end(low, high - low)),
            element("span", f"{number(beyond[0])} is outside the chart") if beyond else "",
            element("span", _end(high, high - low)),
            class_="axis",
            aria_hidden="true",
        ),
    )


def _bounds(one: dict[str, Any]) -> dict[str, float]:
    return {side: float(one[side]) for side in ("min", "max") if side in one}


def _range(bounds: dict[str, float]) -> str:
    if "min" in bounds and "max" in bounds:
        return f"{number(bounds['min'])} to {number(bounds['max'])}"
    if "min" in bounds:
        return f"at least {number(bounds['min'])}"
    return f"at most {number(bounds['max'])}" if "max" in bounds else ""


def _end(value: float, width: float) -> str:
    """An end of an axis; what is nothing beside its width is 0."""
    return number(0 if abs(value) < 1e-4 * width else value)


def _rough(value: float) -> str:
    """To the two digits that bins allow."""
    return number(float(f"{value:.2g}"))


def _row(facts: Facts, one: dict[str, Any], drawn: dict[str, Any] | None) -> list[object]:
    code = one["language"]
    half = None
    if drawn and code in drawn["languages"]:
        half = median(drawn["languages"][code][0], drawn["low"], drawn["high"])
    fail = facts.own.get(code, {}).get("failed", {}).get(one["reason"], 0)
    documents = facts.own.get(code, {}).get("documents", 0)
    return [
        facts.name(code),
        foreign(words_of(one["reason"])),
        *(number(one[side]) if side in one else "-" for side in ("min", "max")),
        f"{fail:,} ({percent(fail, documents)})",
        "-" if half is None else f"about {_rough(half)}",
        join([proposal(note) for note in one.get("proposed", ())], "; ") or "-",
    ]


def proposal(note: dict[str, Any]) -> Html:
    """What a language's own distribution proposed, and whether that was plausible."""
    low, high = map(number, note["between"])
    if note["used"]:
        return join([f"{number(note['value'])}, used (plausible: {low} to {high})"])
    return join(
        [
            element("span", "⚠ implausible:", class_="flag"),
            f" {number(note['value'])} was proposed, {low} to {high} is plausible; not used",
        ]
    )
