"""What edgelm's HTML pages share: markup that is escaped by construction, the frame of a page, plots.

A page needs nothing but itself: no script, no font, no request.
"""

from collections.abc import Sequence

from edgelm import resources
from edgelm.page.markup import Html, element

__all__ = ["document"]


def document(title: object, body: Sequence[object], *, style: str = "", refresh: int = 0) -> str:
    """A whole HTML page in the style of the corpus report, light or dark as its reader's system is.

    Args:
        style: CSS besides `corpus/report/report.css`.
        refresh: seconds after which a browser that shows the page loads it again; 0 for never.
    """
    shared = resources.path("corpus", "report", "report.css").read_text(encoding="utf-8")
    head = [
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        Html(f'<meta http-equiv="refresh" content="{refresh:d}">' if refresh else ""),
        element("title", title),
        element("style", Html(shared + style)),
    ]
    return (
        "<!DOCTYPE html>\n"
        + element("html", element("head", *head), element("body", *body), lang="en")
        + "\n"
    )
