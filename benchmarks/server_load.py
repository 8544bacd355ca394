"""Clients of `edgelm serve`: eight at once for a minute, beside one alone.

    python benchmarks/server_load.py MODEL --seconds 60

Each client asks for a completion of 64 tokens, streamed, and asks again when it has it. Counted are tokens,
as the server reports their usage. Fair: the client with the fewest tokens has at least half of what the one
with the most has.
"""

import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CLIENTS, TOKENS = 8, 64
HOST = "127.0.0.1"


@contextmanager
def running_server(model: Path) -> Iterator[tuple[int, str]]:
    """The port of a server that answers, and what it calls the model."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgelm", "serve", str(model), "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ,
    )  # fmt: skip
    try:
        for _ in range(300):
            if process.poll() is not None:
                sys.exit("edgelm serve ended before it answered")
            try:
                connection = http.client.HTTPConnection(HOST, port, timeout=5)
                connection.request("GET", "/v1/models")
                answer = connection.getresponse()
                if answer.status == 200:
                    name = json.load(answer)["data"][0]["id"]
                    break
            except OSError:
                time.sleep(0.2)
        else:
            sys.exit("edgelm serve does not answer")
        yield port, name
    finally:
        process.terminate()
        process.wait(timeout=60)


def complete(port: int, model: str, seed: int) -> int:
    """Tokens of one streamed completion; raises where anything is wrong with it."""
    connection = http.client.HTTPConnection(HOST, port, timeout=120)
    wanted = {
        "model": model, "prompt": "Namhlanje ekuseni", "max_tokens": TOKENS, "seed": seed, "temperature": 1,
        "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    connection.request("POST", "/v1/completions", json.dumps(wanted), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"status {answer.status}: {answer.read()[:200]!r}")
    tokens, ended = None, False
    for line in answer:
        if not line.startswith(b"data: "):
            continue
        if line.strip() == b"data: [DONE]":
            ended = True
            break
        found: dict[str, Any] = json.loads(line[6:])
        if "error" in found:
            raise RuntimeError(found["error"])
        if found.get("usage"):
            tokens = int(found["usage"]["completion_tokens"])  # 0 where the first token ends the text
    connection.close()
    if not ended or tokens is None:
        raise RuntimeError("the stream ended early")
    return tokens


def ask(port: int, model: str, clients: int, seconds: float) -> dict[str, Any]:
    """So many clients at once: tokens of each, tokens/s of all, and what went wrong."""
    tokens, errors = [0] * clients, []
    end = time.monotonic() + seconds

    def client(number: int) -> None:
        seed = 0
        while time.monotonic() < end:
            try:
                tokens[number] += complete(port, model, 1000 * number + seed)
            except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
                errors.append(repr(error))
                time.sleep(0.2)
            seed += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"tokens": tokens, "speed": sum(tokens) / (time.monotonic() - begin), "errors": errors}


def serve_rows(model: Path, seconds: float) -> list[tuple[str, str, str, float, float]]:
    """Rows of `benchmarks/inference.py`; none where this edgelm serves nothing.

    One client asks before and after the eight, half as long each: a slow moment hits either.
    """
    known = subprocess.run(
        [sys.executable, "-m", "edgelm", "serve", "--help"], capture_output=True, check=False
    )
    if known.returncode:
        print("This edgelm has no `serve`: its rows are left out.")
        return []
    with running_server(model) as (port, name):
        complete(port, name, 0)
        before = ask(port, name, 1, seconds / 4)
        together = ask(port, name, CLIENTS, seconds)
        after = ask(port, name, 1, seconds / 4)
    alone = (before["speed"] + after["speed"]) / 2
    errors = [*before["errors"], *together["errors"], *after["errors"]]
    for error in errors[:3]:
        print(f"error: {error}")
    few, many = min(together["tokens"]), max(together["tokens"])
    ratio = together["speed"] / alone if alone else 0.0
    said = f"{CLIENTS} clients, {seconds:g} s: {together['speed']:,.0f} tokens/s"
    return [
        ("server, throughput", said, f"1 client: {alone:,.0f} tokens/s", ratio, 0.9),
        (
            "server, fairness",
            f"client with fewest: {few:,} tokens",
            f"most: {many:,}",
            few / max(many, 1),
            0.5,
        ),
        ("server, requests without error", f"{len(errors)} errors", "", float(not errors), 1.0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    for what, ours, peer, ratio, aim in serve_rows(options.model, options.seconds):
        print(f"{what:34}{ours:44}{peer:28}{ratio:6.2f}{aim:6g}")


if __name__ == "__main__":
    main()
