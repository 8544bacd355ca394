"""`edgelm finetune`."""

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.options import Output, Precision, Quiet, Seed, print_table, split_codes


def finetune(
    model: Annotated[Path, typer.Argument(help="A model directory.")],
    tasks: Annotated[list[str], typer.Argument(help="Tasks by name or YAML file, such as: topic")],
    output: Output,
    languages: Annotated[
        str | None, typer.Option(help="Only these, as in zul,xho; all of the task's.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="A corpus to go on learning from beside the task.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 150,
    batch: Annotated[int, typer.Option(help="Sequences of the model's context a step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 0.002,
    dropout: Annotated[float, typer.Option(help="Dropout; a small corpus seen many times needs some.")] = 0.0,
    seed: Seed = 0,
    precision: Precision = "auto",
    quiet: Quiet = False,
) -> None:
    """Teach a pretrained decoder a task: all weights, loss on the answer only."""
    from edgelm.extras import require
    from edgelm.progress import Progress
    from edgelm.tasks.classification import load_task

    require("torch", "train")
    from edgelm.finetune.finetune import finetune as work
    from edgelm.pretrain.config import TrainConfig

    config = TrainConfig(
        steps=steps, batch=batch, learning_rate=learning_rate, dropout=dropout, seed=seed, precision=precision
    )
    found = work(
        model,
        [load_task(task) for task in tasks],
        output,
        config=config,
        languages=split_codes(languages),
        replay=replay,
        progress=Progress(quiet=quiet),
    )
    rows = [
        [
            name,
            f"{one['macro_f1']:.3f}",
            f"{one['interval'][0]:.2f}-{one['interval'][1]:.2f}",
            str(one["items"]),
        ]
        for name, one in found["tasks"].items()
    ]
    print_table(["task", "macro-F1", "95 %", "items"], rows, "Validation")
