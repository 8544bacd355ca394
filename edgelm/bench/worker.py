"""Measures one model in a process of its own, whose memory is that model's: `python -m edgelm.bench.worker`.

A job comes as JSON on stdin and its figures go as JSON to stdout; `measure` starts such a process.
"""

import json
import os
import subprocess
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

from edgelm.bench.energy import EnergyMeter
from edgelm.bench.speed import decode_seconds, prompt_seconds
from edgelm.errors import BadInput, EdgelmError, MissingExtra
from edgelm.evaluate.bits_per_byte import bits_of, read_texts
from edgelm.machine import peak_memory, resident_memory
from edgelm.runtime import load

FIRST_TOKENS = 32
"""Of the prompt whose first answer is timed, cold: a question of two lines."""


def measure_speed(
    model: Path, threads: int, prompt: int, new: int, adapter: Path | None = None
) -> dict[str, Any]:
    """In a process of its own, once:

    * `load_seconds` from `edgelm.load` to a model that is ready, what runs it imported
    * `first_token_seconds` from a prompt of 32 tokens, right after that, to the first new one
    * `prompt_tokens`, `prompt_seconds`; `new_tokens`, `new_seconds`: warm, each in a session of its own. A
      model with a shorter context reads and writes what it holds.
    * `joules` for the new tokens, None where the machine does not tell
    * `peak_bytes` of the process, and `model_bytes`, by how much it grew from before the model was loaded
    """
    job = {"kind": "speed", "threads": threads, "prompt": prompt, "new": new}
    return _run({**job, **_paths(model, adapter)})


def measure_quality(model: Path, texts: dict[str, list[str]], adapter: Path | None = None) -> dict[str, Any]:
    """By language `bits_per_byte`, with their `mean`, `characters_per_token` and `bytes_per_token`."""
    return _run({"kind": "quality", "texts": texts, **_paths(model, adapter)})


def _paths(model: Path, adapter: Path | None) -> dict[str, str | None]:
    return {"model": str(model), "adapter": None if adapter is None else str(adapter)}


def _run(job: dict[str, Any]) -> dict[str, Any]:
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    ended = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(job), capture_output=True, text=True, encoding="utf-8", check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        raise EdgelmError(f"{job['model']}: could not be measured ({last})")
    found: dict[str, Any] = json.loads(ended.stdout)
    if "error" in found:
        kinds = {one.__name__: one for one in (BadInput, MissingExtra)}
        raise kinds.get(found["kind"], EdgelmError)(found["error"])
    return found


def _speed(job: dict[str, Any]) -> dict[str, Any]:
    before = resident_memory()
    begin = time.perf_counter()
    model = load(job["model"], threads=job["threads"], adapter=job["adapter"])
    loaded = time.perf_counter() - begin
    prompt, new = min(job["prompt"], model.context), min(job["new"], model.context - 2)
    first = prompt_seconds(model, min(FIRST_TOKENS, model.context))
    read = prompt_seconds(model, prompt)
    meter = EnergyMeter()
    written = decode_seconds(model, new)
    joules = meter.joules()
    peak = peak_memory()
    return {
        "name": model.name,
        "backend": model.backend,
        "context": model.context,
        "load_seconds": loaded,
        "first_token_seconds": first,
        "prompt_tokens": prompt,
        "prompt_seconds": read,
        "new_tokens": new,
        "new_seconds": written,
        "joules": joules,
        "peak_bytes": peak,
        "model_bytes": peak - before,
    }


def _quality(job: dict[str, Any]) -> dict[str, Any]:
    model = load(job["model"], adapter=job["adapter"])
    read = read_texts(model, job["texts"])
    characters = {
        code: sum(len(unicodedata.normalize("NFC", text)) for text in texts)
        for code, texts in job["texts"].items()
    }
    return {
        "bits_per_byte": bits_of(read),
        "characters_per_token": {code: round(characters[code] / one.tokens, 3) for code, one in read.items()},
        "bytes_per_token": {code: round(one.bytes / one.tokens, 3) for code, one in read.items()},
    }


def main() -> None:
    answer, sys.stdout = sys.stdout, sys.stderr  # libraries print
    job = json.load(sys.stdin)
    try:
        found = {"speed": _speed, "quality": _quality}[job["kind"]](job)
    except EdgelmError as error:
        found = {"error": str(error), "kind": type(error).__name__}
    json.dump(found, answer)


if __name__ == "__main__":
    main()
