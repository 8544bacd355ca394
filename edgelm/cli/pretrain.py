"""`edgelm pretrain`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgelm.cli.options import (
    OPTIMISER,
    Dropout,
    Optimizer,
    Precision,
    Quiet,
    Seed,
    Select,
    print_table,
    refuse_unused,
    split_codes,
)

if TYPE_CHECKING:
    from edgelm.progress import Progress

PLAN, START, DATA = "Planning", "Where to start", "Data"
RUNNING = "Running"
FURTHER_RATE = 0.001  # peak learning rate of a model that has been trained before


def pretrain(
    context: typer.Context,
    corpus: Annotated[Path, typer.Argument(help="A corpus directory.")],
    tokenizer: Annotated[Path, typer.Argument(help="A tokenizer directory.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write; made whole or not at all.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Shape of a new model: nano, micro, tiny, small or 125m.", show_default="nano"),
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 500,
    batch: Annotated[int, typer.Option(help="Sequences of the model's context a step.")] = 32,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Measure for some seconds, propose settings, train nothing.", rich_help_panel=PLAN
        ),
    ] = False,
    budget: Annotated[
        str, typer.Option(help="Time that --plan may fill: 30min, 8h.", rich_help_panel=PLAN)
    ] = "30min",
    init_from: Annotated[
        Path | None,
        typer.Option(help="Begin with this model's weights instead of new ones.", rich_help_panel=START),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            help="Go on with an interrupted run of the same settings, or begin it again.",
            rich_help_panel=START,
        ),
    ] = True,
    extend_languages: Annotated[
        str | None,
        typer.Option(
            help="Languages, as ven,tso, that the model of --init-from learns.", rich_help_panel=START
        ),
    ] = None,
    new_tokens: Annotated[
        int, typer.Option(help="Tokens to add for new languages.", min=0, rich_help_panel=START)
    ] = 1000,
    replay: Annotated[
        float,
        typer.Option(help="Share of the text that is of languages the model knows.", rich_help_panel=START),
    ] = 0.75,
    both_ways: Annotated[
        bool,
        typer.Option(
            "--both-ways",
            help="Guess hidden words from both sides: for heads; such a model does not write.",
            rich_help_panel=START,
        ),
    ] = False,
    sampling: Annotated[
        Literal["temperature", "unimax"],
        typer.Option(
            help="Shares of languages: by size, or equal under a cap of epochs.", rich_help_panel=DATA
        ),
    ] = "temperature",
    temperature: Annotated[
        float, typer.Option(help="1 samples languages by size; higher evens them out.", rich_help_panel=DATA)
    ] = 2.0,
    max_epochs: Annotated[
        float, typer.Option(help="How often unimax lets a language be read.", rich_help_panel=DATA)
    ] = 4.0,
    optimizer: Optimizer = "muon",
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Peak learning rate.", show_default="by preset", rich_help_panel=OPTIMISER),
    ] = None,
    schedule: Annotated[
        Literal["wsd", "cosine"],
        typer.Option(help="Warm-up, stable, decay; or cosine.", rich_help_panel=OPTIMISER),
    ] = "wsd",
    warmup: Annotated[int, typer.Option(help="Steps of linear warm-up.", rich_help_panel=OPTIMISER)] = 20,
    decay: Annotated[
        float,
        typer.Option(help="Share of the steps over which wsd falls to zero.", rich_help_panel=OPTIMISER),
    ] = 0.5,
    weight_decay: Annotated[
        float, typer.Option(help="Decoupled weight decay of the matrices.", rich_help_panel=OPTIMISER)
    ] = 0.1,
    dropout: Dropout = 0.0,
    clip: Annotated[
        float, typer.Option(help="Largest norm of the gradient.", rich_help_panel=OPTIMISER)
    ] = 1.0,
    z_loss: Annotated[
        float, typer.Option(help="Penalty on large logits; 1e-4 for long runs.", rich_help_panel=OPTIMISER)
    ] = 0.0,
    ema: Annotated[
        float,
        typer.Option(help="Give out a moving average of the weights, as 0.999.", rich_help_panel=OPTIMISER),
    ] = 0.0,
    select: Select = "last",
    seed: Seed = 0,
    precision: Precision = "auto",
    micro_batch: Annotated[
        int,
        typer.Option(help="Sequences computed at a time; 0 chooses by free memory.", rich_help_panel=RUNNING),
    ] = 0,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Less memory, a third slower.", rich_help_panel=RUNNING)
    ] = False,
    compile: Annotated[
        Literal["auto", "on", "off"], typer.Option(help="Compile the layers.", rich_help_panel=RUNNING)
    ] = "auto",
    validate_every: Annotated[
        int | None,
        typer.Option(
            help="Steps between validations; 0 validates at the end only.",
            show_default="a tenth of the run",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    keep: Annotated[
        int, typer.Option(help="Checkpoints kept while training.", min=1, rich_help_panel=RUNNING)
    ] = 2,
    strategy: Annotated[
        Literal["ddp", "fsdp"],
        typer.Option(help="How processes started by torchrun share the model.", rich_help_panel=RUNNING),
    ] = "ddp",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard's files too.", rich_help_panel=RUNNING)
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train a decoder from scratch, or one further; an interrupted run continues from its last checkpoint."""
    from edgelm.errors import BadInput
    from edgelm.extras import require
    from edgelm.progress import Progress

    require("torch", "train")
    if tensorboard:
        require("tensorboard", "tensorboard")
    planned = {"corpus", "tokenizer", "output", "plan", "budget", "quiet", "help"}
    extending = (bool(extend_languages), "without --extend-languages")
    if plan:
        unplanned = [name for name in context.params if name not in planned]
        refuse_unused(context, dict.fromkeys(unplanned, (False, "with --plan")))
    refuse_unused(
        context,
        {
            "budget": (plan, "without --plan"),
            "new_tokens": extending,
            "replay": extending,
            "max_epochs": (sampling == "unimax", "without --sampling unimax"),
            "decay": (schedule == "wsd", "with --schedule cosine"),
            "strategy": ("WORLD_SIZE" in os.environ, "in one process; torchrun starts several"),
        },
    )
    if plan:
        _plan(corpus, tokenizer, output or Path("base"), budget, Progress(quiet=quiet))
        return
    from edgelm.pretrain.config import TrainConfig
    from edgelm.pretrain.plan import learning_rates
    from edgelm.pretrain.pretrain import DataConfig
    from edgelm.pretrain.pretrain import pretrain as work

    usual = FURTHER_RATE if init_from else learning_rates().get(preset or "nano", FURTHER_RATE)
    config = TrainConfig(
        steps=steps,
        batch=batch,
        learning_rate=usual if learning_rate is None else learning_rate,
        warmup=warmup,
        weight_decay=weight_decay,
        dropout=dropout,
        clip=clip,
        seed=seed,
        precision=precision,
        optimizer=optimizer,
        schedule=schedule,
        decay=decay,
        z_loss=z_loss,
        ema=ema,
        select=select,
        micro_batch=micro_batch,
        recompute=recompute,
        compile=compile,
    )
    data = DataConfig(
        sampling=sampling,
        temperature=temperature,
        max_epochs=max_epochs,
        extend_languages=tuple(split_codes(extend_languages) or ()),
        new_tokens=new_tokens,
        replay=replay,
        both_ways=both_ways,
    )
    if output is None:
        raise BadInput("no --output was given", remedy="name a folder, as in: -o base")
    found = work(
        corpus,
        tokenizer,
        output,
        preset=preset,
        config=config,
        data=data,
        init_from=init_from,
        validate_every=validate_every,
        keep=keep,
        resume=resume,
        strategy=strategy,
        tensorboard=tensorboard,
        progress=Progress(quiet=quiet),
    )
    if "parameters" not in found:
        return  # one of several processes; the main one speaks
    measure = "bits per hidden token" if both_ways else "bits per byte"
    bits = found[f"validation_{measure.replace(' ', '_')}"]
    print_table(["language", measure], [[code, f"{value:.3f}"] for code, value in bits.items()], "Validation")
    print(
        f"{found['parameters'] / 1e6:.1f} M parameters, {found['tokens_per_second']:,} tokens/s "
        f"({found['mfu']:.0%} of this machine's peak in {found['precision']}), in {output}; "
        f"{output}/curve.html shows how it went"
    )


def _plan(corpus: Path, tokenizer: Path, output: Path, budget: str, progress: "Progress") -> None:
    from edgelm.pretrain.plan import parse_budget
    from edgelm.pretrain.plan import plan as work

    found = work(corpus, tokenizer, parse_budget(budget), progress)
    rows = [
        [
            one.preset,
            f"{one.parameters / 1e6:.1f} M",
            f"{one.tokens_per_second:,.0f}{' (estimated)' if one.estimated else ''}",
            f"{one.tokens / 1e6:,.1f} M",
            f"{one.epochs:.3g}" if one.epochs < 1000 else f"{one.epochs:,.0f}",
            f"{one.memory / 1e9:.1f} GB",
            "yes" if one.fits else "no",
        ]
        for one in found.candidates
    ]
    header = ["preset", "parameters", "tokens/s", f"tokens in {budget}", "epochs", "memory", "fits"]
    print_table(header, rows, f"A corpus of about {found.corpus_tokens / 1e6:,.1f} M tokens")
    print(f"Proposed, for about {found.chosen.seconds / 60:,.1f} minutes of training:\n")
    print(f"  {found.command(corpus, tokenizer, output)}")
    for number, warning in enumerate(found.warnings):
        print(f"{'' if number else chr(10)}warning: {warning}.")
