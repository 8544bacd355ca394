"""Runs of the training loop on a model and documents so small that twenty steps are done at once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgelm.model.config import ModelConfig
from edgelm.model.decoder import Decoder
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.loop import train
from edgelm.pretrain.packing import Batch, Packer
from edgelm.pretrain.probe import ANSWERS
from edgelm.pretrain.sampling import CorpusSource
from edgelm.pretrain.tokens import TokenShard
from edgelm.progress import Progress
from edgelm.tokenizer.text import TextTokenizer

SHAPE = ModelConfig(512, 64, 128, 2, 4, 2, 32)
CONFIG = TrainConfig(steps=20, batch=4, learning_rate=0.01, warmup=4, seed=1, precision="fp32")


class Stop(Exception):
    """What an interrupted run ends with."""


def shards() -> dict[str, TokenShard]:
    """Two languages of 40 documents each, of ids that follow a rule which a model can learn."""
    found = {}
    for number, code in enumerate(("xho", "zul")):
        lengths = [5 + (7 * n + number) % 23 for n in range(40)]
        ids = [300 - (place * place * (number + 3)) % 89 for place in range(sum(lengths))]
        found[code] = TokenShard(np.array(ids), np.cumsum([0, *lengths]))
    return found


def setting(tokenizer: TextTokenizer, seed: int = 1) -> tuple[Decoder, Packer]:
    """A new model of `seed`'s weights, and the documents; both as a run begins with."""
    model = Decoder(SHAPE)
    model.init_weights(torch.Generator().manual_seed(seed))
    return model, Packer(CorpusSource(shards(), tokenizer, seed=1), batch=4, context=32, pad=2)


def answer(folder: Path, config: TrainConfig, rows: int = 4) -> Path:
    """`folder`, with the answers that a measured run would begin with: one thread, nothing compiled."""
    folder.mkdir(parents=True, exist_ok=True)
    answers = {
        "dtype": {"fp32": "float32", "bf16": "bfloat16"}[config.precision],
        "threads": 1,
        "compiled": False,
        "micro_batch": min(config.micro_batch or rows, rows),
        "peak": 1e11,
    }
    (folder / ANSWERS).write_text(json.dumps(answers), encoding="utf-8")
    return folder


def run(
    folder: Path, tokenizer: TextTokenizer, config: TrainConfig = CONFIG, **options: Any
) -> tuple[Decoder, dict[str, Any]]:
    """Train a model of the config's seed in `folder`; the model and the figures."""
    model, packer = setting(tokenizer, config.seed)
    figures = train(model, packer, config, answer(folder, config), Progress(silent=True), "", **options)
    return model, figures


def before_batch(packer: Packer, number: int, do: Callable[[], Any]) -> None:
    """Call `do` before `packer` gives out that batch, counted from 0."""
    original, given = packer.next_batch, 0

    def next_batch() -> Batch:
        nonlocal given
        if given == number:
            do()
        given += 1
        return original()

    packer.next_batch = next_batch  # type: ignore[method-assign]


def stop_at(packer: Packer, batches: int) -> None:
    """Let `packer` fail at that batch."""

    def stop() -> None:
        raise Stop

    before_batch(packer, batches, stop)


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def weights(model: Decoder) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(weight, two[name]) for name, weight in one.items())


def folders(folder: Path, name: str) -> list[str]:
    """Names of the folders in `folder` that begin with `name`, sorted."""
    return sorted(path.name for path in folder.glob(f"{name}*"))
