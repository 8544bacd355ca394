"""`edgelm finetune`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edgelm.cli.finetune_tables import Found, report, show_mixture
from edgelm.cli.options import (
    OPTIMISER,
    Dropout,
    Optimizer,
    Output,
    Precision,
    Quiet,
    Seed,
    Select,
    print_table,
    refuse_unused,
    require_metrics,
    split_codes,
)

if TYPE_CHECKING:
    from edgelm.finetune.config import FinetuneConfig
    from edgelm.finetune.repeat import Training
    from edgelm.progress import Progress
    from edgelm.tasks.task import Task

BATCH = {"full": 32, "lora": 32, "head": 8, "ensemble": 8, "auto": 8}
RATES = {"full": 0.002, "lora": 0.01, "head": 0.002, "ensemble": 0.002, "auto": 0.002}
DATA, REGIMES, AGAIN = "Data", "General regime", "Again and again"


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
        Literal["full", "lora", "head", "ensemble", "linear", "crf", "auto"],
        typer.Option(
            help="full: all weights, the model writes the answer. lora: a small adapter does. head: it "
            "labels a text or each word. linear, crf: no decoder, seconds. ensemble: head and linear or crf "
            "decide together. auto: the smallest that is good."
        ),
    ] = "full",
    regime: Annotated[
        Literal["mono", "multi", "general"] | None,
        typer.Option(
            help="mono: a model for each language. multi: one for all languages of a task. general: one for "
            "many tasks, each with a share.",
            show_default="multi, of several tasks general",
        ),
    ] = None,
    languages: Annotated[
        str | None, typer.Option(help="Only these, as in zul,xho; all of the task's.", rich_help_panel=DATA)
    ] = None,
    few: Annotated[
        int,
        typer.Option(
            help="Train on so many examples of each language; 0 is all.", min=0, rich_help_panel=DATA
        ),
    ] = 0,
    prompt: Annotated[
        Literal["english", "native", "both"],
        typer.Option(help="Language of prompts and answers; both draws for each.", rich_help_panel=DATA),
    ] = "english",
    replay: Annotated[
        Path | None,
        typer.Option(help="A corpus to go on learning from beside the task.", rich_help_panel=DATA),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(help="Weight of a task, as in t2x=2; 1 by default.", rich_help_panel=REGIMES),
    ] = None,
    exponent: Annotated[
        float,
        typer.Option(
            help="Of a task's examples in a language: 1 shares by size, 0 evenly.", rich_help_panel=REGIMES
        ),
    ] = 0.3,
    min_share: Annotated[
        float, typer.Option(help="Least share of a task in a language.", rich_help_panel=REGIMES)
    ] = 0.02,
    max_share: Annotated[float, typer.Option(help="Greatest share of one.", rich_help_panel=REGIMES)] = 0.6,
    max_epochs: Annotated[
        float, typer.Option(help="How often its examples are seen at most; 0 any.", rich_help_panel=REGIMES)
    ] = 0.0,
    both_ways: Annotated[
        bool,
        typer.Option(
            "--both-ways", help="With a head, also in an ensemble: words see what comes after them."
        ),
    ] = False,
    rank: Annotated[int, typer.Option(help="Of the adapter.")] = 16,
    alpha: Annotated[int, typer.Option(help="The adapter's part is scaled by alpha / rank.")] = 32,
    shared_base: Annotated[
        bool,
        typer.Option(
            "--shared-base",
            help="Leave the chat's tokens to the base, so that one file of it serves several adapters.",
        ),
    ] = False,
    steps: Annotated[int, typer.Option(help="Optimiser steps.", rich_help_panel=OPTIMISER)] = 150,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Sequences of the model's context a step.",
            show_default="32, with a head 8",
            rich_help_panel=OPTIMISER,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Peak learning rate.", show_default="0.002, of lora 0.01", rich_help_panel=OPTIMISER
        ),
    ] = None,
    optimizer: Optimizer = "muon",
    dropout: Dropout = 0.0,
    layer_decay: Annotated[
        float,
        typer.Option(help="A layer learns at this part of the next one's rate.", rich_help_panel=OPTIMISER),
    ] = 1.0,
    freeze: Annotated[
        int, typer.Option(help="Embedding and lowest layers that do not learn.", rich_help_panel=OPTIMISER)
    ] = 0,
    reinit: Annotated[
        int, typer.Option(help="Highest layers that begin anew.", rich_help_panel=OPTIMISER)
    ] = 0,
    neftune: Annotated[
        float, typer.Option(help="Noise on the embeddings; 5 is usual.", rich_help_panel=OPTIMISER)
    ] = 0.0,
    token_dropout: Annotated[
        float,
        typer.Option(help="Share of tokens that are read as nothing.", rich_help_panel=OPTIMISER),
    ] = 0.0,
    label_smoothing: Annotated[
        float, typer.Option(help="Share of a target that all others get.", rich_help_panel=OPTIMISER)
    ] = 0.0,
    validate_every: Annotated[
        int | None,
        typer.Option(
            help="Steps between validations; 0 validates at the end only.",
            show_default="0, where they decide a tenth of the run",
            min=0,
            rich_help_panel=OPTIMISER,
        ),
    ] = None,
    patience: Annotated[
        int,
        typer.Option(help="End after so many validations without a better one.", rich_help_panel=OPTIMISER),
    ] = 0,
    select: Select = "last",
    seeds: Annotated[
        int, typer.Option(help="Train with so many seeds, from --seed on.", min=1, rich_help_panel=AGAIN)
    ] = 1,
    search: Annotated[
        str | None,
        typer.Option(help="Time to look for a learning rate in, as 10min.", rich_help_panel=AGAIN),
    ] = None,
    seed: Seed = 0,
    precision: Precision = "auto",
    quiet: Quiet = False,
) -> None:
    """Teach a model a task."""
    from edgelm.errors import BadInput
    from edgelm.extras import require
    from edgelm.finetune import repeat
    from edgelm.progress import Progress
    from edgelm.runtime.inside import check_decoder
    from edgelm.tasks.task import load_task

    decoder, writes = method in BATCH, method in ("full", "lora")
    names = words[1:] if decoder else words
    regime = regime or ("general" if writes and len(names) > 1 else "multi")
    without = f"with --method {method}"
    settings = (
        "steps batch learning_rate optimizer dropout token_dropout layer_decay freeze reinit neftune "
        "label_smoothing validate_every patience select seed precision"
    ).split()
    shares = "weight exponent min_share max_share max_epochs".split()
    refuse_unused(
        context,
        {
            **dict.fromkeys(settings, (decoder, without)),
            **dict.fromkeys(("seeds", "search"), (decoder and method != "auto", without)),
            **dict.fromkeys(("replay", "prompt"), (writes, without)),
            **dict.fromkeys(("rank", "alpha", "shared_base"), (method == "lora", without)),
            **dict.fromkeys(shares, (regime == "general", f"with --regime {regime}")),
            "both_ways": (decoder and not writes, without),
            "reinit": (decoder and method != "lora", without),
        },
    )
    require("torch" if decoder else "sklearn", "train")
    if method == "lora":
        require("peft", "train")
    if not names:
        raise BadInput("no task was given", remedy="name one, as in: edgelm finetune MODEL topic -o OUT")
    if regime == "general" and not writes:
        raise BadInput(
            f"--regime general does not suit --method {method}", remedy="use --method full or lora"
        )
    if not decoder and (Path(names[0]) / "config.json").exists():
        raise BadInput(
            f"--method {method} takes no model", remedy=f"leave {names[0]} out and begin with the task"
        )
    if decoder:
        if not Path(words[0]).exists():
            raise BadInput("no such model", file=words[0], remedy="give a model directory, then the task")
        check_decoder(Path(words[0]), heads=not writes)
    tasks = [replace(load_task(name), few=few) for name in names]
    require_metrics(tasks)
    if len(tasks) > 1 and regime != "general":
        what = f"--regime {regime}" if writes else f"--method {method}"
        raise BadInput(f"{what} takes one task at a time", remedy=f"leave {names[1]} out")
    progress, codes = Progress(quiet=quiet), split_codes(languages)

    def small(folder: Path, own: list[str] | None) -> Found:
        from edgelm.finetune.small import finetune_small

        assert method == "linear" or method == "crf"
        return {"": finetune_small(tasks[0], folder, method, languages=own, progress=progress)}

    def decoders(folder: Path, own: list[str] | None) -> Found:
        chosen = training
        if search:
            place = folder.resolve().with_name(f"{folder.resolve().name}-search")
            found = repeat.search(training, place, parse_budget(search, "--search"), own, progress.say)
            rows = [[rate, f"{score:.3f}"] for rate, score in found["scores"].items()]
            print_table(["learning rate", "score"], rows, f"Validation after {found['steps']} steps")
            chosen = repeat.with_best_rate(training, found)
        if seeds > 1:
            return repeat.train_seeds(chosen, folder, seeds, own)
        return {"": chosen(folder, own)}

    train = small
    if decoder:
        from edgelm.finetune.config import FinetuneConfig
        from edgelm.pretrain.plan import parse_budget

        decided = patience > 0 or select == "best"
        if validate_every is None:
            validate_every = max(steps // 10, 1) if decided else 0
        if decided and not validate_every:
            raise BadInput("--validate-every 0 leaves nothing to decide by", remedy="give some steps")
        config = FinetuneConfig(
            steps=steps,
            batch=BATCH[method] if batch is None else batch,
            learning_rate=RATES[method] if learning_rate is None else learning_rate,
            dropout=dropout,
            seed=seed,
            precision=precision,
            optimizer=optimizer,
            select=select,
            layer_decay=layer_decay,
            freeze=freeze,
            reinit=reinit,
            neftune=neftune,
            token_dropout=token_dropout,
            label_smoothing=label_smoothing,
            patience=patience,
        )
        how: dict[str, Any] = {"validate_every": validate_every}
        if writes:
            from edgelm.finetune.lora import Lora
            from edgelm.finetune.regime import Mixing

            mixing = Mixing(exponent, _weights(weight or []), min_share, max_share, max_epochs)
            how |= {
                "lora": Lora(rank, alpha, shared_base) if method == "lora" else None,
                "mixing": mixing if regime == "general" else None,
                "prompts": prompt,
                "replay": replay,
            }
        else:
            how["both_ways"] = both_ways
        training = _training(method, Path(words[0]), tasks, config, how, progress)
        train = decoders
    found: Found
    several = repeat.languages_of(tasks[0], codes) if regime == "mono" else []
    if len(several) > 1:
        by_language = repeat.train_languages(train, output, several)
        found = {
            "/".join(filter(None, (code, name))): one
            for code, runs in by_language.items()
            for name, one in runs.items()
        }
    else:
        found = train(output, codes)
    report(found)


def _training(
    method: str,
    model: Path,
    tasks: "list[Task[Any]]",
    config: "FinetuneConfig",
    how: dict[str, Any],
    progress: "Progress",
) -> "Training":
    """What trains a decoder with this method; `how` are the method's own arguments."""
    from edgelm.finetune.repeat import Training

    def run(folder: Path, settings: "FinetuneConfig", own: list[str] | None) -> dict[str, Any]:
        common: dict[str, Any] = {"config": settings, "languages": own, "progress": progress, **how}
        if method == "head":
            from edgelm.finetune.head import finetune_head

            return finetune_head(model, tasks[0], folder, **common)
        if method == "ensemble":
            from edgelm.finetune.ensemble import finetune_ensemble

            return finetune_ensemble(model, tasks[0], folder, **common)
        if method == "auto":
            from edgelm.finetune.auto import finetune_auto

            return finetune_auto(model, tasks[0], folder, **common)
        from edgelm.finetune.finetune import finetune as finetune_all

        return finetune_all(model, tasks, folder, show=show_mixture, **common)

    said = {name: repr(one) for name, one in how.items() if name != "replay"}
    inputs = [model, *(file for task in tasks for file in task.inputs(("train", "validation")))]
    if how.get("replay"):
        inputs.append(how["replay"])
    return Training(run, config, {"method": method, "tasks": [one.config() for one in tasks], **said}, inputs)


def _weights(given: list[str]) -> dict[str, float]:
    """Weights by task from `task=2`."""
    from edgelm.errors import BadInput

    found = {}
    for one in given:
        name, _, number = one.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise BadInput(f"--weight {one} is not a task and a number", remedy="write it as t2x=2")
    return found
