"""The server amid clients that mean it harm: it goes on answering others, and keeps nothing of them."""

import json
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hostile import HELD, Held, Target, ask, connect, settled, siege
from served import start

from edgelm.serve.patience import Patience, Watch, watch

BODY = json.dumps({"prompt": "Namhlanje", "max_tokens": 60, "n": 4, "stream": True}).encode()
HONEST = 20
"""Seconds within which an honest client has its answer, on a machine that has other work too."""
GROWTH = 40 << 20
"""Bytes that a process may keep of thousands of requests: allocators give little back."""


def test_others_are_answered_and_nothing_is_kept(onnx_model: Path) -> None:
    with start(onnx_model, "--grace", 1) as server:
        target = Target(server.port, "/v1/models", "/v1/completions", BODY)
        process = server.process.pid
        fresh = Held.by(process).files + 3  # and an event loop's own
        with siege(
            target, held=60
        ):  # what a first request of each kind brings stays: imports, buffers, a pool
            waited = [ask(target, whole=True) for _ in range(4)]
        before = settled(process, fresh)
        with siege(target, held=600) as done:
            end = time.monotonic() + 6
            while time.monotonic() < end:
                waited += [ask(target), ask(target, whole=True)]
        after = settled(process, fresh)
        assert sum(done.made.values()) > 700, done
        assert done.closed > 100, done
        assert max(waited) < HONEST, sorted(waited)[-5:]
        assert max(before.files, after.files) <= fresh
        assert after.threads <= before.threads + 1  # one that writes, one for its time limit
        assert after.memory < before.memory + GROWTH, (before, after)
        with siege(target, held=300) as done:
            ask(target)
            begin = time.monotonic()
            code, said = server.end(signal.SIGTERM)
    assert time.monotonic() - begin < 10
    assert (code, said) == (0, "")


@contextmanager
def running(patience: Patience, answer: bytes = b"") -> Iterator[tuple[int, Watch]]:
    """A server that waits so long for its clients, and answers a whole request with `answer`: its port."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": answer})

    config = uvicorn.Config(app, http="h11", lifespan="off", log_level="critical", timeout_keep_alive=60)
    server = uvicorn.Server(config)
    watched = watch(server, patience)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield listener.getsockname()[1], watched
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


def closed_after(link: socket.socket, most: float = 20) -> float:
    """Seconds until the server closes the connection."""
    begin = time.monotonic()
    link.settimeout(most)
    try:
        while link.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - begin


@pytest.mark.parametrize("kind", ["silent", "slow head", "slow body", "endless body", "idle after an answer"])
def test_who_sends_no_whole_request_is_waited_for_so_long(kind: str) -> None:
    with running(Patience(head=0.5, body=0.5)) as (port, _):
        target = Target(port, "/")
        link = connect(target)
        link.sendall(HELD[kind](target))
        assert 0.4 < closed_after(link) < 10


@pytest.mark.parametrize(("head", "body", "kind"), [(0.3, 60, "slow body"), (60, 0.3, "slow head")])
def test_a_head_and_a_body_have_limits_of_their_own(head: float, body: float, kind: str) -> None:
    with running(Patience(head=head, body=body)) as (port, _):
        target = Target(port, "/")
        link = connect(target)
        link.sendall(HELD[kind](target))
        with pytest.raises(TimeoutError):
            closed_after(link, most=1.5)
        link.close()


def test_who_reads_nothing_is_waited_for_so_long_and_who_reads_slowly_is_not_cut() -> None:
    size = 30_000_000
    with running(Patience(head=60, reading=0.6), bytes(size)) as (port, _):
        target = Target(port, "/")
        still, slow = (socket.socket() for _ in range(2))
        for link in (still, slow):
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            link.connect(("127.0.0.1", port))
            link.settimeout(10)
            link.sendall(target.head("GET", "/", "Connection: close") + b"\r\n")
        read = 0
        while data := slow.recv(1 << 18):
            read += len(data)
            time.sleep(0.01 if read < size // 2 else 0)
        assert read > size
        read = 0
        while data := still.recv(1 << 18):
            read += len(data)
        assert read < size  # what had not gone out is lost
        for link in (still, slow):
            link.close()


def test_of_too_many_those_that_were_waited_for_longest_are_closed(until: Callable[..., None]) -> None:
    with running(Patience(head=60, most=20)) as (port, watch):
        target = Target(port, "/")
        first = [connect(target) for _ in range(20)]
        until(lambda: len(watch.waits) == 20)
        assert ask(target) < HONEST
        then = [connect(target) for _ in range(15)]
        until(lambda: len(select.select(first, [], [], 0)[0]) == 15)
        until(lambda: len(watch.waits) == 20)
        assert not select.select(then, [], [], 0)[0]
        for link in then:
            link.sendall(target.head("GET", "/") + b"\r\n")
            assert link.recv(100).startswith(b"HTTP/1.1 200")
        for link in (*first, *then):
            link.close()


def test_who_is_being_answered_is_never_cut(until: Callable[..., None]) -> None:
    """Neither by too many others, nor as one who waits long for an answer that takes its time."""
    begun, go_on = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        import asyncio

        await receive()
        begun.set()
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answer"})

    config = uvicorn.Config(app, http="h11", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    watch(server, Patience(head=0.2, body=0.2, reading=0.2, most=1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        target = Target(listener.getsockname()[1], "/")
        link = connect(target)
        link.settimeout(20)
        link.sendall(target.head("GET", "/", "Connection: close") + b"\r\n")
        assert begun.wait(20)
        crowd = [connect(target) for _ in range(5)]
        for one in crowd:
            assert closed_after(one) < HONEST
        go_on.set()
        assert b"answer" in link.recv(1000) + link.recv(1000)
        link.close()
        server.should_exit = server.force_exit = True
        thread.join()
