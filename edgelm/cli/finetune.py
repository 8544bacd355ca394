"""`edgelm finetune`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgelm.cli.finetune_tables import Found, report, show_search
from edgelm.cli.finetune_training import make_training, read_weights
from edgelm.cli.options import (
    OPTIMISER,
    Dropout,
    Optimizer,
    Output,
    Precision,
    Quiet,
    Seed,
    Select,
    Window,
    refuse_unused,
    require_metrics,
    split_codes,
)

BATCH = {"full": 32, "lora": 32, "head": 8, "ensemble": 8, "auto": 8}
RATES = {"full": 0.002, "lora": 0.01, "head": 0.002, "ensemble": 0.002, "auto": 0.002}
DATA, REGIMES, AGAIN = "Data", "General regime", "Several runs"
ADAPTER, HEADS, SMALL = "Adapter (lora)", "Head (head, ensemble, auto)", "Without a language model"
JUDGING = "Validation while training"


def finetune(
    call: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] TASK...",
            help="The directory of a pretrained model (not with linear and crf); then a task, or several: a "
            "name from edgelm tasks list, or a YAML file.",
        ),
    ],
    output: Output,
    method: Annotated[
        Literal["full", "lora", "head", "ensemble", "linear", "crf", "auto"],
        typer.Option(
            help="What is trained. full: all weights, to write answers. lora: a small adapter, to write "
            "answers. head: all weights and a layer that labels a text or each word. linear (labels of a "
            "text), crf (tags of words): no language model, done in seconds. ensemble: a head, and linear or "
            "crf beside it. auto: all of these that label, and keeps the smallest that is as good."
        ),
    ] = "full",
    regime: Annotated[
        Literal["mono", "multi", "general"] | None,
        typer.Option(
            help="mono: a model for each language, in OUTPUT/zul and so on. multi: one model for all "
            "languages of one task. general: one model for several tasks, each with a share of the training.",
            show_default="multi; with several tasks general",
        ),
    ] = None,
    languages: Annotated[
        str | None,
        typer.Option(
            help="Train on these languages only, as in zul,xho.",
            show_default="all of the task's",
            rich_help_panel=DATA,
        ),
    ] = None,
    few: Annotated[
        int,
        typer.Option(
            help="Train on so many examples of each language, to see what few labels give; 0 is all.",
            min=0,
            rich_help_panel=DATA,
        ),
    ] = 0,
    prompt: Annotated[
        Literal["english", "native", "both"],
        typer.Option(
            help="Language of the questions and answers that are learnt: English, that of the example, or "
            "one of the two drawn for each example.",
            rich_help_panel=DATA,
        ),
    ] = "english",
    replay: Annotated[
        Path | None,
        typer.Option(
            help="A corpus (edgelm corpus build): half of what is read stays plain text, so that the model "
            "goes on writing as well as it did.",
            rich_help_panel=DATA,
        ),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            help="Twice as much of one task: t2x=2; repeat for more tasks.",
            show_default="1 for each",
            rich_help_panel=REGIMES,
        ),
    ] = None,
    exponent: Annotated[
        float,
        typer.Option(
            help="How much the number of examples counts: 1 shares by size, 0 evenly.",
            rich_help_panel=REGIMES,
        ),
    ] = 0.3,
    min_share: Annotated[
        float, typer.Option(help="Least share of a task in a language, from 0 to 1.", rich_help_panel=REGIMES)
    ] = 0.02,
    max_share: Annotated[
        float,
        typer.Option(help="Greatest share of a task in a language, from 0 to 1.", rich_help_panel=REGIMES),
    ] = 0.6,
    max_epochs: Annotated[
        float,
        typer.Option(help="Times that an example is seen at most; 0 is any number.", rich_help_panel=REGIMES),
    ] = 0.0,
    both_ways: Annotated[
        bool,
        typer.Option(
            "--both-ways",
            help="Let words see those after them: better tags, and a model that runs in edgelm only.",
            rich_help_panel=HEADS,
        ),
    ] = False,
    rank: Annotated[
        int,
        typer.Option(help="Size of the adapter: the rank of its matrices.", rich_help_panel=ADAPTER),
    ] = 16,
    alpha: Annotated[
        int, typer.Option(help="The adapter counts by alpha / rank.", rich_help_panel=ADAPTER)
    ] = 32,
    shared_base: Annotated[
        bool,
        typer.Option(
            "--shared-base",
            help="Leave the chat's tokens as the base has them, so that one file of the base serves several "
            "adapters.",
            rich_help_panel=ADAPTER,
        ),
    ] = False,
    steps: Annotated[
        int,
        typer.Option(help="Steps of training, a batch each.", rich_help_panel=OPTIMISER),
    ] = 150,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Sequences a step, each of --context tokens and packed with examples.",
            show_default="32, with a head 8",
            rich_help_panel=OPTIMISER,
        ),
    ] = None,
    context: Window = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="The highest learning rate of the run.",
            show_default="0.002, with lora 0.01",
            rich_help_panel=OPTIMISER,
        ),
    ] = None,
    optimizer: Optimizer = "muon",
    dropout: Dropout = 0.0,
    layer_decay: Annotated[
        float,
        typer.Option(
            help="Each layer learns at this part of the rate of the one above it; 1 is all alike.",
            rich_help_panel=OPTIMISER,
        ),
    ] = 1.0,
    freeze: Annotated[
        int,
        typer.Option(
            help="Keep the embedding and so many of the lowest layers as they are; 0 keeps none.",
            rich_help_panel=OPTIMISER,
        ),
    ] = 0,
    reinit: Annotated[
        int,
        typer.Option(
            help="Begin so many of the highest layers anew, with random weights.", rich_help_panel=OPTIMISER
        ),
    ] = 0,
    neftune: Annotated[
        float,
        typer.Option(
            help="Noise on the embeddings while training; 5 is usual, 0 none.", rich_help_panel=OPTIMISER
        ),
    ] = 0.0,
    token_dropout: Annotated[
        float,
        typer.Option(
            help="Share of the tokens hidden from the model while it trains, from 0 to 1.",
            rich_help_panel=OPTIMISER,
        ),
    ] = 0.0,
    label_smoothing: Annotated[
        float,
        typer.Option(
            help="Share of each right answer that is spread over all others; 0.1 is usual.",
            rich_help_panel=OPTIMISER,
        ),
    ] = 0.0,
    validate_every: Annotated[
        int | None,
        typer.Option(
            help="Validate every so many steps as well; 0 only at the end.",
            show_default="0; with --patience or --select best a tenth of the steps",
            min=0,
            rich_help_panel=JUDGING,
        ),
    ] = None,
    validation_examples: Annotated[
        int | None,
        typer.Option(
            help="Examples of a task that these validations read, the same each time; 0 is all. The score at "
            "the end is always of all.",
            show_default="100 where answers are written, 400 where ranked, all with a head",
            min=0,
            rich_help_panel=JUDGING,
        ),
    ] = None,
    patience: Annotated[
        int,
        typer.Option(
            help="End early after so many validations without a better score; 0 never does.",
            rich_help_panel=JUDGING,
        ),
    ] = 0,
    select: Select = "last",
    min_df: Annotated[
        int,
        typer.Option(
            "--min-df",
            help="Leave out n-grams that fewer training texts have, and what is rarer of words: a smaller "
            "file, a little worse.",
            min=1,
            rich_help_panel=SMALL,
        ),
    ] = 1,
    seeds: Annotated[
        int,
        typer.Option(
            help="Train so many models, each with the next seed, and give mean and spread.",
            min=1,
            rich_help_panel=AGAIN,
        ),
    ] = 1,
    search: Annotated[
        str | None,
        typer.Option(
            help="First try five learning rates for so long together, as 10min, and train with the best.",
            rich_help_panel=AGAIN,
        ),
    ] = None,
    seed: Seed = 0,
    precision: Precision = "auto",
    quiet: Quiet = False,
) -> None:
    """Teach a model a task, from examples with answers.

    edgelm finetune MODEL topic -o OUT: the model learns to write the answers.
    edgelm finetune MODEL masakhaner --method head -o OUT: it tags words.
    edgelm finetune masakhaner --method crf -o OUT: no language model is needed.
    """
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
        "steps batch context learning_rate optimizer dropout token_dropout layer_decay freeze reinit neftune "
        "label_smoothing validate_every validation_examples patience select seed precision"
    ).split()
    shares = "weight exponent min_share max_share max_epochs".split()
    refuse_unused(
        call,
        {
            **dict.fromkeys(settings, (decoder, without)),
            **dict.fromkeys(("seeds", "search"), (decoder and method != "auto", without)),
            **dict.fromkeys(("replay", "prompt"), (writes, without)),
            **dict.fromkeys(("rank", "alpha", "shared_base"), (method == "lora", without)),
            **dict.fromkeys(shares, (regime == "general", f"with --regime {regime}")),
            "both_ways": (decoder and not writes, without),
            "min_df": (not decoder, without),
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
        found = finetune_small(tasks[0], folder, method, languages=own, min_df=min_df, progress=progress)
        return {"": found}

    def decoders(folder: Path, own: list[str] | None) -> Found:
        chosen = training
        if search:
            place = folder.resolve().with_name(f"{folder.resolve().name}-search")
            found = repeat.search(training, place, parse_budget(search, "--search"), own, progress.say)
            show_search(found, steps, seeds)
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
            context=context,
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
        if validation_examples is not None and not validate_every:
            raise BadInput(
                "--validation-examples does nothing without validations while training",
                remedy="give --validate-every as well",
            )
        how: dict[str, Any] = {"validate_every": validate_every}
        if validation_examples is not None:
            how["validation_examples"] = validation_examples
        if writes:
            from edgelm.finetune.lora import Lora
            from edgelm.finetune.regime import Mixing

            mixing = Mixing(exponent, read_weights(weight or []), min_share, max_share, max_epochs)
            how |= {
                "lora": Lora(rank, alpha, shared_base) if method == "lora" else None,
                "mixing": mixing if regime == "general" else None,
                "prompts": prompt,
                "replay": replay,
            }
        else:
            how["both_ways"] = both_ways
        training = make_training(method, Path(words[0]), tasks, config, how, progress)
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
