import math
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_run import CONFIG, SHAPE, answer, before_batch, folders, metrics, run, same, setting, weights

from edgelm.errors import EdgelmError
from edgelm.model.decoder import Decoder
from edgelm.pretrain import loop
from edgelm.pretrain.distributed import Objective, World
from edgelm.pretrain.loop import train
from edgelm.pretrain.schedule import learning_rate
from edgelm.progress import Progress
from edgelm.tokenizer.text import TextTokenizer


def test_the_loss_falls_and_the_figures_say_so(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    model, figures = run(tmp_path, tokenizer, replace(CONFIG, steps=120))
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == [*range(0, 120, 10), 119]
    assert lines[0]["loss"] == pytest.approx(math.log(SHAPE.vocab_size), abs=0.2)
    assert lines[-1]["loss"] == figures["loss"] < 3.5
    assert lines[1]["learning_rate"] == 0.01
    assert lines[-1]["learning_rate"] == pytest.approx(0.01 / 60)
    assert figures["tokens_per_second"] > 0
    assert 0 < figures["mfu"] < 1
    assert figures["precision"] == "fp32"
    assert not model.training
    assert folders(tmp_path, "checkpoint-") == ["checkpoint-00000120"]


def test_what_the_metrics_hold(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    bits = {"xho": 2.5, "zul": 1.5, "mean": 2.0}
    run(tmp_path, tokenizer, validate=lambda model: bits, validate_every=8, epoch_tokens=1000)
    trained = [line for line in metrics(tmp_path) if "loss" in line]
    validated = [line for line in metrics(tmp_path) if "validation" in line]
    assert [list(line) for line in trained] == [
        ["step", "tokens", "loss", "learning_rate", "epoch", "gradient_norm"]
    ] * 3
    assert [line["tokens"] for line in trained] == [128, 11 * 128, 20 * 128]
    assert [line["epoch"] for line in trained] == [0.128, 1.408, 2.56]
    assert validated == [{"step": step - 1, "tokens": step * 128, "validation": bits} for step in (8, 16, 20)]
    assert "tokens_per_second" in (tmp_path / "speed.jsonl").read_text(encoding="utf-8")


def test_metrics_can_be_followed(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    """They are appended while the run goes on, not written at its end."""
    seen = []
    model, packer = setting(tokenizer)
    before_batch(packer, 15, lambda: seen.extend(line["step"] for line in metrics(tmp_path)))
    train(model, packer, CONFIG, answer(tmp_path, CONFIG), Progress(silent=True), "")
    assert seen == [0, 10]


def test_a_page_shows_the_curve(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    """From the first validation on; the last one says that the run has ended."""
    pages = []

    def validate(model: Decoder) -> dict[str, float]:
        page = tmp_path / "curve.html"
        pages.append(page.read_text(encoding="utf-8") if page.exists() else "")
        return {"zul": 2.0, "mean": 2.0}

    run(tmp_path, tokenizer, validate=validate, validate_every=8)
    assert [page.count('http-equiv="refresh"') for page in pages] == [0, 1, 1]
    assert pages[0] == ""
    last = (tmp_path / "curve.html").read_text(encoding="utf-8")
    assert "refresh" not in last
    assert "2.5" in last  # thousand tokens, those of the last step


def test_a_run_without_validation_has_its_curve(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    run(tmp_path, tokenizer)
    assert "refresh" not in (tmp_path / "curve.html").read_text(encoding="utf-8")


def test_the_precision_of_an_interrupted_run_is_kept(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    for precision in ("bf16", "fp32"):
        folder = answer(tmp_path / precision, replace(CONFIG, precision=precision))
        model, packer = setting(tokenizer)
        config = replace(CONFIG, steps=1, precision="auto")
        figures = train(model, packer, config, folder, Progress(silent=True), "")
        assert figures["precision"] == precision


def test_bfloat16_learns_about_as_well(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        model, figures = run(tmp_path / precision, tokenizer, replace(CONFIG, precision=precision))
        assert figures["precision"] == precision
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}
        losses[precision] = figures["loss"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], abs=0.1)
    assert losses["bf16"] != losses["fp32"]


def explode(model: Decoder) -> None:
    model.model.embed_tokens.weight.data.fill_(1e30)


def overflow(model: Decoder) -> None:
    """The loss is a number, but its gradient is none; a step with it would spoil every weight."""
    model.model.norm.weight.register_hook(lambda gradient: gradient * math.inf)


@pytest.mark.parametrize("spoil", [explode, overflow])
def test_divergence_stops_with_a_sentence(
    tmp_path: Path,
    tokenizer: TextTokenizer,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Decoder], None],
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "SAVING_SHARE", 0)
    model, packer = setting(tokenizer)
    before_batch(packer, 3, lambda: spoil(model))
    with pytest.raises(EdgelmError) as error:
        train(model, packer, CONFIG, answer(tmp_path, CONFIG), Progress(silent=True), "")
    good = tmp_path / "checkpoint-00000003"
    assert str(error.value) == (
        f"{tmp_path}: the loss is not a number at step 3. The last good checkpoint is {good}. "
        "Run again with a lower --learning-rate, which begins anew."
    )
    assert error.value.exit_code == 1
    assert folders(tmp_path, "checkpoint-") == ["checkpoint-00000002", good.name]
    kept = load_file(good / "model.safetensors")
    assert all(torch.isfinite(weight).all() for weight in kept.values())
    if spoil is overflow:
        assert same(kept, weights(model))  # no step was taken


def test_divergence_before_any_checkpoint(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    model, packer = setting(tokenizer)
    before_batch(packer, 0, lambda: explode(model))
    with pytest.raises(EdgelmError, match=r"at step 0\. There is no checkpoint yet\. Run again with"):
        train(model, packer, CONFIG, answer(tmp_path, CONFIG), Progress(silent=True), "")


def test_the_gradient_is_clipped(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    """AdamW's moments after one step are the gradient's own, so they tell its norm after clipping."""
    norms = []
    for clip in (999, 0.01):
        folder = tmp_path / str(clip)
        run(folder, tokenizer, replace(CONFIG, steps=1, clip=clip, optimizer="adamw"))
        state = load_file(folder / "checkpoint-00000001" / "optimizer.safetensors")
        moments = [value / 0.1 for key, value in state.items() if key.endswith("exp_avg")]
        norms.append(float(torch.cat([moment.flatten() for moment in moments]).norm()))
        assert metrics(folder)[0]["gradient_norm"] == pytest.approx(norms[0], abs=1e-3)  # before clipping
    assert norms[0] > 0.1
    assert norms[1] == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_micro_batches_have_the_gradient_of_the_whole(tokenizer: TextTokenizer, size: int) -> None:
    model, packer = setting(tokenizer)
    packer.next_batch()
    batch = packer.next_batch()
    weighted = batch._replace(weights=batch.weights * torch.linspace(0.5, 2.0, 4)[:, None])
    weighted.targets[1, 5:] = -100  # rows count by what they hold, not each the same
    config, losses, gradients = replace(CONFIG, clip=999), [], []
    for micro_batch in (4, size):
        model.train().zero_grad()
        loss, _ = loop._gradient(Objective(model), weighted, micro_batch, 0, config, World())
        losses.append(loss)
        gradients.append({name: weight.grad.clone() for name, weight in model.named_parameters()})
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    assert losses[0] == pytest.approx(float(model.loss(*weighted).detach()), rel=1e-6)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-7)


def test_dropout_differs_between_steps_and_seeds(tokenizer: TextTokenizer) -> None:
    model, packer = setting(tokenizer)
    model.train().set_dropout(0.3)
    batch = packer.next_batch()

    def loss(step: int, seed: int, micro_batch: int) -> float:
        config = replace(CONFIG, seed=seed)
        return loop._gradient(Objective(model), batch, micro_batch, step, config, World())[0]

    assert loss(0, 1, 4) == loss(0, 1, 4)
    assert len({loss(step, seed, size) for step in (0, 1) for seed in (1, 2) for size in (2, 4)}) == 8


def test_recomputing_changes_nothing(tokenizer: TextTokenizer) -> None:
    """The same loss and gradients to the last bit, with dropout too; fewer activations are kept."""
    model, packer = setting(tokenizer)
    model.train().set_dropout(0.2)
    batch = packer.next_batch()
    losses, gradients, kept = [], [], []
    for recompute in (False, True):
        model.recompute = recompute
        model.zero_grad()
        torch.manual_seed(5)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, sizes=sizes: sizes.append(tensor.numel()) or tensor, lambda tensor: tensor
        ):
            found = model.loss(*batch)
        found.backward()
        losses.append(float(found.detach()))
        gradients.append({name: weight.grad.clone() for name, weight in model.named_parameters()})
        kept.append(sum(sizes))
    assert losses[0] == losses[1]
    assert same(*gradients)
    assert kept[1] < kept[0] / 2


def test_recomputing_reaches_the_loop(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    seen = []
    for recompute in (False, True):
        config = replace(CONFIG, steps=2, recompute=recompute, dropout=0.1)
        model, packer = setting(tokenizer)
        before_batch(packer, 1, lambda: seen.append(model.recompute))  # noqa: B023
        train(model, packer, config, answer(tmp_path / str(recompute), config), Progress(silent=True), "")
        assert not model.recompute
    assert seen == [False, True]
    assert same(*(load_file(path) for path in sorted(tmp_path.glob("*/checkpoint-*/model.safetensors"))))


def test_the_penalty_on_large_logits_reaches_the_loop(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    first = []
    for z_loss in (0.0, 0.01):
        run(tmp_path / str(z_loss), tokenizer, replace(CONFIG, steps=1, z_loss=z_loss))
        first.append(metrics(tmp_path / str(z_loss))[0]["loss"])
    expected = 0.01 * math.log(SHAPE.vocab_size) ** 2  # the logits of a new model are all about 0
    assert first[1] - first[0] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("schedule", ["wsd", "cosine"])
def test_the_schedule_is_followed(
    tmp_path: Path, tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    monkeypatch.setattr(loop, "METRICS_EVERY", 1)
    config = replace(CONFIG, schedule=schedule)
    run(tmp_path, tokenizer, config)
    assert [line["learning_rate"] for line in metrics(tmp_path)] == [
        learning_rate(step, config) for step in range(20)
    ]


def test_both_optimisers_learn_and_differ(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    losses = {
        kind: run(tmp_path / kind, tokenizer, replace(CONFIG, steps=40, optimizer=kind))[1]["loss"]
        for kind in ("muon", "adamw")
    }
    assert all(loss < 4.5 for loss in losses.values())
    assert losses["muon"] != losses["adamw"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_stop_keeps_the_step(tmp_path: Path, tokenizer: TextTokenizer, number: int) -> None:
    """The step ends and a checkpoint is kept, though none was due; the run goes on with the same bytes."""
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    whole, _ = run(tmp_path / "whole", tokenizer)
    model, packer = setting(tokenizer)
    before_batch(packer, 6, lambda: signal.raise_signal(number))
    folder = answer(tmp_path / "stopped", CONFIG)
    with pytest.raises(KeyboardInterrupt):
        train(model, packer, CONFIG, folder, Progress(silent=True), "")
    assert folders(folder, "checkpoint-") == ["checkpoint-00000007"]
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    again, _ = run(folder, tokenizer)
    assert same(weights(whole), weights(again))
    assert metrics(tmp_path / "whole") == metrics(folder)


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    model, packer = setting(tokenizer)
    before_batch(packer, 2, twice)
    with pytest.raises(KeyboardInterrupt):
        train(model, packer, CONFIG, answer(tmp_path, CONFIG), Progress(silent=True), "")
    assert folders(tmp_path, "checkpoint-") == []


def test_a_stop_at_the_last_step_is_too_late(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    model, packer = setting(tokenizer)
    before_batch(packer, 19, lambda: os.kill(os.getpid(), signal.SIGTERM))
    figures = train(model, packer, CONFIG, answer(tmp_path, CONFIG), Progress(silent=True), "")
    assert figures["loss"] > 0
    assert folders(tmp_path, "checkpoint-") == ["checkpoint-00000020"]


def test_training_in_a_thread(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    """Only the main thread of a process may listen for signals; another one trains without."""
    found = []
    thread = threading.Thread(target=lambda: found.append(run(tmp_path, tokenizer)[1]))
    thread.start()
    thread.join(60)
    assert found[0]["loss"] > 0


def test_threads_are_those_of_the_run(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    model, packer = setting(tokenizer)
    before_batch(packer, 0, lambda: seen.append(torch.get_num_threads()))
    train(model, packer, replace(CONFIG, steps=1), answer(tmp_path, CONFIG), Progress(silent=True), "")
    seen.append(torch.get_num_threads())
    torch.set_num_threads(before)
    assert seen == [1, 2]


def test_compiling_ends_with_the_run(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    """Or a trained model is compiled anew for each length of a text."""
    answer(tmp_path, CONFIG)
    model, packer = setting(tokenizer)
    compiled = [False]
    before_batch(packer, 1, lambda: compiled.append(_compiled(model)))
    config = replace(CONFIG, steps=2, compile="on")
    train(model, packer, config, tmp_path, Progress(silent=True), "")
    assert compiled[-1]
    assert not _compiled(model)


def _compiled(model: Decoder) -> bool:
    return any(layer._compiled_call_impl is not None for layer in model.model.layers)


def test_a_seed_of_any_size(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    run(tmp_path, tokenizer, replace(CONFIG, steps=2, seed=4 * 10**18, dropout=0.1))


def test_slow_checkpoints_are_rarer(
    tmp_path: Path, tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes 0.05 s is not written again before a second has passed."""
    written = []

    def slow(run: loop.Run, *arguments: object) -> None:
        written.append(run.step)
        time.sleep(0.05)

    monkeypatch.setattr(loop, "save_checkpoint", slow)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    run(tmp_path / "slow", tokenizer)
    assert written == [1, 20]
    written.clear()
    monkeypatch.setattr(loop, "SAVING_SHARE", 0)
    run(tmp_path / "often", tokenizer)
    assert written == list(range(1, 21))


def test_a_finished_run_taken_up_again_keeps_its_speed(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    _, first = run(tmp_path, tokenizer)
    _, again = run(tmp_path, tokenizer)
    assert (again["tokens_per_second"], again["mfu"]) == (first["tokens_per_second"], first["mfu"])
    assert again["mfu"] > 0
