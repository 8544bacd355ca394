"""The scripts that make models: every step of theirs is a command, and the large one runs in miniature."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import make_125m
import make_models
import pytest
import typer

from edgelm.cli import app

pytest.importorskip("torch", reason="models are made with PyTorch")
DEMO = Path(make_125m.__file__).parent
VALUES = dict.fromkeys(("tasks", "data", "recipe", "preset"), "x") | {"preset": "nano", "computing": ""}
COUNTS = dict.fromkeys(("vocabulary", "steps", "batch", "warmup"), "3")


def lines():
    models = make_models.STEPS.replace("\n  ", " ").strip().splitlines()
    large = [line for step in make_125m.STEPS.values() for line in step]
    return [line.format(**VALUES, **COUNTS) for line in [*(f"edgelm {one}" for one in models), *large]]


@pytest.mark.parametrize("line", lines(), ids=lambda line: " ".join(line.split()[:4]))
def test_every_step_is_a_command_with_these_options(line):
    name, *words = shlex.split(line)
    if name != "edgelm":
        assert (make_models.BENCHMARKS / name).exists()
        return
    command = typer.main.get_command(app)
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(click.Context(command), words)
    assert command.make_context(name, words)


def test_the_large_one_in_miniature(tmp_path):
    (tmp_path / "data" / "tasks").mkdir(parents=True)
    (tmp_path / "data" / "tasks" / "set.jsonl").write_text('{"text": "Umfana uhamba ngezinyawo."}\n')
    steps = [f"--only={one}" for one in ("corpus", "tokenizer", "pretrain", "bits")]
    size = ("--recipe", "sample", "--preset", "nano", "--steps", "2", "--batch", "2")
    command = [sys.executable, DEMO / "make_125m.py", tmp_path / "work", *steps, *size]
    environment = {**os.environ, "EDGELM_DATA": str(tmp_path / "data")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    made = json.loads((tmp_path / "work" / "made.json").read_text(encoding="utf-8"))
    assert list(made["minutes"]) == ["corpus", "tokenizer", "pretrain", "bits"]
    assert {"tokens/s, median", "bits per byte, 5-gram", "bits per byte, base"} <= set(made["figures"])
    assert "bits per byte, base" in done.stdout
    del environment["EDGELM_DATA"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr.splitlines()[-1][:21]) == (1, "EDGELM_DATA is not se")
