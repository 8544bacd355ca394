"""Who is let in, how much may be asked, and how the server ends."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from served import SECONDS, Served, start

LONG: dict[str, Any] = {"model": "fp32", "prompt": "Namhlanje", "max_tokens": 240, "n": 64}
"""Many seconds of work."""
JSON = {"Content-Type": "application/json"}


def ask(
    server: Served, path: str = "/v1/models", method: str = "GET", body: Any = None, **headers: str
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body of an answer."""
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    try:
        link.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = link.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.load(answer)
    finally:
        link.close()


def post(server: Served, body: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(server, "/v1/completions", "POST", data, **{"Content_Type": "application/json", **headers})


def waiting(server: Served) -> int:
    return ask(server, "/health")[2]["waiting"]


def test_health(served: Served) -> None:
    assert ask(served, "/health")[2] == {"status": "ok", "waiting": 0}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"[]",
        b'"text"',
        b'{"prompt": "\xff"}',
        b'{"prompt": "\\ud83d"}',
        b'{"prompt": "a", "temperature": NaN}',
        b"[" * 100_000,
        b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_is_refused(served: Served, body: bytes) -> None:
    status, headers, found = post(served, body)
    assert status == 400
    assert found["error"]["type"] == "invalid_request_error"
    assert headers["content-type"] == "application/json"
    assert "access-control-allow-origin" not in headers


def test_a_page_in_a_browser_cannot_ask(served: Served) -> None:
    """It may send plain text unasked, or call this machine by a name of its own."""
    assert post(served, {"prompt": "a"}, Content_Type="text/plain")[0] == 415
    assert post(served, {"prompt": "a"}, Content_Type="application/json; charset=utf-8")[0] == 200
    assert ask(served, method="OPTIONS", Origin="http://evil.example")[0] == 405
    for name in ("evil.example", f"evil.example:{served.port}", "localhost.evil.example", "127.0.0.1.x", ""):
        assert ask(served, Host=name)[0] == 403, name
        assert ask(served, "/health", Host=name)[0] == 403, name
    for name in ("localhost", f"LOCALHOST:{served.port}", "[::1]:80", "127.0.0.1"):
        assert ask(served, Host=name)[0] == 200, name


def test_paths_and_methods_that_are_not_there(served: Served) -> None:
    for path, method, status in (
        ("/v1/embeddings", "POST", 404),
        ("/v1/completions", "GET", 405),
        ("/", "GET", 404),
    ):
        found = ask(served, path, method)
        assert found[0] == status
        assert found[2]["error"]["message"].startswith(f"{method} {path}: ")


def test_the_key_opens(guarded: Served) -> None:
    assert [one.id for one in guarded.client("geheim").models.list()] == ["fp32"]
    for key in ("gehei", "geheim2", "x"):
        with pytest.raises(openai.AuthenticationError, match="API key is missing or wrong") as error:
            guarded.client(key).models.list()
        assert error.value.code == "invalid_api_key"
    assert ask(guarded)[0] == 401
    assert ask(guarded, Authorization="Basic Z2VoZWlt")[0] == 401
    assert post(guarded, {"prompt": "a"})[0] == 401
    assert ask(guarded, "/health")[0] == 200


KEY = {"Authorization": "Bearer geheim"}


def test_a_request_that_is_too_large(guarded: Served) -> None:
    for size in (2001, 30_000, 5_000_000):
        status, _, found = post(guarded, {"prompt": "a" * size}, **KEY)
        assert status == 413
        assert found["error"]["code"] == "request_too_large"
    assert post(guarded, {"prompt": "a", "user": "u" * 1950}, **KEY)[0] == 200


def test_a_body_that_never_ends_is_too_large_too(guarded: Served) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=SECONDS) as link:
        link.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer geheim\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(40):
            link.sendall(b"3e8\r\n" + b"a" * 1000 + b"\r\n")
        assert link.recv(100).startswith(b"HTTP/1.1 413")


def test_answers_that_take_too_long_are_cut(guarded: Served) -> None:
    begin = time.monotonic()
    found = guarded.client("geheim").completions.create(**LONG)
    assert time.monotonic() - begin < 5
    assert len(found.choices) == 64
    assert found.choices[0].text
    assert (found.choices[-1].text, found.choices[-1].finish_reason) == ("", "length")
    assert found.usage is not None
    assert 0 < found.usage.completion_tokens < 64 * 240


def test_half_a_choice_is_no_answer(onnx_model: Path) -> None:
    choices = ["Namhlanje " * 20, "Ndiyabulela " * 20]
    body: dict[str, Any] = {"prompt": "Ewe", "extra_body": {"guided_choice": choices}}
    with start(onnx_model, "--time-limit", 0.001) as server:
        with pytest.raises(openai.InternalServerError, match=r"longer than 0\.001") as error:
            server.client().completions.create(model="fp32", **body)
        assert error.value.code == "time_limit"


def test_a_full_queue_is_said(guarded: Served, until: Callable[..., None]) -> None:
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(post(guarded, LONG, **KEY)[0])) for _ in range(2)
    ]
    threads[0].start()
    time.sleep(0.15)
    threads[1].start()
    until(lambda: waiting(guarded) == 1)
    status, headers, found = post(guarded, LONG, **KEY)
    assert (status, found["error"]["code"]) == (503, "queue_full")
    assert int(headers["retry-after"]) >= 1
    for one in threads:
        one.join()
    assert answers == [200, 200]  # cut by the time limit
    assert post(guarded, {"prompt": "a"}, **KEY)[0] == 200


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_the_model(served: Served, stream: bool) -> None:
    body = json.dumps({**LONG, "stream": stream}).encode()
    link = http.client.HTTPConnection("127.0.0.1", served.port, timeout=SECONDS)
    link.request("POST", "/v1/completions", body, JSON)
    if stream:
        assert link.getresponse().read(100)
    else:
        time.sleep(0.3)
    assert link.sock is not None or stream
    link.close()
    if link.sock is not None:
        link.sock.close()
    begin = time.monotonic()
    assert post(served, {"prompt": "a"})[0] == 200
    assert time.monotonic() - begin < 2


def test_a_client_that_leaves_the_queue_is_forgotten(served: Served, until: Callable[..., None]) -> None:
    links = []
    for _ in range(3):
        link = http.client.HTTPConnection("127.0.0.1", served.port, timeout=SECONDS)
        link.request("POST", "/v1/completions", json.dumps(LONG).encode(), JSON)
        links.append(link)
        time.sleep(0.1)
    until(lambda: waiting(served) == 2)
    links[2].close()
    links[1].close()
    until(lambda: waiting(served) == 0)
    links[0].close()
    assert post(served, {"prompt": "a"})[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_last_answer_ends_and_no_other_begins(
    onnx_model: Path, until: Callable[..., None], number: int
) -> None:
    with start(onnx_model) as server:
        answers: list[tuple[int, Any]] = []

        def wait(body: Any) -> None:
            status, _, found = post(server, body)
            answers.append((status, found))

        threads = [threading.Thread(target=wait, args=({**LONG, "n": 16},)) for _ in range(2)]
        threads[0].start()
        time.sleep(0.3)
        threads[1].start()
        until(lambda: waiting(server) == 1)
        code, said = server.end(number)
        for one in threads:
            one.join()
    assert (code, said) == (0, "")
    (refused, late), (status, found) = answers
    assert (refused, late["error"]["code"]) == (503, "shutting_down")
    assert status == 200
    assert len(found["choices"]) == 16
    assert all(one["finish_reason"] in ("length", "stop") for one in found["choices"])
    assert found["usage"]["completion_tokens"] > 1000


def test_an_answer_longer_than_the_grace_is_cut(onnx_model: Path) -> None:
    with start(onnx_model, "--grace", 0.2) as server:
        stream = server.client().completions.create(**LONG, stream=True)
        next(stream)
        begin = time.monotonic()
        code, said = server.end(signal.SIGTERM)
        assert time.monotonic() - begin < 5
        with pytest.raises(openai.APIError, match="shutting down"):
            list(stream)
    assert (code, said) == (0, "")


def command(*arguments: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "edgelm", "serve", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_port_in_use_is_one_line(served: Served, onnx_model: Path) -> None:
    code, out, err = command(onnx_model, "--port", served.port)
    assert (code, out) == (2, "")
    assert err == (
        f"edgelm: 127.0.0.1 port {served.port} cannot be used (Address already in use). "
        "Give another --port, or 0 for a free one.\n"
    )
    code, out, err = command(onnx_model, "--host", "no.such.host.invalid")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_key_that_no_client_could_send_is_refused(onnx_model: Path) -> None:
    for key in ("ḓ", "a b", "a\n"):
        code, _, err = command(onnx_model, "--port", 0, "--api-key", key)
        assert code == 2
        assert err.startswith("edgelm: the API key has characters")


def test_a_model_that_labels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "edgelm-linear"}')
    code, _, err = command(tmp_path, "--port", 0)
    assert code == 2
    assert "labels and writes no text" in err


def test_an_open_address_without_a_key_is_warned_of(onnx_model: Path) -> None:
    with start(onnx_model, "--host", "0.0.0.0") as server:
        assert ask(server, Host="my-laptop.local")[0] == 200
        code, said = server.end(signal.SIGTERM)
    assert code == 0
    assert said == "edgelm: warning: whoever reaches 0.0.0.0 can use this model. Give an --api-key.\n"
    with start(onnx_model, "--host", "0.0.0.0", "--api-key", "abc") as server:
        assert ask(server)[0] == 401
        assert server.end(signal.SIGTERM) == (0, "")
