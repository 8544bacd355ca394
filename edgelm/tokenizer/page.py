"""The page of `edgelm tokenizer report -o`: bars and tables, with no network and no script."""

from collections.abc import Callable, Sequence

from edgelm import __version__
from edgelm.languages import load_languages
from edgelm.page import document
from edgelm.page.markup import Html, element, foreign, join, table
from edgelm.tokenizer.report import (
    AIM,
    REFERENCE,
    Result,
    comparison_table,
    language_table,
    ratio_table,
    verdict,
)

COLOURS = 6
STYLE = """
.scale { display: flex; align-items: center; gap: .5rem; margin: 0 0 .25rem; font-size: .8125rem; }
.scale svg { flex: 1; min-width: 0; height: 1.1rem; background: var(--raised); border-radius: .2rem; }
.scale span { flex: none; width: 2.6rem; text-align: right; }
.b0 { fill: #1c67a8; background: #1c67a8; } .b1 { fill: #b3471a; background: #b3471a; }
.b2 { fill: #1f7a5c; background: #1f7a5c; } .b3 { fill: #7b4fc0; background: #7b4fc0; }
.b4 { fill: #8a6100; background: #8a6100; } .b5 { fill: #b92d62; background: #b92d62; }
@media (forced-colors: active) { .scale svg { forced-color-adjust: none; } }
"""


def page(results: Sequence[Result], source: str) -> str:
    """The figures of one tokenizer or several on the text `source`, as an HTML document."""
    first = results[0]
    lines = {one.tokenizer.name: AIM * one.bytes_per_token[one.best] for one in results}
    sections: list[Sequence[object]] = [
        (
            "Bytes a token",
            element(
                "p",
                "More is better: fewer tokens for the same text. The dashed line stands at ",
                f"{AIM} of the tokenizer's best language, which no other language should fall below.",
            ),
            _bars(results, lambda one, code: one.bytes_per_token.get(code), lines.get),
        ),
        (
            "Parity to English",
            element(
                "p",
                "Tokens for the documents of the embedded sample, over those of the same documents in "
                "English (the dashed line). Less is better.",
            ),
            _bars(results, lambda one, code: one.parity.get(code), lambda _: 1.0),
        ),
        *(
            (join(["Figures of ", foreign(one.tokenizer.name)]), _table(language_table(one)))
            for one in results
        ),
    ]
    if len(results) > 1:
        tokens = join(["Bytes a token, and tokens over those of ", foreign(first.tokenizer.name)])
        sections.append(
            (
                "Tokenizers side by side",
                _table(comparison_table(results)),
                _table(ratio_table(results), tokens),
            )
        )
    body = [
        element(
            "header",
            element("h1", "Tokenizer report"),
            element("p", "Measured on ", foreign(source), ".", class_="lead"),
            element("ul", *(element("li", verdict(one)) for one in results), class_="findings"),
        ),
        element(
            "main",
            *(element("section", element("h2", title), *content) for title, *content in sections),
        ),
        element(
            "footer",
            element(
                "p",
                "A word is what stands between white space; a single-byte token stands for one byte of "
                "UTF-8; a document is changed if its tokens do not decode to its text.",
            ),
            element("p", f"Made by edgelm {__version__}."),
        ),
    ]
    return document("Tokenizer report", body, style=STYLE)


def _table(found: tuple[list[str], list[list[str]]], caption: object = "") -> Html:
    header, rows = found
    named = [[foreign(row[0]), *row[1:]] for row in rows]
    return table(caption or "Figures by " + header[0], [foreign(one) for one in header], named)


def _bars(
    results: Sequence[Result],
    value: Callable[[Result, str], float | None],
    line: Callable[[str], float | None],
) -> Html:
    """A bar for each tokenizer in each language, with a dashed line across it; English first where it is."""
    registry = load_languages()
    codes = list(dict.fromkeys(code for one in results for code in one.languages))
    most = max((value(one, code) or 0 for one in results for code in codes), default=0) or 1
    rows = []
    for code in sorted(codes, key=lambda code: (code != REFERENCE, code)):
        bars = []
        for at, one in enumerate(results):
            found = value(one, code)
            if found is None:
                continue
            mark = (line(one.tokenizer.name) or 0) / most * 100
            bars.append(
                element(
                    "div",
                    element(
                        "svg",
                        element(
                            "rect", width=f"{found / most * 100:.2f}", height="10", class_=f"b{at % COLOURS}"
                        ),
                        element("path", d=f"M{mark:.2f} 0V10", class_="bound"),
                        role="img",
                        aria_label=f"{one.tokenizer.name}: {found:.2f}",
                        viewBox="0 0 100 10",
                        preserveAspectRatio="none",
                    ),
                    element("span", f"{found:.2f}"),
                    class_="scale",
                    title=one.tokenizer.name,
                )
            )
        if bars:
            known = registry.get(code)
            name = known.name if known else code
            rows += [
                element("dt", foreign(name), element("span", foreign(code), class_="quiet")),
                element("dd", *bars),
            ]
    keys = (
        element(
            "li",
            element("span", "", class_=f"key b{at % COLOURS}", aria_hidden="true"),
            " ",
            foreign(one.tokenizer.name),
        )
        for at, one in enumerate(results)
    )
    return join([element("ul", *keys, class_="legend"), element("dl", *rows, class_="bars")])
