"""Texts to read, kept and rejected side by side, and the recipe they were judged by."""

import json
from typing import Any

from edgelm.corpus.page.facts import Facts, counted
from edgelm.corpus.write import SHOWN
from edgelm.page.markup import Html, details, element, foreign, join, percent, words_of

SHOWN_REASONS = 40  # of one language
OTHER_LANGUAGE = (
    "language_probability",
    "foreign_lines",
)  # what these reject is not in the language it is said to be


def samples(facts: Facts) -> list[Html]:
    """A part that unfolds for each language: random kept documents, and rejected ones by reason."""
    found = facts.manifest.get("samples") or {}
    if not found:
        return [element("p", "There is nothing to show.")]
    parts = [element("p", "Documents drawn at random. Long ones are cut; “…” says where.")]
    for at, (code, groups) in enumerate(found.items()):
        own = facts.own.get(code, {})
        rejected = own.get("rejected", {})
        order = sorted(
            (one for one in groups if one != "kept"), key=lambda reason: (-rejected.get(reason, 0), reason)
        )
        left = [_quote(facts, code, one, True) for one in groups.get("kept", ())]
        right = [
            _rejected(facts, code, reason, groups[reason], not place)
            for place, reason in enumerate(order[:SHOWN_REASONS])
        ]
        parts.append(
            details(
                join([element("h3", facts.name(code)), " ", element("span", _said(own), class_="quiet")]),
                element(
                    "div",
                    element("div", element("h4", "Kept"), *(left or [element("p", "None.")])),
                    element("div", element("h4", "Left out"), *(right or [element("p", "None.")])),
                    class_="sides",
                ),
                open_=not at,
                class_="language",
            )
        )
    return parts


def _said(own: dict[str, Any]) -> str:
    documents = own.get("documents", 0)
    return f"{percent(own.get('kept', 0), documents)} of {counted(documents)} kept"


def _rejected(facts: Facts, code: str, reason: str, shown: list[dict[str, Any]], first: bool) -> Html:
    count = facts.own.get(code, {}).get("rejected", {}).get(reason, len(shown))
    columns = [rule["column"] for rule in facts.rules if rule["reason"] == reason]
    native = reason != "other_language" and not any(column in OTHER_LANGUAGE for column in columns)
    return details(
        join([foreign(words_of(reason)), " ", element("span", counted(count), class_="quiet")]),
        *(_quote(facts, code, one, native) for one in shown),
        open_=first,
    )


def _quote(facts: Facts, code: str, one: dict[str, Any], native: bool) -> Html:
    body = str(one["text"])
    return element(
        "figure",
        element(
            "blockquote",
            join([body, "…" if len(body) >= SHOWN else ""]),
            dir="auto",
            lang=facts.tag(code) if native else None,
        ),
        element("figcaption", foreign(one["id"]), " · ", foreign(one["source"])),
        class_="sample",
    )


def recipe(facts: Facts) -> list[Html]:
    """The recipe as resolved, as JSON."""
    value = facts.manifest["recipe"]
    return [
        element(
            "p",
            "The same recipe over the same files gives the same corpus, byte for byte. Defaults are filled "
            "in; where the files lay is left out.",
        ),
        details(
            join(["The recipe ", foreign(value["name"]), ", in full"]),
            element(
                "pre",
                json.dumps(value, ensure_ascii=False, indent=1),
                tabindex="0",
                aria_label="Recipe",
                role="group",
            ),
            class_="recipe",
        ),
    ]
