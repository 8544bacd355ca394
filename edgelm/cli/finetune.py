"""`edgelm finetune`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgelm.cli.options import (
    Output,
    Precision,
    Quiet,
    Seed,
    print_table,
    refuse_unused,
    require_metrics,
    split_codes,
)

BATCH = {"full": 32, "head": 8}


def finetune(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] TASK...",
            help="A model directory, which linear and crf do without; then tasks by name or YAML file.",
        ),
    ],
    output: Output,
    method: Annotated[
        Literal["full", "head", "linear", "crf"],
        typer.Option(
            help="full: all weights, the model writes the answer. head: it labels a text or each word. "
            "linear, crf: no decoder, seconds."
        ),
    ] = "full",
    languages: Annotated[
        str | None, typer.Option(help="Only these, as in zul,xho; all of the task's.")
    ] = None,
    both_ways: Annotated[
        bool, typer.Option("--both-ways", help="With a head: words see what comes after them.")
    ] = False,
    replay: Annotated[
        Path | None, typer.Option(help="A corpus to go on learning from beside the task.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 150,
    batch: Annotated[
        int | None, typer.Option(help="Sequences of the model's context a step; 32, with a head 8.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 0.002,
    dropout: Annotated[float, typer.Option(help="Dropout; a small corpus seen many times needs some.")] = 0.0,
    seed: Seed = 0,
    precision: Precision = "auto",
    quiet: Quiet = False,
) -> None:
    """Teach a model a task."""
    from edgelm.errors import BadInput
    from edgelm.extras import require
    from edgelm.progress import Progress
    from edgelm.tasks.task import load_task

    decoder = method in BATCH
    training = ("steps", "batch", "learning_rate", "dropout", "seed", "precision")
    refuse_unused(
        context,
        {
            **dict.fromkeys(training, (decoder, f"with --method {method}")),
            "both_ways": (method == "head", f"with --method {method}"),
            "replay": (method == "full", f"with --method {method}"),
        },
    )
    require("torch" if decoder else "sklearn", "train")
    names = words[1:] if decoder else words
    if not names:
        raise BadInput("no task was given", remedy="name one, as in: edgelm finetune MODEL topic -o OUT")
    tasks = [load_task(name) for name in names]
    require_metrics(tasks)
    if method != "full" and len(tasks) > 1:
        raise BadInput(f"--method {method} takes one task at a time", remedy=f"leave {names[1]} out")
    progress, codes = Progress(quiet=quiet), split_codes(languages)
    found: dict[str, Any]
    if method == "linear" or method == "crf":
        from edgelm.finetune.small import finetune_small

        found = finetune_small(tasks[0], output, method, languages=codes, progress=progress)
    else:
        from edgelm.finetune.finetune import finetune as finetune_all
        from edgelm.finetune.head import finetune_head
        from edgelm.pretrain.config import TrainConfig

        config = TrainConfig(
            steps=steps,
            batch=BATCH[method] if batch is None else batch,
            learning_rate=learning_rate,
            dropout=dropout,
            seed=seed,
            precision=precision,
        )
        model = Path(words[0])
        if method == "head":
            found = finetune_head(
                model,
                tasks[0],
                output,
                config=config,
                languages=codes,
                both_ways=both_ways,
                progress=progress,
            )
        else:
            found = finetune_all(
                model, tasks, output, config=config, languages=codes, replay=replay, progress=progress
            )
    rows = [
        [
            name,
            one["metric"],
            f"{one[one['metric']]:.3f}",
            f"{one['interval'][0]:.2f}-{one['interval'][1]:.2f}",
            str(one["items"]),
        ]
        for name, one in found["tasks"].items()
    ]
    if rows:
        print_table(["task", "metric", "score", "95 %", "items"], rows, "Validation")
    else:
        print("There is no validation split in these languages, so there is no score.")
