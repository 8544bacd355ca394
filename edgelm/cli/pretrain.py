"""`edgelm pretrain`."""

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.options import Output, Precision, Quiet, Seed, print_table


def pretrain(
    corpus: Annotated[Path, typer.Argument(help="A corpus directory.")],
    tokenizer: Annotated[Path, typer.Argument(help="A tokenizer directory.")],
    output: Output,
    preset: Annotated[str, typer.Option(help="Shape: nano, micro, tiny, small or 125m.")] = "nano",
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 500,
    batch: Annotated[int, typer.Option(help="Sequences of the model's context a step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 0.002,
    weight_decay: Annotated[float, typer.Option(help="Decoupled weight decay of the matrices.")] = 0.1,
    temperature: Annotated[
        float, typer.Option(help="1 samples languages by size; higher evens them out.")
    ] = 2.0,
    dropout: Annotated[float, typer.Option(help="Dropout; a small corpus seen many times needs some.")] = 0.0,
    seed: Seed = 0,
    precision: Precision = "auto",
    quiet: Quiet = False,
) -> None:
    """Train a decoder from scratch; an interrupted run continues from its last checkpoint."""
    from edgelm.extras import require
    from edgelm.progress import Progress

    require("torch", "train")
    from edgelm.pretrain.loop import TrainConfig
    from edgelm.pretrain.pretrain import pretrain as work

    config = TrainConfig(
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        dropout=dropout,
        seed=seed,
        precision=precision,
    )
    found = work(
        corpus,
        tokenizer,
        output,
        preset=preset,
        config=config,
        temperature=temperature,
        progress=Progress(quiet=quiet),
    )
    rows = [[code, f"{value:.3f}"] for code, value in found["validation_bits_per_byte"].items()]
    print_table(["language", "bits per byte"], rows, "Validation")
    print(
        f"{found['parameters'] / 1e6:.1f} M parameters, {found['tokens_per_second']:,} tokens/s, in {output}"
    )
