"""The part of Markdown that model cards use, as HTML: nothing in it can act, or ask another machine.

Headings, paragraphs, lists, tables, code, bold and italic become markup. Links and pictures become their
words; HTML is shown as it is written. A card may be hostile: the time is in proportion to its length.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from edgelm.page.markup import Html, element, join, table

FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
HEADING = re.compile(r"(#{1,6})\s+(.*)")
ITEM = re.compile(r"\s*(?:[-*+]|\d+\.)\s+(.*)")
RULE = re.compile(r"\|?\s*+:?-{3,}:?\s*+(\|\s*+:?-{3,}:?\s*+)*+\|?\s*+")
LINK = re.compile(r"!?\[([^\[\]]*)\]\([^)\s\[]*(?:\s[^)\[]*)?\)")  # no class goes past the next bracket
SPAN = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*")
DEPTH = 2  # levels by which headings are lowered, to stand below the page's own
ROWS, COLUMNS = 500, 30  # of a table; what goes beyond is left out


def render(text: str, name: str) -> Html:
    """The Markdown of a card without the YAML before it.

    Args:
        name: of the card, for the scrolling regions of its tables.
    """
    lines = Lines(FRONT.sub("", text.replace("\r\n", "\n")).split("\n"))
    parts: list[Html] = []
    while lines.left() > 0:
        line = lines.first()
        if line.startswith("```"):
            parts.append(_code(lines))
        elif found := HEADING.match(line):
            level = min(len(found[1]) + DEPTH, 6)
            parts.append(element(f"h{level}", _inline(found[2])))
            lines.at += 1
        elif line.startswith("|") and lines.left() > 1 and RULE.fullmatch(lines.first(1)):
            parts.append(_table(lines, name))
        elif ITEM.match(line):
            parts.append(_list(lines))
        elif line.strip():
            parts.append(element("p", _inline(" ".join(lines.take(_goes_on)))))
        else:
            lines.at += 1
    return join(parts)


@dataclass(slots=True)
class Lines:
    """The lines of a text, of which those before `at` have been read."""

    every: list[str]
    at: int = 0

    def left(self) -> int:
        return len(self.every) - self.at

    def first(self, further: int = 0) -> str:
        return self.every[self.at + further]

    def take(self, belongs: Callable[[str], bool]) -> list[str]:
        """The first line and those after it that belong to it; they are read then."""
        start, self.at = self.at, self.at + 1
        while self.left() > 0 and belongs(self.first()):
            self.at += 1
        return self.every[start : self.at]


def _goes_on(line: str) -> bool:
    """Whether a line belongs to the paragraph above it."""
    return bool(line.strip()) and not (
        line.startswith(("```", "|")) or HEADING.match(line) or ITEM.match(line)
    )


def _code(lines: Lines) -> Html:
    taken = lines.take(lambda line: not line.startswith("```"))
    lines.at += 1
    return element("pre", element("code", "\n".join(taken[1:])), tabindex="0")


def _list(lines: Lines) -> Html:
    items: list[list[str]] = []
    for line in lines.take(
        lambda line: bool(ITEM.match(line)) or (line.startswith("  ") and bool(line.strip()))
    ):
        if found := ITEM.match(line):
            items.append([found[1]])
        else:
            items[-1].append(line.strip())
    return element("ul", *(element("li", _inline(" ".join(one))) for one in items))


def _table(lines: Lines, name: str) -> Html:
    rows = [
        [_inline(cell.strip()) for cell in line.strip().strip("|").split("|", COLUMNS)[:COLUMNS]]
        for line in lines.take(lambda line: line.startswith("|"))[:ROWS]
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
