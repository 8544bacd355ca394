"""What a run records while it trains: `metrics.jsonl`, `speed.jsonl` and, if wanted, TensorBoard's events.

    with Metrics(folder, tensorboard=True, step=resumed) as metrics:
        metrics.record(step=step, tokens=tokens, loss=2.13, tokens_per_second=9500)
        metrics.record(step=step, tokens=tokens, validation={"zul": 1.93, "mean": 1.93})
        metrics.sync()  # and then the checkpoint

One line of JSON a record, there as soon as it is recorded, so that `tail -f` follows a run and a kill loses
nothing. What a clock said stands in `speed.jsonl`: with it apart, a run that was killed and taken up again
ends with the `metrics.jsonl` of an undisturbed one, byte for byte.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

METRICS, SPEED, EVENTS = "metrics.jsonl", "speed.jsonl", "tensorboard"
TIMED = ("tokens_per_second", "mfu", "seconds")


class Metrics:
    """Records figures of one run, in the order of its steps.

    Args:
        folder: of the run; None records nothing, as all but one of several processes do.
        tensorboard: write TensorBoard's events to `folder/tensorboard` too, if the package is installed.
        step: the step the run begins with, 0 or what its checkpoint says. What an interrupted run recorded of
            it and of later steps is cut; so is a line that was half written.

    Attributes:
        seconds: what an interrupted run last recorded under that name, for this one to go on from; else 0.
    """

    def __init__(self, folder: Path | None, tensorboard: bool = False, step: int = 0):
        self.seconds, self.files, self.events = 0.0, [], None
        if folder is None:
            return
        for name in (METRICS, SPEED):
            _cut(folder / name, step)
        timed = (line["seconds"] for _, line in reversed(_whole(folder / SPEED)) if line.get("seconds"))
        self.seconds = next(timed, 0.0)
        self.files = [(folder / name).open("a", encoding="utf-8", newline="\n") for name in (METRICS, SPEED)]
        self.events = _writer(folder / EVENTS, step) if tensorboard else None

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record(self, step: int, **figures: Any) -> None:
        """One line of `step`, which is not before the last one's; figures of `TIMED` go to `speed.jsonl`.

        A figure is a number or a mapping of names to numbers, such as `validation`; what is not finite is
        written as null, as JSON has no word for it.
        """
        figures = {name: _finite(value) for name, value in figures.items()}
        timed = {name: value for name, value in figures.items() if name in TIMED}
        steady = {name: value for name, value in figures.items() if name not in TIMED}
        for file, values in zip(self.files, (steady, timed), strict=False):
            if values:
                file.write(json.dumps({"step": step, **values}, ensure_ascii=False) + "\n")
                file.flush()
        if self.events is not None:
            for name, value in _scalars(figures):
                self.events.add_scalar(name, value, step)

    def sync(self) -> None:
        """On disk, as a checkpoint of a later step has to find it even after the power failed."""
        for file in self.files:
            os.fsync(file.fileno())
        if self.events is not None:
            self.events.flush()

    def close(self) -> None:
        self.sync()
        for file in self.files:
            file.close()
        if self.events is not None:
            self.events.close()


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """What a run has recorded in both files, each in its order; a half-written last line is left out."""
    return [line for name in (METRICS, SPEED) for _, line in _whole(folder / name)]


def _whole(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The lines before the first damaged one, each with the bytes up to its end; none without the file."""
    found, end = [], 0
    try:
        written = path.read_bytes()
    except FileNotFoundError:
        return []
    for line in written.splitlines(keepends=True):
        end += len(line)
        try:
            value = json.loads(line)
        except ValueError:
            break
        if not (line.endswith(b"\n") and isinstance(value, dict) and isinstance(value.get("step"), int)):
            break
        found.append((end, value))
    return found


def _cut(path: Path, step: int) -> None:
    """Keep the lines of steps before `step`."""
    if path.exists():
        os.truncate(path, max((end for end, line in _whole(path) if line["step"] < step), default=0))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _scalars(figures: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Every number under its name, those of a mapping as `validation/zul`."""
    found = []
    for name, value in figures.items():
        inner = value.items() if isinstance(value, Mapping) else [("", value)]
        found += [(f"{name}/{key}".rstrip("/"), one) for key, one in inner if one is not None]
    return found


def _writer(folder: Path, step: int) -> Any:
    """A writer of events that takes back those of `step` and later; None without the package."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step)
