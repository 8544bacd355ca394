"""Labelled text for the language identifier: read from files, divided into sentences, cut into pieces."""

import html
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgelm.corpus.files import find_files
from edgelm.corpus.readers import Document, read_records
from edgelm.errors import BadInput
from edgelm.languages import find_language, language_of_path

SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+|(?<=[.!?;])(?=[A-Z])")
LONG_LINE = 250  # characters from which a line is divided into sentences
HELD_OUT = 20  # one line in so many is never trained on, chosen by its checksum

Labelled = dict[tuple[str, str], list[str]]
"""Lines by (language, source)."""


def read_labelled(sources: Sequence[Path]) -> Labelled:
    """Sentences of every file under `sources`, by language and source, each line once, in a fixed order.

    Records whose split is `validation` or `test` are left out.

    Raises:
        BadInput: a path is missing or damaged, or no language is known of a record.
    """
    lines: dict[tuple[str, str], dict[str, None]] = {}
    for root in sources:
        for path in find_files(root):
            named = language_of_path(path.relative_to(root.parent))
            for record in read_records(path):
                if not isinstance(record, Document) or record.split in ("validation", "test"):
                    continue
                told = find_language(record.language) if record.language else named
                if told is None:
                    raise BadInput(
                        "its language is not known",
                        file=path,
                        line=record.line,
                        remedy="name the file after the language, or give each record the field 'language'",
                    )
                key = told.code, record.source or path.parent.name
                lines.setdefault(key, {}).update(dict.fromkeys(sentences(record.text)))
    return {key: sorted(lines[key], key=checksum) for key in sorted(lines)}


def read_other(folders: Sequence[Path], inside: Iterable[str]) -> dict[str, list[str]]:
    """Lines of the .txt and .html files under `folders`, by the language that the name begins with.

    Files of the languages `inside` are not read.
    """
    texts: dict[str, dict[str, None]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            code = re.split(r"[._]", path.name)[0]
            if path.suffix not in (".txt", ".html") or code in inside:
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            if path.suffix == ".html":
                found = re.findall(r"<(?:p|h[1-6]|li)>(.*?)</(?:p|h[1-6]|li)>", text, re.DOTALL)
                text = "\n".join(
                    html.unescape(re.sub("<[^>]+>", "", part)).replace("\n", " ") for part in found
                )
            texts.setdefault(code, {}).update(dict.fromkeys(sentences(text)))
    return {code: sorted(texts[code], key=checksum) for code in sorted(texts) if texts[code]}


def sentences(text: str) -> list[str]:
    """Lines of a document, long ones divided into sentences, without those of fewer than eight letters."""
    parts: list[str] = []
    for line in text.splitlines():
        parts += SENTENCE_END.split(line) if len(line) > LONG_LINE else [line]
    cleaned = (" ".join(part.split()) for part in parts)
    return [part for part in cleaned if sum(map(str.isalpha, part)) >= 8]


def held_out(lines: Sequence[str]) -> list[str]:
    """The lines that no model is trained on, for measuring in the domain of the training text."""
    return [line for line in lines if checksum(line) % HELD_OUT == 0]


def crops(lines: Sequence[str], size: int) -> list[str]:
    """From each longer line a piece of `size` characters that begins with a word, chosen by the checksum."""
    pieces = []
    for line in lines:
        if len(line) > size:
            start = checksum(line) % (len(line) - size + 1)
            start = line.rfind(" ", 0, start + 1) + 1 if start else 0
            piece = line[start : start + size].strip()
            if sum(map(str.isalpha, piece)) * 3 >= size * 2:
                pieces.append(piece)
    return pieces


def script(lines: list[str]) -> str:
    """The class of a background language: whether it is written in Latin letters."""
    letters = [character for line in lines for character in line if character.isalpha()]
    return (
        "(latin)"
        if sum(ord(character) < 0x250 for character in letters) > len(letters) / 2
        else "(other script)"
    )


def checksum(line: str) -> int:
    return zlib.crc32(line.encode("utf-8", "replace"))
