"""What a user sees while a stage works: a bar with time left on a terminal, plain lines elsewhere.

Stages take a `Progress` and call it; the command line decides which kind. Everything goes to stderr, so that
stdout holds results only.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

PLAIN_LINE_EVERY_S = 10.0


class Step(Protocol):
    """Called as work goes on: `done` units more, and a short note such as `loss 3.21`."""

    def __call__(self, done: float, note: str = "") -> None: ...


class Progress:
    """Progress on stderr: a bar on a terminal, plain lines where there is none.

    Args:
        silent: show nothing at all, as a library does.
        quiet: no bar and no word about what happens next; a plain line only while something takes long.
        terminal: whether stderr is one; found out by default.
    """

    def __init__(self, silent: bool = False, quiet: bool = False, terminal: bool | None = None):
        self.silent, self.quiet = silent, quiet
        self.terminal = (sys.stderr.isatty() if terminal is None else terminal) and not quiet

    def say(self, message: str) -> None:
        """One line about what happens next."""
        if not (self.silent or self.quiet):
            print(message, file=sys.stderr, flush=True)

    @contextmanager
    def track(self, total: float, title: str, done: float = 0) -> Iterator[Step]:
        """Show progress through `total` units of `title`, `done` of them earlier, until the block ends."""
        if self.silent:
            yield lambda done, note="": None
        elif self.terminal:
            with _bar(total, title, done) as step:
                yield step
        else:
            yield _Lines(total, title, done)


@contextmanager
def _bar(total: float, title: str, earlier: float) -> Iterator[Step]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<28}", markup=False),  # file names may hold [brackets]
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=max(total, 1e-9), completed=int(earlier), note="")

        def step(done: float, note: str = "") -> None:
            if note:
                bar.update(task, advance=done, note=note)
            else:
                bar.update(task, advance=done)

        yield step


class _Lines:
    """A plain line every ten seconds at most, with the share done and the time left."""

    def __init__(self, total: float, title: str, earlier: float = 0):
        self.total, self.title, self.earlier = max(total, 1e-9), title, earlier
        self.done = earlier
        self.started = self.last = time.monotonic()

    def __call__(self, done: float, note: str = "") -> None:
        self.done += done
        now = time.monotonic()
        share = min(self.done / self.total, 1.0)
        if now - self.last < PLAIN_LINE_EVERY_S or share == 1.0:  # what is done needs no word
            return
        self.last = now
        new = self.done - self.earlier
        left = (now - self.started) * max(self.total - self.done, 0.0) / new if new else 0.0
        print(
            f"  {self.title}: {share:.0%}, {left:.0f} s left{f', {note}' if note else ''}",
            file=sys.stderr,
            flush=True,
        )
