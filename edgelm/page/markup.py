"""HTML that is escaped by construction, and numbers as people read them.

    element("p", "5 < 6 & ", element("b", "bold"), class_="note")

Whatever is not `Html` already is text: its markup is shown, never obeyed.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import NamedTuple

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # no browser shows these; some end a page
WIDE = 9  # columns, from which a table is set smaller


class Html(str):
    """Markup. Only this module and literals without data may make one."""

    __slots__ = ()


def text(value: object) -> Html:
    """`value` escaped for an element or a quoted attribute; control characters as their pictures."""
    if isinstance(value, Html):
        return value
    return Html(escape(UNSEEN.sub(_picture, str(value).replace("\r\n", "\n"))))


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return "\n" if code == 0x0D else chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def join(parts: Iterable[object], between: object = "") -> Html:
    """The parts as one piece of markup, those that are text escaped."""
    return Html(text(between).join(text(part) for part in parts))


def element(name: str, *children: object, **attributes: object) -> Html:
    """`<name ...>children</name>`; `aria_label` is written aria-label, `class_` class, None not at all."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def foreign(value: object, lang: str | None = None) -> Html:
    """A name from outside in the middle of a line: its direction does not reach what stands beside it."""
    return element("bdi", value, lang=lang)


def number(value: float) -> str:
    """With thousands separators, and at most four digits that count behind the point."""
    if isinstance(value, int) or (abs(value) >= 1000 and value == value):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def percent(part: float, whole: float) -> str:
    """A share; one that is neither nothing nor all is never shown as such."""
    if not whole:
        return "-"
    share = part / whole
    if 0 < share < 0.001:
        return "<0.1%"
    if 0.999 < share < 1:
        return ">99.9%"
    return f"{share:.1%}"


def size(count: int) -> Html:
    """Bytes in the unit that fits, the exact number on demand."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return element("span", f"{count / unit:,.1f} {name}", title=f"{count:,} bytes")
    return element("span", f"{count:,} {'byte' if count == 1 else 'bytes'}")


def words_of(reason: str) -> str:
    """A reason's name in words; what a reader of files said is left as it is."""
    return reason.replace("_", " ") if re.fullmatch(r"[a-z0-9_]+", reason) else reason


def listed(parts: Sequence[object]) -> Html:
    """`a, b and c`."""
    if len(parts) < 2:
        return join(parts)
    return join([join(parts[:-1], ", "), parts[-1]], " and ")


class Cell(NamedTuple):
    """A cell of a table that is shaded, with what it says on demand."""

    content: object
    class_: str
    title: str


def table(
    caption: object,
    header: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    words: Collection[int] = (),
    total: Sequence[object] | None = None,
    name: str | None = None,
    role: str = "group",
) -> Html:
    """A table that scrolls inside itself where it is wider than the page; the first cell of a row heads it.

    Args:
        words: the places of columns that hold words rather than numbers.
        total: a last row, set apart.
        name: of the scrolling region, where the caption is markup.
        role: of that region; `region` makes it a landmark, of which a page should not have many.
    """

    def line(cells: Sequence[object]) -> Html:
        made = [element("th", cells[0], scope="row")]
        for at, cell in enumerate(cells[1:], 1):
            if isinstance(cell, Cell):
                made.append(element("td", cell.content, class_=cell.class_, title=cell.title))
            else:
                made.append(element("td", cell, class_="w" if at in words else None))
        return element("tr", *made)

    columns = (
        element("th", cell, scope="col", class_="w" if at in words else None)
        for at, cell in enumerate(header)
    )
    inner = [
        element("caption", element("span", caption)),
        element("thead", element("tr", *columns)),
        element("tbody", *(line(row) for row in rows)),
    ]
    if total is not None:
        inner.append(element("tfoot", line(total)))
    label = name or re.sub("<[^>]*>", "", str(caption))
    return element(
        "div",
        element("table", *inner, class_="wide" if len(header) > WIDE else None),
        class_="scroll",
        role=role,
        aria_label=label,
        tabindex="0",
    )


def details(summary: object, *content: object, open_: bool = False, class_: str | None = None) -> Html:
    """A part that unfolds."""
    return element(
        "details", element("summary", summary), *content, class_=class_, open="" if open_ else None
    )
