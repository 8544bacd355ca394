"""`edgelm pretrain` as a user runs it: stopped and taken up again, begun again, gone on from a model."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import made_up
import pytest

pytest.importorskip("torch", reason="models are trained with the extra 'train'")

from edgelm import artifacts

COMMAND = """
import os
if hasattr(os, "sched_setaffinity"):  # two runs could find another number of threads to be faster
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
from edgelm.cli import main
main()
"""
SETTINGS = ["--steps", "60", "--batch", "2", "--precision", "fp32", "--compile", "off", "--dropout", "0.1"]
STOPPED = "edgelm: stopped. Run the same command again to continue.\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus and its tokenizer."""
    folder = tmp_path_factory.mktemp("made-up")
    corpus = made_up.make_corpus(folder)
    return corpus, made_up.make_tokenizer(folder, corpus)


def start(made: tuple[Path, Path], output: Path, *options: object) -> subprocess.Popen[str]:
    arguments = ["pretrain", *made, "-o", output, *options]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop(process: subprocess.Popen[str], partial: Path, number: int) -> tuple[int, str]:
    """Send a signal once a further step was recorded; exit code and stderr."""
    file = partial / "metrics.jsonl"
    before, until = file.stat().st_size if file.exists() else 0, time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        if file.exists() and file.stat().st_size > before:
            process.send_signal(number)
            break
        time.sleep(0.005)
    _, err = process.communicate(timeout=120)
    return process.returncode, err


def newest(partial: Path) -> int:
    return max((int(path.name.split("-")[1]) for path in partial.glob("checkpoint-*")), default=0)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_stopped_twice_it_ends_with_the_same_bytes(tmp_path: Path, made: tuple[Path, Path]) -> None:
    """By Ctrl-C, then by a polite kill: each leaves the checkpoint of the step that it ends."""
    whole, output, partial = tmp_path / "whole", tmp_path / "base", tmp_path / ".base.partial"
    process = start(made, whole, *SETTINGS, "-q")
    steps = []
    for number in (signal.SIGINT, signal.SIGTERM):
        code, err = stop(start(made, output, *SETTINGS, "-q"), partial, number)
        assert (code, err) == (130, STOPPED)
        assert not output.exists()
        steps.append(newest(partial))
    assert 0 < steps[0] < steps[1] < 60
    last = start(made, output, *SETTINGS)
    out, err = last.communicate(timeout=120)
    assert last.returncode == 0
    assert f"resuming after step {steps[1]} of 60\n" in err
    assert "bits per byte" in out
    assert f"{output}/curve.html shows how it went" in out
    assert process.wait(120) == 0
    assert artifacts.digest_path(output) == artifacts.digest_path(whole)
    assert not partial.exists()


def test_resuming_and_going_on_are_different_words(tmp_path: Path, made: tuple[Path, Path]) -> None:
    """`--no-resume` begins an interrupted run again; `--init-from` begins another with a model's weights."""
    output, partial = tmp_path / "base", tmp_path / ".base.partial"
    few = [*SETTINGS, "--steps", "25"]
    assert stop(start(made, output, *few, "-q"), partial, signal.SIGINT) == (130, STOPPED)
    process = start(made, output, *few, "--no-resume")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "pretraining nano: 0." in err
    assert "resuming" not in err
    process = start(made, tmp_path / "further", "--init-from", output, "--steps", "1", "--compile", "off")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert f"pretraining {output}: 0." in err
    process = start(made, tmp_path / "other", "--init-from", output, "--preset", "nano")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert err == (
        "edgelm: --preset and --init-from were both given. Leave --preset out: a model has its shape.\n"
    )
