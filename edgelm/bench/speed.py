"""How fast a model reads and writes, measured so that a slow moment of the machine hits every one alike."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgelm.progress import Progress
from edgelm.runtime import LanguageModel, load

PROMPT_TOKENS = 32
NEW_TOKENS = 64
ROUNDS = 5


def prompt_seconds(model: LanguageModel, tokens: int) -> float:
    """Seconds from a prompt of so many tokens to the first new one: batch 1, greedy.

    The ids are random but for BOS; what they are makes no difference to the time.
    """
    ids = np.random.default_rng(0).integers(model.vocab_size, size=tokens - 1).tolist()
    session = model.session()
    begin = time.perf_counter()
    int(session.feed([model.bos, *ids], last_only=True)[-1].argmax())
    return time.perf_counter() - begin


def decode_seconds(model: LanguageModel, tokens: int, prompt: int = 1) -> float:
    """Seconds for so many new tokens after a prompt and one token that is not timed: batch 1, greedy.

    As edgelm runs it: every token's logits are copied out, and the likeliest is taken in Python.
    """
    session = model.session()
    token = int(session.feed([model.bos] * prompt, last_only=True)[-1].argmax())
    token = int(session.feed([token], last_only=True)[-1].argmax())
    begin = time.perf_counter()
    for _ in range(tokens):
        token = int(session.feed([token], last_only=True)[-1].argmax())
    return time.perf_counter() - begin


def decode_speed(models: Sequence[Path], progress: Progress | None = None) -> list[float]:
    """Median tokens/s of each model over interleaved rounds, in this process, after a prompt of 32 tokens.

    Threads are those that `edgelm.load` takes.
    """
    progress = progress or Progress(silent=True)
    speeds: list[list[float]] = [[] for _ in models]
    with progress.track(ROUNDS * len(models), "measuring speed") as step:
        for _ in range(ROUNDS):
            for index, path in enumerate(models):
                model = load(path)
                speeds[index].append(NEW_TOKENS / decode_seconds(model, NEW_TOKENS, PROMPT_TOKENS))
                model.close()
                step(1, path.name)
    return [round(statistics.median(values), 1) for values in speeds]
