"""Read documents from .txt, .jsonl and .parquet files, plain or compressed with gz, xz or zst.

A text file holds one document a line, a JSONL file one object a line, a Parquet file one row a document. A
bad record inside a good file comes out as a `BadRecord` and stops nothing; a file that cannot be read to its
end, or that holds no good record at all, raises `BadInput`.
"""

import gzip
import io
import json
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm.artifacts import PROVENANCE
from edgelm.errors import BadInput
from edgelm.extras import require

FORMATS = (".txt", ".jsonl", ".parquet")
COMPRESSIONS = ("", ".gz", ".xz", ".zst")
SPLITS = ("train", "validation", "test")


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


def find_files(source: Path) -> list[Path]:
    """Every readable file under a folder, or the file itself, sorted by path.

    Hidden ones are left out, and those in folders that edgelm made.

    Raises:
        BadInput: `source` does not exist or holds no file of a known format.
    """
    if not source.exists():
        raise BadInput("no such file or folder", file=source, remedy="check the path")
    wanted = tuple(kind + packed for kind in FORMATS for packed in COMPRESSIONS)
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    made = {path.parent for path in source.rglob(PROVENANCE)} - {source}
    files = [
        path
        for path in files
        if path.name.endswith(wanted)
        and (path == source or not _hidden(path, source))
        and made.isdisjoint(path.parents)
    ]
    if not files:
        raise BadInput(
            f"holds no {' '.join(FORMATS)} file, plain or {' '.join(COMPRESSIONS[1:])}",
            file=source,
            remedy="give a folder or file with one document a line or record",
        )
    return files


def read_records(path: Path, text_field: str = "text") -> Iterator[Document | BadRecord]:
    """Documents and bad records of one file, in order.

    Raises:
        BadInput: the file is unreadable, truncated, or has no good record.
    """
    name = path.name
    for packed in COMPRESSIONS[1:]:
        name = name.removesuffix(packed)
    records = {".txt": _read_text, ".jsonl": _read_jsonl, ".parquet": _read_parquet}[Path(name).suffix]
    first_bad: BadRecord | None = None
    good = 0
    try:
        for record in records(path, text_field):
            if isinstance(record, BadRecord):
                first_bad = first_bad or record
            else:
                good += 1
            yield record
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile, _zstd_error()) as error:
        raise BadInput(
            f"the compressed data is damaged or cut short ({error or type(error).__name__})",
            file=path,
            remedy="copy or download the file again",
        ) from None
    except OSError as error:
        reason = error.strerror or " ".join(
            str(error).split()
        )  # pyarrow's has no strerror and may have lines
        raise BadInput(f"cannot be read ({reason})", file=path, remedy="check the file") from None
    if first_bad and not good:
        raise BadInput(
            f"{first_bad.reason}, and no other record is good",
            file=path,
            line=first_bad.line,
            remedy=first_bad.remedy,
        )


def _read_text(path: Path, text_field: str) -> Iterator[Document | BadRecord]:
    del text_field
    for line, text in _lines(path):
        if isinstance(text, BadRecord):
            yield text
        elif text.strip():
            yield Document(id=None, text=text, line=line)


def _read_jsonl(path: Path, text_field: str) -> Iterator[Document | BadRecord]:
    for line, text in _lines(path):
        if isinstance(text, BadRecord):
            yield text
            continue
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            yield BadRecord("not JSON", line, text, "write one JSON object a line")
            continue
        yield _document(value, path, line, text_field)


def _read_parquet(path: Path, text_field: str) -> Iterator[Document | BadRecord]:
    parquet = require("pyarrow.parquet", "corpus")
    arrow = require("pyarrow", "corpus")
    line = 0
    try:
        with _open(path) as stream:
            # Parquet is read from its end, which a decompressor cannot seek to
            whole = path if path.suffix == ".parquet" else arrow.BufferReader(stream.read())
        file = parquet.ParquetFile(whole)
        for batch in file.iter_batches(batch_size=1024):
            for row in _rows(batch):
                line += 1
                if row is None:
                    yield BadRecord("not UTF-8", line, "", "save the text as UTF-8")
                else:
                    yield _document(row, path, line, text_field)
    except arrow.ArrowException as error:
        raise BadInput(
            f"is not a Parquet file that can be read ({str(error).splitlines()[0]})",
            file=path,
            remedy="write the file again",
        ) from None


def _rows(batch: Any) -> Iterator[dict[str, Any] | None]:
    """The rows of a record batch, None for one whose strings are not UTF-8, which Parquet does not check."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for number in range(len(batch)):
            try:
                yield batch.slice(number, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


def _document(value: Any, path: Path, line: int, text_field: str) -> Document | BadRecord:
    if not isinstance(value, dict):
        return BadRecord("not an object", line, str(value), "write one JSON object a line")
    text = value.get(text_field)
    if not isinstance(text, str):
        return BadRecord(
            f"no text in the field '{text_field}'",
            line,
            json.dumps(value, ensure_ascii=False, default=str),
            "put the document's text there, or name its field with --text-field",
        )
    split = value.get("split")
    return Document(
        id=_string(str(value.get("id") or "")),
        text=text,
        line=line,
        language=_string(value.get("language") or value.get("lang")),
        source=_string(value.get("source")),
        split=split if split in SPLITS else None,
    )


def _string(value: Any) -> str | None:
    """A text with something in it, half surrogate pairs replaced, or None."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) and value else None


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _lines(path: Path) -> Iterator[tuple[int, str | BadRecord]]:
    with _open(path) as stream:
        for line, raw in enumerate(stream, 1):
            raw = raw.rstrip(b"\r\n")
            if line == 1:
                if raw.startswith((b"\xff\xfe", b"\xfe\xff")):  # its other lines may pass for UTF-8
                    raise BadInput("not UTF-8 but UTF-16", file=path, line=1, remedy="save the file as UTF-8")
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            try:
                yield line, raw.decode("utf-8")
            except UnicodeDecodeError:
                text = raw.decode("utf-8", "replace")
                yield line, BadRecord("not UTF-8", line, text, "save the file as UTF-8")


def _open(path: Path) -> io.BufferedIOBase:
    if path.suffix == ".gz":
        if path.stat().st_size == 0:  # which gzip takes for an empty file, xz and zstd for a cut one
            raise EOFError("the file is empty")
        return gzip.open(path, "rb")
    if path.suffix == ".xz":
        return lzma.open(path, "rb")
    if path.suffix == ".zst":
        return io.BufferedReader(_Zstd(path))
    return path.open("rb")


class _Zstd(io.RawIOBase):
    """A zstandard file; unlike the library's own reader it notices a frame that was cut short."""

    def __init__(self, path: Path):
        self.zstandard = require("zstandard", "corpus")
        self.raw = path.open("rb")
        self.frame = self.zstandard.ZstdDecompressor().decompressobj()
        self.ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.ready:
            data = self.frame.unused_data or self.raw.read(4096)
            if not data:
                if not self.frame.eof:
                    raise EOFError("the last frame is not complete")
                return 0
            if self.frame.eof:
                self.frame = self.zstandard.ZstdDecompressor().decompressobj()
            self.ready = self.frame.decompress(data)
        taken = self.ready[: len(buffer)]
        buffer[: len(taken)] = taken
        self.ready = self.ready[len(taken) :]
        return len(taken)

    def close(self) -> None:
        self.raw.close()
        super().close()


def _zstd_error() -> type[Exception]:
    try:
        import zstandard
    except ModuleNotFoundError:
        return EOFError
    return zstandard.ZstdError
