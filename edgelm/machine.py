"""What this process may use of the machine, and what it has used."""

import ctypes
import gc
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType


def usable_cores() -> int:
    """Cores this process may run on, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resident_memory() -> int:
    """Bytes of memory that this process has now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_memory() -> int:
    """Bytes of memory that this process has had at most, pages of mapped files included."""
    status = Path("/proc/self/status")
    if status.exists():  # not `getrusage`, where the memory of the process that started this one counts too
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class PeakMemory:
    """Watches the memory of this process and its children together, five times a second, while in the block.

    Attributes:
        bytes: the largest sum of resident memory seen. Pages that processes share count once for each.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self.done = threading.Event()
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self.watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.done.set()
        self.watcher.join()

    def _watch(self) -> None:
        import psutil

        this = psutil.Process()
        while True:
            total = 0
            for process in (this, *this.children(recursive=True)):
                with suppress(psutil.Error):  # a child may have ended
                    total += process.memory_info().rss
            self.bytes = max(self.bytes, total)
            if self.done.wait(0.2):
                return


def release_memory() -> None:
    """Give memory that is no longer used back to the system; glibc would keep it for later.

    Stages that follow each other in one process would else add up their peaks. Does nothing without glibc.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
