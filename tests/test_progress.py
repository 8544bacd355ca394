import os
import subprocess
import sys

import pytest

from edgelm import progress
from edgelm.progress import Progress


def test_silent_shows_nothing(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_LINE_EVERY_S", 0)
    with Progress(silent=True, terminal=True).track(2, "work") as step:
        step(1, "note")
    Progress(silent=True).say("hello")
    assert capsys.readouterr() == ("", "")


def test_quiet_gives_plain_lines_for_long_work_only(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = Progress(quiet=True, terminal=True)
    bar.say("hello")
    with bar.track(2, "work") as step:
        step(1)
        now[0] += 20
        step(0.5)
    assert capsys.readouterr() == ("", "  work: 75%, 7 s left\n")


def test_plain_lines_with_share_and_time_left_where_there_is_no_terminal(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = Progress(terminal=False)
    bar.say("starting")
    with bar.track(200, "measuring") as step:
        for _ in range(6):
            now[0] += 6
            step(25, "loss 3.2")
    out, err = capsys.readouterr()
    assert out == "", "stdout is for results"
    assert err.splitlines() == [
        "starting",
        "  measuring: 25%, 36 s left, loss 3.2",
        "  measuring: 50%, 24 s left, loss 3.2",
        "  measuring: 75%, 12 s left, loss 3.2",
    ]


def test_time_left_is_told_from_this_run_and_not_from_what_an_earlier_one_did(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Progress(terminal=False).track(200, "pretraining", done=150) as step:
        now[0] += 20
        step(10)
    assert capsys.readouterr().err == "  pretraining: 80%, 80 s left\n"


def test_a_bar_begins_where_the_earlier_run_ended(capsys, monkeypatch):
    with Progress(terminal=True).track(200, "pretraining", done=150) as step:
        step(20)
    assert "85%" in capsys.readouterr().err


@pytest.mark.parametrize("total", [0, 0.0, 3])
def test_more_or_less_work_than_announced_breaks_nothing(capsys, monkeypatch, total):
    monkeypatch.setattr(progress, "PLAIN_LINE_EVERY_S", 0)
    for terminal in (True, False):
        with Progress(terminal=terminal).track(total, "work") as step:
            step(0)
            step(5)
            step(5)
    assert "100%" in capsys.readouterr().err


def test_an_error_inside_comes_out(capsys):
    for terminal in (True, False):
        with pytest.raises(KeyError), Progress(terminal=terminal).track(2, "work"):
            raise KeyError


def test_a_note_with_brackets_is_shown_as_it_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with Progress(terminal=True).track(2, "files [zul]") as step:
        step(1, "a[b][/b].txt")
    err = capsys.readouterr().err
    assert "files [zul]" in err
    assert "a[b][/b].txt" in err


SHOW = """
import time
from edgelm.progress import Progress
with Progress().track(3, "pretraining") as step:
    for _ in range(3):
        time.sleep(0.15)
        step(1, "loss 2.5")
"""


def test_a_real_terminal_gets_a_bar_and_a_pipe_gets_lines():
    pty = pytest.importorskip("pty", reason="needs a Unix terminal")
    main, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    subprocess.run([sys.executable, "-c", SHOW], stderr=terminal, env=environment, timeout=60, check=True)
    os.close(terminal)
    shown = b""
    try:
        while data := os.read(main, 65536):
            shown += data
    except OSError:  # Linux says so at the end
        pass
    os.close(main)
    text = shown.decode()
    assert "pretraining" in text
    assert "100%" in text
    assert "0:00:00" in text, "the time left"
    assert "loss 2.5" in text
    piped = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, timeout=60, check=True)
    assert piped.stdout == b""
    assert b"\x1b" not in piped.stderr
