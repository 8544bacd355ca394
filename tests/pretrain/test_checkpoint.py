"""Checkpoints: whole or not there, the last few kept, and a run taken up at any of them ends the same."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_run import (
    CONFIG,
    SHAPE,
    Stop,
    answer,
    before_batch,
    folders,
    metrics,
    run,
    same,
    setting,
    stop_at,
    weights,
)

from edgelm.model.decoder import Decoder
from edgelm.pretrain import loop
from edgelm.pretrain.checkpoint import clear_checkpoints
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.loop import train
from edgelm.progress import Progress
from edgelm.tokenizer.text import TextTokenizer

SETTINGS = {
    "plain": CONFIG,
    "dropout": replace(CONFIG, dropout=0.2),
    "averaged": replace(CONFIG, ema=0.8),
    "best": replace(CONFIG, select="best"),
    "averaged best": replace(CONFIG, ema=0.8, select="best", micro_batch=3, dropout=0.2),
    "bf16": replace(CONFIG, precision="bf16", micro_batch=2),
    "adamw": replace(CONFIG, optimizer="adamw", schedule="cosine", recompute=True, dropout=0.2, z_loss=1e-3),
}


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "SAVING_SHARE", 0)


def up_and_down(model: Decoder) -> dict[str, float]:
    """Bits that fall, rise and fall again over training, a function of nothing but the weights."""
    norm = float(model.model.embed_tokens.weight.detach().double().norm())
    bits = abs((norm * 40) % 2 - 1)
    return {"zul": bits, "mean": bits}


def taken_up(folder: Path, tokenizer: TextTokenizer, config: TrainConfig, batches: int | None) -> Decoder:
    """A run that is given so many batches, on a model whose own weights are of no use."""
    model, packer = setting(tokenizer, seed=99 if list(folder.glob("checkpoint-*")) else config.seed)
    if batches is not None:
        stop_at(packer, batches)
    train(
        model,
        packer,
        config,
        answer(folder, config),
        Progress(silent=True),
        "",
        validate=up_and_down,
        validate_every=3,
    )
    return model


@pytest.mark.parametrize("name", SETTINGS)
def test_an_interrupted_run_ends_the_same(
    tmp_path: Path, tokenizer: TextTokenizer, every_step: None, name: str
) -> None:
    config = SETTINGS[name]
    whole = taken_up(tmp_path / "whole", tokenizer, config, None)
    for batches in (3, 1, 9):
        with pytest.raises(Stop):
            taken_up(tmp_path / "broken", tokenizer, config, batches)
    assert folders(tmp_path / "broken", "checkpoint-") == ["checkpoint-00000012", "checkpoint-00000013"]
    model, packer = setting(tokenizer, seed=99)
    stop_at(packer, 7)  # not one batch more than are left
    options: dict[str, Any] = {"validate": up_and_down, "validate_every": 3}
    train(model, packer, config, tmp_path / "broken", Progress(silent=True), "", **options)
    assert same(weights(whole), weights(model))
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "broken")
    for file in ("model", "optimizer", *(["average"] if config.ema else [])):
        last = [
            load_file(tmp_path / one / "checkpoint-00000020" / f"{file}.safetensors")
            for one in ("whole", "broken")
        ]
        assert same(*last)


def test_a_run_killed_after_its_last_step_ends_the_same(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    for name in ("plain", "averaged best"):
        config = SETTINGS[name]
        model = taken_up(tmp_path / name, tokenizer, config, None)
        lines = metrics(tmp_path / name)
        again, packer = setting(tokenizer, seed=99)
        stop_at(packer, 0)
        figures = train(again, packer, config, tmp_path / name, Progress(silent=True), "")
        assert same(weights(model), weights(again))
        assert figures["loss"] == next(line["loss"] for line in reversed(lines) if "loss" in line)
        assert metrics(tmp_path / name) == lines
        assert not again.training


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_the_last_few_are_kept(tmp_path: Path, tokenizer: TextTokenizer, every_step: None, keep: int) -> None:
    run(tmp_path, tokenizer, replace(CONFIG, steps=9), keep=keep)
    assert folders(tmp_path, "checkpoint-") == [f"checkpoint-{step:08d}" for step in range(10 - keep, 10)]


def test_what_a_checkpoint_holds(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    """Safetensors and JSON, no pickle; the model's own can be loaded as it is."""
    model, _ = run(tmp_path, tokenizer, replace(CONFIG, steps=3, ema=0.5))
    files = {path.name for path in (tmp_path / "checkpoint-00000003").iterdir()}
    assert files == {"model.safetensors", "optimizer.safetensors", "average.safetensors", "state.json"}
    other = Decoder(SHAPE)
    other.load_state_dict(load_file(tmp_path / "checkpoint-00000003" / "average.safetensors"))
    assert same(weights(model), weights(other))
    state = json.loads((tmp_path / "checkpoint-00000003" / "state.json").read_text(encoding="utf-8"))
    assert state["step"] == 3


def test_a_half_written_checkpoint_is_not_taken_up(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    (tmp_path / ".checkpoint.part").mkdir()
    (tmp_path / ".checkpoint.part" / "model.safetensors").write_bytes(b"half")
    run(tmp_path, tokenizer, replace(CONFIG, steps=2))
    assert not (tmp_path / ".checkpoint.part").exists()


def test_the_average_is_that_by_hand(tmp_path: Path, tokenizer: TextTokenizer, every_step: None) -> None:
    config = replace(CONFIG, steps=6, ema=0.3)
    model, _ = run(tmp_path, tokenizer, config, keep=10)
    expected = weights(setting(tokenizer)[0])
    for step in range(1, 7):
        after = load_file(tmp_path / f"checkpoint-{step:08d}" / "model.safetensors")
        old = (0.1, 2 / 11, 0.25, 0.3, 0.3, 0.3)[step - 1]  # the share of the average before
        expected = {name: old * value + (1 - old) * after[name] for name, value in expected.items()}
        kept = load_file(tmp_path / f"checkpoint-{step:08d}" / "average.safetensors")
        for name, value in expected.items():
            torch.testing.assert_close(kept[name], value)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert not same(weights(model), after)


def test_the_averaged_weights_are_validated(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    """And training goes on from its own, as if nobody had looked."""
    config = replace(CONFIG, steps=8, ema=0.7, dropout=0.1)
    seen: list[dict[str, torch.Tensor]] = []

    def validate(model: Decoder) -> dict[str, float]:
        seen.append(weights(model))
        return {"mean": 1.0}

    model, _ = run(tmp_path / "looked", tokenizer, config, validate=validate, validate_every=4)
    run(tmp_path / "alone", tokenizer, config)
    assert len(seen) == 2
    assert same(seen[-1], weights(model))
    last = [
        load_file(tmp_path / name / "checkpoint-00000008" / "model.safetensors")
        for name in ("looked", "alone")
    ]
    assert same(*last)
    assert not same(seen[-1], last[0])


def scripted(bits: list[float]) -> Callable[[Decoder], dict[str, float]]:
    given: Iterator[float] = iter(bits)
    return lambda model: {"mean": next(given)}


@pytest.mark.parametrize(
    ("bits", "best"), [([3.0, 1.0, 2.0, 1.0, 4.0], 8), ([3.0, 2.0, 1.5, 1.4, 1.3], 20), ([1.0] * 5, 4)]
)
def test_the_best_weights_are_given_out(
    tmp_path: Path, tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch, bits: list[float], best: int
) -> None:
    """Of two that are as good the earlier; only the best are kept."""
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "SAVING_SHARE", 0)
    options: dict[str, Any] = {"validate_every": 4, "keep": 20}
    config = replace(CONFIG, select="best")
    model, _ = run(tmp_path / "best", tokenizer, config, validate=scripted(bits), **options)
    last, _ = run(tmp_path / "last", tokenizer, validate=scripted(bits), **options)
    expected = load_file(tmp_path / "last" / f"checkpoint-{best:08d}" / "model.safetensors")
    assert same(weights(model), expected)
    assert folders(tmp_path / "best", "best-") == [f"best-{best:08d}"]
    assert folders(tmp_path / "last", "best-") == []
    assert same(weights(last), load_file(tmp_path / "last/checkpoint-00000020/model.safetensors"))


def test_what_a_checkpoint_calls_the_best_is_there(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    """Killed between new best weights and the next checkpoint, and then, as on a GPU, not as good again."""
    config = replace(CONFIG, select="best")
    model, packer = setting(tokenizer)
    loose: dict[str, Any] = {"validate_every": 4}
    before_batch(packer, 5, lambda: os.kill(os.getpid(), 15))  # a checkpoint after step 6, with the best of 4
    folder = answer(tmp_path, config)
    with pytest.raises(KeyboardInterrupt):
        train(model, packer, config, folder, Progress(silent=True), "", validate=scripted([2.0]), **loose)
    kept = load_file(folder / "best-00000004" / "model.safetensors")
    model, packer = setting(tokenizer)
    stop_at(packer, 3)
    with pytest.raises(Stop):
        train(model, packer, config, folder, Progress(silent=True), "", validate=scripted([1.0]), **loose)
    assert folders(folder, "checkpoint-") == ["checkpoint-00000006"]
    model, _ = run(folder, tokenizer, config, validate=scripted([2.5, 2.5, 2.5, 2.5]), **loose)
    assert same(weights(model), kept)


def test_clearing_leaves_nothing(tmp_path: Path) -> None:
    for name in ("checkpoint-00000003", "checkpoint-00000004", "best-00000002", "tokens", ".gone"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    (tmp_path / ".machine.json").write_text("{}")
    (tmp_path / "metrics.jsonl").write_text("")
    clear_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_stopped_while_it_is_cleared(
    tmp_path: Path, tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch, every_step: None
) -> None:
    """Wherever that was: what is left gives the same model, by another look or by the whole way again."""
    config = replace(SETTINGS["averaged best"], steps=7)
    expected = weights(taken_up(tmp_path / "whole", tokenizer, config, None))
    original = Path.rename
    for moment in count():
        folder = tmp_path / str(moment)
        taken_up(folder, tokenizer, config, None)
        done = 0

        def rename(path: Path, target: Path, moment: int = moment) -> Path:
            nonlocal done
            done += 1
            if done > moment:
                raise Stop
            return original(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", rename)
            try:
                clear_checkpoints(folder)
                break
            except Stop:
                pass
        assert same(expected, weights(taken_up(folder, tokenizer, config, None))), moment
    assert moment == 3  # two checkpoints and the best
