"""Read documents from .txt, .jsonl and .parquet files and web pages, plain or compressed with gz, xz or zst.

A text file holds one document a line, a paragraph or a file, a JSONL file one object a line, a Parquet file
one row a document; `edgelm.corpus.web` reads .html and .warc. A bad record inside a good file comes out as a
`BadRecord` and stops nothing; a file that cannot be read to its end, or whose every record is bad, raises
`BadInput`. No more than `LIMIT` bytes of a document, or `BATCH` of rows, are in memory at a time.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm.corpus.files import (
    WEB,
    check_file,
    damage,
    format_of,
    open_packed,
    read_at_most,
    seekable,
    unreadable,
)
from edgelm.errors import BadInput
from edgelm.extras import require

SPLITS = ("train", "validation", "test")
FIELDS = ("id", "language", "lang", "source", "split")  # what is read of a record besides its text
LIMIT = 16 << 20  # bytes of the longest document; measuring takes twenty times as much memory
SHOWN = 10_000  # characters kept of a longer one
CHUNK = 1 << 20
BATCH, ROWS = 8 << 20, 128  # bytes and number of Parquet rows decoded at a time


@dataclass(slots=True)
class Document:
    """One document as found. What the record itself does not say is None."""

    id: str | None
    text: str
    line: int
    language: str | None = None
    source: str | None = None
    split: str | None = None


@dataclass(slots=True)
class BadRecord:
    """A record that is no document, with the reason; `text` is what could be read of it."""

    reason: str
    line: int
    text: str
    remedy: str


def read_records(
    path: Path, text_field: str = "text", documents: str = "lines"
) -> Iterator[Document | BadRecord]:
    """Documents and bad records of one file, in order.

    Args:
        documents: what is one document in a .txt file: each of its `lines`, of its `paragraphs` (divided by
            blank lines), or the whole file (`files`).

    Raises:
        BadInput: the file is unreadable or truncated; or all its records are bad, unless it holds web pages
            or is itself the one document.
        MissingExtra: a package for this kind of file is not installed.
    """
    check_file(path)
    kind = format_of(path)
    first_bad: BadRecord | None = None
    good = 0
    try:
        for record in _records(path, kind, text_field, documents):
            if isinstance(record, BadRecord):
                first_bad = first_bad or record
            else:
                good += 1
            yield record
    except damage() as error:
        raise BadInput(
            f"the compressed data is damaged or cut short ({error or type(error).__name__})",
            file=path,
            remedy="copy or download the file again",
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None
    alone = kind in WEB or (kind == ".txt" and documents == "files")
    if first_bad and not good and not alone:
        raise BadInput(
            f"{first_bad.reason}, and no other record is good",
            file=path,
            line=first_bad.line,
            remedy=first_bad.remedy,
        )


def _records(path: Path, kind: str, text_field: str, documents: str) -> Iterator[Document | BadRecord]:
    if kind in WEB:
        from edgelm.corpus import web

        return web.read_warc(path) if kind == ".warc" else web.read_html(path)
    if kind == ".txt":
        return {"lines": _read_text, "paragraphs": _read_paragraphs, "files": _read_whole}[documents](path)
    return _read_jsonl(path, text_field) if kind == ".jsonl" else _read_parquet(path, text_field)


def too_long(line: int, text: str, limit: int = LIMIT) -> BadRecord:
    """The record in place of a document longer than `limit` bytes, of which `text` is the beginning."""
    return BadRecord(f"longer than {limit >> 20} MiB", line, text[:SHOWN], "divide it into documents")


def _read_text(path: Path) -> Iterator[Document | BadRecord]:
    for line, text in _lines(path):
        if isinstance(text, BadRecord):
            yield text
        elif text and not text.isspace():
            yield Document(None, text, line)


def _read_paragraphs(path: Path) -> Iterator[Document | BadRecord]:
    held, start = bytearray(), 0  # bytes, since a list of short lines would take many times their memory
    bad: BadRecord | None = None  # what is wrong with the paragraph
    for line, found in itertools.chain(_lines(path), [(0, "")]):
        text = found.text if isinstance(found, BadRecord) else found
        if text and not text.isspace():
            start = start or line
            if isinstance(found, BadRecord):
                bad = bad or found
            if len(held) <= LIMIT:
                held += text.encode("utf-8") + b"\n"
        elif start:
            if len(held) > LIMIT:
                yield too_long(start, held[: 4 * SHOWN].decode("utf-8", "ignore"))
            elif bad:
                yield BadRecord(bad.reason, start, held.decode("utf-8")[:-1], bad.remedy)
            else:
                yield Document(None, held.decode("utf-8")[:-1], start)
            held, start, bad = bytearray(), 0, None


def _read_whole(path: Path) -> Iterator[Document | BadRecord]:
    with open_packed(path) as stream:
        raw = _unmarked(read_at_most(stream, LIMIT + 1), path)
        if len(raw) > LIMIT:
            while stream.read(CHUNK):
                pass  # to its end, so that a damaged one does not go unnoticed
            yield too_long(1, raw[: 4 * SHOWN].decode("utf-8", "ignore"))
            return
    text = _decode(raw, 1)
    if isinstance(text, BadRecord):
        yield text
    elif text and not text.isspace():
        yield Document(None, text.replace("\r\n", "\n"), 1)


def _read_jsonl(path: Path, text_field: str) -> Iterator[Document | BadRecord]:
    decode = json.JSONDecoder().raw_decode  # half the time of json.loads for a short line
    for line, found in _lines(path):
        if isinstance(found, BadRecord):
            yield found
            continue
        text = found.strip()
        if not text:
            continue
        try:
            value, end = decode(text)
        except RecursionError:
            yield BadRecord("nested too deeply", line, text, "leave the nested field out")
            continue
        except ValueError:
            end = -1
        if end != len(text):
            yield BadRecord("not JSON", line, text, "write one JSON object a line")
            continue
        record = document_of(value, line, text_field)
        if isinstance(record, BadRecord):
            record.text = text
        yield record


def _read_parquet(path: Path, text_field: str) -> Iterator[Document | BadRecord]:
    parquet, arrow = require("pyarrow.parquet", "corpus"), require("pyarrow", "corpus")
    line = 0
    try:
        with (
            seekable(path) as whole,
            parquet.ParquetFile(whole, buffer_size=CHUNK, pre_buffer=False) as file,
        ):
            names = file.schema_arrow.names
            if text_field not in names:
                raise BadInput(
                    f"no column '{text_field}' among {', '.join(names[:20])}",
                    file=path,
                    remedy="name the column that holds the text with --text-field",
                )
            if names.count(text_field) > 1:
                raise BadInput(
                    f"has several columns '{text_field}'", file=path, remedy="give each a name of its own"
                )
            wanted = list(dict.fromkeys([text_field, *(name for name in FIELDS if names.count(name) == 1)]))
            for group in range(file.num_row_groups):
                about = file.metadata.row_group(group)
                rows = min(ROWS, max(1, BATCH * about.num_rows // max(1, about.total_byte_size)))
                batches = file.iter_batches(rows, [group], wanted, use_threads=False)
                for batch in batches:
                    for row in _rows(batch, text_field):
                        line += 1
                        if isinstance(row, BadRecord):
                            row.line = line
                            yield row
                            continue
                        record = document_of(row, line, text_field)
                        if isinstance(record, BadRecord):
                            record.text = json.dumps(row, ensure_ascii=False, default=str)
                        yield record
    except arrow.ArrowException as error:
        raise BadInput(
            f"is not a Parquet file that can be read ({' '.join(str(error).split())[:200]})",
            file=path,
            remedy="write the file again",
        ) from None


def _rows(batch: Any, text_field: str) -> Iterator[dict[str, Any] | BadRecord]:
    """The rows of a record batch; Parquet checks neither that strings are UTF-8 nor that dates exist."""
    texts = batch[text_field]
    if batch.nbytes <= LIMIT:
        try:
            yield from batch.to_pylist()
            return
        except (ValueError, OverflowError, LookupError):
            pass
    for number in range(len(batch)):
        try:
            if batch.slice(number, 1).nbytes > LIMIT:
                raw = texts[number].as_buffer()
                if raw is not None and raw.size > LIMIT:
                    yield too_long(0, raw[: 4 * SHOWN].to_pybytes().decode("utf-8", "ignore"))
                    continue
            yield batch.slice(number, 1).to_pylist()[0]
        except UnicodeDecodeError:
            yield BadRecord("not UTF-8", 0, "", "save the text as UTF-8")
        except (ValueError, OverflowError, AttributeError, LookupError):  # such as of a time zone
            yield BadRecord("a value that cannot be read", 0, "", "write the row again")


def document_of(value: Any, line: int, text_field: str) -> Document | BadRecord:
    """The document that a record's value makes; of a bad one the caller fills in the text."""
    if not isinstance(value, dict):
        return BadRecord("not an object", line, "", "write one JSON object a line")
    text = value.get(text_field)
    if not isinstance(text, str):
        remedy = "put the document's text there, or name its field with --text-field"
        return BadRecord(f"no text in the field '{text_field}'", line, "", remedy)
    get = value.get
    name, split = get("id"), get("split")
    if not isinstance(name, str):
        name = None if name is None or isinstance(name, dict | list) else str(name)
    return Document(
        _string(name),
        text,
        line,
        _string(get("language") or get("lang")),
        _string(get("source")),
        split if split in SPLITS else None,
    )


def _string(value: Any) -> str | None:
    """A text with something in it, half surrogate pairs replaced, or None."""
    if not isinstance(value, str) or not value:
        return None
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def _lines(path: Path) -> Iterator[tuple[int, str | BadRecord]]:
    """Each line with its number, without its end; one longer than `LIMIT` is never held whole."""
    for line, found in _batches(path):
        yield from enumerate(found, line)


def _batches(path: Path) -> Iterator[tuple[int, Sequence[str | BadRecord]]]:
    """Lines that follow each other, with the number of the first.

    They are decoded together where they can be, in half the time that it takes one by one.
    """
    line, size = 1, 0
    held: list[bytes] = []  # the pieces of a line that has not ended yet
    with open_packed(path) as stream:
        while chunk := stream.read(CHUNK):
            end = chunk.find(b"\n") + 1
            held.append(chunk[: end - 1] if end else chunk)
            size += len(held[-1])
            if size > LIMIT:
                held = [b"".join(held)[: 4 * SHOWN]]
            if not end:
                continue
            yield line, [_line(held, size, path, line)]
            line += 1
            last = chunk.rfind(b"\n") + 1
            if last > end:
                found = _split(chunk[end : last - 1], line)
                yield line, found
                line += len(found)
            held, size = [chunk[last:]], len(chunk) - last
    if size:
        yield line, [_line(held, size, path, line)]


def _split(block: bytes, line: int) -> Sequence[str | BadRecord]:
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError:
        return [_decode(raw.rstrip(b"\r"), n) for n, raw in enumerate(block.split(b"\n"), line)]
    return [one.rstrip("\r") for one in text.split("\n")] if "\r" in text else text.split("\n")


def _line(held: list[bytes], size: int, path: Path, line: int) -> str | BadRecord:
    raw = b"".join(held).rstrip(b"\r")
    if line == 1:
        raw = _unmarked(raw, path)
    return too_long(line, raw.decode("utf-8", "ignore")) if size > LIMIT else _decode(raw, line)


def _unmarked(raw: bytes, path: Path) -> bytes:
    """The beginning of a file without the mark of UTF-8."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):  # its other lines may pass for UTF-8
        raise BadInput("not UTF-8 but UTF-16", file=path, line=1, remedy="save the file as UTF-8")
    return raw.removeprefix(b"\xef\xbb\xbf")


def _decode(raw: bytes, line: int) -> str | BadRecord:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return BadRecord("not UTF-8", line, raw.decode("utf-8", "replace"), "save the file as UTF-8")
