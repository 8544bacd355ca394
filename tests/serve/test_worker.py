"""The thread that writes the answers."""

import asyncio
from pathlib import Path

import pytest

from edgelm.runtime import load
from edgelm.serve.errors import Refused
from edgelm.serve.requests import parse_completion
from edgelm.serve.worker import Job, Worker


class Panic(BaseException):
    """As pyo3 makes one of a panic in Rust."""


def test_it_outlives_what_is_no_exception(tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tiny_model_dir, threads=1)
    worker = Worker(model, 1, 60)

    def panic(text: str) -> list[int]:
        raise Panic(text)

    async def ask() -> str:
        job = Job(parse_completion({"prompt": "Molo", "max_tokens": 2}), asyncio.get_running_loop())
        worker.submit(job)
        await asyncio.wait_for(job.begin(), 60)
        return "".join([piece.ended or piece.text async for piece in job.read()])

    with monkeypatch.context() as broken:
        broken.setattr(model, "tokenize", panic)
        with pytest.raises(Refused, match="the model failed") as refused:
            asyncio.run(ask())
        assert refused.value.status == 500
    assert asyncio.run(ask()).endswith("length")
    worker.close()
