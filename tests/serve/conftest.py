import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

for module in ("starlette", "uvicorn"):
    pytest.importorskip(module, reason="the server is the extra 'serve'")
pytest.importorskip("openai", reason="the server is tested with OpenAI's client")

if TYPE_CHECKING:
    from served import Served


@pytest.fixture(scope="session")
def onnx_model(export_dir: Path) -> Path:
    return export_dir / "onnx" / "fp32"


@pytest.fixture(scope="session")
def served(onnx_model: Path) -> "Iterator[Served]":
    """A server with nothing but defaults."""
    from served import start

    with start(onnx_model) as server:
        yield server


@pytest.fixture(scope="session")
def guarded(onnx_model: Path) -> "Iterator[Served]":
    """A server with a key and narrow limits."""
    limits = ("--queue-limit", 1, "--time-limit", 0.5, "--size-limit", 2000)
    from served import start

    with start(onnx_model, *limits, EDGELM_API_KEY="geheim") as server:
        yield server


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait for something to come true."""

    def wait(true: Callable[[], bool], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "it did not come true in time"
            time.sleep(0.02)

    return wait
