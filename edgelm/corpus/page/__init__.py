"""`report.html`: one page for people that needs nothing but itself, no network and no script.

    page(read_manifest(corpus), load_languages())

Everything it shows comes out of the manifest, and every text in it is escaped (`edgelm.page.markup`).
"""

from collections.abc import Callable
from typing import Any

from edgelm import __version__
from edgelm.corpus.page.cleaning import confusion, contamination, duplicates, repairs
from edgelm.corpus.page.facts import Facts
from edgelm.corpus.page.filters import distributions
from edgelm.corpus.page.findings import findings
from edgelm.corpus.page.overview import funnel, headline, languages, skipped, sources
from edgelm.corpus.page.samples import recipe, samples
from edgelm.languages import Language
from edgelm.page import document
from edgelm.page.markup import Html, element, foreign, join, number, percent, size

__all__ = ["page"]

SECTIONS: tuple[tuple[str, str, Callable[[Facts], list[Html]]], ...] = (
    ("funnel", "What became of the documents", funnel),
    ("languages", "Language by language", languages),
    ("sources", "Sources", sources),
    ("filters", "Rules and where they cut", distributions),
    ("duplicates", "Duplicates", duplicates),
    ("confusion", "Languages said and identified", confusion),
    ("repairs", "Repairs and personal data", repairs),
    ("contamination", "Evaluation data", contamination),
    ("samples", "Documents to read", samples),
    ("skipped", "Files passed over", skipped),
    ("recipe", "Recipe", recipe),
)


def page(manifest: dict[str, Any], registry: dict[str, Language]) -> str:
    """The report of a corpus as an HTML document.

    Args:
        manifest: of the corpus, as `edgelm.corpus.build` makes it.
        registry: languages by code, for names and `lang` attributes; others are shown by code.
    """
    facts = Facts(manifest, registry)
    title = join(["Corpus report: ", manifest["recipe"]["name"]])
    contents = (element("li", element("a", name, href=f"#{place}")) for place, name, _ in SECTIONS)
    sections = (
        element("section", element("h2", name, id=f"{place}-title"), *render(facts), id=place,
                aria_labelledby=f"{place}-title")
        for place, name, render in SECTIONS
    )  # fmt: skip
    body = [
        element("a", "Skip the contents", href="#main", class_="skip"),
        element(
            "header",
            element("h1", "Corpus report"),
            element("p", _sentence(facts), class_="lead"),
            headline(facts),
        ),
        element("nav", element("ol", *contents), aria_label="Contents"),
        element(
            "main",
            element(
                "section",
                element("h2", "Worth a look", id="findings-title"),
                findings(facts),
                id="findings",
                aria_labelledby="findings-title",
            ),
            *sections,
            id="main",
        ),
        element(
            "footer",
            element("p", f"Made by edgelm {__version__}. The numbers are in manifest.json beside this page."),
        ),
    ]
    return document(title, body)


def _sentence(facts: Facts) -> Html:
    manifest = facts.manifest
    read = facts.total("read", "bytes")
    return join(
        [
            "With the recipe ", foreign(manifest["recipe"]["name"]), f", {number(manifest['kept'])} of ",
            f"{number(manifest['documents'])} documents were kept "
            f"({percent(manifest['kept'], manifest['documents'])}): ",
            size(manifest["bytes"]), " of text of ", size(read), " that was read.",
        ]
    )  # fmt: skip
