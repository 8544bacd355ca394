"""Decode speed, measured so that a slow moment of the machine hits every artifact alike."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from edgelm.progress import Progress
from edgelm.runtime import load

PROMPT_TOKENS = 32
NEW_TOKENS = 64
ROUNDS = 5


def decode_speed(models: Sequence[Path], progress: Progress | None = None) -> list[float]:
    """Median tokens/s of each model over interleaved rounds: batch 1, greedy, after a prompt of 32 tokens.

    Only the decoding of new tokens is timed, as edgelm runs it: with all usable cores, the logits copied out.
    """
    progress = progress or Progress(silent=True)
    speeds: list[list[float]] = [[] for _ in models]
    with progress.track(ROUNDS * len(models), "measuring speed") as step:
        for _ in range(ROUNDS):
            for index, path in enumerate(models):
                model = load(path)
                session = model.session()
                token = int(session.feed([model.bos] * PROMPT_TOKENS, last_only=True)[-1].argmax())
                token = int(session.feed([token], last_only=True)[-1].argmax())  # warm
                begin = time.perf_counter()
                for _ in range(NEW_TOKENS):
                    token = int(session.feed([token], last_only=True)[-1].argmax())
                speeds[index].append(NEW_TOKENS / (time.perf_counter() - begin))
                model.close()
                step(1, path.name)
    return [round(statistics.median(values), 1) for values in speeds]
