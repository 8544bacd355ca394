"""Real `edgelm serve` processes, and OpenAI's client to ask them."""

import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import openai

SECONDS = 60


@dataclass
class Served:
    """A server that runs.

    Attributes:
        address: as `http://127.0.0.1:40123/v1`.
    """

    process: subprocess.Popen[str]
    address: str

    @property
    def root(self) -> str:
        return self.address.removesuffix("/v1")

    @property
    def port(self) -> int:
        return int(re.findall(r":(\d+)/v1", self.address)[0])

    def client(self, key: str = "none", retries: int = 0) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.address, api_key=key, max_retries=retries, timeout=SECONDS)

    def end(self, signal: int) -> tuple[int, str]:
        """Send a signal; the exit code and what was said on stderr."""
        self.process.send_signal(signal)
        _, said = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, said


@contextmanager
def start(model: Path, *options: object, **environment: str) -> Iterator[Served]:
    """A server on a free port, until the block ends."""
    command = [sys.executable, "-m", "edgelm", "serve", model, "--port", 0, "--threads", 1, *options]
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **environment},
    )
    try:
        assert process.stdout is not None
        ready = select.select([process.stdout], [], [], SECONDS)[0]
        line = process.stdout.readline() if ready else ""
        found = re.search(r"http://\S+/v1", line)
        assert found, (line, process.communicate(timeout=1)[1] if process.poll() is not None else "")
        yield Served(process, found[0])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
