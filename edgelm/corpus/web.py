"""Read documents from web pages: .html and .htm files, and the pages that a crawler kept in .warc files.

trafilatura finds the main text of a page and leaves out menus, footers and comments (Barbaresi, 2021);
FastWARC takes the archive apart. Nothing is fetched.
"""

import codecs
import logging
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgelm.corpus.files import open_packed, read_at_most
from edgelm.corpus.readers import SHOWN, BadRecord, Document, too_long
from edgelm.errors import BadInput
from edgelm.extras import require

PAGE_LIMIT = 4 << 20  # bytes; trafilatura's time grows with the square of the number of links
TAG_LIMIT = 200_000  # tags take 1.3 kB each while a page is taken apart
PAGES = ("text/html", "application/xhtml+xml")
META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([-\w:.]{1,40})", re.IGNORECASE)
CHUNK_SIZE = re.compile(rb"\s*([0-9a-fA-F]{1,8})[^\n]{0,200}\n")


def read_html(path: Path) -> Iterator[Document | BadRecord]:
    """The document of a web page, or a bad record where it has no text.

    Raises:
        EOFError, OSError: the file is damaged or unreadable, as for `open_packed`.
        MissingExtra: the extra `web` is not installed.
    """
    trafilatura = _trafilatura()
    with open_packed(path) as stream:
        page = read_at_most(stream, PAGE_LIMIT + 1)
        while len(page) > PAGE_LIMIT and stream.read(PAGE_LIMIT):
            pass  # to its end, so that a damaged one does not go unnoticed
    yield _document(trafilatura, page, None, 1)


def read_warc(path: Path) -> Iterator[Document | BadRecord]:
    """One document for each HTML page that a server answered with success; its id is the page's address.

    `line` is the number of the record. Requests, redirects, error pages, images and all other records are
    passed over.

    Raises:
        BadInput: the file is no WARC file, or is cut short.
        EOFError, OSError: its compression is damaged, or it is unreadable, as for `open_packed`.
        MissingExtra: the extra `web` is not installed.
    """
    trafilatura = _trafilatura()
    warc = require("fastwarc.warc", "web")
    number = 0
    with open_packed(path) as packed:
        stream = _Counted(packed)
        try:
            # its own unpacking is off: it ends in silence at a page that is not packed as it says
            records = warc.ArchiveIterator(
                stream,
                record_types=warc.WarcRecordType.any_type,
                parse_http=True,
                auto_decode="none",
                stream_detect=False,
            )
            for number, record in enumerate(records, 1):
                is_page = _is_page(record, warc.WarcRecordType.response)
                body = read_at_most(record.reader, PAGE_LIMIT + 1) if is_page else b""
                size = len(body)
                while piece := record.reader.read(PAGE_LIMIT):
                    size += len(piece)
                if size < record.content_length or record.headers.get("Content-Length") is None:
                    raise EOFError
                if is_page:
                    address = record.headers.get("WARC-Target-URI") or ""
                    page = body if size > PAGE_LIMIT else _unpacked(body, record.http_headers)
                    yield _document(
                        trafilatura, page, record.http_charset, number, address.strip("<>") or None
                    )
        except EOFError as error:
            if error.args:  # from the compression
                raise
            raise BadInput(
                f"is cut short in record {number}", file=path, remedy="copy or download the file again"
            ) from None
        except OSError as error:
            if error.errno is not None or not str(error).startswith(("Invalid WARC", "Maximum header")):
                raise
            raise BadInput(
                f"is no WARC file after record {number} ({error})"
                if number
                else f"is no WARC file ({error})",
                file=path,
                remedy="copy or download the file again",
            ) from None
        if not stream.whole:
            raise BadInput(
                f"is cut short after record {number}", file=path, remedy="copy or download the file again"
            )


def _is_page(record: Any, response: Any) -> bool:
    if record.record_type != response or not record.is_http_parsed or record.http_headers is None:
        return False
    kind = (record.http_content_type or "").split(";")[0].strip().lower()
    return kind in PAGES and 200 <= (record.http_headers.status_code or 200) < 300


class _Counted:
    """A stream that can tell where it is, which a zstandard file cannot, and whether it ended with a line."""

    def __init__(self, stream: Any):
        self.stream, self.position, self.last = stream, 0, b"\n"

    def read(self, size: int = -1) -> bytes:
        data: bytes = self.stream.read(size)
        self.position += len(data)
        self.last = data[-1:] or self.last
        return data

    def tell(self) -> int:
        return self.position

    @property
    def whole(self) -> bool:
        return self.last == b"\n"


def _unpacked(body: bytes, headers: Any) -> bytes:
    """The page that a server sent in chunks or packed, at most `PAGE_LIMIT` + 1 bytes of it."""
    if "chunked" in (headers.get("Transfer-Encoding") or "").lower():
        body = _unchunked(body)
    coding = (headers.get("Content-Encoding") or "").strip().lower()
    attempts = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}.get(coding, ())
    for window in attempts:
        try:
            return zlib.decompressobj(window).decompress(body, PAGE_LIMIT + 1)
        except zlib.error:
            continue
    if coding == "br":
        brotli = require("brotli", "web")
        try:
            return bytes(brotli.Decompressor().process(body, output_buffer_limit=PAGE_LIMIT + 1))
        except brotli.error:
            return body
    if coding == "zstd":
        zstandard = require("zstandard", "corpus")
        try:
            return bytes(zstandard.ZstdDecompressor().stream_reader(body).read(PAGE_LIMIT + 1))
        except zstandard.ZstdError:
            return body
    return body


def _unchunked(body: bytes) -> bytes:
    pieces, at = [], 0
    while (size := CHUNK_SIZE.match(body, at)) is not None:
        length = int(size[1], 16)
        if length == 0:
            break
        pieces.append(body[size.end() : size.end() + length])
        at = size.end() + length
    return b"".join(pieces) or body


def _trafilatura() -> Any:
    # it writes a line for each page without text, which become bad records instead
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL + 1)
    return require("trafilatura", "web")


def _document(
    trafilatura: Any, page: bytes, charset: str | None, line: int, name: str | None = None
) -> Document | BadRecord:
    if len(page) > PAGE_LIMIT:
        return too_long(line, _decode(page[: 4 * SHOWN], charset), PAGE_LIMIT)
    html = _decode(page, charset)
    if html.count("<") > TAG_LIMIT:
        return BadRecord(f"more than {TAG_LIMIT:,} tags", line, html[:SHOWN], "leave the page out")
    try:
        text = trafilatura.extract(html, output_format="txt", include_comments=False)
    except Exception:  # a page can be wrong in more ways than the parsers underneath have errors for
        return BadRecord("the page cannot be taken apart", line, html[:SHOWN], "save the page's text")
    if not text or text.isspace():
        return BadRecord("no text found in the page", line, html[:SHOWN], "leave the page out")
    return Document(name and name.encode("utf-8", "replace").decode("utf-8"), text, line)


def _decode(page: bytes, charset: str | None) -> str:
    """A page's characters: by its byte order mark, as UTF-8 if it is that, as declared, or as browsers do."""
    marks = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
    for mark, coding in marks:
        if page.startswith(mark):
            return page.decode(coding, "replace").removeprefix("\ufeff")
    declared = META_CHARSET.search(page[:4096])
    # servers declare Latin-1 for pages in UTF-8 far more often than any other text passes for UTF-8
    for coding in ("utf-8", charset or "", declared[1].decode("ascii", "ignore") if declared else ""):
        if coding.lower() in ("", "iso-8859-1", "latin-1", "latin1", "us-ascii", "ascii"):
            continue
        try:
            return page.decode(coding)
        except (LookupError, ValueError):
            continue
    return page.decode("cp1252", "replace")
