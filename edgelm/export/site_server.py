"""A server for static files, to try the phone app with: for this machine, or its network if asked.

It hands out the files that are in the folder when it starts and nothing else, part of one where part is asked
for, with the headers that let a page use several threads.
"""

import mimetypes
import re
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from edgelm.artifacts import PROVENANCE
from edgelm.errors import BadInput, EdgelmError, MissingExtra
from edgelm.extras import require
from edgelm.hosts import allowed, is_local, may_ask

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".bin": "application/octet-stream",
}
"""What this machine's table may have otherwise; without the right one a browser runs no module."""
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
PORTION = 1 << 16
EVERY = "0.0.0.0"  # compared with # nosec B104
SECONDS = 60  # that a connection may stand still
HEAD_SECONDS = 10  # that a request's head may take, and a connection wait for it
LEAST_SECONDS = 0.5  # that it has in any case
MOST = 64
"""Connections whose request is waited for; of more, those that were waited for longest are closed."""
THREADS = 512
"""Connections in all, each of which has a thread."""


class SiteServer(ThreadingHTTPServer):
    """Serves `folder`; `files` has each by the path of its address.

    `hosts` are the names that it may be asked for by; empty where any will do.
    """

    daemon_threads = True
    request_queue_size = 128  # of connections that come at once; with five, the sixth waits a second

    def __init__(self, folder: Path, host: str, port: int):
        if not (folder / "index.html").is_file():
            raise BadInput("is no site", file=folder, remedy="make one with: edgelm export phone")
        self.files = {
            "/" + file.relative_to(folder).as_posix(): file
            for file in folder.rglob("*")
            if file.is_file() and not file.is_symlink() and file.name != PROVENANCE  # no page asks for it
            and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        }  # fmt: skip
        self.files["/"] = self.files["/index.html"]
        self.hosts = allowed(host)
        self.waiting: dict[socket.socket, float] = {}
        """Connections whose next request has not come, and since when, the oldest first."""
        self.open = 0
        self.lock = threading.Lock()
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise EdgelmError(
                f"{_place(host, port)}: cannot listen there ({reason}). Choose another --port."
            ) from None

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.lock:
            full = self.open >= THREADS
            self.open += not full
        if full:
            self.close_request(request)
            return
        self.wait(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self.lock:
                self.open -= 1
                self.waiting.pop(request, None)

    def wait(self, request: socket.socket, begin: bool = True) -> None:
        """Note that a connection's next request is waited for, or has come."""
        with self.lock:
            self.waiting.pop(request, None)
            if begin:
                self.waiting[request] = time.monotonic()

    def service_actions(self) -> None:
        """Close the connections whose request was waited for long enough; `serve_forever` asks for this."""
        now = time.monotonic()
        with self.lock:
            surplus = len(self.waiting) - MOST
            for request, since in list(self.waiting.items()):
                if now - since <= (LEAST_SECONDS if surplus > 0 else HEAD_SECONDS):
                    break
                self._leave(request)
                surplus -= 1

    def _leave(self, request: socket.socket) -> None:
        del self.waiting[request]
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)  # its thread reads the end, and closes it

    def handle_error(self, request: object, client_address: object) -> None:
        """A reader who left is no error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    server: SiteServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "edgelm", ""
    timeout: ClassVar[int] = SECONDS

    def handle_one_request(self) -> None:
        self.server.wait(self.connection)
        super().handle_one_request()

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        self.server.wait(self.connection, begin=False)
        if not may_ask(self.headers.get("Host", ""), self.server.hosts):
            self.send_error(
                HTTPStatus.FORBIDDEN, f"The names here are {', '.join(sorted(self.server.hosts))}"
            )
            return
        try:
            file = self.server.files.get(unquote(urlsplit(self.path).path))
        except ValueError:  # an address that is none, as http://[
            file = None
        if file is None or not file.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file.open("rb") as stream:
            size = file.stat().st_size
            part = self._range(size)
            if part is None:
                self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            begin, end = part
            whole = (begin, end) == (0, size)
            self.send_response(HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT)
            if not whole:
                self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
            kind = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(end - begin))
            self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            if not body:
                return
            stream.seek(begin)
            while begin < end and (data := stream.read(min(PORTION, end - begin))):
                self.wfile.write(data)
                begin += len(data)

    def _range(self, size: int) -> tuple[int, int] | None:
        """First byte and the one after the last that were asked for; None where there are none such."""
        asked = RANGE.fullmatch(self.headers.get("Range", ""))
        if asked is None or not any(asked.groups()):
            return 0, size  # several ranges, or another unit: a server may answer with all
        first, last = asked.groups()
        if not first:
            begin, end = max(0, size - int(last)), size
        else:
            begin, end = int(first), min(size, int(last) + 1 if last else size)
        return (begin, end) if begin < end else None

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: what a reader asks for is the reader's own."""


def network_address(host: str) -> str:
    """Where others on the network find this machine; `host` itself unless it stands for every address."""
    if host not in (EVERY, "::"):
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(
                ("192.0.2.1", 9)
            )  # of a network for documentation; a datagram's connect sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _place(host: str, port: int) -> str:
    """Both as an address has them: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def announce(host: str, port: int, say: Callable[[str], object] = print) -> None:
    """Say where the app is; beyond this machine with a QR code, and what a phone cannot do there."""
    if is_local(host):
        say(f"http://{_place(host, port)}/ (this machine only; Ctrl-C ends it)")
        return
    url = f"http://{_place(network_address(host), port)}/"
    say(f"{url} (everyone on this network; Ctrl-C ends it)")
    try:
        code = require("segno", "phone").make(url, error="m", micro=False)
        say(_drawn([[bool(cell) for cell in row] for row in code.matrix]))
    except MissingExtra as error:
        say(str(error))
    say(
        "Browsers keep an app for flight mode only from https or from the phone itself: host the folder at "
        f"an https address, or connect the phone with a cable, run: adb reverse tcp:{port} tcp:{port} "
        f"and open http://localhost:{port}/ on it."
    )


def _drawn(cells: list[list[bool]], margin: int = 2) -> str:
    """Two rows of cells a line of text, light on dark so that dark terminals show it rightly too."""
    width = len(cells[0]) + 2 * margin
    rows = [[False] * width for _ in range(margin)]
    rows += [[False] * margin + row + [False] * margin for row in cells]
    rows += [[False] * width for _ in range(margin + (len(rows) + margin) % 2)]
    signs = {(True, True): " ", (True, False): "▄", (False, True): "▀", (False, False): "█"}
    lines = [
        "".join(signs[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]
    if shutil.get_terminal_size().columns < width:
        return "(The terminal is too narrow for the QR code.)"
    return "\n".join(f"\x1b[97;40m{line}\x1b[0m" for line in lines)


def serve(folder: Path, host: str, port: int) -> None:
    """Serve until Ctrl-C.

    Raises:
        BadInput: the folder is no site.
        EdgelmError: nothing can listen there.
    """
    with SiteServer(folder, host, port) as server:
        announce(host, server.server_address[1])
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
