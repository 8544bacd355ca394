"""Read the strings of an evaluation set in whatever form it was published.

`.jsonl` and `.json`: every string in every record, however deep. `.csv` and `.tsv`: every cell. `.parquet`:
every string of every row. All else is text: CoNLL where its lines are columns of equal number (one item a
sentence, of the first column), else one item a line. Plain, .gz, .xz or .zst.
"""

import csv
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgelm.errors import BadInput
from edgelm.extras import require

PACKED = (".gz", ".xz", ".zst")
# in a folder of evaluation sets these are about the data
ABOUT = ("readme", "license", "licence", "datastatement", "citation", "changelog")
NOT_TEXT = (".pdf", ".md", ".png", ".jpg", ".zip", ".tar", ".npy", ".html", ".py", ".sh", ".yaml", ".yml")
SAMPLE = 2000  # lines looked at to tell CoNLL from text


def find_evaluation_files(paths: Sequence[Path]) -> list[Path]:
    """The files themselves, and all files of the folders but hidden ones and those about the data, sorted.

    Raises:
        BadInput: a path does not exist, or a folder holds no such file.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise BadInput(
                "no such file or folder", file=path, remedy="check the path of the evaluation data"
            )
        if path.is_file():
            found.append(path)
            continue
        files = [one for one in sorted(path.rglob("*")) if one.is_file() and _is_data(one.relative_to(path))]
        if not files:
            raise BadInput("holds no evaluation file", file=path, remedy="give a folder with the test sets")
        found += files
    return list(dict.fromkeys(found))


def read_items(path: Path) -> Iterator[str]:
    """Every string of one evaluation file.

    Raises:
        BadInput: the file cannot be read, is damaged, or is not in the form that its name says.
    """
    kind = Path(path.name.removesuffix(path.suffix)).suffix if path.suffix in PACKED else path.suffix
    try:
        data = _unpacked(path)
        if kind == ".parquet":
            yield from _strings(_rows(data))
            return
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("not UTF-8", file=path, remedy="save it as UTF-8 or leave it out") from None
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        reason = f"the compressed data is damaged or cut short ({error or type(error).__name__})"
        raise BadInput(reason, file=path, remedy="copy or download the file again") from None
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", file=path, remedy="check the file") from None
    if kind in (".jsonl", ".json", ".ndjson"):
        yield from _strings(_records(text, path))
    elif kind in (".csv", ".tsv"):
        yield from _cells(text, "\t" if kind == ".tsv" else ",")
    else:
        lines = text.replace("\r\n", "\n").split("\n")
        yield from _sentences(lines) if _is_conll(lines[:SAMPLE]) else lines


def _is_data(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not (hidden or path.name.lower().startswith(ABOUT) or path.suffix.lower() in NOT_TEXT)


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".zst":
        zstandard = require("zstandard", "corpus")
        frames = []
        while data:
            frame = zstandard.ZstdDecompressor().decompressobj()
            try:
                frames.append(frame.decompress(data))
            except zstandard.ZstdError as error:
                raise EOFError(str(error)) from None
            if not frame.eof:
                raise EOFError("the last frame is not complete")
            data = frame.unused_data
        return b"".join(frames)
    return data


def _rows(data: bytes) -> Any:
    arrow = require("pyarrow", "corpus")
    parquet = require("pyarrow.parquet", "corpus")
    try:
        return parquet.read_table(arrow.BufferReader(data)).to_pylist()
    except (arrow.ArrowException, LookupError) as error:  # the latter of a time zone that is not known
        raise OSError(0, f"no Parquet file: {error}") from None


def _records(text: str, path: Path) -> Iterator[Any]:
    try:  # a single document
        yield json.loads(text)
        return
    except RecursionError:
        raise BadInput("nested too deep", file=path, remedy="check the file") from None
    except ValueError:
        pass
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                remedy = "write one JSON object a line"
                raise BadInput("not JSON", file=path, line=number, remedy=remedy) from None


def _strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value or an iterator of such, in order; not by recursion, which has a limit."""
    waiting = [iter([value])]
    while waiting:
        for one in waiting[-1]:
            if isinstance(one, str):
                yield one
            elif isinstance(one, dict):
                waiting.append(iter(one.values()))
                break
            elif isinstance(one, list | tuple | Iterator):
                waiting.append(iter(one))
                break
        else:
            waiting.pop()


def _cells(text: str, delimiter: str) -> Iterator[str]:
    """The cells of a table; quotes are only quotes if the lines are not a table as they stand."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    rows = [line.split(delimiter) for line in lines]
    if len({len(row) for row in rows}) > 1 or delimiter == ",":
        with suppress(csv.Error):  # such as a cell above the reader's limit, for want of a closing quote
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    for row in rows:
        yield from row


def _is_conll(lines: Sequence[str]) -> bool:
    """Whether nearly all lines have the same number of columns, two or more, and sentences can be told apart.

    Sentences end at a blank line; or there is none, columns are parted by tabs, and the first is one word.
    """
    filled = [_columns(line) for line in lines if line.strip()]
    sizes = [len(columns) for columns in filled]
    usual = max(set(sizes), key=sizes.count, default=0)
    if not 2 <= usual <= 10 or len(sizes) < 10 or sizes.count(usual) < 0.95 * len(sizes):
        return False
    if any(not line.strip() for line in lines[:-1]):
        return True
    return all("\t" in line for line in lines if line) and all(" " not in columns[0] for columns in filled)


def _columns(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.split()


def _sentences(lines: Sequence[str]) -> Iterator[str]:
    """The first column, a sentence an item; where no line is blank, full stops end the sentences."""
    stops = () if any(not line.strip() for line in lines[:-1]) else (".", "!", "?")
    words: list[str] = []
    for line in [*lines, ""]:
        word = _columns(line)[0] if line.strip() else ""
        words += [word] if word else []
        if words and (not word or word in stops):
            yield " ".join(words)
            words = []
