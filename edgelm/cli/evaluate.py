"""`edgelm evaluate`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from edgelm.cli.options import Adapter, Output, Quiet, print_table, require_metrics, split_codes

WRITING = "Models that write"


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(help="A .gguf file, an ONNX folder or a directory of any model that edgelm makes."),
    ],
    output: Output,
    tasks: Annotated[
        list[str] | None, typer.Argument(help="Names from edgelm tasks list, or YAML files.")
    ] = None,
    adapter: Adapter = None,
    corpus: Annotated[
        Path | None, typer.Option(help="A corpus, on whose text bits per byte are measured as well.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Which part of the data: test, or validation while you still choose.")
    ] = "test",
    languages: Annotated[
        str | None,
        typer.Option(
            help="Evaluate in these languages, as in zul,xho.",
            show_default="those that the model was finetuned on for the task, else all",
        ),
    ] = None,
    backend: Annotated[
        Literal["torch", "onnx", "gguf"] | None,
        typer.Option(
            help="Evaluate in another runtime, for which the model directory is exported first.",
            show_default="what the model is made for",
        ),
    ] = None,
    prompt: Annotated[
        Literal["english", "native", "auto"],
        typer.Option(
            help="Language in which a model that writes is asked: English, that of the text, or (auto) the "
            "one that does better on validation.",
            rich_help_panel=WRITING,
        ),
    ] = "english",
    beams: Annotated[
        int,
        typer.Option(
            help="Texts written side by side to find the likeliest; 1 takes the likeliest token each time.",
            min=1,
            max=64,
            rich_help_panel=WRITING,
        ),
    ] = 1,
    quiet: Quiet = False,
) -> None:
    """Score a model on tasks beside baselines, and its bits per byte on a corpus.

    edgelm evaluate MODEL topic -o OUT: results.md in OUT sets the model beside models that cost nothing.
    """
    from edgelm.errors import BadInput
    from edgelm.evaluate.backend import for_backend
    from edgelm.evaluate.evaluate import JUDGED, Splits, clear_results, evaluate_baselines, write_results
    from edgelm.evaluate.evaluate import evaluate as work
    from edgelm.evaluate.languages import Languages, languages_of, usual_languages
    from edgelm.evaluate.scores import ALL
    from edgelm.evaluate.tables import HEADER, cells
    from edgelm.evaluate.tables import rows as table_rows
    from edgelm.extras import require
    from edgelm.progress import Progress
    from edgelm.shipped import find
    from edgelm.tasks.task import load_task

    if not tasks and corpus is None:
        raise BadInput("nothing to evaluate on", remedy="name a task, or a corpus with --corpus")
    if tasks:
        require("sklearn", "train")  # now, not after the model has been measured
    loaded = [load_task(task) for task in tasks or []]
    require_metrics(loaded)
    progress = Progress(quiet=quiet)
    codes = split_codes(languages)
    model = find(model)
    if not model.exists():
        raise BadInput("no such model", file=model, remedy="give a .gguf file or a model directory")
    own: Languages = codes
    notes: list[str] = []
    if codes is None and split in JUDGED:
        usual = {task.name: usual_languages(adapter or model, task, split) for task in loaded}
        own = {name: found for name, (found, _) in usual.items()}
        notes = [why for _, why in usual.values()]
    clear_results(output)
    splits = Splits()
    found = work(
        for_backend(model, backend, output / "export", progress) if backend else model,
        output / "model",
        adapter=adapter,
        corpus=corpus,
        tasks=loaded,
        split=split,
        languages=own,
        prompt=prompt,
        beams=beams,
        name=model.resolve().name,
        splits=splits,
        progress=progress,
    )
    print("\n".join(notes), end="\n" if notes else "")
    if found["bits_per_byte"]:
        measured = found["perplexity"]
        rows = [
            [code, f"{value:.3f}", f"{measured[code]:,.1f}"] for code, value in found["bits_per_byte"].items()
        ]
        print_table(["language", "bits per byte", "perplexity"], rows)
        print(f"perplexity is per token of this model's tokenizer of {found['tokenizer']['tokens']:,} tokens")
    if loaded:
        cheap = output / "baselines"
        evaluate_baselines(cheap, loaded, split, own, progress, splits)
        entries = write_results(output, [output / "model"], cheap, loaded, split, own, splits)
        for task in loaded:
            for code, count in found["tasks"][task.name].get("leaked", {}).items():
                print(
                    f"warning: {count} {split} texts of {task.name} in {code} are in its training data too, "
                    f"which favours what learnt them: edgelm tasks check {task.name}"
                )
        alike = {tuple(languages_of(task, own) or ()) for task in loaded}
        of = f" of {', '.join(min(alike))}" if len(alike) == 1 else ""
        several = {one["task"] for one in entries if one["language"] == ALL}
        shown = [one for one in entries if one["language"] == ALL or one["task"] not in several]
        kept = [HEADER.index(name) for name in ("task", "system", "score", HEADER[-1])]
        rows = [[cells(row)[column] for column in kept] for row in table_rows(shown)]
        print_table([HEADER[column] for column in kept], rows, f"{split}{of}, with 95 % intervals")
        print(f"each language, further metrics and chance: {output}/results.md, also as .tex and .json")
