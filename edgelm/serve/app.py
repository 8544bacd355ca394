"""The web application: who may ask, how much, and how answers go out."""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as Http
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from edgelm.hosts import may_ask
from edgelm.serve.errors import Refused
from edgelm.serve.fields import parse_json
from edgelm.serve.requests import Request, parse_chat, parse_completion
from edgelm.serve.responses import Body, Shape
from edgelm.serve.worker import Job, Worker

UPLOAD_SECONDS = 20
DRAINED = 16
"""Times the allowed size that is still read of a body, unkept: a client that writes hears no answer."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Who may ask and how much.

    Attributes:
        key: that a client has to show; empty where it need not.
        hosts: names that a client may call the server by; empty where any will do. A page that a browser
            shows could give its own name this machine's address, and would then be let in by the browser.
        size: largest body in bytes.
    """

    key: str
    hosts: frozenset[str]
    size: int


def build(worker: Worker, model: str, gate: Gate) -> Starlette:
    """The application.

    Args:
        model: what the model is called.
    """
    about = {"id": model, "object": "model", "created": 0, "owned_by": "edgelm"}

    async def health(http: Http) -> Response:
        return JSONResponse({"status": "ok", "waiting": len(worker.jobs)})

    async def models(http: Http) -> Response:
        return JSONResponse({"object": "list", "data": [about]})

    async def one_model(http: Http) -> Response:
        _check_name(http.path_params["name"], model)
        return JSONResponse(about)

    def answers(parse: Callable[[Body], Request]) -> Callable[[Http], Awaitable[Any]]:
        async def answer(http: Http) -> "Answer":
            request = parse(parse_json(await _body(http, gate.size)))
            if request.model is not None:
                _check_name(request.model, model)
            job = Job(request, asyncio.get_running_loop())
            worker.submit(job)
            return Answer(worker, job, Shape(request, model))

        return answer

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", one_model),
            Route("/v1/completions", answers(parse_completion), methods=["POST"]),
            Route("/v1/chat/completions", answers(parse_chat), methods=["POST"]),
        ],
        middleware=[Middleware(Guard, gate=gate)],
        exception_handlers={Refused: _refused, HTTPException: _no_route},
    )


def _check_name(asked: str, model: str) -> None:
    if asked != model:
        raise Refused(
            404, f"there is no model '{asked}' here, only '{model}'.", param="model", code="model_not_found"
        )


async def _body(http: Http, most: int) -> bytes:
    """The body of a request.

    Raises:
        Refused: it is no JSON by its own account, too large, or too slow.
    """
    if http.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        # any page that a browser shows may send other types here unasked
        raise Refused(415, "the body has to be JSON. Send the header Content-Type: application/json.")
    data, size = bytearray(), 0
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            async for part in http.stream():
                size += len(part)
                if size <= most:
                    data += part
                elif size > DRAINED * most:
                    break
    except TimeoutError:
        raise Refused(408, f"the body took longer than {UPLOAD_SECONDS} seconds.") from None
    except ClientDisconnect:
        raise Refused(400, "the body was cut short.") from None
    if size > most:
        raise Refused(413, f"the body has more than {most} bytes. Shorten it.", code="request_too_large")
    return bytes(data)


class Answer:
    """Sends what the worker writes, whole or in events; a client that leaves frees the worker."""

    def __init__(self, worker: Worker, job: Job, shape: Shape):
        self.worker, self.job, self.shape = worker, job, shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watcher = asyncio.create_task(self._watch(receive))
        try:
            await self.job.begin()
            if self.job.request.stream:
                await self._stream(send)
            else:
                pieces = [piece async for piece in self.job.read()]
                await JSONResponse(self.shape.whole(pieces, self.job.usage))(scope, receive, send)
        except Refused as error:
            await _response(error)(scope, receive, send)
        finally:
            self.worker.leave(self.job)
            watcher.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.worker.leave(self.job)

    async def _stream(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def event(*bodies: Body) -> None:
            data = b"".join(b"data: " + _json(body) + b"\n\n" for body in bodies)
            if data:
                await send({"type": "http.response.body", "body": data, "more_body": True})

        await event(*self.shape.opening())
        end = b"data: [DONE]\n\n"
        try:
            async for piece in self.job.read():
                await event(self.shape.chunk(piece))
            await event(*self.shape.closing(self.job.usage))
        except Refused as error:  # the status has gone out
            await event(error.body)
            end = b""
        await send({"type": "http.response.body", "body": end})


class Guard:
    """Lets in who may ask."""

    def __init__(self, app: ASGIApp, gate: Gate):
        self.app, self.gate = app, gate
        self.token = gate.key.encode("utf-8")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        if not may_ask(headers.get("host", ""), self.gate.hosts):
            names = ", ".join(sorted(self.gate.hosts))
            await _response(Refused(403, f"the server goes by these names: {names}."))(scope, receive, send)
        elif self.token and scope["path"] != "/health" and not self._known(headers):
            refused = Refused(
                401, "the API key is missing or wrong. Send the header Authorization: Bearer KEY.",
                code="invalid_api_key",
            )  # fmt: skip
            await _response(refused)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _known(self, headers: Headers) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(token.strip().encode("latin-1"), self.token)


def _response(error: Refused) -> Response:
    return JSONResponse(error.body, error.status, error.headers)


async def _refused(http: Http, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _response(error)


async def _no_route(http: Http, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = http.scope["path"]  # not `http.url`, which wants a query in UTF-8
    hint = " The interface begins at /v1." if not path.startswith("/v1/") else ""
    message = f"{http.method} {path}: {error.detail.lower()}.{hint}"
    return JSONResponse(Refused(error.status_code, message).body, error.status_code, error.headers)


def _json(body: Body) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
