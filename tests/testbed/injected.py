"""What befalls one run of a command: a kill, a full disk, a failing call, lost rights, no network, damage.

`inject` is called in the process that is about to run the command. It counts what Python does to files below
the work folder (opens, renames, removals, new folders, fsync), and acts at the n-th of these, so that a fault
is the same in every run. Writers that are not Python's are reached by the disk, by rights and by timers.
"""

import ctypes
import os
import random
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

COUNTED = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")
CALLS_OUT = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
NEW_NETWORK = 0x40000000  # CLONE_NEWNET
HERE = ("localhost", "127.0.0.1", "::1", "", None)


class Events:
    """Counts what is done to files of a folder, and calls `act` at one of them, counted from 1."""

    def __init__(self, folder: Path):
        self.folder, self.main = str(folder), os.getpid()
        self.count, self.at, self.act, self.busy = 0, 0, lambda name, path: None, False
        self.called: list[str] = []
        self.fsync = os.fsync
        os.fsync = self._fsync
        sys.addaudithook(self._hook)

    def _hook(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name in CALLS_OUT:
            self._refuse(name, arguments)
        elif name in COUNTED and isinstance(arguments[0], str | bytes | os.PathLike):
            self._count(name, os.fsdecode(arguments[0]))

    def _fsync(self, file: Any) -> None:
        self._count("fsync", self.folder)
        self.fsync(file)

    def _count(self, name: str, path: str) -> None:
        if self.busy or os.getpid() != self.main or not os.path.abspath(path).startswith(self.folder):
            return
        self.count += 1
        if self.count == self.at:
            self.busy = True  # what the fault itself does is not counted
            try:
                self.act(name, path)
            finally:
                self.busy = False

    def _refuse(self, name: str, arguments: tuple[Any, ...]) -> None:
        asked = arguments[0] if isinstance(arguments[0], str | None) else arguments[1]
        host = asked[0] if isinstance(asked, tuple) else asked
        if isinstance(arguments[0], socket.socket) and arguments[0].family == socket.AF_UNIX:
            return
        if host not in HERE:
            self.called.append(f"{name} {host}")
            raise OSError(101, "Network is unreachable")


def inject(fault: dict[str, Any], folder: Path) -> Events:
    """Let a fault of `drawn` happen to this process, which works in `folder`."""
    events = Events(folder)
    if "seconds" in fault:  # the default action of SIGALRM ends a process as abruptly as SIGKILL
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, max(fault["seconds"], 1e-4))
    if fault["kind"] == "rights":
        _obey_modes()
    if fault["kind"] == "network" and os.geteuid() == 0:
        ctypes.CDLL(None).unshare(NEW_NETWORK)
    if "event" in fault:
        events.act = ACTS[fault["kind"]](fault, folder)
        events.at = fault["event"]
        if not events.at:  # before the command begins
            events.act("", "")
    return events


Act = Callable[[str, str], None]


def _kill(fault: dict[str, Any], folder: Path) -> Act:
    return lambda name, path: os.kill(os.getpid(), signal.SIGKILL)


def _full(fault: dict[str, Any], folder: Path) -> Act:
    """No file may grow beyond so many bytes from now on, whoever writes it."""

    def act(name: str, path: str) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault["bytes"], resource.RLIM_INFINITY))

    return act


def _fail(fault: dict[str, Any], folder: Path) -> Act:
    def act(name: str, path: str) -> None:
        raise OSError(fault["errno"], os.strerror(fault["errno"]), path)

    return act


def _rights(fault: dict[str, Any], folder: Path) -> Act:
    def act(name: str, path: str) -> None:
        for one in fault["paths"]:
            if (folder / one).exists():
                (folder / one).chmod(fault["mode"])

    return act


def _damage(fault: dict[str, Any], folder: Path) -> Act:
    return lambda name, path: damage_file(folder / fault["file"], fault["how"], random.Random(fault["draw"]))


ACTS = {"kill": _kill, "disk": _full, "call": _fail, "rights": _rights, "damage": _damage}
HOWS = ("bit", "bytes", "cut", "empty", "zeros", "longer", "gone")


def damage_file(path: Path, how: str, draw: random.Random) -> None:
    """Damage a file in place, as a bad disk or a broken copy does."""
    if how == "gone":
        path.unlink(missing_ok=True)
        return
    try:
        data = bytearray(path.read_bytes())
    except FileNotFoundError:
        return
    place = draw.randrange(len(data) or 1)
    if how == "cut":
        del data[place:]
    elif how == "empty":
        del data[:]
    elif how == "longer":
        data += draw.randbytes(20)
    elif data and how == "bit":
        data[place] ^= 1 << draw.randrange(8)
    elif data:
        length = min(draw.randint(1, 64), len(data) - place)
        data[place : place + length] = bytes(length) if how == "zeros" else draw.randbytes(length)
    path.write_bytes(data)


def _obey_modes() -> None:
    """Root gives up the rights to read and write whatever a file's mode says."""
    if os.geteuid():
        return

    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

    libc = ctypes.CDLL(None)
    header, sets = Header(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(ctypes.byref(header), sets) == 0
    for one in range(3):
        sets[one] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert libc.capset(ctypes.byref(header), sets) == 0
