"""The first half of the report: the headline, what became of the documents, languages, sources, the mix."""

from collections import Counter

from edgelm.corpus.page.charts import bar, legend, meter
from edgelm.corpus.page.facts import ALIKE, NOT_STATED, Facts, counted
from edgelm.corpus.readers import SPLITS
from edgelm.page.markup import (
    Html,
    details,
    element,
    foreign,
    join,
    number,
    percent,
    size,
    table,
    text,
    words_of,
)

SOURCES = 200  # shown one by one; a record may name any source
GENRES = 8  # parts of a bar


def headline(facts: Facts) -> Html:
    """Documents, words and bytes, read and kept."""
    manifest = facts.manifest
    kept, documents = manifest["kept"], manifest["documents"]
    with_text = sum(1 for one in facts.own.values() if one["kept"])
    pairs = [
        ("Documents", number(kept), number(documents), kept, documents),
        (
            "Words",
            number(facts.total("words")),
            number(facts.total("read", "words")),
            facts.total("words"),
            facts.total("read", "words"),
        ),
        (
            "Text",
            size(manifest["bytes"]),
            size(facts.total("read", "bytes")),
            manifest["bytes"],
            facts.total("read", "bytes"),
        ),
        ("Languages", number(with_text), number(len(facts.codes)), with_text, len(facts.codes)),
    ]
    cards = (
        element(
            "div",
            element("dt", name),
            element("dd", element("strong", after), element("span", " kept of ", before, " read")),
            element("dd", meter(part / whole if whole else 0), " ", percent(part, whole), class_="share"),
        )
        for name, after, before, part, whole in pairs
    )
    return element("dl", *cards, class_="cards")


def funnel(facts: Facts) -> list[Html]:
    """One bar a language and a table of every reason in every language."""
    colours = [("kept", "", "kept"), *((one.style, one.key, one.name) for one in facts.groups)]
    rows = []
    for code in facts.codes:
        own = facts.own[code]
        parts = [("kept", "kept", own["kept"], "")]
        parts += [(group.style, group.name, facts.count(code, group), group.key) for group in facts.groups]
        most = sorted(parts[1:], key=lambda part: -part[2])[:3]
        said = [f"{what} {percent(count, own['documents'])}" for _, what, count, _ in most if count]
        rows += [
            element("dt", facts.name(code), element("span", counted(own["documents"]), class_="quiet")),
            element(
                "dd",
                bar(facts.label(code), parts),
                element(
                    "p",
                    element("strong", percent(own["kept"], own["documents"]), " kept"),
                    join([". Most of the rest: ", ", ".join(said), "."]) if said else ".",
                    class_="quiet",
                ),
            ),
        ]
    found = [
        element(
            "p",
            "Each bar is all documents read in a language. The first part is what was kept; then come the "
            "reasons for which documents were left out, in the order in which they are looked for. A "
            "document that would fail several rules counts under the first one.",
        ),
        legend(colours),
        element("dl", *rows, class_="bars"),
        _reasons(facts),
    ]
    if any(any(one.get("failed", {}).values()) for one in facts.own.values()):
        found.append(_failed(facts))
    return found


def _reasons(facts: Facts) -> Html:
    rows: list[list[object]] = [
        ["kept", "", *_by_language(facts, {code: facts.own[code]["kept"] for code in facts.codes})]
    ]
    for group in facts.groups:
        for at, reason in enumerate(group.members):
            if at < ALIKE:
                counts = {code: facts.own[code]["rejected"].get(reason, 0) for code in facts.codes}
                rows.append([foreign(words_of(reason)), group.key, *_by_language(facts, counts)])
        if rest := group.members[ALIKE:]:
            counts = {
                code: sum(facts.own[code]["rejected"].get(reason, 0) for reason in rest)
                for code in facts.codes
            }
            rows.append([f"{group.name}: {len(rest):,} others", group.key, *_by_language(facts, counts)])
    totals = {code: facts.own[code]["documents"] for code in facts.codes}
    return table(
        "Documents by the first reason",
        ["reason", "no.", "all", "share", *map(facts.name, facts.codes)],
        rows,
        total=["read", "", *_by_language(facts, totals)],
    )


def _by_language(facts: Facts, counts: dict[str, int]) -> list[object]:
    whole = sum(counts.values())
    return [number(whole), percent(whole, facts.manifest["documents"]), *map(number, counts.values())]


def _failed(facts: Facts) -> Html:
    reasons = dict.fromkeys(reason for one in facts.own.values() for reason in one.get("failed", {}))
    rows = [
        [
            foreign(words_of(reason)),
            *_by_language(
                facts, {code: facts.own[code].get("failed", {}).get(reason, 0) for code in facts.codes}
            ),
        ]
        for reason in reasons
    ]
    return details(
        "Documents that fail each rule, whatever they fail besides",
        table(
            "Documents that fail each rule; one that fails several is counted under each",
            ["rule", "all", "share", *map(facts.name, facts.codes)],
            rows,
        ),
    )


def languages(facts: Facts) -> list[Html]:
    """Words, bytes, shares, splits and the training mix of each language."""
    mix = facts.manifest.get("mix", {})
    most = max((one["bytes"] for one in facts.own.values()), default=0)
    rows, splits = [], []
    for code, one in facts.own.items():
        share = mix.get(code, {})
        rows.append(
            [
                facts.name(code),
                number(one["documents"]),
                number(one["kept"]),
                percent(one["kept"], one["documents"]),
                number(one["read"]["words"]),
                number(one["words"]),
                size(one["read"]["bytes"]),
                join([size(one["bytes"]), " ", meter(one["bytes"] / most if most else 0)]),
                percent(one["bytes"], facts.manifest["bytes"]),
                f"{share['share']:.1%}" if share else "-",
                f"{share['epochs']:.2f}" if share else "-",
            ]
        )
        parts = one["splits"]
        splits.append(
            [
                facts.name(code),
                *(
                    cell
                    for part in SPLITS
                    for cell in (number(parts[part]["documents"]), size(parts[part]["bytes"]))
                ),
            ]
        )
    header = ["language", "documents read", "kept", "kept share", "words read", "words kept", "text read"]
    header += ["text kept", "share of text", "share of training", "times seen"]
    totals: list[object] = ["all", number(facts.manifest["documents"]), number(facts.manifest["kept"])]
    totals += [percent(facts.manifest["kept"], facts.manifest["documents"])]
    totals += [number(facts.total("read", "words")), number(facts.total("words"))]
    totals += [size(facts.total("read", "bytes")), size(facts.manifest["bytes"]), "", "", ""]
    return [
        table("Documents, words and text of each language, before and after", header, rows, total=totals),
        element("p", *_mix(facts)),
        table(
            "Where the kept documents are: for training, for checking while training, and for the final test",
            ["language", *(f"{part}, {what}" for part in SPLITS for what in ("documents", "text"))],
            splits,
        ),
    ]


def _mix(facts: Facts) -> list[object]:
    rule = facts.manifest["recipe"].get("mix") or {}
    if epochs := rule.get("unimax_epochs"):
        how = "every language gets an even share, but none is repeated more than "
        how += f"{number(epochs)} times (UniMax)"
    elif (temperature := rule.get("temperature") or 1) == 1:
        how = "every language has the share that its text has"
    else:
        how = (
            f"the share of a language grows with the size of its text to the power 1/{number(temperature)} "
            f"(temperature {number(temperature)}), so that small languages are seen more often than their "
            "size says"
        )
    return [
        element("strong", "The training mix"),
        f": {how}. “Times seen” is how often the training text of a language is gone through while a model "
        "reads as much text as there is in all.",
    ]


def sources(facts: Facts) -> list[Html]:
    """Where the text comes from, under which terms, and of what kind it is."""
    manifest, whole = facts.manifest, facts.manifest["bytes"]
    every = sorted(manifest["sources"].items(), key=lambda item: (-item[1]["bytes"], item[0]))
    rows: list[list[object]] = []
    for name, one in every[:SOURCES]:
        terms = facts.terms(name)
        rows.append(
            [
                foreign(name),
                foreign(terms["genre"]),
                foreign(terms["licence"]),
                number(one["documents"]),
                number(one["kept"]),
                percent(one["kept"], one["documents"]),
                size(one["bytes"]),
                join([percent(one["bytes"], whole), " ", meter(one["bytes"] / (whole or 1))]),
                foreign(terms["attribution"]),
            ]
        )
    if rest := [one for _, one in every[SOURCES:]]:
        documents, kept, taken = (sum(one[key] for one in rest) for key in ("documents", "kept", "bytes"))
        share = percent(taken, manifest["bytes"])
        cells = [number(documents), number(kept), percent(kept, documents), size(taken), share]
        rows.append([f"{len(rest):,} other sources", "", "", *cells, ""])
    header = ["source", "genre", "licence", "documents", "kept", "kept share", "text kept", "share of text"]
    by_language = [
        [
            foreign(name),
            facts.name(code),
            number(documents),
            number(kept),
            percent(kept, documents),
            size(taken),
        ]
        for name, one in every[:SOURCES]
        for code, (documents, kept, taken) in one["languages"].items()
    ]
    return [
        table("Sources, the largest first", [*header, "attribution"], rows, words=(1, 2, 8)),
        details(
            "Every source in every language",
            table(
                "Documents of each source by language",
                ["source", "language", "documents", "kept", "kept share", "text kept"],
                by_language,
                words=(1,),
            ),
        ),
        *_genres(facts),
    ]


def _genres(facts: Facts) -> list[Html]:
    """Share of each genre in the kept text of each language."""
    taken: Counter[str] = Counter()
    own: dict[str, Counter[str]] = {code: Counter() for code in facts.codes}
    for name, one in facts.manifest["sources"].items():
        genre = facts.terms(name)["genre"]
        for code, (_, _, bytes_) in one["languages"].items():
            own[code][genre] += bytes_
            taken[genre] += bytes_
    named = [genre for genre, _ in taken.most_common() if genre != NOT_STATED]
    order = named[: GENRES - 1] + [NOT_STATED] * (NOT_STATED in taken)
    other = named[GENRES - 1 :]
    parts = [
        (f"g{at}" if genre != NOT_STATED else "none", genre, [genre], chr(65 + at))
        for at, genre in enumerate(order)
    ]
    if other:
        parts.append(("more", f"{len(other)} other genres", other, "+"))
    bars = []
    for code, counts in {"": taken, **own}.items():
        if total := sum(counts.values()):
            pieces = [
                (style, what, sum(counts[one] for one in members), key) for style, what, members, key in parts
            ]
            name = facts.label(code) if code else "all languages"
            bars += [
                element(
                    "dt", facts.name(code) if code else name, element("span", size(total), class_="quiet")
                ),
                element("dd", bar(name, pieces)),
            ]
    rows = [
        [
            foreign(genre),
            size(taken[genre]),
            percent(taken[genre], facts.manifest["bytes"]),
            *(percent(own[code][genre], sum(own[code].values())) for code in facts.codes),
        ]
        for genre in [*named, *([NOT_STATED] if NOT_STATED in taken else [])]
    ]
    return [
        element("h3", "Kinds of text"),
        element(
            "p", "Share of each genre in the kept text, by bytes. What a recipe does not say is “not stated”."
        ),
        legend([(style, key, what) for style, what, _, key in parts]),
        element("dl", *bars, class_="bars"),
        table("Share of each genre", ["genre", "text", "all", *map(facts.name, facts.codes)], rows),
    ]


def skipped(facts: Facts) -> list[Html]:
    """Files that were passed over, with the reason."""
    files = facts.manifest.get("skipped") or []
    if not files:
        return [element("p", "No file was passed over.")]
    rows = [[foreign(one["file"]), foreign(one["reason"])] for one in files[:SOURCES]]
    more = [element("p", text(f"and {len(files) - SOURCES:,} more"))] if len(files) > SOURCES else []
    return [table("Files that were not read", ["file", "reason"], rows, words=(1,)), *more]
