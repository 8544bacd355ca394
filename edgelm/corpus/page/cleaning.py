"""Duplicates, languages identified, repairs, redactions and contamination, as the report shows them."""

from edgelm.corpus.near_duplicates import NearDuplicates
from edgelm.corpus.page.charts import curve, curve_points, meter, shade
from edgelm.corpus.page.facts import Facts, counted
from edgelm.corpus.recipe import known_columns
from edgelm.page.markup import Cell, Html, element, foreign, join, number, percent, table, words_of


def duplicates(facts: Facts) -> list[Html]:
    """Clusters by size, how near-duplicates were looked for, and how likely one is found."""
    clusters = facts.manifest["clusters"]
    removed = clusters["removed"]
    equal = removed["duplicate"]
    said = f"{counted(equal)} {'was' if equal == 1 else 'were'} left out as equal to another one "
    said += "but for case, digits, punctuation and spacing"
    settings = facts.manifest["recipe"].get("near_duplicates")
    if settings:
        said += f", {number(removed['near_duplicate'])} as nearly equal"
    said += ". Of documents that belong together the one with the most letters stays."
    found = [element("p", said)]
    sizes = clusters["sizes"]
    most = max(sizes.values(), default=0)
    rows = [
        [f"{name} documents", join([number(count), " ", meter(count / most if most else 0)])]
        for name, count in sizes.items()
    ]
    if most:
        caption = (
            f"Groups of documents that are alike, by size; the largest has {counted(clusters['largest'])}"
        )
        found.append(table(caption, ["size of the group", "groups"], rows))
    else:
        found.append(element("p", "No two documents are alike."))
    if lines := facts.manifest["recipe"].get("boilerplate"):
        found.append(
            element(
                "p",
                "Lines that repeat over the documents of one source, such as menus, were taken out before: "
                f"two lines that follow one another in {number(lines['documents'])} documents, or a line "
                f"that is in {number(lines['share'] * 100)}% of them.",
            )
        )
    if not settings:
        return [*found, element("p", "The recipe does not look for near-duplicates.")]
    near = NearDuplicates(**settings)
    found += [
        element("h3", "How near-duplicates are found"),
        element(
            "p",
            f"A document is the set of its runs of {near.ngram} characters. Two documents are "
            f"near-duplicates when at least {number(near.threshold * 100)}% of the runs found in either are "
            f"in both. That is estimated from {near.permutations} values (MinHash) in {near.bands} bands of "
            f"{near.rows}: documents are compared when all values of one band agree. So a pair is found by "
            "chance, the likelier the more alike it is.",
        ),
        element(
            "div",
            curve(near),
            table(
                "Probability of finding a pair",
                ["alike", "compared", "found"],
                [[f"{number(at * 100)}%", percent(a, 1), percent(b, 1)] for at, a, b in curve_points(near)],
            ),
            class_="beside",
        ),
    ]
    return found


def confusion(facts: Facts) -> list[Html]:
    """Languages said and identified, as a shaded table."""
    counts = facts.manifest.get("confusion") or {}
    if not counts:
        return [element("p", "The recipe does not identify languages, or there was nothing to identify.")]
    seen = {name for row in counts.values() for name in row}
    names = [code for code in facts.codes if code in seen] + sorted(seen - set(facts.codes))
    rows = []
    for code, row in counts.items():
        total = sum(row.values())
        cells = []
        for name in names:
            count = row.get(name, 0)
            said = f"{facts.label(code)} identified as {facts.label(name)}: {percent(count, total)}"
            style = shade(count / total) + (" same" if name == code else "")
            cells.append(Cell(number(count), style, said))
        agrees = "" if code in facts.manifest.get("unidentified", ()) else percent(row.get(code, 0), total)
        rows.append([facts.name(code), agrees, *cells])
    return [
        element(
            "p",
            "Each row is the documents said to be in one language; the columns are what the identifier "
            "makes of them. The stronger the colour of a cell, the larger its share of the row; framed "
            "cells are where both agree. Short texts and close neighbours are hard to tell apart, so a few "
            "documents off the frame are no fault of the text.",
        ),
        table(
            "Documents by the language they are said to be in, and the language identified",
            ["said to be", "agrees", *map(facts.name, names)],
            rows,
        ),
    ]


def repairs(facts: Facts) -> list[Html]:
    """What was mended and what was made unreadable, counted by language."""
    redact = facts.manifest["recipe"].get("redact", "off")
    how = {
        "tags": "Each was replaced by a tag.",
        "count": "They were counted and left in the text.",
        "off": "The recipe does not look for personal data.",
    }
    return [
        element("h3", "Repairs"),
        *(_kinds(facts, "repaired", "Repairs by language") or [element("p", "Nothing was counted.")]),
        element("h3", "Personal data"),
        element("p", how.get(redact, redact)),
        *_kinds(facts, "redacted", "Personal data found, by language"),
    ]


def _kinds(facts: Facts, group: str, caption: str) -> list[Html]:
    kinds = list(dict.fromkeys(kind for one in facts.own.values() for kind in one.get(group, {})))
    if not kinds:
        return []
    described = known_columns()
    terms = (
        element("li", element("strong", words_of(kind)), ": ", described[f"{group}_{kind}"])
        for kind in kinds
        if f"{group}_{kind}" in described
    )
    rows = [
        [facts.name(code), *(number(one.get(group, {}).get(kind, 0)) for kind in kinds)]
        for code, one in facts.own.items()
    ]
    total = [
        "all",
        *(number(sum(one.get(group, {}).get(kind, 0) for one in facts.own.values())) for kind in kinds),
    ]
    return [
        element("ul", *terms, class_="terms"),
        table(caption, ["language", *map(words_of, kinds)], rows, total=total),
    ]


def contamination(facts: Facts) -> list[Html]:
    """Evaluation files looked for, and documents that held their text."""
    files = facts.manifest["recipe"].get("evaluation") or []
    if not files:
        return [
            element(
                "p",
                "The recipe names no evaluation files, so none were looked for: a test set may be in this "
                "corpus.",
            )
        ]
    length = facts.manifest["recipe"].get("evaluation_ngram")
    found = [
        element(
            "p",
            "Text of these files was looked for, in runs of ",
            number(length),
            " words or whole shorter sentences:",
        ),
        element("ul", *(element("li", foreign(name)) for name in files)),
    ]
    met = [
        [foreign(one["file"]), number(one["items"]), number(one["hit"])]
        for one in facts.manifest.get("contamination") or []
    ]
    if met:
        found.append(table("How much of each file the documents hold", ["file", "items", "items met"], met))
    reasons = [rule["reason"] for rule in facts.rules if rule["column"] == "contaminated"]
    rows = [
        [facts.name(code), *(number(one.get("failed", {}).get(reason, 0)) for reason in reasons)]
        for code, one in facts.own.items()
    ]
    if not reasons:
        return [*found, element("p", "No rule of the recipe leaves out documents that hold some.")]
    header = ["language", *(foreign(words_of(reason)) for reason in reasons)]
    return [*found, table("Documents that held text of an evaluation file", header, rows)]
