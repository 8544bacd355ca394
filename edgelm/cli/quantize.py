"""`edgelm quantize`."""

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.options import Optimizer, Output, Precision, Quiet, Seed, Window, print_table


def quantize(
    model: Annotated[Path, typer.Argument(help="A model directory.")],
    output: Output,
    to: Annotated[str, typer.Option(help="The format to finish it for, such as gguf:Q4_0 or onnx:int4.")],
    text: Annotated[Path, typer.Option(help="A corpus, or a folder of text like that it is for.")],
    qat: Annotated[
        bool, typer.Option("--qat", help="Let the model learn as what the format leaves of it.")
    ] = False,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 100,
    batch: Annotated[int, typer.Option(help="Sequences a step.")] = 8,
    context: Window = None,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 0.0001,
    optimizer: Optimizer = "adamw",
    seed: Seed = 0,
    precision: Precision = "auto",
    quiet: Quiet = False,
) -> None:
    """Finish a model for a format of few bits: it learns to do with them what it did in float32."""
    from edgelm.errors import BadInput
    from edgelm.extras import require
    from edgelm.progress import Progress

    if not qat:
        raise BadInput(
            "without training, edgelm export quantises", remedy="give --qat, or run edgelm export instead"
        )
    require("torch", "train")
    from edgelm.export.finish import finish
    from edgelm.pretrain.config import TrainConfig

    config = TrainConfig(
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        warmup=min(10, steps // 5),
        weight_decay=0.0,
        optimizer=optimizer,
        decay=1.0,
        seed=seed,
        precision=precision,
    )
    found = finish(
        model, output, to, text=text, config=config, context=context, progress=Progress(quiet=quiet)
    )
    before, after = found["before"], found["after"]
    rows = [["float32", "0", "1.000", f"{before['bits_per_byte_before']:.4f}"]]
    for what, one in ((to, before), (f"{to}, finished", after)):
        rows.append([what, f"{one['kl']:.5f}", f"{one['top1']:.3f}", f"{one['bits_per_byte']:.4f}"])
    header = ["format", "KL", "same top token", "bits per byte"]
    print_table(header, rows, "Against the parent in float32, on held-out text")
    if not found["helped"]:
        print("It did not help: the weights are the parent's. Try a lower --learning-rate or more --steps.")
        return
    print(f"next: edgelm export {output} --to {to} -o EXPORT; each language: {output}/finishing.json")
