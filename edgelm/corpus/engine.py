"""Run the same jobs on this machine's cores or on a Ray cluster.

A job is a function of this package and its arguments. It writes its own files, whole or not at all, and its
answer does not depend on where or when it runs; so a corpus has the same bytes for any number of workers.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Protocol

from edgelm.errors import BadInput, EdgelmError
from edgelm.extras import require
from edgelm.languages import VARIABLE
from edgelm.machine import usable_cores

ENGINES = ("local", "ray")
WORTH_A_PROCESS = 2_000_000  # bytes of input; a process takes a second to start
KILLED = (
    "a process that measured documents was killed, most likely for lack of memory. "
    "Free some, or {}; then run the same command again to continue."
)


class Engine(Protocol):
    """Runs jobs; `map` gives (index of the job, its answer) as each ends."""

    def map(
        self, work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], size: int
    ) -> Iterator[tuple[int, Any]]: ...

    def rest(self) -> None:
        """End idle workers, whose memory is wanted elsewhere; the next `map` starts others."""


@contextmanager
def open_engine(
    name: str = "local", workers: int | None = None, address: str | None = None
) -> Iterator[Engine]:
    """An engine by name, until the block ends.

    Args:
        workers: processes of the local engine; as many as there are cores by default.
        address: of the Ray cluster; by default the one that RAY_ADDRESS names, else a new one.

    Raises:
        BadInput: no such engine.
    """
    if name == "local":
        with _Local(workers or usable_cores()) as engine:
            yield engine
    elif name == "ray":
        with _Ray(address) as engine:
            yield engine
    else:
        raise BadInput(f"no engine '{name}'", remedy=f"choose one of: {', '.join(ENGINES)}")


class _Local:
    """Processes of this machine, started when the first large stage needs them."""

    def __init__(self, workers: int):
        self.workers = workers
        self.pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "_Local":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.rest()

    def rest(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
            self.pool = None

    def map(
        self, work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], size: int
    ) -> Iterator[tuple[int, Any]]:
        if min(self.workers, len(jobs)) <= 1 or (size < WORTH_A_PROCESS and self.pool is None):
            for index, job in enumerate(jobs):
                yield index, work(*job)
            return
        if self.pool is None:
            self.pool = ProcessPoolExecutor(self.workers, get_context("spawn"), _follow_parent)
        with _interrupt_held():
            futures = {self.pool.submit(work, *job): index for index, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise EdgelmError(KILLED.format("use fewer with --workers")) from None


class _Ray:
    """Tasks of a Ray cluster whose machines all see the folders that are read and written."""

    def __init__(self, address: str | None):
        self.ray = require("ray", "ray")
        self.address = address
        self.started = False

    def __enter__(self) -> "_Ray":
        if not self.ray.is_initialized():
            # without an address Ray looks at RAY_ADDRESS and else starts a cluster of this machine alone
            os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing phones home
            _check_answers(self.address or os.environ.get("RAY_ADDRESS"))
            try:
                self.ray.init(
                    address=self.address, log_to_driver=False, include_dashboard=False, logging_level="error"
                )
            except ConnectionError as error:
                raise EdgelmError(
                    f"no Ray cluster answers at {self.address or 'RAY_ADDRESS'} ({error}). "
                    "Start one with: ray start --head"
                ) from None
            self.started = True
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self.started:
            self.ray.shutdown()

    def rest(self) -> None:
        """The cluster sees to that itself."""

    def map(
        self, work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], size: int
    ) -> Iterator[tuple[int, Any]]:
        del size
        own = {VARIABLE: str(Path(os.environ[VARIABLE]).absolute())} if os.environ.get(VARIABLE) else {}
        task = self.ray.remote(max_retries=3, runtime_env={"env_vars": own})(work)
        waiting = {task.remote(*job): index for index, job in enumerate(jobs)}
        while waiting:
            ready, _ = self.ray.wait(list(waiting))
            for one in ready:
                index = waiting.pop(one)
                try:
                    yield index, self.ray.get(one)
                except self.ray.exceptions.RayTaskError as error:
                    cause = error.cause
                    raise (cause if isinstance(cause, EdgelmError | OSError) else error) from None
                except self.ray.exceptions.RayError:  # the task's process or machine is gone, after retries
                    raise EdgelmError(KILLED.format("fewer tasks a machine")) from None


def _check_answers(address: str | None) -> None:
    """Raise `EdgelmError` where nothing listens at a cluster's `host:port`; Ray itself tries for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():  # `auto`, `local`, or no address
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise EdgelmError(
            f"no Ray cluster answers at {address} ({getattr(error, 'strerror', None) or error}). "
            "Start one with: ray start --head"
        ) from None


@contextmanager
def _interrupt_held() -> Iterator[None]:
    """Hold Ctrl-C back while workers start, from them too: they would answer with a traceback."""
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        _release_interrupt()


def _release_interrupt() -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _follow_parent() -> None:
    """Let a worker end with its parent, however that ends, and without a traceback at Ctrl-C.

    Else a killed build would leave workers that write beside those of the next one.
    """
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    _release_interrupt()
    threading.Thread(target=_end_after, args=[parent_process()], daemon=True).start()


def _end_after(parent: Any) -> None:
    parent.join()
    os._exit(1)
