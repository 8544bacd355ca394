"""What stands before Gradio: only the routes in use, plain values, and the names of this machine."""

import json
from typing import Any

from starlette.responses import PlainTextResponse

from edgelm.hosts import may_ask

PAGES = {"/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json"}
CALLS = {"info", "run/predict", "cancel", "startup-events", "app_id"}
ROUTES = PAGES | {f"/gradio_api/{call}" for call in CALLS}
FOLDERS = ("/assets/", "/static/", "/gradio_api/queue/", "/gradio_api/heartbeat/")
LARGEST = 256_000
"""Bytes of a request; the longest text that a tab takes is a third of it."""


class Guard:
    """Refuses what the page never sends.

    * Gradio's routes for files, uploads, proxying and its API.
    * Values that are no text, number or list of them: of an object that says it is a file Gradio would fetch
      the address that it names, and keep what came.
    * Requests longer than `LARGEST`.
    * Where `hosts` are given, requests for another name: a page elsewhere whose name is made to mean this
      machine (DNS rebinding) could read the answers.
    """

    def __init__(self, app: Any, hosts: frozenset[str] = frozenset()):
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is None and scope.get("method") == "POST":
            body = await _body(receive)
            if body is None:
                refused = PlainTextResponse("The request is too long.", 413)
            elif not _plain(body):
                refused = PlainTextResponse("The request holds what this page never sends.", 400)
            else:
                receive = _again(body, receive)
        await (refused or self.app)(scope, receive, send)

    def _refused(self, scope: Any) -> PlainTextResponse | None:
        asked = dict(scope.get("headers", ())).get(b"host", b"").decode("latin-1")
        if not may_ask(asked, self.hosts):
            names = ", ".join(sorted(self.hosts))
            return PlainTextResponse(f"The page goes by these names: {names}.", 403)
        if scope["type"] != "http" or not (scope["path"] in ROUTES or scope["path"].startswith(FOLDERS)):
            return PlainTextResponse("There is no such page.", 404)
        return None


async def _body(receive: Any) -> bytes | None:
    """The body of a request; None where it is too long, or broken off."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes, receive: Any) -> Any:
    """A `receive` that gives a body that was read, then what comes after it."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Any:
        return waiting.pop() if waiting else await receive()

    return read


def _plain(body: bytes) -> bool:
    """Whether the values of an event, where the body has some, are those of the page's controls."""
    try:
        asked = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return False
    values = asked.get("data") if isinstance(asked, dict) else None
    if not isinstance(asked, dict) or not isinstance(values, list | None):
        return False
    return all(map(_value, values or ()))


def _value(value: Any) -> bool:
    if isinstance(value, list):
        return all(one is None or isinstance(one, str | int | float) for one in value)
    return value is None or isinstance(value, str | int | float)
