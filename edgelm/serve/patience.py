"""How long a server waits for clients that keep a connection and do not use it, and for how many of them.

uvicorn waits for ever for the first request of a connection, for one that comes a byte at a time, for a body,
and for a client to read its answer; each holds a file descriptor, and enough of them lock others out.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds that are waited for a client, and for how many.

    Attributes:
        head: for a request's head, from the connection's begin or the answer before on.
        body: for the rest of a request; the application may answer earlier that it is too slow.
        reading: for a client that reads nothing of what was sent to it.
        most: connections; of more, those that have been waited for longest are closed.
        least: that any client has, however many there are.
    """

    head: float = 10
    body: float = 30
    reading: float = 60
    most: int = 256
    least: float = 0.5


@dataclass(frozen=True, slots=True)
class Wait:
    """What a connection is waited for: a name of `Patience`, for which request, and since when."""

    kind: str
    cycle: object
    unread: int
    since: float

    def goes_on(self, before: "Wait") -> bool:
        """Whether nothing has come of it since an earlier look."""
        return (self.kind, self.cycle) == (before.kind, before.cycle) and self.unread >= before.unread


class Watch:
    """The connections of a uvicorn server that are waited for."""

    def __init__(self, patience: Patience):
        self.patience = patience
        self.waits: dict[Any, Wait] = {}

    def look(self, connections: Iterable[Any], now: float) -> None:
        """Close those that were waited for long enough, and of too many those that were longest."""
        connections, waits = list(connections), {}
        for one in connections:
            if (wait := waited_for(one, now)) is not None:
                before = self.waits.get(one)
                waits[one] = before if before and wait.goes_on(before) else wait
        self.waits = waits
        surplus = len(connections) - self.patience.most
        for one, wait in sorted(waits.items(), key=lambda item: item[1].since):
            most = self.patience.least if surplus > 0 else getattr(self.patience, wait.kind)
            if now - wait.since > most:
                one.transport.abort()
                surplus -= 1


def waited_for(connection: Any, now: float) -> Wait | None:
    """What a connection of uvicorn is waited for; None where a request is being answered."""
    cycle = getattr(connection, "cycle", None)
    if unread := connection.transport.get_write_buffer_size():
        return Wait("reading", cycle, unread, now)
    if cycle is None or cycle.response_complete:
        return Wait("head", cycle, 0, now)
    return Wait("body", cycle, 0, now) if cycle.more_body else None


def watch(server: Any, patience: Patience | None = None) -> Watch:
    """Have a `uvicorn.Server` look after its connections, ten times a second."""
    found, tick = Watch(patience or Patience()), server.on_tick

    async def on_tick(counter: int) -> Any:
        found.look(server.server_state.connections, time.monotonic())
        return await tick(counter)

    server.on_tick = on_tick
    return found


def drop_unasked(server: Any) -> None:
    """Close what no whole request has come from: a server that is to end would wait for it."""
    for one in list(server.server_state.connections):
        wait = waited_for(one, 0.0)
        if wait is not None and wait.kind != "reading":
            one.transport.abort()
