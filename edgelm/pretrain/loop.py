"""The training loop, for pretraining and finetuning alike: steps, checkpoints, metrics.

A checkpoint is a directory `checkpoint-<step>` that appears whole; the newest one is taken up again. On a CPU
an interrupted and resumed run ends with the same bytes as an undisturbed one.
"""

import json
import math
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file

from edgelm import artifacts
from edgelm.errors import BadInput, EdgelmError
from edgelm.model.decoder import Decoder
from edgelm.model.directory import save_weights
from edgelm.pretrain.optimizer import learning_rate, make_optimizers, optimizer_state, restore_optimizers
from edgelm.pretrain.stream import Packer
from edgelm.progress import Progress

CHECKPOINT_EVERY_S = 30.0
METRICS_EVERY = 10
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What decides the weights, besides the data."""

    steps: int
    batch: int = 32
    """Sequences a step."""
    learning_rate: float = 0.002
    warmup: int = 20
    """Steps of linear warm-up."""
    weight_decay: float = 0.1
    dropout: float = 0.0
    """Share of each layer's output to drop; small corpora seen many times need some."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    seed: int = 0
    precision: Precision = "auto"
    """`bf16` computes matrix products in bfloat16; `auto` measures whether this machine gains by it."""

    def __post_init__(self) -> None:
        for name, low in (("steps", 1), ("batch", 1), ("warmup", 0), ("seed", 0)):
            if getattr(self, name) < low:
                raise BadInput(f"--{name} {getattr(self, name)} is too small", remedy=f"give at least {low}")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise BadInput(f"--precision {self.precision} is unknown", remedy="choose auto, fp32 or bf16")
        if not 0 <= self.weight_decay < 1:
            raise BadInput(
                f"--weight-decay {self.weight_decay} is out of range", remedy="give between 0 and 1"
            )
        if not 0 <= self.dropout < 1:
            raise BadInput(f"--dropout {self.dropout} is out of range", remedy="give from 0 to below 1")
        if not 0 < self.learning_rate < 1:
            raise BadInput(
                f"--learning-rate {self.learning_rate} is out of range", remedy="give between 0 and 1"
            )


def train(
    model: Decoder, packer: Packer, config: TrainConfig, folder: Path, progress: Progress, title: str
) -> dict[str, Any]:
    """Train in place, leaving the last checkpoint and `metrics.jsonl` in `folder`; returns the run's figures.

    Raises:
        EdgelmError: the loss is not a number.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device).train()
    model.set_dropout(config.dropout)
    precision = resolve_precision(config.precision, folder)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    optimizers = make_optimizers(model, config.weight_decay, kind)
    first, metrics = _resume(model, optimizers, packer, folder)
    autocast: Callable[[], Any] = (
        (lambda: torch.autocast(device, torch.bfloat16)) if precision == "bf16" else nullcontext
    )
    saved = started = time.monotonic()
    with progress.track(config.steps, title) as advance:
        advance(first)
        for step in range(first, config.steps):
            rate = learning_rate(step, config.steps, config.learning_rate, config.warmup)
            batch = packer.next_batch()
            torch.manual_seed(config.seed * config.steps + step)  # dropout, the same after a resume
            with autocast():
                loss = model.loss(*(part.to(device) for part in batch))
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            value = loss.item()
            if not (math.isfinite(value) and math.isfinite(norm)):  # before it spoils the weights
                raise EdgelmError(
                    f"{folder}: the loss is not a number at step {step}. "
                    "Run again with a lower --learning-rate."
                )
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            if step % METRICS_EVERY == 0 or step == config.steps - 1:
                metrics.append({"step": step, "loss": round(value, 4), "learning_rate": rate})
            advance(1, f"loss {value:.3f}")
            if time.monotonic() - saved > CHECKPOINT_EVERY_S and step + 1 < config.steps:
                _save(step + 1, model, optimizers, packer, metrics, folder)
                saved = time.monotonic()
    if first < config.steps:  # else the run was killed after its last checkpoint, which is there
        _save(config.steps, model, optimizers, packer, metrics, folder)
    artifacts.write_text(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in metrics))
    model.to("cpu").eval()
    seconds = max(time.monotonic() - started, 1e-9)
    tokens = (config.steps - first) * packer.batch * packer.context
    return {"tokens_per_second": round(tokens / seconds), "loss": metrics[-1]["loss"], "precision": precision}


def clear_checkpoints(folder: Path) -> None:
    """Remove what only an interrupted run needs, once the model is written.

    Each folder loses its name first: a kill in between leaves no half of one for the next run to read.
    """
    gone = folder / ".gone"
    for old in [*folder.glob("tokens"), *folder.glob("checkpoint-*")]:
        shutil.rmtree(gone, ignore_errors=True)
        old.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    (folder / ".precision").unlink(missing_ok=True)


def resolve_precision(precision: Precision, folder: Path) -> Precision:
    """`fp32` or `bf16`: for `auto`, what an interrupted run in `folder` chose, or what is faster here."""
    if precision == "auto":
        chosen = folder / ".precision"
        if not chosen.exists():
            artifacts.write_text(chosen, faster_precision())
        precision = "bf16" if chosen.read_text(encoding="utf-8") == "bf16" else "fp32"
    return precision


def faster_precision() -> Precision:
    """Whichever multiplies matrices faster on this machine, measured in 50 ms.

    bfloat16 is twice as fast where the processor has instructions for it and many times slower where not.
    """
    if torch.cuda.is_available():
        return "bf16"
    seconds = {torch.float32: math.inf, torch.bfloat16: math.inf}
    for _ in range(10):
        for kind in seconds:
            a = torch.ones(512, 512, dtype=kind)
            start = time.perf_counter()
            a @ a
            seconds[kind] = min(seconds[kind], time.perf_counter() - start)
    return "bf16" if seconds[torch.bfloat16] * 1.3 < seconds[torch.float32] else "fp32"


def _save(
    step: int,
    model: Decoder,
    optimizers: list[torch.optim.Optimizer],
    packer: Packer,
    metrics: list[dict[str, Any]],
    folder: Path,
) -> None:
    part = folder / ".checkpoint.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    save_weights(dict(model.state_dict()), part / "model.safetensors")
    save_weights(optimizer_state(optimizers), part / "optimizer.safetensors")
    artifacts.write_json(part / "state.json", {"step": step, "stream": packer.state(), "metrics": metrics})
    part.rename(folder / f"checkpoint-{step:08d}")
    for old in sorted(folder.glob("checkpoint-*"))[:-1]:
        shutil.rmtree(old)


def _resume(
    model: Decoder, optimizers: list[torch.optim.Optimizer], packer: Packer, folder: Path
) -> tuple[int, list[dict[str, Any]]]:
    found = sorted(folder.glob("checkpoint-*"))
    if not found:
        return 0, []
    state = json.loads((found[-1] / "state.json").read_text(encoding="utf-8"))
    model.load_state_dict(load_file(found[-1] / "model.safetensors"))
    tensors = load_file(found[-1] / "optimizer.safetensors")
    restore_optimizers(optimizers, {name: value.clone() for name, value in tensors.items()})  # unmap the file
    packer.restore(state["stream"])
    return state["step"], state["metrics"]
