"""Running the server: the socket, the signals, the end."""

import asyncio
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from edgelm.errors import BadInput
from edgelm.hosts import allowed, is_local
from edgelm.runtime import load
from edgelm.serve.app import Gate, build
from edgelm.serve.patience import drop_unasked, watch
from edgelm.serve.worker import Worker

SLOW = 5
"""Seconds that clients have to take their last bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may ask of a server, and all of them together.

    Attributes:
        waiting: requests that wait for their turn.
        seconds: that an answer may take.
        size: of a request in bytes.
        grace: seconds that the last answer may take once the server is told to end.
    """

    waiting: int
    seconds: float
    size: int
    grace: float


def serve(
    path: Path, host: str, port: int, key: str, limits: Limits, threads: int | None = None,
    adapter: Path | None = None,
) -> None:  # fmt: skip
    """Serve a model until SIGTERM or Ctrl-C.

    Args:
        port: 0 takes a free one.
        key: that clients have to show; empty lets all in.
        adapter: of `load`.

    Raises:
        BadInput: the model cannot be served, or the address or the key cannot be used.
    """
    if not all("!" <= character <= "~" for character in key):
        remedy = "take letters, digits and marks of ASCII"
        raise BadInput("the API key has characters that a header cannot hold", remedy=remedy)
    listener = open_socket(host, port)
    if not is_local(host) and not key:
        print(
            f"edgelm: warning: whoever reaches {host} can use this model. Give an --api-key.", file=sys.stderr
        )
    model = load(path, threads=threads, adapter=adapter)
    name = path.stem if path.is_file() else path.resolve().name
    worker = Worker(model, limits.waiting, limits.seconds)
    gate = Gate(key, allowed(host), limits.size)
    config = uvicorn.Config(
        build(worker, name, gate), http="h11", ws="none", lifespan="off", log_level="error", access_log=False,
        server_header=False, proxy_headers=False, timeout_graceful_shutdown=SLOW,
    )  # fmt: skip
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn's own take over, and raise them again in the end
        signal.signal(number, signal.SIG_IGN)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}/v1"
    greeting = f"{model.name} is served at {address} (Ctrl-C stops it)"
    Server(config, worker, greeting, limits.grace).run([listener])
    worker.thread.join(SLOW)
    if not worker.thread.is_alive():
        model.close()


class Server(uvicorn.Server):
    """uvicorn's, which says where it is and lets the last answer end."""

    def __init__(self, config: uvicorn.Config, worker: Worker, greeting: str, grace: float):
        super().__init__(config)
        self.worker, self.greeting, self.grace = worker, greeting, grace
        watch(self)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self.greeting, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        self.worker.close()
        end = asyncio.get_running_loop().time() + self.grace
        while not (self.worker.idle or self.force_exit) and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.02)
        self.worker.stop()
        drop_unasked(self)
        await super().shutdown(sockets)


def open_socket(host: str, port: int) -> socket.socket:
    """A socket bound to an address.

    Raises:
        BadInput: there is no such address here, or it is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise BadInput(
            f"host {host} is not known ({error})", remedy="give an address of this machine"
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would let two programs share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # now, so that a second server is told at once
    except OSError as error:
        listener.close()
        remedy = "give another --port, or 0 for a free one"
        raise BadInput(f"{host} port {port} cannot be used ({error.strerror})", remedy=remedy) from None
    return listener
