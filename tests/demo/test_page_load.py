"""The page amid clients that mean it harm."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the demo page is made with Gradio")

from hostile import Held, Target, ask, settled, siege

PROGRAM = """
import sys, time
from pathlib import Path
from edgelm_demo.page import build
from edgelm_demo.server import launch
print(launch(build([Path(sys.argv[1])])), flush=True)
time.sleep(600)
"""
JOIN = "/gradio_api/queue/join"
HONEST = 40
"""Seconds for the page, of which Gradio writes the whole configuration into it, on a busy machine."""


def test_others_are_shown_the_page_and_nothing_is_kept(tiny_model_dir: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tiny_model_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rstrip("/\n").rpartition(":")[2])
        body = json.dumps({"data": [None] * 8, "fn_index": 0, "session_hash": "hostile"}).encode()
        target = Target(port, "/", JOIN, body)
        ask(target)
        fresh = Held.by(process.pid).files + 5
        with siege(target, held=40):
            waited = [ask(target) for _ in range(3)]
        before = settled(process.pid, fresh)
        with siege(target, held=400) as done:
            end = time.monotonic() + 6
            while time.monotonic() < end:
                waited.append(ask(target))
        after = settled(process.pid, fresh)
        assert sum(done.made.values()) > 400, done
        assert done.closed > 50, done
        assert max(waited) < HONEST, sorted(waited)[-5:]
        assert max(before.files, after.files) <= fresh
        assert after.threads <= before.threads + 45  # the pool that Starlette reads files in has forty
        assert after.memory < before.memory + (60 << 20), (before, after)
    finally:
        process.kill()
        process.communicate()
