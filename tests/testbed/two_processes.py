"""Small runs of the training loop, by one process or by several that torchrun starts; no test itself.

    torchrun --standalone --nproc-per-node 2 two_processes.py runs.json

does the runs listed there, each as `train` takes it, and leaves their weights beside their checkpoints.
"""

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from edgelm.model.config import ModelConfig
from edgelm.model.decoder import Decoder
from edgelm.pretrain import loop
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.distributed import World, join_world, unshare
from edgelm.pretrain.packing import Batch, Item, Packer, Piece, make_item
from edgelm.progress import Progress

SHAPE = ModelConfig(320, 64, 128, 2, 4, 2, 32)


class Stop(Exception):
    pass


class Counting:
    """Documents of ids that follow a rule which a model can learn."""

    number = 0

    def next_piece(self, limit: int) -> Piece:
        self.number += 1
        return Piece([self.number], 5 + self.number * 7 % 23)

    def read(self, piece: Piece) -> Item:
        places = np.arange(piece.length)
        return make_item(200 + (places * places * 3 + piece.key[0] % 5) % 89)

    def state(self) -> dict[str, Any]:
        return {"number": self.number}

    def restore(self, state: dict[str, Any]) -> None:
        self.number = state["number"]


def run(folder: Path, config: TrainConfig, world: World, stop: int | None = None) -> Decoder:
    """Train in `folder`, which is kept as it is after batch `stop`, as a kill would leave it."""
    model = Decoder(SHAPE)
    model.init_weights(torch.Generator().manual_seed(0))
    rows = world.rows(config.batch)
    packer = Packer(Counting(), batch=config.batch, context=SHAPE.context, pad=2, rows=rows)
    if stop is not None:
        packer.next_batch = stopping(packer.next_batch, stop)  # type: ignore[method-assign]
    with suppress(Stop):
        loop.train(
            model, packer, config, folder, Progress(silent=True), "", world=world,
            validate=validate, validate_every=3,
        )  # fmt: skip
    return unshare(model, world)


def stopping(next_batch: Callable[[], Batch], stop: int) -> Callable[[], Batch]:
    left = iter(range(stop))

    def limited() -> Batch:
        if next(left, None) is None:
            raise Stop
        return next_batch()

    return limited


def validate(model: Decoder) -> dict[str, float]:
    training = model.training
    model.eval()
    tokens = 200 + torch.arange(64).square().view(2, 32) % 89
    documents = torch.arange(32).div(10, rounding_mode="floor").expand(2, -1)
    with torch.no_grad():
        loss = float(model.loss(tokens, tokens.roll(-1, 1), documents))
    model.train(training)
    return {"zul": loss, "mean": loss}


def forbid_writing(below: Path) -> None:
    """Make this process fail when it changes anything in a folder."""

    def watch(event: str, arguments: tuple) -> None:
        changes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
        if event == "open":
            flags = arguments[2]
            changes = isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if changes and str(arguments[0]).startswith(str(below)):
            raise RuntimeError(f"{event} of {arguments[0]}")

    sys.addaudithook(watch)


def main(runs: Path) -> None:
    torch.set_num_threads(1)
    with join_world() as joined:
        assert joined.size == 2
        if not joined.main:
            forbid_writing(runs.parent)
        for name, job in json.loads(runs.read_text(encoding="utf-8")).items():
            world = replace(joined, strategy=job["strategy"])
            folder = runs.parent / name
            loop.CHECKPOINT_EVERY_S = 0.0 if "stop" in job else 30.0
            loop.SAVING_SHARE = 0
            model = run(folder, TrainConfig(**job["config"]), world, job.get("stop"))
            if world.main and "stop" not in job:
                save_file(dict(model.state_dict()), folder / "weights.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
