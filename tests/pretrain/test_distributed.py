"""Two processes that torchrun starts take the steps that one would take."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import two_processes
from safetensors.torch import load_file, save_file

from edgelm import artifacts
from edgelm.errors import BadInput, EdgelmError
from edgelm.model.decoder import Decoder
from edgelm.pretrain import loop
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.distributed import World, join_world, unshare
from edgelm.pretrain.metrics import read_lines
from edgelm.pretrain.pretrain import pretrain
from edgelm.pretrain.probe import ANSWERS, Setup

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or sys.platform == "win32", reason="needs torchrun and gloo"
)

PLAIN = TrainConfig(
    steps=6, batch=4, learning_rate=0.01, warmup=2, seed=1, clip=0.5, precision="fp32", compile="off"
)
RICH = replace(
    PLAIN, ema=0.5, micro_batch=1, z_loss=1e-3, recompute=True, select="best", schedule="cosine", warmup=0
)
DROPOUT = replace(PLAIN, dropout=0.2, micro_batch=2, optimizer="adamw")  # as many as each of two computes
SETTINGS = {"plain": PLAIN, "rich": RICH, "dropout": DROPOUT}
STOP = 4  # batches


def torchrun(*arguments: str | Path) -> list[str]:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return [*run, *map(str, arguments)]


def quiet() -> dict[str, str]:
    """The environment for small runs on a busy machine."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs by two processes, and of the same by one under `one-*`."""
    folder = tmp_path_factory.mktemp("together")
    jobs: dict[str, dict[str, Any]] = {}
    for strategy in ("ddp", "fsdp"):
        for name, config in SETTINGS.items():
            jobs[f"{strategy}-{name}"] = {"strategy": strategy, "config": asdict(config)}
        both = {"strategy": strategy, "config": asdict(RICH)}
        jobs |= {f"{strategy}-from-one": both, f"{strategy}-to-one": {**both, "stop": STOP}}
    for name in (*jobs, *(f"one-{name}" for name in SETTINGS)):
        (folder / name).mkdir()
        micro_batch = SETTINGS.get(name.partition("-")[2], RICH).micro_batch or PLAIN.batch
        setup = Setup("float32", threads=1, compiled=False, micro_batch=micro_batch, peak=1e9)
        artifacts.write_json(folder / name / ANSWERS, asdict(setup))  # nothing to be measured
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
        patch.setattr(loop, "SAVING_SHARE", 0)
        for strategy in ("ddp", "fsdp"):
            two_processes.run(folder / f"{strategy}-from-one", RICH, World(), STOP)
        (folder / "runs.json").write_text(json.dumps(jobs), encoding="utf-8")
        command = torchrun(two_processes.__file__, folder / "runs.json")
        done = subprocess.run(command, env=quiet(), capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
        for strategy in ("ddp", "fsdp"):
            assert newest(folder / f"{strategy}-to-one") == STOP
            finish(folder / f"{strategy}-to-one", RICH)
    for name, config in SETTINGS.items():
        finish(folder / f"one-{name}", config)
    return folder


def finish(folder: Path, config: TrainConfig) -> None:
    model = two_processes.run(folder, config, World())
    save_file(dict(model.state_dict()), folder / "weights.safetensors")


def newest(folder: Path) -> int:
    return max(int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*"))


def assert_near(one: Any, two: Any) -> None:
    """The same tree of names, numbers to 1e-4."""
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for name, value in one.items():
            assert_near(value, two[name])
    else:
        assert one == pytest.approx(two, abs=1e-4)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize("name", [*SETTINGS, "from-one", "to-one"])
def test_curve_and_weights_are_those_of_one_process(runs: Path, name: str, strategy: str) -> None:
    """Also where one process takes up the checkpoint of two, and two that of one."""
    one, two = runs / f"one-{name if name in SETTINGS else 'rich'}", runs / f"{strategy}-{name}"
    curves = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        for folder in (one, two)
    ]
    assert len(curves[0]) == len(curves[1]) == 4  # two of the loss and two validations
    assert curves[0][0]["loss"] > curves[0][-2]["loss"] + 1
    for first, second in zip(*curves, strict=True):
        assert_near(first, second)
    weights = [load_file(folder / "weights.safetensors") for folder in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for key, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][key], atol=1e-4, rtol=0)
    files = [sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in (one, two)]
    assert files[0][-1] == files[1][-1]
    assert newest(two) == 6


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, corpus: Path, tokenizer_dir: Path) -> Path:
    """What one process pretrains."""
    output = tmp_path_factory.mktemp("whole") / "base"
    pretrain(corpus, tokenizer_dir, output, preset="nano", config=CONFIG)
    return output


CONFIG = TrainConfig(
    steps=12, batch=2, learning_rate=0.01, warmup=2, precision="fp32", compile="off", ema=0.5
)
OPTIONS = (
    "--preset=nano", "--steps=12", "--batch=2", "--learning-rate=0.01", "--warmup=2", "--precision=fp32",
    "--compile=off", "--ema=0.5",
)  # fmt: skip


def command(corpus: Path, tokenizer: Path, output: Path, *options: str) -> list[str]:
    return torchrun("-m", "edgelm", "pretrain", corpus, tokenizer, "-o", output, *OPTIONS, *options)


def assert_same_model(one: Path, two: Path) -> None:
    weights = [load_file(folder / "model.safetensors") for folder in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for key, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][key], atol=1e-4, rtol=0)
    names = [{path.name for path in folder.iterdir()} for folder in (one, two)]
    assert names[0] == names[1]
    results = [json.loads((folder / "edgelm.json").read_text("utf-8"))["results"] for folder in (one, two)]
    bits = [one["validation_bits_per_byte"] for one in results]
    assert bits[0] == pytest.approx(bits[1], abs=2e-4)


def test_the_command_with_fsdp(tmp_path: Path, corpus: Path, tokenizer_dir: Path, whole: Path) -> None:
    done = subprocess.run(
        command(corpus, tokenizer_dir, tmp_path / "two", "--strategy=fsdp"),
        env=quiet(), capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("bits per byte") == 1  # one process speaks
    assert_same_model(whole, tmp_path / "two")


def test_ctrl_c_is_answered_once_and_one_process_goes_on(
    tmp_path: Path, corpus: Path, tokenizer_dir: Path, whole: Path
) -> None:
    output, partial = tmp_path / "two", tmp_path / ".two.partial"
    running = subprocess.Popen(
        command(corpus, tokenizer_dir, output), env=quiet(), stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 120
    while not read_lines(partial) and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=120)
    lines = [line for line in said.splitlines() if line.startswith("edgelm: ")]
    assert lines == ["edgelm: stopped. Run the same command again to continue."], said
    assert running.returncode != 0
    assert 0 < newest(partial) < 12
    assert not output.exists()
    pretrain(corpus, tokenizer_dir, output, preset="nano", config=CONFIG)
    assert_same_model(whole, output)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch=3"], "--batch 3 cannot be shared by 2 processes. Give a multiple of 2."),  # both find out
        ([], "{output}: exists and was not made by edgelm. Choose another output folder."),  # the main one
    ],
)
def test_an_error_ends_all_processes_with_one_line(
    tmp_path: Path, corpus: Path, tokenizer_dir: Path, options: list[str], message: str
) -> None:
    output = tmp_path / "taken"
    output.mkdir()
    (output / "letter.txt").write_text("mine", encoding="utf-8")
    started = time.monotonic()
    done = subprocess.run(
        command(corpus, tokenizer_dir, output, *options),
        env=quiet(), capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("edgelm: ")]
    assert lines == ["edgelm: " + message.format(output=output)], done.stderr[-3000:]
    assert "gloo" not in done.stderr
    assert time.monotonic() - started < 120
    assert [path.name for path in output.iterdir()] == ["letter.txt"]


def test_rows_of_a_batch() -> None:
    assert World().rows(5) == slice(0, 5)
    assert [World(rank, 3).rows(6) for rank in range(3)] == [slice(0, 2), slice(2, 4), slice(4, 6)]
    with pytest.raises(BadInput, match=r"^--batch 7 cannot be shared by 3 processes. Give a multiple of 3.$"):
        World(0, 3).rows(7)


def test_a_process_alone_needs_no_others() -> None:
    with join_world("fsdp") as world:
        assert world.main
        assert world.size == 1
        assert world.sum(2.5) == 2.5
        assert world.tell("word") == "word"
        model = Decoder(two_processes.SHAPE)
        assert unshare(model, world) is model
    assert not torch.distributed.is_initialized()


def test_processes_that_torchrun_did_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(EdgelmError, match="Start them with torchrun"), join_world():
        pass
