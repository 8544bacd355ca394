"""The part of Markdown that model cards use, as HTML: nothing in it can act, or ask another machine.

Headings, paragraphs, lists, tables, code, bold and italic become markup. Links and pictures become their
words; HTML is shown as it is written.
"""

import re
from collections.abc import Callable

from edgelm.page.markup import Html, element, join, table

FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
HEADING = re.compile(r"(#{1,6})\s+(.*)")
ITEM = re.compile(r"\s*(?:[-*+]|\d+\.)\s+(.*)")
RULE = re.compile(r"\|?\s*:?-{3,}:?\s*(\|\s*:?-{3,}:?\s*)*\|?\s*")
LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*(?:\s[^)]*)?\)")
SPAN = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*")
DEPTH = 2  # levels by which headings are lowered, to stand below the page's own


def render(text: str, name: str) -> Html:
    """The Markdown of a card without the YAML before it.

    Args:
        name: of the card, for the scrolling regions of its tables.
    """
    lines = FRONT.sub("", text.replace("\r\n", "\n")).split("\n")
    parts: list[Html] = []
    while lines:
        line = lines[0]
        if line.startswith("```"):
            parts.append(_code(lines))
        elif found := HEADING.match(line):
            level = min(len(found[1]) + DEPTH, 6)
            parts.append(element(f"h{level}", _inline(found[2])))
            del lines[0]
        elif line.startswith("|") and len(lines) > 1 and RULE.fullmatch(lines[1]):
            parts.append(_table(lines, name))
        elif ITEM.match(line):
            parts.append(_list(lines))
        elif line.strip():
            parts.append(element("p", _inline(" ".join(_taken(lines, _goes_on)))))
        else:
            del lines[0]
    return join(parts)


def _taken(lines: list[str], belongs: Callable[[str], bool]) -> list[str]:
    """The first line and those after it that belong to it, taken out of `lines`."""
    count = 1
    while count < len(lines) and belongs(lines[count]):
        count += 1
    taken = lines[:count]
    del lines[:count]
    return taken


def _goes_on(line: str) -> bool:
    """Whether a line belongs to the paragraph above it."""
    return bool(line.strip()) and not (
        line.startswith(("```", "|")) or HEADING.match(line) or ITEM.match(line)
    )


def _code(lines: list[str]) -> Html:
    taken = _taken(lines, lambda line: not line.startswith("```"))
    del lines[:1]
    return element("pre", element("code", "\n".join(taken[1:])), tabindex="0")


def _list(lines: list[str]) -> Html:
    items: list[str] = []
    for line in _taken(
        lines, lambda line: bool(ITEM.match(line)) or (line.startswith("  ") and bool(line.strip()))
    ):
        if found := ITEM.match(line):
            items.append(found[1])
        else:
            items[-1] += f" {line.strip()}"
    return element("ul", *(element("li", _inline(one)) for one in items))


def _table(lines: list[str], name: str) -> Html:
    rows = [
        [_inline(cell.strip()) for cell in line.strip().strip("|").split("|")]
        for line in _taken(lines, lambda line: line.startswith("|"))
    ]
    width = len(rows[0])
    body = [(row + [Html("")] * width)[:width] for row in rows[2:]]
    return table("", rows[0], body, words=range(width), name=name, role="region")


def _inline(text: str) -> Html:
    """Code, bold and italic in a line; links and pictures as their words."""
    text = LINK.sub(r"\1", text)
    parts: list[object] = []
    end = 0
    for found in SPAN.finditer(text):
        kind = "code" if found[1] else "strong" if found[2] else "em"
        parts += [text[end : found.start()], element(kind, found[1] or found[2] or found[3])]
        end = found.end()
    return join([*parts, text[end:]])
