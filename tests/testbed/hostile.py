"""Clients that mean a server of this machine harm, an honest one beside them, and what its process holds."""

import http.client
import itertools
import math
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

HOST = "127.0.0.1"
SECONDS = 60
DRIP = 0.1
"""Seconds between two bytes of a client that is slow on purpose."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server of this machine: a page that it has, and a request that it takes its time to answer.

    Attributes:
        body: of the long request; empty where nothing is posted there.
    """

    port: int
    page: str
    post: str = "/"
    body: bytes = b""

    def head(self, method: str, path: str, *lines: str) -> bytes:
        wanted = (f"{method} {path} HTTP/1.1", "Host: localhost", *lines)
        return ("\r\n".join(wanted) + "\r\n").encode()

    @property
    def request(self) -> bytes:
        """The whole long request."""
        lines = ("Content-Type: application/json", f"Content-Length: {len(self.body)}")
        return self.head("POST", self.post, *lines) + b"\r\n" + self.body


def connect(target: Target) -> socket.socket:
    link = socket.create_connection((HOST, target.port), timeout=SECONDS)
    link.settimeout(1)
    return link


def reset(link: socket.socket) -> None:
    """Close it so that the other end hears of an error, not of an end."""
    with suppress(OSError):
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


# clients that stay: what they begin with, and what they send a byte of now and then

HELD: dict[str, Callable[[Target], bytes]] = {
    "silent": lambda target: b"",
    "slow head": lambda target: target.head("GET", target.page) + b"X-Slow: ",
    "slow body": lambda target: (
        target.head("POST", target.post, "Content-Type: application/json", "Content-Length: 100000")
        + b"\r\n{"
    ),
    "endless body": lambda target: (
        target.head("POST", target.post, "Content-Type: application/json", "Transfer-Encoding: chunked")
        + b"\r\n"
    ),
    "idle after an answer": lambda target: target.head("GET", target.page) + b"\r\n",
    "never reads": lambda target: (target.head("GET", target.page) + b"\r\n") * 200,
}


# clients that come, do harm and go


def huge_head(target: Target, link: socket.socket) -> None:
    link.sendall(target.head("GET", target.page))
    for _ in range(200):
        link.sendall(b"X-Large: " + b"a" * 10_000 + b"\r\n")
    link.recv(1000)


def many_lines(target: Target, link: socket.socket) -> None:
    link.sendall(
        target.head("GET", target.page) + b"".join(b"X-%d: 1\r\n" % n for n in range(20_000)) + b"\r\n"
    )
    link.recv(1000)


def long_line(target: Target, link: socket.socket) -> None:
    link.sendall(b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    link.recv(1000)


def huge_body(target: Target, link: socket.socket) -> None:
    size = 1 << 28
    lines = ("Content-Type: application/json", f"Content-Length: {size}")
    link.sendall(target.head("POST", target.post, *lines) + b"\r\n")
    for _ in range(size >> 16):
        link.sendall(bytes(1 << 16))


def garbage(target: Target, link: socket.socket) -> None:
    link.sendall(bytes(range(256)) * 40)
    link.recv(1000)


def pipelined_garbage(target: Target, link: socket.socket) -> None:
    whole = target.head("GET", target.page) + b"\r\n"
    link.sendall(whole * 3 + b"\x00\xff NO HTTP\r\n\r\n" * 50 + whole * 3)
    link.recv(1000)


def smuggled(target: Target, link: socket.socket) -> None:
    lines = ("Content-Length: 5", "Content-Length: 6", "Transfer-Encoding: chunked")
    link.sendall(target.head("POST", target.post, *lines) + b"\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    link.recv(1000)


def leaves_at_once(target: Target, link: socket.socket) -> None:
    link.sendall(target.request)


def leaves_in_the_middle(target: Target, link: socket.socket) -> None:
    link.sendall(target.request)
    link.recv(10)


def half_closed(target: Target, link: socket.socket) -> None:
    link.sendall(target.request)
    link.shutdown(socket.SHUT_WR)
    link.recv(10)


PASSING = (
    huge_head, many_lines, long_line, huge_body, garbage, pipelined_garbage, smuggled, leaves_at_once,
    leaves_in_the_middle, half_closed,
)  # fmt: skip


@dataclass
class Siege:
    """What hostile clients did: connections of each kind, and how often the server closed one of the held."""

    made: Counter[str] = field(default_factory=Counter)
    closed: int = 0
    refused: int = 0


@contextmanager
def siege(target: Target, held: int, kinds: dict[str, Callable[[Target], bytes]] = HELD) -> Iterator[Siege]:
    """So many clients that stay, and one after the other of those that pass, until the block ends.

    A client that stays and is closed comes again.
    """
    found, over = Siege(), threading.Event()
    jobs = [threading.Thread(target=_hold, args=(target, held, kinds, found, over))]
    jobs.append(threading.Thread(target=_pass, args=(target, found, over)))
    for one in jobs:
        one.start()
    try:
        yield found
    finally:
        over.set()
        for one in jobs:
            one.join()


def _hold(
    target: Target,
    held: int,
    kinds: dict[str, Callable[[Target], bytes]],
    found: Siege,
    over: threading.Event,
) -> None:
    links: list[tuple[str, socket.socket]] = []
    order = itertools.cycle(kinds)
    while not over.is_set():
        while len(links) < held and not over.is_set():
            kind = next(order)
            try:
                link = connect(target)
                link.setblocking(False)
                link.send(kinds[kind](target) or b"")
            except OSError:
                found.refused += 1
                break
            found.made[kind] += 1
            links.append((kind, link))
        alive = []
        for kind, link in links:
            try:
                if kind != "silent" and kind != "idle after an answer" and kind != "never reads":
                    link.send(b"1\r\na\r\n" if kind == "endless body" else b"a")
                if kind != "never reads" and link.recv(1000) == b"":
                    raise ConnectionResetError
                alive.append((kind, link))
            except BlockingIOError:
                alive.append((kind, link))
            except OSError:
                found.closed += 1
                link.close()
        links = alive
        over.wait(DRIP)
    for _, link in links:
        reset(link)


def _pass(target: Target, found: Siege, over: threading.Event) -> None:
    for kind in itertools.cycle(PASSING):
        if over.is_set():
            return
        try:
            link = connect(target)
        except OSError:
            found.refused += 1
            over.wait(DRIP)
            continue
        found.made[kind.__name__] += 1
        with suppress(OSError):
            kind(target, link)
        reset(link)


def ask(target: Target, whole: bool = False) -> float:
    """Seconds that an honest client waits for a page, or `whole`: for the answer to the long request.

    Raises:
        AssertionError: the answer is no good one.
    """
    begin = time.monotonic()
    link = http.client.HTTPConnection(HOST, target.port, timeout=SECONDS)
    try:
        if whole:
            link.request("POST", target.post, target.body, {"Content-Type": "application/json"})
        else:
            link.request("GET", target.page)
        answer = link.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    finally:
        link.close()
    return time.monotonic() - begin


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds: bytes of memory, threads, open files."""

    memory: int
    threads: int
    files: int

    @classmethod
    def by(cls, process: int) -> "Held":
        found = psutil.Process(process)
        return cls(found.memory_info().rss, found.num_threads(), found.num_fds())


def settled(process: int, files: int, seconds: float = SECONDS, threads: float = math.inf) -> Held:
    """What the process holds once it has no more than so many files open and threads, or after so long."""
    end = time.monotonic() + seconds
    while (found := Held.by(process)).files > files or found.threads > threads:
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    return found
