import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from edgelm.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def edgelm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process: exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgelm", *map(str, arguments)])
        capsys.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as left:
            code = left.code
        return (code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def edgelm_terminal() -> Callable[..., list[str]]:
    """Run a command in a terminal of so many columns: the lines that it shows, without colours."""
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on this system")
    import fcntl
    import struct
    import termios

    def run(columns: int, *arguments: object) -> list[str]:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        unset = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES", "CI")}
        command = [sys.executable, "-m", "edgelm", *map(str, arguments)]
        done = subprocess.Popen(command, stdout=theirs, stdin=theirs, env={**unset, "TERM": "xterm"})
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 1 << 16):
                shown += part
        except OSError:  # the other side is closed
            pass
        os.close(ours)
        assert done.wait(60) == 0, shown.decode()
        return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r", "").split("\n")

    return run
