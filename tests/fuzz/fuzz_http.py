"""Requests to `edgelm serve`, to the demo's guard and to the server of sites; and grammars."""

import asyncio
import functools
import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import fuzz_files as sound
from fuzzing import Broken, Files, Reader, Strategy, byte_edits, changed, damaged, dumps, edits
from hypothesis import strategies as st

CHAT: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": "Sawubona"},
        {"role": "assistant", "content": "Yebo"},
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
    ],
    "max_tokens": 2,
    "temperature": 1.0,
    "top_p": 0.9,
    "logprobs": True,
    "top_logprobs": 2,
    "n": 1,
    "seed": 1,
    "stop": ["x"],
    "stream": True,
    "stream_options": {"include_usage": True},
    "frequency_penalty": 0.5,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"schema": {"type": "string", "enum": ["a", "b"]}},
    },
}
COMPLETION: dict[str, Any] = {
    "prompt": "Namhlanje",
    "max_tokens": 2,
    "temperature": 0.5,
    "top_p": 1,
    "logprobs": 2,
    "n": 2,
    "seed": 1,
    "stop": "x",
    "presence_penalty": 0.5,
    "guided_choice": ["a", "b"],
    "language": "zul",
    "model": "made-up",
}
EVENT: dict[str, Any] = {
    "data": ["Namhlanje", 3, None, ["a", 0.5]],
    "fn_index": 2,
    "session_hash": "abc",
    "event_data": None,
    "trigger_id": 4,
}


def request(method: bytes, path: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> Files:
    lines = b"\n".join(name + b": " + value for name, value in headers)
    return {"method": method, "path": path, "headers": lines, "body": body}


def _headers(folder: Path) -> list[tuple[bytes, bytes]]:
    pairs = (line.partition(b": ") for line in (folder / "headers").read_bytes().split(b"\n") if line)
    return [(name.lower(), value) for name, _, value in pairs]


def ask(app: Any, folder: Path) -> tuple[int, bytes]:
    """Send an application a request; status and body of its answer."""

    async def run() -> tuple[int, bytes]:
        waiting = [{"type": "http.request", "body": (folder / "body").read_bytes(), "more_body": False}]
        status, parts = [0], []

        async def receive() -> Any:
            return waiting.pop() if waiting else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            status[0] = message.get("status", status[0])
            parts.append(message.get("body", b""))

        path = (folder / "path").read_bytes()
        scope = {
            "type": "http",
            "method": (folder / "method").read_bytes().decode("latin-1"),
            "http_version": "1.1",
            "path": path.decode("utf-8", "replace").partition("?")[0],
            "raw_path": path,
            "root_path": "",
            "query_string": path.partition(b"?")[2],
            "headers": _headers(folder),
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 9),
        }
        await asyncio.wait_for(app(scope, receive, send), 60)
        return status[0], b"".join(parts)

    return asyncio.run(run())


@functools.cache
def served() -> Any:
    from edgelm.runtime import load
    from edgelm.serve.app import Gate, build
    from edgelm.serve.worker import Worker

    model = load(sound.decoder_dir(), threads=1)
    return build(Worker(model, 4, 20), "made-up", Gate("", frozenset(["localhost"]), 300_000))


def serve(folder: Path) -> None:
    status, body = ask(served(), folder)
    if not (200 <= status < 500 or status in (501, 503)):
        raise Broken(f"an answer of the status {status}") from ValueError(body[:200])
    for line in body.split(b"\n") if body.startswith(b"data: ") else [b"data: " + body]:
        text = line.removeprefix(b"data: ")
        if text and text != b"[DONE]" and not _is_plain(folder, status):
            value = json.loads(text)
            if isinstance(value, dict) and "error" in value and status >= 500:
                raise Broken("an error in an answer") from ValueError(text[:200])


def _is_plain(folder: Path, status: int) -> bool:
    return (folder / "method").read_bytes() in (b"HEAD", b"OPTIONS") or status in (404, 405)


def bodies(value: dict[str, Any]) -> st.SearchStrategy[bytes]:
    def make(left: list[int], changes: list[Any]) -> bytes:
        keys = list(value)
        out = {keys[place % len(keys)] for place in left} - {"messages", "prompt", "max_tokens"}
        return dumps(changed({key: one for key, one in value.items() if key not in out}, changes))

    return st.builds(make, st.lists(st.integers(0, 20), max_size=14), edits) | st.builds(
        damaged, st.just(dumps(value)), byte_edits
    )


HOST = [(b"Host", b"localhost:80"), (b"Content-Type", b"application/json")]
some_bytes = st.sampled_from(
    [b"", b"\xff", b"a" * 9000, b"-1", b"%", b"[::1", b"[", b"localhost", b":", b"\x00"]
) | st.binary(max_size=6)
headers = st.lists(
    st.tuples(
        st.sampled_from(
            [b"Host", b"Content-Type", b"Authorization", b"Content-Length", b"Range", b"Cookie", b"X"]
        ),
        some_bytes | st.sampled_from([b"Bearer \xe9", b"application/json; x", b"bytes=0-"]),
    ),
    max_size=2,
).map(lambda more: HOST + [(name, value.replace(b"\n", b"")) for name, value in more])
methods = st.sampled_from([b"POST"] * 12 + [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"\xff"])


def requests(paths: list[bytes], body: st.SearchStrategy[bytes]) -> Strategy:
    odd_paths = st.builds(damaged, st.sampled_from(paths), byte_edits)
    return st.builds(
        request, methods, st.sampled_from(paths) | st.sampled_from(paths) | odd_paths, headers, body
    )


@functools.cache
def guarded() -> Any:
    from edgelm_demo.guard import Guard

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        """What only gets what the guard lets through."""
        body = (await receive()).get("body", b"") if scope["method"] == "POST" else b"{}"
        value = json.loads(body or b"{}")
        for one in value.get("data") or ():
            for inner in one if isinstance(one, list) else [one]:
                if isinstance(inner, dict):
                    raise Broken("let an object through")
                str(inner).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return Guard(behind, frozenset(["localhost"]))


def guard(folder: Path) -> None:
    status, _ = ask(guarded(), folder)
    if status not in (200, 400, 403, 404, 413):
        raise Broken(f"an answer of the status {status}")


# the site's server takes what comes over a socket


@functools.cache
def _site() -> tuple[str, int]:
    from edgelm.export.site_server import SiteServer

    folder = sound.scratch() / "site"
    folder.mkdir()
    for name in ("index.html", "app.js", "part one.bin"):
        (folder / name).write_bytes(bytes(range(100)))
    (sound.scratch() / "secret").write_bytes(b"a secret")

    class Watched(SiteServer):
        def handle_error(self, request: object, client_address: object) -> None:
            import sys

            error = sys.exception()
            if not isinstance(error, OSError):
                _failed.append(error)

    server = Watched(folder, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server.server_address[:2]  # type: ignore[return-value]


_failed: list[BaseException | None] = []


def visit(folder: Path) -> None:
    from fuzzing import _place

    _failed.clear()
    with socket.create_connection(_site(), timeout=30) as connection:
        with suppress(OSError):  # it has answered before it was told all
            connection.sendall((folder / "request").read_bytes())
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := _received(connection):
            answer += part
    if _failed:
        raise Broken(f"{type(_failed[0]).__name__} in the server at {_place(_failed[0])}") from _failed[0]  # type: ignore[arg-type]
    if b"a secret" in answer:
        raise Broken("a file outside the site")
    if b" 500 " in answer.split(b"\r\n", 1)[0]:
        raise Broken("an answer of the status 500")


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 16)
    except ConnectionError:  # it hung up with some of the request unread
        return b""


PATHS = [
    b"/", b"/app.js", b"/part%20one.bin", b"/../secret", b"/%2e%2e/secret", b"//secret", b"http://[",
    b"http://[x/", b"/\\..\\secret", b"/%00", b"/%ff", b"*", b"http://localhost/app.js", b"//[", b"/?x#y",
    b"/a" * 9000, b"\xff",
]  # fmt: skip
RANGES = [
    b"bytes=0-", b"bytes=-0", b"bytes=-", b"bytes=5-2", b"bytes=99-100", b"bytes=-999999999999999999",
    b"bytes=\xb2-", b"bytes=0-1,2-3", b"bytes=" + b"9" * 19 + b"-", b"items=0-1", b"bytes=1-\xff",
    b"bytes=0-99999999999",
]  # fmt: skip


def _raw(
    method: bytes, path: bytes, version: bytes, more: list[tuple[bytes, bytes]], changes: list[Any]
) -> Files:
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in more)
    return {
        "request": damaged(
            method + b" " + path + b" " + version + b"\r\nHost: localhost\r\n" + lines + b"\r\n", changes
        )
    }


_visits = st.builds(
    _raw,
    st.sampled_from([b"GET", b"GET", b"HEAD", b"POST", b"\xff"]),
    st.sampled_from(PATHS) | st.builds(damaged, st.sampled_from(PATHS), byte_edits),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9", b"", b"HTTP/1.1.1", b"HTTP/-1.1"]),
    st.lists(
        st.tuples(
            st.sampled_from([b"Range", b"Range", b"Host", b"Connection", b"Content-Length", b"Expect"]),
            st.sampled_from(RANGES) | some_bytes,
        ),
        max_size=3,
    ),
    byte_edits | st.just([]),
)


# grammars

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "maxLength": 3, "pattern": "^x+$"},
        "b": {"type": "array", "items": {"$ref": "#"}},
        "c": {"enum": [1, "x", None]},
        "d": {"anyOf": [{"type": "integer", "minimum": 0}, {"const": True}]},
    },
    "required": ["a"],
    "additionalProperties": False,
    "$defs": {"x": {"$ref": "#/$defs/x"}},
}
REGEXES = [
    "a+",
    "(a|b){3}",
    "[^x]*",
    "(a+)+$",
    "\\p{L}{2,5}",
    "(?i:ab)",
    "x{1000}{1000}",
    "(",
    "[",
    "\\",
    "a{2,1}",
    "(?=a)",
]
LARK = 'start: a+ "x"\na: /[a-z]/ | b\nb: "(" start ")"\n%ignore " "\n'


def _grammars() -> Strategy:
    text = st.builds(damaged, st.just(LARK.encode()), byte_edits).map(lambda one: ("lark", one))
    schema = st.builds(lambda changes: dumps(changed(SCHEMA, changes)), edits).map(
        lambda one: ("json_schema", one)
    )
    regex = (
        st.sampled_from(REGEXES)
        .flatmap(lambda one: st.builds(damaged, st.just(one.encode()), byte_edits | st.just([])))
        .map(lambda one: ("regex", one))
    )
    return (text | schema | regex).map(lambda pair: {"kind": pair[0].encode(), "text": pair[1]})


@functools.cache
def _model() -> Any:
    from edgelm.runtime import load

    return load(sound.decoder_dir(), threads=1)


def constrain(folder: Path) -> None:
    from edgelm.runtime.grammar import Grammar

    kind = (folder / "kind").read_text()
    text = (folder / "text").read_bytes().decode("utf-8", "replace")
    grammar = Grammar(kind, text)  # type: ignore[arg-type]
    "".join(_model().generate("a", max_tokens=6, grammar=grammar, seed=1))


def _sound(path: bytes, value: dict[str, Any]) -> Callable[[], Files]:
    return lambda: request(b"POST", path, HOST, dumps(value))


READERS = [
    Reader(
        "completions",
        _sound(b"/v1/completions", COMPLETION),
        requests([b"/v1/completions"] * 5 + [b"/v1/models/x", b"/health"], bodies(COMPLETION)),
        serve,
    ),
    Reader(
        "chat",
        _sound(b"/v1/chat/completions", CHAT),
        requests([b"/v1/chat/completions"], bodies(CHAT)),
        serve,
    ),
    Reader(
        "the demo's guard",
        _sound(b"/gradio_api/queue/join", EVENT),
        requests([b"/gradio_api/queue/join", b"/", b"/gradio_api/run/predict", b"/assets/x"], bodies(EVENT)),
        guard,
    ),
    Reader("site server", lambda: {"request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"}, _visits, visit),
    Reader("grammar", lambda: {"kind": b"regex", "text": b"a+"}, _grammars(), constrain),
]
