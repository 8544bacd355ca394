"""Validation while a model trains: on the same drawn examples each time, and what that costs is said."""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from edgelm.evaluate.predict import ranks
from edgelm.pretrain.loop import Validate
from edgelm.tasks.task import Task

WRITTEN, RANKED = 100, 400
"""Examples of a task that are looked at each time where answers are written, and where they are ranked."""
DEAR = 0.2
"""Share of the time from which on the message says how to spend less."""


def watched(task: Task[Any], held_out: Sequence[Any], count: int | None = None) -> list[Any]:
    """The examples to look at while training, drawn once, whatever the training's seed, in their order.

    Args:
        held_out: the whole validation split.
        count: of examples; 0 for all, None for what suits a model that writes.
    """
    if count is None:
        count = RANKED if ranks(task, held_out) else WRITTEN
    if not count or len(held_out) <= count:
        return list(held_out)
    places = random.Random(0).sample(range(len(held_out)), count)
    return [held_out[place] for place in sorted(places)]


def telling(
    validate: Validate,
    looked_at: Iterable[Sequence[Any]],
    held_out: Iterable[Sequence[Any]],
    say: Callable[[str], object],
) -> Validate:
    """A validation that says after the first time how many examples it read and how long it took."""
    some, every = (sum(map(len, part)) for part in (looked_at, held_out))
    began, told = time.monotonic(), False

    def run(model: Any) -> dict[str, float]:
        nonlocal told
        start = time.monotonic()
        found = validate(model)
        if not told:
            told, end = True, time.monotonic()
            share = (end - start) / max(end - began, 1e-9)
            less = (
                "; fewer --validation-examples or a larger --validate-every cost less" if share > DEAR else ""
            )
            say(
                f"a validation reads {some:,} of {every:,} examples and took {end - start:.1f} s, "
                f"{share:.0%} of the time so far{less}"
            )
        return found

    return run
