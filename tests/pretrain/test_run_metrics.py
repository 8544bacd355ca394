"""Figures of a run on disk: in order, at once, and the same after a kill."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgelm.pretrain.metrics import Metrics, read_lines


def line(step: int) -> dict[str, Any]:
    return {
        "step": step,
        "tokens": 100 * step,
        "loss": 1 / (step + 1),
        "tokens_per_second": 1000 + step,
        "mfu": 0.4,
    }


def run(folder: Path, first: int, end: int, **settings: Any) -> None:
    """Steps `first` to `end`, with a validation every other step."""
    with Metrics(folder, step=first, **settings) as metrics:
        for step in range(first, end):
            metrics.record(**line(step))
            if step % 2:
                metrics.record(step=step, tokens=100 * step, validation={"zul": 2 - step / 10, "mean": 1.5})


def test_what_a_clock_said_stands_apart(tmp_path: Path) -> None:
    run(tmp_path, 0, 2)
    assert (tmp_path / "metrics.jsonl").read_text(encoding="utf-8") == (
        '{"step": 0, "tokens": 0, "loss": 1.0}\n'
        '{"step": 1, "tokens": 100, "loss": 0.5}\n'
        '{"step": 1, "tokens": 100, "validation": {"zul": 1.9, "mean": 1.5}}\n'
    )
    assert (tmp_path / "speed.jsonl").read_text(encoding="utf-8") == (
        '{"step": 0, "tokens_per_second": 1000, "mfu": 0.4}\n'
        '{"step": 1, "tokens_per_second": 1001, "mfu": 0.4}\n'
    )
    assert not (tmp_path / "tensorboard").exists()
    assert [set(one) for one in read_lines(tmp_path)][2:4] == [
        {"step", "tokens", "validation"},
        {"step", "tokens_per_second", "mfu"},
    ]


@pytest.mark.parametrize("resumed", [0, 3, 5, 6])
@pytest.mark.parametrize(
    "torn", ["", '{"step": 6, "lo', '{"step": 2}', "\0\0\0\n", "7\n", '{"ste\n{"step": 5}\n']
)
def test_a_run_taken_up_again_ends_with_the_same_lines(tmp_path: Path, resumed: int, torn: str) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    run(whole, 0, 9)
    run(killed, 0, 6)
    for name in ("metrics.jsonl", "speed.jsonl"):
        with (killed / name).open("a", encoding="utf-8") as file:
            file.write(torn)
    assert read_lines(killed)[-1]["step"] == 5, "what is torn is not read"
    run(killed, resumed, 9)
    for name in ("metrics.jsonl", "speed.jsonl"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def test_nothing_recorded_is_lost_by_a_kill(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from edgelm.pretrain.metrics import Metrics
metrics = Metrics(Path(sys.argv[1]))
metrics.record(step=0, loss=9.0, seconds=1.5)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == -9
    assert read_lines(tmp_path) == [{"step": 0, "loss": 9.0}, {"step": 0, "seconds": 1.5}]


def test_lines_are_json_for_every_reader(tmp_path: Path) -> None:
    with Metrics(tmp_path) as metrics:
        metrics.record(step=0, gradient_norm=math.inf, validation={"zul": math.nan, "mean": 1.5}, mfu=None)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    written = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    found = json.loads(written, parse_constant=refuse)
    assert found == {"step": 0, "gradient_norm": None, "validation": {"zul": None, "mean": 1.5}}


def test_no_run_no_lines(tmp_path: Path) -> None:
    assert read_lines(tmp_path) == []


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulators.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {
        name: [(one.step, pytest.approx(one.value)) for one in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def test_tensorboard_reads_each_step_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the events are read with tensorboard")
    run(tmp_path, 0, 6, tensorboard=True)
    run(tmp_path, 4, 8, tensorboard=True)
    found = scalars(tmp_path)
    assert set(found) == {"tokens", "loss", "tokens_per_second", "mfu", "validation/zul", "validation/mean"}
    assert found["loss"] == [(step, 1 / (step + 1)) for step in range(8)]
    assert found["validation/zul"] == [(step, 2 - step / 10) for step in (1, 3, 5, 7)]
    run(tmp_path, 0, 2, tensorboard=True)
    assert scalars(tmp_path)["mfu"] == [(0, 0.4), (1, 0.4)]


def test_events_are_there_when_a_checkpoint_is(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the events are read with tensorboard")
    metrics = Metrics(tmp_path, tensorboard=True)
    for step in range(30):
        metrics.record(step=step, loss=2.5)
    metrics.sync()
    assert len(scalars(tmp_path)["loss"]) == 30
    metrics.close()


def test_without_tensorboard_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith(("tensorboard", "torch.utils.tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    run(tmp_path, 0, 2, tensorboard=True)
    assert not (tmp_path / "tensorboard").exists()
    assert len(read_lines(tmp_path)) == 5


def test_time_goes_on_where_it_was(tmp_path: Path) -> None:
    with Metrics(tmp_path) as metrics:
        assert metrics.seconds == 0
        for step in range(6):
            metrics.record(step=step, seconds=10.0 * step)
    with Metrics(tmp_path, step=4) as metrics:
        assert metrics.seconds == 30
