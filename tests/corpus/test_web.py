import gzip
import io
import lzma
import socket
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("trafilatura", reason="web pages are read with the extra 'web'")
pytest.importorskip("fastwarc", reason="WARC files are read with the extra 'web'")

import brotli
import trafilatura
import zstandard
from fastwarc import warc

from edgelm.corpus import web
from edgelm.corpus.files import COMPRESSIONS, find_files
from edgelm.corpus.readers import SHOWN, BadRecord, Document, read_records
from edgelm.errors import BadInput, MissingExtra

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}
NEWS = [
    "Tshivenḓa tshi ambiwa nga vhathu vhanzhi Afurika Tshipembe na Zimbabwe.",
    "Umongameli uthe amanzi asezindlini azobuya kusasa ekuseni, ngoba onjiniyela basebenza ubusuku bonke.",
    "Die burgemeester sê die paaie na Citrusdal bly gesluit totdat die brug weer heel is.",
]


def page(*texts: str, head: str = "") -> str:
    menu = "".join(f'<li><a href="/{n}">Ikhaya {n}</a></li>' for n in range(20))
    body = "".join(f"<p>{text}</p>\n" for text in texts)
    return (
        f"<!DOCTYPE html><html><head><title>Izindaba</title>{head}<script>var x = 1;</script></head><body>"
        f"<nav><ul>{menu}</ul></nav><article>{body}</article><footer>Copyright</footer></body></html>"
    )


def response(
    url: str, body: bytes, headers: str = "Content-Type: text/html", status: str = "200 OK"
) -> bytes:
    """An archived answer of a server, written by the library; `headers` are HTTP's, a line each."""
    http = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers.splitlines())) + "\r\n"
    return record(warc.WarcRecordType.response, http.encode() + body, url)


def record(kind: object, content: bytes, url: str) -> bytes:
    one = warc.WarcRecord()
    one.init_headers(kind)
    one.headers["WARC-Target-URI"] = url
    if kind in (warc.WarcRecordType.response, warc.WarcRecordType.request):
        one.headers["Content-Type"] = "application/http; msgtype=response"
    one.set_bytes_content(content)
    out = io.BytesIO()
    one.write(out)
    return out.getvalue()


def read(path: Path) -> list[Document | BadRecord]:
    return list(read_records(path))


def texts(path: Path) -> list[str]:
    return [one.text for one in read(path)]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("packed", COMPRESSIONS)
@pytest.mark.parametrize("kind", [".html", ".htm", ".HTML"])
def test_a_page_is_one_document_of_its_main_text_with_its_line_breaks(tmp_path, kind, packed):
    path = write(tmp_path / f"a{kind}{packed}", PACK[packed](page(*NEWS).encode()))
    assert find_files(tmp_path) == [path]
    assert read(path) == [Document(id=None, text="\n".join(NEWS), line=1)]


@pytest.mark.parametrize("packed", COMPRESSIONS)
def test_a_warc_file_gives_each_page_under_its_address(tmp_path, packed):
    kinds = warc.WarcRecordType
    pages = [page(text, NEWS[0]).encode() for text in NEWS]
    records = [
        record(kinds.warcinfo, b"software: test\r\n", "about:"),
        record(kinds.request, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "https://a.example/"),
        response("https://a.example/", pages[0], "Content-Type: text/html; charset=utf-8"),
        record(kinds.metadata, b"fetchTimeMs: 12\r\n", "https://a.example/"),
        response("https://a.example/b?c=ê", pages[1], "Content-Type: application/xhtml+xml"),
        response("https://a.example/gone", pages[1], status="404 Not Found"),
        response("https://a.example/moved", pages[1], status="301 Moved Permanently"),
        response("https://a.example/x.png", b"\x89PNG\r\n\r\n" + bytes(5000), "Content-Type: image/png"),
        response("https://a.example/x.txt", NEWS[1].encode(), "Content-Type: text/plain"),
        record(kinds.resource, pages[1], "file:///x.html"),
        record(kinds.conversion, NEWS[1].encode(), "https://a.example/"),
        response("<https://a.example/d>", pages[2]),
    ]
    # as crawlers do, each record is a member of its own where they are packed
    path = write(tmp_path / f"crawl.warc{packed}", b"".join(map(PACK[packed], records)))
    assert find_files(tmp_path) == [path]
    found = read(path)
    assert [(one.id, one.line) for one in found if isinstance(one, Document)] == [
        ("https://a.example/", 3),
        ("https://a.example/b?c=ê", 5),
        ("https://a.example/d", 12),
    ]
    assert [one.text.split("\n")[0] for one in found] == NEWS


def chunks(body: bytes, size: int = 100) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x;a=b\r\n%s\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"


BARE_DEFLATE = zlib.compressobj(wbits=-15)
PAGE = page(*NEWS).encode()
SENT = {
    "chunked": (chunks(PAGE), "Transfer-Encoding: chunked"),
    "gzip": (gzip.compress(PAGE), "Content-Encoding: gzip"),
    "x-gzip": (gzip.compress(PAGE), "content-encoding: X-GZIP"),
    "deflate": (zlib.compress(PAGE), "Content-Encoding: deflate"),
    "bare deflate": (BARE_DEFLATE.compress(PAGE) + BARE_DEFLATE.flush(), "Content-Encoding: deflate"),
    "brotli": (brotli.compress(PAGE), "Content-Encoding: br"),
    "zstandard": (zstandard.compress(PAGE), "Content-Encoding: zstd"),
    "both": (chunks(gzip.compress(PAGE)), "Transfer-Encoding: Chunked\nContent-Encoding: gzip"),
    "not chunked as it says": (PAGE, "Transfer-Encoding: chunked"),
    "not gzip as it says": (PAGE, "Content-Encoding: gzip"),
    "not deflate as it says": (PAGE, "Content-Encoding: deflate"),
    "not brotli as it says": (PAGE, "Content-Encoding: br"),
    "not zstandard as it says": (PAGE, "Content-Encoding: zstd"),
    "something new": (PAGE, "Content-Encoding: new"),
}


@pytest.mark.parametrize("how", SENT)
def test_pages_are_unpacked_as_the_server_sent_them_and_none_after_is_lost(tmp_path, how):
    body, headers = SENT[how]
    first = response("https://a/1", body, f"Content-Type: text/html\n{headers}")
    path = write(tmp_path / "a.warc", first + response("https://a/2", PAGE))
    assert texts(path) == ["\n".join(NEWS)] * 2


@pytest.mark.parametrize(
    ("coding", "header", "head"),
    [
        ("utf-8", "", ""),
        ("utf-8-sig", "", '<meta charset="iso-8859-1">'),
        ("utf-8", "; charset=ISO-8859-1", '<meta charset="iso-8859-1">'),  # as servers often say
        ("utf-16", "", ""),
        ("iso-8859-2", "; charset=ISO-8859-2", ""),
        ("iso-8859-2", "", '<meta charset="iso-8859-2">'),
        ("iso-8859-2", "", "<META http-equiv=Content-Type content='text/html; charset=iso-8859-2'>"),
        ("cp1252", "; charset=iso-8859-1", ""),
        ("cp1252", "", ""),
        ("cp1252", "; charset=no-such", '<meta charset="rot13">'),
    ],
)
def test_a_page_is_decoded_as_browsers_do(tmp_path, coding, header, head):
    text = "Wat hy gese het is: more is daar weer regen in Calvinia en die veld bly droog. " * 3 + (
        "č ř é" if coding == "iso-8859-2" else "sê ë – “é”" if "cp1252" in coding else "Tshivenḓa"
    )
    body = page(text, head=head).encode(coding)
    path = write(tmp_path / "a.warc", response("https://a/1", body, f"Content-Type: text/html{header}"))
    assert texts(path) == [text]


def test_a_page_without_text_or_too_long_is_a_bad_record_and_stops_nothing(tmp_path, monkeypatch):
    empty = "<html><body><script>var x = 1;</script></body></html>"
    (bad,) = read(write(tmp_path / "a.html", empty.encode()))
    assert isinstance(bad, BadRecord)
    assert (bad.reason, bad.text, bad.line) == ("no text found in the page", empty, 1)
    monkeypatch.setattr(web, "PAGE_LIMIT", 1 << 20)
    long = page(*NEWS).encode() + b" " * (1 << 20)
    for name, data in (("b.html", long), ("b.html.gz", gzip.compress(long))):
        (bad,) = read(write(tmp_path / name, data))
        assert isinstance(bad, BadRecord)
        assert (bad.reason, bad.text) == ("longer than 1 MiB", long.decode()[:SHOWN])
    records = [
        response("https://a/1", empty.encode()),
        response("https://a/2", long),
        response("https://a/3", gzip.compress(long), "Content-Type: text/html\nContent-Encoding: gzip"),
        response("https://a/4", PAGE),
    ]
    found = read(write(tmp_path / "c.warc", b"".join(records)))
    assert [getattr(one, "reason", one.text) for one in found] == [
        "no text found in the page",
        "longer than 1 MiB",
        "longer than 1 MiB",
        "\n".join(NEWS),
    ]
    assert [one.line for one in found] == [1, 2, 3, 4]


def test_a_page_of_tags_is_a_bad_record(tmp_path, monkeypatch):
    monkeypatch.setattr(web, "TAG_LIMIT", 1000)
    path = tmp_path / "a.html"
    for tags, kind in ((999, Document), (1001, BadRecord)):
        path.write_text("<p>Namhlanje ekuseni ngivuke ngaphambi kokuphuma kwelanga." + "<br>" * (tags - 1))
        (one,) = read_records(path)
        assert isinstance(one, kind)
    assert one.reason == "more than 1,000 tags"


def test_a_parser_that_fails_spoils_one_page(tmp_path, monkeypatch):
    def fail(*args: object, **options: object) -> None:
        raise AssertionError("inside the library")

    monkeypatch.setattr(trafilatura, "extract", fail)
    (bad,) = read(write(tmp_path / "a.html", PAGE))
    assert isinstance(bad, BadRecord)
    assert bad.reason == "the page cannot be taken apart"


@pytest.mark.parametrize(
    "html", ["<div>" * 100_000 + "x", "<a href=x>b</a>" * 5000, "<" * 100_000, "\0" * 999]
)
def test_odd_pages_are_dealt_with(tmp_path, html):
    assert len(read(write(tmp_path / "a.html", html.encode()))) == 1


def test_an_archive_cut_anywhere_but_between_records_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(trafilatura, "extract", lambda html, **options: "text")  # for speed
    records = [response(f"https://a/{n}", b"<p>x</p>") for n in range(2)]
    data = b"".join(records)
    between = set()
    for end in (sum(map(len, records[: n + 1])) for n in range(len(records))):
        between |= set(range(end - 4, end + 1))  # the two empty lines after a record say nothing
    for length in range(1, len(data)):
        path = write(tmp_path / "a.warc", data[:length])
        if length in between:
            continue
        with pytest.raises(BadInput, match=r"a\.warc: is (cut short|no WARC file)") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    for ending in COMPRESSIONS[1:]:
        with pytest.raises(BadInput, match="damaged or cut short"):
            read(write(tmp_path / f"b.warc{ending}", PACK[ending](data)[:-9]))


@pytest.mark.parametrize("data", [b"hello\n" * 100, b"x" * 3_000_000, b"WARC/1.0\r\nx: " + b"y" * 3_000_000])
def test_what_is_no_archive_is_refused_quickly(tmp_path, data):
    with pytest.raises(BadInput, match=r"a\.warc: is no WARC file \(\w+"):
        read(write(tmp_path / "a.warc", data))


def test_nothing_is_fetched(tmp_path, monkeypatch):
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    body = page(
        *NEWS, head='<base href="https://a.example/"><link rel=stylesheet href="https://b.example/c">'
    )
    body += '<img src="https://c.example/d.png"><iframe src="https://d.example/"></iframe>'
    path = write(tmp_path / "a.warc", response("https://a.example/", body.encode()))
    assert texts(path) == ["\n".join(NEWS)]


@pytest.mark.parametrize("name", ["a.html", "a.warc"])
def test_without_the_extra_one_line_says_what_to_install(tmp_path, monkeypatch, name):
    def missing(module: str) -> None:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(MissingExtra, match=r"trafilatura is not installed; .* pip install 'edgelm\[web\]'"):
        read(write(tmp_path / name, PAGE))


quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WHOLE = b"".join(
    [response("https://a/1", PAGE), response("https://a/2", chunks(gzip.compress(PAGE)), "\n".join([
        "Content-Type: text/html; charset=utf-8", "Transfer-Encoding: chunked", "Content-Encoding: gzip"
    ]))]
)  # fmt: skip


@quick
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 40), st.binary(max_size=30)), max_size=5)
)
def test_any_damage_to_an_archive_gives_documents_bad_records_or_one_line(tmp_path, edits):
    data = WHOLE
    for at, length, instead in edits:
        data = data[:at] + instead + data[at + length :]
    path = write(tmp_path / "a.warc", data)
    said, found = "", []
    try:
        found = read(path)
    except BadInput as error:
        said = str(error)
    assert "\n" not in said
    for one in found:
        one.text.encode("utf-8")
        (getattr(one, "id", None) or "").encode("utf-8")


@quick
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: page(text).encode())))
def test_any_bytes_as_a_page_give_a_document_or_a_bad_record(tmp_path, data):
    (one,) = read(write(tmp_path / "a.html", data))
    one.text.encode("utf-8")
