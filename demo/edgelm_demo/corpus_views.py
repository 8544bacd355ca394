"""What the tab Corpus shows, as HTML in the reader's language."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgelm.corpus.page.charts import bar, histogram, legend, meter
from edgelm.corpus.page.facts import Facts
from edgelm.corpus.page.filters import NO_CHART
from edgelm.corpus.recipe import known_columns
from edgelm.corpus.tune import Change
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
    words_of,
)
from edgelm_demo.interface import FIRST, say, texts

if TYPE_CHECKING:  # they need numba, which a page without a corpus does without
    from edgelm.corpus.probe import Judged, Verdict
    from edgelm.corpus.sample import Sampled

SOURCES = 40  # shown one by one; a record may name any source
TEXT = 20_000  # characters of a document that are shown
LINES = 200  # of a pasted text
LINE = 300  # characters of a line
EXAMPLE = 280  # characters of a document that changes
LIKELY = 3  # languages shown of those a text may be in


def named(locale: str, group: str, key: str, otherwise: str) -> str:
    """The words for a reason or a measure; `otherwise` for one that only some recipe knows."""
    key = f"corpus.{group}.{key}"
    return say(locale, key) if key in texts()[FIRST] else otherwise


def reason_words(locale: str, reason: str) -> str:
    return named(locale, "reasons", reason, words_of(reason))


def measure_words(locale: str, column: str) -> str:
    return named(locale, "measures", column, known_columns().get(column, words_of(column)))


def language_name(facts: Facts, locale: str, code: str) -> Html:
    """A language by its own name and with its tag, or what stands for no language."""
    if code in facts.registry:
        return foreign(facts.registry[code].autonym, facts.tag(code))
    return foreign(named(locale, "languages", code, code))


def headline(facts: Facts, locale: str) -> Html:
    """How much of a corpus was kept, in a line."""
    manifest = facts.manifest
    said = say(
        locale,
        "corpus.headline",
        kept=manifest["kept"],
        documents=manifest["documents"],
        share=percent(manifest["kept"], manifest["documents"]),
        languages=len(facts.codes),
        recipe=manifest["recipe"]["name"],
    )
    return element("p", said, " ", size(manifest["bytes"]), class_="note")


def funnel(facts: Facts, locale: str, sources: Mapping[str, Mapping[str, int]] | None = None) -> Html:
    """A bar for each language, or for each source where those are given, and a table of the same numbers.

    Args:
        sources: documents of each by `kept` or first reason.
    """
    counts: list[tuple[object, str, Mapping[str, int]]] = []
    if sources is None:
        for code, own in facts.own.items():
            own_counts = {"kept": own["kept"], **own["rejected"]}
            counts.append((language_name(facts, locale, code), facts.label(code), own_counts))
    else:
        counts = [(foreign(name), name, one) for name, one in list(sources.items())[:SOURCES]]
    groups = [
        (one, ", ".join(reason_words(locale, name) for name in _names(one.members))) for one in facts.groups
    ]
    kept = say(locale, "corpus.kept")
    rows = []
    for name, label, one in counts:
        parts = [("kept", kept, one.get("kept", 0), "")]
        parts += [
            (group.style, words, sum(one.get(reason, 0) for reason in group.members), group.key)
            for group, words in groups
        ]
        whole = sum(one.values())
        share = say(locale, "corpus.kept_of", share=percent(parts[0][2], whole), documents=whole)
        rows += [
            element("dt", name, element("span", share, class_="quiet")),
            element("dd", bar(label, parts)),
        ]
    keys = [("kept", "", kept), *((group.style, group.key, words) for group, words in groups)]
    return join([legend(keys), element("dl", *rows, class_="bars"), _counts(locale, groups, counts)])


def _names(members: Sequence[str]) -> list[str]:
    """Reasons of reading that differ only behind a colon, such as names of unknown languages, once."""
    return list(dict.fromkeys(one.partition(":")[0] for one in members))


def _counts(
    locale: str, groups: Sequence[Any], counts: Sequence[tuple[object, str, Mapping[str, int]]]
) -> Html:
    """The numbers of the bars: a row for what was kept and for each reason."""

    def row(words: object, values: list[int]) -> list[object]:
        return [words, number(sum(values)), *map(number, values)]

    rows = [row(say(locale, "corpus.kept"), [one.get("kept", 0) for _, _, one in counts])]
    for group, words in groups:
        own = [sum(one.get(reason, 0) for reason in group.members) for _, _, one in counts]
        rows.append(row(words, own))
    total = row(say(locale, "corpus.documents_in"), [sum(one.values()) for _, _, one in counts])
    header = [say(locale, "corpus.reason"), say(locale, "corpus.all"), *(name for name, _, _ in counts)]
    caption = say(locale, "corpus.first_reason")
    return details(say(locale, "corpus.numbers"), table(caption, header, rows, total=total, role="region"))


def distribution(facts: Facts, locale: str, column: str) -> Html:
    """One histogram a language of a measured column, with the bounds that are drawn on it."""
    drawn = facts.manifest["distributions"].get(column)
    if not drawn:
        return element("p", NO_CHART, class_="note")
    low, high = drawn["low"], drawn["high"]
    charts = []
    for code, bins in drawn["languages"].items():
        own = [
            one for one in facts.manifest["thresholds"] if (one["column"], one["language"]) == (column, code)
        ]
        bounds = [{side: float(one[side]) for side in ("min", "max") if side in one} for one in own]
        said = "; ".join(bounds_words(locale, one.get("min"), one.get("max")) for one in bounds)
        kept, rejected = map(sum, bins)
        numbers = say(locale, "corpus.kept_and_rejected", kept=kept, rejected=rejected)
        charts.append(
            element(
                "figure",
                element(
                    "figcaption",
                    element("strong", language_name(facts, locale, code)),
                    element("span", said, class_="quiet"),
                    element("span", numbers, class_="quiet"),
                ),
                histogram(f"{facts.label(code)}: {numbers}. {said}", bins, low, high, bounds),
                element("p", element("span", number(low)), element("span", number(high)), class_="axis"),
            )
        )
    return element("div", *charts, class_="small")


def bounds_words(locale: str, least: float | None, most: float | None) -> str:
    """Which values are kept."""
    sides = (("corpus.at_least", least), ("corpus.at_most", most))
    said = [say(locale, key, value=number(value)) for key, value in sides if value is not None]
    return ", ".join(said) or say(locale, "corpus.no_bound")


def document(facts: Facts, locale: str, one: "Sampled", verdicts: "Iterable[Verdict]", where: str) -> Html:
    """One document of a corpus: where it is from, why it was rejected, its text, what was measured."""
    language = language_name(facts, locale, one.language)
    why = []
    if one.reasons:
        reasons = [reason_words(locale, reason) for reason in one.reasons]
        why.append(
            element("p", element("strong", say(locale, "corpus.rejected_for", reasons=", ".join(reasons))))
        )
    cut = [element("p", say(locale, "corpus.cut", count=TEXT), class_="note")] if len(one.text) > TEXT else []
    return element(
        "article",
        element("p", join([where, language, foreign(one.source), foreign(one.id)], " · "), class_="note"),
        *why,
        element(
            "blockquote", one.text[:TEXT], dir="auto", lang=facts.tag(one.language), tabindex="0",
            role="region", aria_label=say(locale, "corpus.document"),
        ),
        *cut,
        verdict_list(locale, verdicts),
    )  # fmt: skip


def verdict_list(locale: str, verdicts: "Iterable[Verdict]") -> Html:
    """Every filter with what it measures, the value, its bounds, and whether the text passes it."""
    items = []
    for one in verdicts:
        bounds = bounds_words(locale, one.least, one.most)
        value = "–" if one.value is None else number(one.value)
        state = "unknown" if one.value is None else "passes" if one.passes else "fails"
        items.append(
            element(
                "li",
                element(
                    "span", {"passes": "✓", "fails": "✗"}.get(state, "–"), class_="mark", aria_hidden="true"
                ),
                element(
                    "span",
                    element(
                        "strong", say(locale, f"corpus.{state}", reason=reason_words(locale, one.reason))
                    ),
                    element("span", measure_words(locale, one.column), class_="quiet"),
                ),
                element(
                    "span", element("strong", value), element("span", bounds, class_="quiet"), class_="value"
                ),
                class_=state,
            )
        )
    return element("ul", *items, class_="verdicts")


def judgement(
    facts: Facts, locale: str, whole: "Judged", lines: "Sequence[Judged]", copies: int, given: str
) -> Html:
    """What is said of a pasted text: of the whole, then line by line."""
    failed = [reason_words(locale, reason) for reason in whole.reasons]
    verdict = (
        say(locale, "corpus.would_reject", reasons=", ".join(failed))
        if failed
        else say(locale, "corpus.would_keep")
    )
    parts = [element("p", verdict, class_=f"verdict {'fails' if failed else 'passes'}")]
    if copies:
        parts.append(element("p", say(locale, "corpus.copies", count=copies)))
    parts += [
        element("h3", say(locale, "corpus.its_language")),
        _languages(facts, locale, whole),
        element("h3", say(locale, "corpus.its_filters")),
        verdict_list(locale, whole.verdicts),
    ]
    if whole.text != given.strip():
        text = element("blockquote", whole.text[:TEXT], dir="auto", lang=facts.tag(whole.language))
        parts.append(details(say(locale, "corpus.mended"), text))
    if lines:
        judged_as = "corpus.lines_said" if whole.language in facts.registry else "corpus.lines_apart"
        parts += [
            element("h3", say(locale, "corpus.its_lines")),
            element("p", say(locale, judged_as), class_="note"),
            element("ol", *(_line(facts, locale, one) for one in lines[:LINES]), class_="lines"),
        ]
    if len(lines) > LINES:
        parts.append(element("p", say(locale, "corpus.more_lines", count=len(lines) - LINES), class_="note"))
    return element("section", *parts)


def _languages(facts: Facts, locale: str, one: "Judged") -> Html:
    """The likeliest languages of a text with their probabilities as bars."""
    if tells_nothing(one):
        return element("p", say(locale, "corpus.no_letters"))
    ranked = sorted(one.probabilities.items(), key=lambda item: -item[1])[:LIKELY]
    return element(
        "ul",
        *(
            element(
                "li", language_name(facts, locale, code), meter(share), element("span", percent(share, 1))
            )
            for code, share in ranked
        ),
        class_="likely",
    )


def tells_nothing(one: "Judged") -> bool:
    """Whether all languages are equally likely, as of a text without a letter."""
    return max(one.probabilities.values()) - min(one.probabilities.values()) < 1e-6


def _line(facts: Facts, locale: str, one: "Judged") -> Html:
    code, share = one.likeliest
    language: object = join([language_name(facts, locale, code), " ", percent(share, 1)])
    if nothing := tells_nothing(one):
        language = say(locale, "corpus.no_letters")
    reasons = ", ".join(reason_words(locale, reason) for reason in one.reasons)
    said = say(locale, "corpus.line_fails", reasons=reasons) if reasons else say(locale, "corpus.line_passes")
    shown = one.text[:LINE] + ("…" if len(one.text) > LINE else "")
    return element(
        "li",
        element("span", shown, lang=None if nothing else facts.tag(code), dir="auto", class_="line"),
        element("span", language, " · ", said, class_="quiet"),
        class_="fails" if reasons else "passes",
    )


def effect(facts: Facts, locale: str, changes: Sequence[Change]) -> Html:
    """Documents and characters kept before and now, in all and in each language that changes."""
    sums = [
        sum(getattr(one, part)[at] for one in changes)
        for part in ("documents", "characters")
        for at in (0, 1)
    ]
    total = Change("", (sums[0], sums[1]), (sums[2], sums[3]))
    if not any(one.documents[0] != one.documents[1] for one in changes):
        same = say(locale, "corpus.same", kept=sums[0])
        return element("p", same, class_="verdict")
    # each with a sign of its own: a long document out and two short ones in are more documents, less text
    said = say(locale, "corpus.changed", documents=sums[1] - sums[0], characters=sums[3] - sums[2])

    def row(name: object, one: Change) -> list[object]:
        pairs = (one.documents, one.characters)
        return [name, *(cell for was, now in pairs for cell in (number(was), number(now), f"{now - was:+,}"))]

    header = [say(locale, "corpus.language")]
    for what in ("documents", "characters"):
        header += [say(locale, f"corpus.{what}_{when}") for when in ("before", "now", "change")]
    rows = [row(language_name(facts, locale, one.language), one) for one in changes]
    caption = say(locale, "corpus.effect")
    return join(
        [
            element("p", said, class_="verdict", role="status"),
            table(caption, header, rows, total=row(say(locale, "corpus.all"), total), role="region"),
        ]
    )


def examples(facts: Facts, locale: str, key: str, shown: "Sequence[tuple[Sampled, str]]") -> Html:
    """Some documents that another bound keeps, or rejects, each with the reason to reject it."""
    if not shown:
        return Html("")
    items = (
        element(
            "li",
            element(
                "span",
                one.text[:EXAMPLE] + ("…" if len(one.text) > EXAMPLE else ""),
                lang=facts.tag(one.language), dir="auto", class_="line",
            ),
            element(
                "span",
                join([language_name(facts, locale, one.language), foreign(one.source), reason], " · "),
                class_="quiet",
            ),
            class_="passes" if key == "corpus.now_kept" else "fails",
        )
        for one, reason in shown
    )  # fmt: skip
    return join([element("h3", say(locale, key)), element("ul", *items, class_="lines")])


def bounds_now(facts: Facts, locale: str, side: str, values: Mapping[str, float]) -> Html:
    """The bounds that a corpus was built with, languages with the same one together."""
    groups: dict[float, list[Html]] = {}
    for code, value in values.items():
        groups.setdefault(value, []).append(language_name(facts, locale, code))
    key = "corpus.at_least" if side == "min" else "corpus.at_most"
    said: list[object] = [
        join([say(locale, key, value=number(value)), ": ", join(names, ", ")])
        for value, names in groups.items()
    ]
    lead = say(locale, "corpus.now_bounds")
    return element("p", lead, " ", join(said or [say(locale, "corpus.no_bound")], "; "), class_="note")
