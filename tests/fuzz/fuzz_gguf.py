"""GGUF files: models, adapters, importance matrices."""

import functools
import random
from pathlib import Path

import fuzz_files as sound
from damaging import damage
from fuzzing import Files, Reader, byte_edits, bytes_like, damaged
from hypothesis import strategies as st

MODEL, ADAPTER, MATRIX = "model.gguf", "adapter-F16.gguf", "imatrix.gguf"


def model() -> Files:
    return {MODEL: sound.gguf_file()}


@functools.cache
def adapter_file() -> bytes:
    """An adapter of the model above."""
    from adapted import adapted

    from edgelm.export.adapter import read_adapter, write_adapter
    from edgelm.model.config import read_config

    folder = adapted(sound.decoder_dir(), sound.scratch() / "adapted-gguf", 1, False)
    path = sound.scratch() / ADAPTER
    base = sound.decoder_dir()
    write_adapter(read_adapter(folder), base, read_config(base), path, folder)
    return path.read_bytes()


@functools.cache
def matrix() -> Files:
    import numpy as np

    from edgelm.export.importance import Importance, write_importance

    write_importance(
        Importance({"blk.0.attn_q.weight": np.ones(64, np.float32)}, 10, ("zul",)), sound.scratch() / MATRIX
    )
    return {MATRIX: (sound.scratch() / MATRIX).read_bytes()}


def damages(name: str, data: "functools.Callable[[], bytes]") -> st.SearchStrategy[Files]:  # type: ignore[name-defined]
    at_random = st.integers(0, 2**32).map(lambda number: damage(data(), random.Random(number)))
    twice = st.builds(
        lambda number, changes: damaged(damage(data(), random.Random(number)), changes),
        st.integers(0, 2**32),
        byte_edits,
    )
    return (at_random | twice | bytes_like(data, 20_000)).map(lambda one: {name: one})


def run(folder: Path) -> None:
    from edgelm.runtime import load

    found = load(folder / MODEL, threads=1)
    try:
        found.detokenize(range(found.vocab_size))
        found.score(found.prompt("Molo, 12 ḓ"), found.tokenize("namhlanje <|eos|> 👩🏾‍🌾"))
        "".join(found.generate("Molo", max_tokens=2))
    finally:
        found.close()


def run_adapted(folder: Path) -> None:
    from edgelm.runtime import load

    found = load(folder / MODEL, threads=1, adapter=folder / ADAPTER)
    found.score(found.prompt("Molo"), found.tokenize("namhlanje"))
    found.close()


def list_models(folder: Path) -> None:
    """As a folder of exports is looked through."""
    from edgelm.bench.files import find_models, model_bytes
    from edgelm.export.phone import choose_model

    for path in find_models([folder]).values():
        model_bytes(path)
    choose_model(folder)


READERS = [
    Reader("GGUF", model, damages(MODEL, sound.gguf_file), run),
    Reader(
        "GGUF adapter",
        lambda: {**model(), ADAPTER: adapter_file()},
        damages(ADAPTER, adapter_file),
        run_adapted,
    ),
    Reader(
        "importance matrix",
        lambda: model() | matrix(),
        damages(MATRIX, lambda: matrix()[MATRIX]),
        list_models,
    ),
]
