"""The rows of a file and the line each begins at: JSONL, TSV, CSV, CoNLL columns, plain lines.

A reader tells `report` what is wrong with a line and goes on with the next one. `refuse`, the default, raises
what it is told; `edgelm tasks check` collects it.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from edgelm.corpus.repair import normalise
from edgelm.errors import BadInput

LONGEST = 1 << 24  # characters in a cell; an article is longer than the 131 072 that csv takes by default
TABLES = (".jsonl", ".tsv", ".csv")


class Remark(BadInput):
    """Something odd that does not keep a line from being read."""


Report = Callable[[BadInput], None]
Row = tuple[int, dict[str, Any]]


def refuse(error: BadInput) -> None:
    """Raise it, unless it is only a remark."""
    if not isinstance(error, Remark):
        raise error


def read_table(
    path: Path, columns: Sequence[str] = (), *, quotes: bool = False, report: Report = refuse
) -> Iterator[Row]:
    """Rows of a .jsonl, .tsv or .csv file by column.

    Args:
        columns: what a table's header has to name.
        quotes: cells of a .tsv may stand in double quotes, and then hold tabs and newlines; those of a .csv
            always may.
    """
    if path.suffix not in TABLES:
        report(BadInput("is no .jsonl, .tsv or .csv file", file=path, remedy="name a file of these kinds"))
        return
    with _opened(path, report) as stream:
        if stream is None:
            return
        lines = _decoded(stream, path, report)
        if path.suffix == ".jsonl":
            for number, text in lines:
                if text.strip() and (value := _json_object(text, path, number, report)) is not None:
                    yield number, value
        else:
            yield from _read_cells(lines, path, columns, quotes, report)


def read_lines(path: Path, report: Report = refuse) -> Iterator[tuple[int, str]]:
    """Every line, empty ones too, without its end."""
    with _opened(path, report) as stream:
        if stream is not None:
            for number, text in _decoded(stream, path, report):
                yield number, text.rstrip("\r\n")


def read_sentences(
    path: Path,
    word: int = 1,
    tag: int = 2,
    *,
    header: bool = False,
    ends: Sequence[str] = (),
    report: Report = refuse,
) -> Iterator[list[tuple[int, str, str]]]:
    """Sentences of a file in columns as (line, word, tag) for each word.

    A blank line ends a sentence, and so does each word of `ends`. Columns are parted by tabs, in a line
    without tabs by single blanks. A line with a tag and no word is left out with a remark.

    Args:
        word, tag: columns, from 1.
        header: the first line names the columns.
    """
    sentence: list[tuple[int, str, str]] = []
    for number, text in read_lines(path, report):
        if header and number == 1:
            continue
        if not text.strip():
            if sentence:
                yield sentence
            sentence = []
            continue
        if text.startswith("-DOCSTART-"):
            continue
        cells = text.split("\t") if "\t" in text else text.rstrip(" ").split(" ")
        if len(cells) < max(word, tag):
            report(
                BadInput(
                    f"has {_count(len(cells), 'column')}, not {max(word, tag)}",
                    file=path,
                    line=number,
                    remedy="write a word and its tag",
                )
            )
            continue
        found = cells[word - 1].strip()
        found = found if found.isascii() and found.isprintable() else normalise(found)
        if not found:
            report(Remark("a tag without a word", file=path, line=number, remedy="the line is left out"))
            continue
        sentence.append((number, found, cells[tag - 1].strip()))
        if found in ends:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _about_header(path: Path, row: Sequence[str]) -> str:
    """What is wrong with a first line that does not name the columns."""
    comma, other = (",", "\t") if path.suffix == ".csv" else ("\t", ",")
    for mark, name in ((";", "semicolons"), (other, "tabs" if other == "\t" else "commas")):
        if len(row) == 1 and mark in row[0]:
            return f"its cells are parted by {name}: part them by {'commas' if comma == ',' else 'tabs'}"
    return f"the first line has to name the columns; it says: {', '.join(row)}"


def _read_cells(
    lines: Iterator[tuple[int, str]], path: Path, columns: Sequence[str], quotes: bool, report: Report
) -> Iterator[Row]:
    texts = (text for _, text in lines)
    if path.suffix == ".csv":
        reader = csv.reader(texts, strict=True)
    elif quotes:
        reader = csv.reader(texts, delimiter="\t", strict=True)
    else:
        reader = csv.reader(texts, delimiter="\t", quoting=csv.QUOTE_NONE)
    header: list[str] = []
    while True:
        begins = reader.line_num + 1
        usual = csv.field_size_limit(LONGEST)  # of the whole process
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            report(
                BadInput(
                    f"not {path.suffix[1:].upper()} ({error})",
                    file=path,
                    line=begins,
                    remedy="correct the row that begins there",
                )
            )
            continue
        finally:
            csv.field_size_limit(usual)
        if not header:
            header = row
            missing = [name for name in columns if name not in header]
            if missing:
                report(
                    BadInput(
                        f"no column '{missing[0]}'",
                        file=path,
                        line=begins,
                        remedy=_about_header(path, row),
                    )
                )
                return
        elif len(row) == len(header):
            yield begins, dict(zip(header, row, strict=True))
        elif row:
            report(
                BadInput(
                    f"has {_count(len(row), 'cell')}, not {len(header)}",
                    file=path,
                    line=begins,
                    remedy="give each column of the header one",
                )
            )


@contextmanager
def _opened(path: Path, report: Report) -> Iterator[IO[bytes] | None]:
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        report(
            BadInput(
                "no such file",
                file=path,
                remedy="check the task's folder, or get it from its publisher",
            )
        )
        yield None
    except OSError as error:
        report(BadInput(f"cannot be read ({error.strerror or error})", file=path, remedy="check the file"))
        yield None
    else:
        with stream:
            yield stream


def _decoded(stream: IO[bytes], path: Path, report: Report) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, raw in enumerate(stream, 1):
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                report(BadInput("not UTF-8", file=path, line=number, remedy="save the file as UTF-8"))
                text = raw.decode("utf-8", "replace")
            yield number, text
    except OSError as error:
        report(BadInput(f"cannot be read ({error.strerror or error})", file=path, remedy="check the file"))


def _json_object(text: str, path: Path, line: int, report: Report) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
        if isinstance(value, dict):
            return value
        problem = "not an object"
    except (ValueError, RecursionError) as error:
        problem = f"not JSON ({getattr(error, 'msg', type(error).__name__)})"
    report(BadInput(problem, file=path, line=line, remedy="write one JSON object a line"))
    return None


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
