"""The server for the phone app: parts, headers, nothing but the site, and to whom it says what."""

import http.client
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import hostile
import pytest
from hostile import HELD, Held, Target, settled, siege

from edgelm.errors import BadInput, EdgelmError
from edgelm.export import site_server
from edgelm.export.site_server import SiteServer, announce, network_address
from edgelm.hosts import allowed, is_local, named


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    (folder / "model").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name, data in {
        "index.html": b"<p>hello",
        "app.js": b"1",
        "x.wasm": b"2",
        "manifest.webmanifest": b"{}",
        "model/part one.bin": bytes(range(100)),
        "edgelm.json": b"{}",
        ".hidden/secret": b"no",
    }.items():
        (folder / name).write_bytes(data)
    (tmp_path / "outside").write_bytes(b"no")
    (folder / "link").symlink_to(tmp_path / "outside")
    return folder


@pytest.fixture
def ask(site):
    """Asks the served site: status, headers, body."""
    server = SiteServer(site, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()

    def ask(path, method="GET", **headers):
        with closing(http.client.HTTPConnection(*server.server_address[:2], timeout=5)) as connection:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    yield ask
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/app.js?v=1", "text/javascript; charset=utf-8"),
        ("/x.wasm", "application/wasm"),
        ("/manifest.webmanifest", "application/manifest+json"),
        ("/model/part%20one.bin", "application/octet-stream"),
    ],
)
def test_files_have_their_types_and_the_page_is_isolated(ask, path, kind):
    status, headers, body = ask(path)
    assert (status, headers["Content-Type"]) == (200, kind)
    assert int(headers["Content-Length"]) == len(body) > 0
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [("bytes=10-19", 10, 20), ("bytes=90-", 90, 100), ("bytes=-5", 95, 100), ("bytes=0-999", 0, 100)],
)
def test_part_of_a_file(ask, asked, begin, end):
    status, headers, body = ask("/model/part%20one.bin", Range=asked)
    assert body == bytes(range(begin, end))
    whole = (begin, end) == (0, 100)
    assert (status, headers["Content-Range"]) == (
        (200, None) if whole else (206, f"bytes {begin}-{end - 1}/100")
    )


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=20-10", "bytes=-0"])
def test_no_such_part(ask, asked):
    status, headers, body = ask("/model/part%20one.bin", Range=asked)
    assert (status, headers["Content-Range"], body) == (416, "bytes */100", b"")


@pytest.mark.parametrize(
    "asked", ["bytes=-", "bytes=1-2,4-5", "lines=1-2", "nonsense", f"bytes={'9' * 5000}-"]
)
def test_what_is_no_single_part_is_answered_with_all(ask, asked):
    assert ask("/model/part%20one.bin", Range=asked)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../outside",
        "/%2e%2e/outside",
        "/link",
        "/.hidden/secret",
        "/edgelm.json",
        "/model",
        "/none",
    ],
)
def test_nothing_but_the_site(ask, path):
    status, _, body = ask(path)
    assert status == 404
    assert b"no\n" != body[:3] != b"no"


def test_head_and_other_methods(ask):
    assert ask("/", "HEAD")[::2] == (200, b"")
    assert ask("/", "POST")[0] == 501


def test_no_site_and_a_port_that_is_taken(site, tmp_path):
    with pytest.raises(BadInput, match="is no site"):
        SiteServer(tmp_path, "127.0.0.1", 0)
    with (
        SiteServer(site, "127.0.0.1", 0) as server,
        pytest.raises(EdgelmError, match="Choose another --port"),
    ):
        SiteServer(site, "127.0.0.1", server.server_address[1])
    with pytest.raises(EdgelmError, match=r"^\[::1\]:99999: cannot listen"):
        SiteServer(site, "::1", 99999)


def test_others_are_answered_amid_clients_that_mean_harm(site):
    (site / "large.bin").write_bytes(bytes(20_000_000))
    program = "import sys; from edgelm.export.site_server import *; from pathlib import Path\n"
    program += "server = SiteServer(Path(sys.argv[1]), '127.0.0.1', 0)\n"
    program += "print(server.server_address[1], flush=True); server.serve_forever()"
    process = subprocess.Popen([sys.executable, "-c", program, str(site)], stdout=subprocess.PIPE, text=True)
    try:
        target = Target(int(process.stdout.readline()), "/large.bin", "/large.bin", b"{}")
        fresh = Held.by(process.pid).files + 3
        with siege(target, held=40):
            waited = [hostile.ask(target)]
        before = settled(process.pid, fresh)
        kinds = {kind: HELD[kind] for kind in ("silent", "slow head", "never reads")}
        with siege(target, 300, kinds) as done:
            end = time.monotonic() + 5
            while time.monotonic() < end:
                waited.append(hostile.ask(target))
        after = settled(process.pid, fresh, threads=before.threads + 2)
        assert done.closed > 100, done
        assert max(waited) < 20, sorted(waited)[-5:]
        assert max(before.files, after.files) <= fresh
        assert after.threads <= before.threads + 2
        assert after.memory < before.memory + (40 << 20)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "begin", [b"", b"GET / HTTP/1.1\r\nHost: loc", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"]
)
def test_a_request_that_does_not_come_is_waited_for_so_long(site, monkeypatch, begin):
    monkeypatch.setattr(site_server, "HEAD_SECONDS", 0.3)
    with SiteServer(site, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        with socket.create_connection(server.server_address, timeout=20) as link:
            link.sendall(begin)
            begun = time.monotonic()
            while link.recv(1000):
                pass
            assert 0.2 < time.monotonic() - begun < 10
        server.shutdown()
        thread.join()
    assert server.waiting == {}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_another_name_for_this_machine_is_refused(ask, method):
    for name in ("evil.example", "evil.example:8090", "", "localhost.evil.example"):
        status, _, body = ask("/", method, Host=name)
        assert (status, b"hello" in body) == (403, False)
    for name in ("localhost", "LOCALHOST:1", "[::1]:80", "127.0.0.1"):
        assert ask("/", method, Host=name)[0] == 200


def test_the_network_may_use_any_name():
    assert allowed("0.0.0.0") == frozenset() == allowed("my-laptop")
    assert allowed("127.9.9.9") >= {"127.9.9.9", "localhost"}
    assert [named(one) for one in ("[::1]:80", "A.b:1", " localhost ", "")] == ["::1", "a.b", "localhost", ""]


def test_who_can_reach_it():
    assert all(map(is_local, ("127.0.0.1", "::1", "localhost", "Localhost", "127.9.9.9")))
    assert not any(map(is_local, ("0.0.0.0", "192.168.1.2", "::", "my-laptop")))
    assert network_address("192.168.1.2") == "192.168.1.2"
    assert network_address("0.0.0.0").count(".") == 3


def test_a_code_only_beyond_this_machine(monkeypatch):
    segno = pytest.importorskip("segno", reason="the extra 'phone' brings segno")
    monkeypatch.setenv("COLUMNS", "120")
    said = []
    announce("127.0.0.1", 8090, said.append)
    assert said == ["http://127.0.0.1:8090/ (this machine only; Ctrl-C ends it)"]
    announce("::1", 8090, said.append)
    assert said.pop().startswith("http://[::1]:8090/ (this machine")
    said.clear()
    announce("192.168.1.2", 8090, said.append)
    assert said[0].startswith("http://192.168.1.2:8090/ (everyone")
    assert "https" in said[2]
    assert _read(said[1]) == [
        [bool(one) for one in row]
        for row in segno.make("http://192.168.1.2:8090/", error="m", micro=False).matrix
    ]


def _read(picture):
    """The cells of a code in the terminal; dark ones True."""
    rows = []
    for line in picture.splitlines():
        signs = line.removeprefix("\x1b[97;40m").removesuffix("\x1b[0m")
        rows.append([sign in " ▄" for sign in signs])
        rows.append([sign in " ▀" for sign in signs])
    dark = [row for row in rows if any(row)]
    left = min(row.index(True) for row in dark)
    return [row[left : left + len(dark)] for row in dark]


def test_without_segno_the_address_is_enough(monkeypatch):
    from edgelm.errors import MissingExtra

    def lacks(module, extra):
        raise MissingExtra("segno is not installed")

    monkeypatch.setattr(site_server, "require", lacks)
    said = []
    announce("192.168.1.2", 1, said.append)
    assert [one.split()[0] for one in said] == ["http://192.168.1.2:1/", "segno", "Browsers"]
