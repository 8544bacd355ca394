"""The training loop, for pretraining and finetuning alike: steps, checkpoints, metrics.

An interrupted run is taken up at its newest checkpoint. On a CPU it ends with the same bytes as an
undisturbed one.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from edgelm.errors import EdgelmError, out_of_memory
from edgelm.model.decoder import IGNORE, Decoder
from edgelm.pretrain.checkpoint import (
    Best,
    Run,
    checkpoints,
    load_best,
    load_weights,
    resume,
    save_best,
    save_checkpoint,
)
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.curve import write_curve
from edgelm.pretrain.distributed import World, alone, set_sync, share, whole
from edgelm.pretrain.metrics import Metrics, read_lines
from edgelm.pretrain.optimizer import make_optimizers
from edgelm.pretrain.packing import Batch, Packer
from edgelm.pretrain.prefetch import Prefetched
from edgelm.pretrain.probe import Setup, attended_tokens, flops_per_token, settle
from edgelm.pretrain.schedule import learning_rate
from edgelm.progress import Progress

CHECKPOINT_EVERY_S = 30.0
SAVING_SHARE = 20  # training takes at least so many times as long as writing checkpoints
METRICS_EVERY = 10
CURVE = "curve.html"
Validate = Callable[[Decoder], dict[str, float]]


def train(
    model: Decoder,
    packer: Packer,
    config: TrainConfig,
    folder: Path,
    progress: Progress,
    title: str,
    *,
    validate: Validate | None = None,
    validate_every: int = 0,
    epoch_tokens: int | None = None,
    keep: int = 2,
    world: World | None = None,
    tensorboard: bool = False,
    measures: str = "bits a byte",
    patience: int = 0,
    layer_decay: float = 1.0,
    before_step: Callable[[int], object] = lambda step: None,
) -> dict[str, Any]:
    """Train in place, leaving checkpoints, metrics and `curve.html` in `folder`; returns the run's figures.

    Args:
        packer: gives this process's rows of each batch.
        validate: what a model is judged by, lower being better, by language and together under `mean`.
        validate_every: steps between two validations; 0 validates after the last step only.
        epoch_tokens: tokens in the data, to say how often they have been seen.
        keep: checkpoints to keep while training, the newest ones.
        measures: what `validate` measures.
        patience: end after so many validations without a new best, whose weights are then given out; 0 never.
        layer_decay: see `make_optimizers`.
        before_step: told the number of each step that is about to be taken.
        world: the processes that train together; this one alone by default, on a GPU where there is one.

    Raises:
        EdgelmError: the loss is not a number, or memory does not suffice.
        KeyboardInterrupt: on Ctrl-C, at the end of the step, after a checkpoint.
    """
    world = world or alone()
    model.to(world.device).train()
    model.set_dropout(config.dropout)
    setup = world.tell(
        settle(config, model, packer.context, config.batch // world.size, folder) if world.main else None
    )
    model.dtype, model.recompute = setup.torch_dtype, config.recompute
    if setup.compiled:
        model.compile_layers()
    objective = share(model, world)
    stream: Any = Prefetched(packer) if world.device == "cuda" else packer
    optimizers = make_optimizers(model, config.weight_decay, setup.torch_dtype, config.optimizer, layer_decay)
    average = {name: value.clone() for name, value in model.state_dict().items()} if config.ema else {}
    run = Run(model, optimizers, stream, average)
    if resume(run, folder):
        progress.say(f"resuming after step {run.step:,} of {config.steps:,}")
    first = run.step
    saved = started = time.monotonic()
    pause = CHECKPOINT_EVERY_S
    step_tokens = config.batch * packer.context
    speed = _Speed(setup, world, _last_speed(folder))
    note = ""
    with ExitStack() as stack:
        if isinstance(stream, Prefetched):
            stack.callback(stream.close)
        stack.enter_context(_threads(setup.threads))
        metrics = stack.enter_context(Metrics(folder if world.main else None, tensorboard, run.step))
        advance = stack.enter_context(progress.track(config.steps, title, first))
        stop = stack.enter_context(_Stop())
        stale = patience * validate_every  # steps after the best at which to end
        while not run.ended(config.steps, stale):
            step = run.step
            before_step(step)
            batch = stream.next_batch()
            with _memory(config, setup.micro_batch):
                loss, norm = _gradient(objective, batch, setup.micro_batch, step, config, world)
            if not (math.isfinite(loss) and math.isfinite(norm)):  # before it spoils the weights
                raise EdgelmError(_diverged(folder, step))
            rate = learning_rate(step, config)
            with _memory(config, setup.micro_batch):
                _update(optimizers, rate)
            run.step += 1
            _follow(run, config.ema)
            speed.add(model, batch)
            tokens, last = run.step * step_tokens, run.step == config.steps
            if step % METRICS_EVERY == 0 or last:
                figures = {"tokens": tokens, "loss": round(loss, 4), "learning_rate": rate}
                if epoch_tokens:
                    figures["epoch"] = round(tokens / epoch_tokens, 3)
                figures |= {"gradient_norm": round(norm, 4), **speed.figures()}
                seconds = metrics.seconds + time.monotonic() - started
                metrics.record(step, **figures, seconds=round(seconds, 2))
            advance(1, f"loss {loss:.3f}, {note}{speed.note()}")
            due = last or (validate_every and run.step % validate_every == 0)
            if validate and due:
                bits = _validate(run, validate)
                metrics.record(step, tokens=tokens, validation=bits)
                note = f"{bits['mean']:.3f} {measures}, "
                chosen = patience or config.select == "best"
                if chosen and (run.best is None or bits["mean"] < run.best.bits):
                    run.best = Best(bits["mean"], run.step)
                    save_best(run, folder, world)
                last = run.ended(config.steps, stale)
            if due:
                if world.main:
                    write_curve(folder, folder / CURVE, title, unfinished=not last)
                speed.restart()
            asked = world.sum(stop.asked)
            if last or asked or world.sum(world.main and time.monotonic() - saved > pause):
                metrics.sync()
                began = time.monotonic()
                save_checkpoint(run, folder, keep, world)
                saved = time.monotonic()
                pause = max(CHECKPOINT_EVERY_S, SAVING_SHARE * (saved - began))
                speed.restart()
                if asked and not last:
                    raise KeyboardInterrupt
    weights = load_best(folder, run.best) if run.best else run.weights()
    load_weights(model, {name: whole(value) for name, value in weights.items()})
    model.dtype, model.recompute = torch.float32, False
    model.interpret_layers()
    model.eval()
    return {
        "loss": _last_loss(folder),
        "step": run.best.step if run.best else run.step,
        "precision": "bf16" if setup.dtype == "bfloat16" else "fp32",
        **speed.figures(),
    }


def _gradient(
    objective: torch.nn.Module, batch: Batch, micro_batch: int, step: int, config: TrainConfig, world: World
) -> tuple[float, float]:
    """Loss of a batch over all processes and the norm of its gradient, left in the weights and clipped."""
    total = world.sum(float((batch.weights * (batch.targets != IGNORE)).sum()))
    rows = len(batch.tokens)
    loss = torch.zeros((), device=world.device)
    for start in range(0, rows, micro_batch):
        part = slice(start, start + micro_batch)
        place = world.rank * rows + start
        number = (config.seed * config.steps + step) * config.batch + place
        torch.manual_seed(number % 2**63)  # dropout, also after a resume
        tokens, targets, weights = (
            one[part].to(world.device, non_blocking=True)
            for one in (batch.tokens, batch.targets, batch.weights)
        )
        with set_sync(objective, last=start + micro_batch >= rows):
            found = objective(
                tokens, targets, batch.documents[part], weights, total=total, z_loss=config.z_loss
            )
            (found * world.size).backward()  # processes average their gradients
        loss += found.detach()
    norm = torch.nn.utils.clip_grad_norm_(objective.parameters(), config.clip)
    return world.sum(float(loss)), float(whole(norm))


def _update(optimizers: list[torch.optim.Optimizer], rate: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


@contextmanager
def _memory(config: TrainConfig, micro_batch: int) -> Iterator[None]:
    """Answer a lack of memory with the setting to change."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        if micro_batch > 1:
            change = f"--micro-batch {micro_batch // 2}"
        else:
            change = "a smaller --preset" if config.recompute else "--recompute"
        many = f"{micro_batch} sequences" if micro_batch > 1 else "one sequence"
        raise EdgelmError(f"out of memory with {many} at a time. Run again with {change}.") from error


def _last_loss(folder: Path) -> float:
    return next((line["loss"] for line in reversed(read_lines(folder)) if "loss" in line), math.nan)


def _last_speed(folder: Path) -> dict[str, float]:
    """What an interrupted run last measured."""
    lines = (line for line in reversed(read_lines(folder)) if "tokens_per_second" in line)
    last = next(lines, {"tokens_per_second": 0, "mfu": 0.0})
    return {name: last[name] for name in ("tokens_per_second", "mfu")}


def _diverged(folder: Path, step: int) -> str:
    found = checkpoints(folder)
    kept = f"The last good checkpoint is {found[-1]}." if found else "There is no checkpoint yet."
    return (
        f"{folder}: the loss is not a number at step {step}. {kept} "
        "Run again with a lower --learning-rate, which begins anew."
    )


def _follow(run: Run, decay: float) -> None:
    """Let the average follow the weights: closely at first, so that those of a new model are soon forgotten.

    After 200 steps with 0.999, four fifths of an average that began slowly were still noise.
    """
    if not run.average:
        return
    decay = min(decay, run.step / (run.step + 9))
    with torch.no_grad():
        weights = run.model.state_dict()
        for name, value in run.average.items():
            value.lerp_(weights[name], 1 - decay)


def _validate(run: Run, validate: Validate) -> dict[str, float]:
    """Bits per byte of the weights to be given out."""
    if not run.average:
        return validate(run.model)
    weights = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.model.load_state_dict(run.average)
    try:
        return validate(run.model)
    finally:
        run.model.load_state_dict(weights)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Speed:
    """Tokens a second and the share of the machine's peak since the last figures."""

    def __init__(self, setup: Setup, world: World, last: dict[str, float]):
        self.setup, self.world, self.last = setup, world, last
        self.restart()

    def restart(self) -> None:
        self.tokens = self.flops = 0.0
        self.started = time.monotonic()

    def add(self, model: Decoder, batch: Batch) -> None:
        """Count a step, which has ended."""
        count = batch.tokens.numel()
        self.tokens += count * self.world.size
        self.flops += count * flops_per_token(model.config, attended_tokens(batch.documents) / count)

    def figures(self) -> dict[str, float]:
        """Since the last call, or the last ones where nothing was done since."""
        if self.tokens:
            seconds = max(time.monotonic() - self.started, 1e-9)
            mfu = self.flops / seconds / self.setup.peak
            self.last = {"tokens_per_second": round(self.tokens / seconds), "mfu": round(mfu, 4)}
            self.restart()
        return self.last

    def note(self) -> str:
        return f"{self.last['tokens_per_second']:,.0f} tokens/s, {self.last['mfu']:.0%} of the peak"


class _Stop:
    """Notes Ctrl-C and a polite kill: the step ends and a checkpoint is kept. A second one stops at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.asked = False
        self.before: list[Any] = []

    def __enter__(self) -> "_Stop":
        if threading.current_thread() is threading.main_thread():
            self.before = [signal.signal(number, self._note) for number in self.SIGNALS]
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *error: object) -> None:
        for number, handler in zip(self.SIGNALS, self.before, strict=False):
            signal.signal(number, handler)
