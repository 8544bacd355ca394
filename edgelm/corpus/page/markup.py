"""The names of `edgelm.page.markup`, where they were before other pages shared them."""

from edgelm.page.markup import (
    Cell,
    Html,
    details,
    element,
    foreign,
    join,
    listed,
    number,
    percent,
    size,
    table,
    text,
    words_of,
)

__all__ = [
    "Cell",
    "Html",
    "details",
    "element",
    "foreign",
    "join",
    "listed",
    "number",
    "percent",
    "size",
    "table",
    "text",
    "words_of",
]
