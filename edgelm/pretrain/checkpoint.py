"""Checkpoints: directories `checkpoint-<step>` that appear whole, the newest of which is taken up again."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from edgelm import artifacts
from edgelm.model.decoder import Decoder
from edgelm.model.directory import save_weights
from edgelm.pretrain.distributed import World, like, whole
from edgelm.pretrain.optimizer import optimizer_state, restore_optimizers
from edgelm.pretrain.probe import ANSWERS


@dataclass(slots=True)
class Best:
    """The lowest validation bits per byte so far and the step after which it was measured."""

    bits: float
    step: int


@dataclass(slots=True)
class Run:
    """What training changes; a checkpoint holds all of it.

    Attributes:
        packer: anything with `state` and `restore`.
        average: the moving average of the weights, by their names; empty if none is kept.
    """

    model: Decoder
    optimizers: list[torch.optim.Optimizer]
    packer: Any
    average: dict[str, Tensor]
    step: int = 0
    best: Best | None = None

    def ended(self, steps: int, stale: int) -> bool:
        """Whether all steps are taken, or so many since the best weights; 0 waits for ever."""
        waited = stale > 0 and self.best is not None and self.step >= self.best.step + stale
        return waited or self.step >= steps

    def weights(self) -> dict[str, Tensor]:
        """Those to validate and to give out."""
        return self.average or dict(self.model.state_dict())


def save_checkpoint(run: Run, folder: Path, keep: int, world: World) -> None:
    """Write `checkpoint-<step>` and remove all but the last `keep`; every process has to call it.

    Best weights that are no longer the best go too: until now the newest checkpoint asked for them.
    """
    files = {
        "model": _whole(dict(run.model.state_dict()), world),
        "optimizer": _whole(optimizer_state(run.optimizers), world),
        "average": _whole(run.average, world),
    }
    path = folder / f"checkpoint-{run.step:08d}"
    if world.main:
        state = {
            "step": run.step,
            "stream": run.packer.state(),
            "best": run.best and [run.best.bits, run.best.step],
        }
        _write(path, {name: tensors for name, tensors in files.items() if tensors}, state)
        for old in checkpoints(folder)[:-keep]:
            shutil.rmtree(old)
        for other in folder.glob("best-*"):
            if run.best and other != _best(folder, run.best):
                shutil.rmtree(other)
    world.tell()  # no process goes on, or ends, before it is there


def save_best(run: Run, folder: Path, world: World) -> None:
    """Write `best-<step>`, the weights alone; every process has to call it."""
    weights = _whole(run.weights(), world)
    if world.main and run.best:
        path = _best(folder, run.best)
        shutil.rmtree(path, ignore_errors=True)  # of a run that was killed after this step
        _write(path, {"model": weights}, {"step": run.step})


def load_best(folder: Path, best: Best) -> dict[str, Tensor]:
    """The weights that `save_best` kept."""
    return load_file(_best(folder, best) / "model.safetensors")


def checkpoints(folder: Path) -> list[Path]:
    """All that are whole, oldest first."""
    return sorted(folder.glob("checkpoint-*"))


def resume(run: Run, folder: Path) -> bool:
    """Take up the newest checkpoint, if there is one; whether there was."""
    found = checkpoints(folder)
    if not found:
        return False
    state = json.loads((found[-1] / "state.json").read_text(encoding="utf-8"))
    load_weights(run.model, load_file(found[-1] / "model.safetensors"))
    restore_optimizers(run.optimizers, _unmapped(found[-1] / "optimizer.safetensors"))
    if run.average:
        loaded = load_file(found[-1] / "average.safetensors")
        for name, value in run.average.items():  # which stays on its device
            value.copy_(like(loaded[name], value))
    run.packer.restore(state["stream"])
    run.step, run.best = state["step"], state["best"] and Best(*state["best"])
    return True


def load_weights(model: Decoder, weights: dict[str, Tensor]) -> None:
    """Copy whole weights into a model that may be shared by several processes."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(like(weights[name], value))


def clear_checkpoints(folder: Path) -> None:
    """Remove what only an interrupted run needs, once the model is written.

    Each folder loses its name first: a kill in between leaves no half of one for the next run to read. The
    newest checkpoint needs the best weights, so these go after it.
    """
    gone = folder / ".gone"
    for old in [*checkpoints(folder), *folder.glob("best-*"), *folder.glob("tokens")]:
        shutil.rmtree(gone, ignore_errors=True)
        old.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    (folder / ANSWERS).unlink(missing_ok=True)


def _best(folder: Path, best: Best) -> Path:
    return folder / f"best-{best.step:08d}"


def _write(path: Path, files: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
    part = path.with_name(".checkpoint.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for name, tensors in files.items():
        save_weights(tensors, part / f"{name}.safetensors")
    artifacts.write_json(part / "state.json", state)
    part.rename(path)


def _whole(tensors: dict[str, Tensor], world: World) -> dict[str, Tensor]:
    """Tensors as one process alone has them, in the memory of the main process; the others keep none.

    One at a time: a model that needs sharding does not fit one device.
    """
    found = {}
    for name, value in tensors.items():
        complete = whole(value)
        if world.main:
            found[name] = complete if world.size == 1 else complete.cpu()
    return found


def _unmapped(path: Path) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in load_file(path).items()}
