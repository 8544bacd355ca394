"""Web pages and archives of them."""

import gzip
import zlib

import fuzz_files as sound
from fuzz_text import ENDINGS, read_all
from fuzzing import Files, Reader, byte_edits, damaged
from hypothesis import strategies as st

PIECES = [
    "<p>", "</p>", "<div>", "</div>", "<a href='x'>y</a>", "<br>", "<script>", "</script>", "<!--", "-->",
    "<table>", "<tr><td>", "</table>", "<style>", "&amp;", "&#x110000;", "&#0;", "<svg><math>", "<![CDATA[",
    "<?xml ?>", "<p lang='zul'>Namhlanje ekuseni ngivuke.</p>", "<article>", "</article>", "<h1>", "<li>",
    "<ul>", "\x00", "ḓ", "<meta charset='punycode'>", "<meta charset='utf-7'>",
    "<meta charset='unicode_escape'>", "<meta charset='idna'>", "<meta charset='hex'>",
    "<meta charset='utf-16'>", "<meta charset='\xff'>", "<html><body>", "<input", "='",
    "<time datetime='9999999999'>", "<base href='//['>", "<img src='http://[x'>",
    "<a href='http://[::1'>z</a>", "<link rel='canonical' href='http://['>",
    "<script type='application/ld+json'>{\"a\":[</script>", "\ufeff",
]  # fmt: skip
CHARSETS = ["utf-8", "punycode", "idna", "utf-7", "hex", "undefined", "unicode_escape", "x" * 50, "\xff", ""]
CODINGS = ["", "gzip", "deflate", "br", "zstd", "x-gzip", "identity"]
PAGE = f"<html><body><article><h1>a</h1><p>{' '.join(sound.LINES)}</p></article></body></html>".encode()


def _page(pieces: list[tuple[str, int]]) -> bytes:
    return "".join(piece * times for piece, times in pieces).encode("utf-8", "surrogatepass")


times = st.sampled_from([1, 1, 1, 2, 300, 3000])
pages = st.lists(st.tuples(st.sampled_from(PIECES) | st.text(max_size=6), times), max_size=8).map(
    _page
) | st.builds(damaged, st.just(PAGE), byte_edits)


def html(pages: st.SearchStrategy[bytes]) -> st.SearchStrategy[Files]:
    def make(page: bytes, ending: str, changes: list) -> Files:  # type: ignore[type-arg]
        return {f"a.html{ending}": damaged(sound.packed(page, ending), changes if ending else [])}

    return st.builds(make, pages, st.sampled_from(ENDINGS), byte_edits)


def _coded(page: bytes, coding: str) -> bytes:
    if coding in ("gzip", "x-gzip"):
        return gzip.compress(page)
    if coding == "deflate":
        return zlib.compress(page)
    return sound.packed(page, ".zst") if coding == "zstd" else page


def record(
    page: bytes, kind: str, charset: str, coding: str, chunked: bool, more: list[tuple[str, str]]
) -> bytes:
    body = _coded(page, coding)
    if chunked:
        body = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    headers = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset={charset}\r\n"
    headers += f"Content-Encoding: {coding}\r\n" * bool(coding) + "Transfer-Encoding: chunked\r\n" * chunked
    payload = headers.encode("latin-1", "replace") + b"\r\n" + body
    about = {
        "WARC-Type": kind,
        "WARC-Record-ID": "<urn:uuid:1>",
        "WARC-Date": "2020-01-01T00:00:00Z",
        "WARC-Target-URI": "https://example.org/",
        "Content-Type": "application/http; msgtype=response",
        "Content-Length": str(len(payload)),
    } | dict(more)
    lines = "".join(f"{name}: {value}\r\n" for name, value in about.items())
    return b"WARC/1.0\r\n" + lines.encode("utf-8", "replace") + b"\r\n" + payload + b"\r\n\r\n"


_headers = st.lists(
    st.tuples(
        st.sampled_from(
            ["Content-Length", "WARC-Type", "WARC-Target-URI", "WARC-Date", "Content-Type", "", "X"]
        ),
        st.sampled_from(
            ["-1", "0", "9" * 30, "18446744073709551615", "", " ", "\xff", "\r\n", "a" * 5000, "1e3", "x"]
        ),
    ),
    max_size=2,
)
records = st.builds(
    record,
    pages,
    st.sampled_from(["response"] * 5 + ["request", "warcinfo", "", "x"]),
    st.sampled_from(CHARSETS),
    st.sampled_from(CODINGS),
    st.booleans(),
    _headers | st.just([]),
)


def _warc(found: list[bytes], changes: list, ending: str) -> Files:  # type: ignore[type-arg]
    return {f"a.warc{ending}": sound.packed(damaged(b"".join(found), changes), ending)}


READERS = [
    Reader("html", lambda: {"sound.html": PAGE}, html(pages), read_all, seconds=60),
    Reader(
        "warc",
        lambda: {"sound.warc": record(PAGE, "response", "utf-8", "gzip", True, [])},
        st.builds(
            _warc,
            st.lists(records, min_size=1, max_size=3),
            byte_edits | st.just([]),
            st.sampled_from(ENDINGS),
        ),
        read_all,
        seconds=60,
    ),
]
