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
