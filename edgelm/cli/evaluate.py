"""`edgelm evaluate`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from edgelm.cli.options import (
    Adapter,
    Output,
    Quiet,
    print_table,
    require_metrics,
    split_codes,
    trained_languages,
)


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(help="A .gguf file, an ONNX folder or a directory of any model that edgelm makes."),
    ],
    output: Output,
    tasks: Annotated[list[str] | None, typer.Argument(help="Tasks by name or YAML file.")] = None,
    adapter: Adapter = None,
    corpus: Annotated[Path | None, typer.Option(help="A corpus to measure bits per byte on.")] = None,
    split: Annotated[str, typer.Option(help="test or validation.")] = "test",
    languages: Annotated[
        str | None, typer.Option(help="Only these of the tasks', as in zul,xho; by default the model's own.")
    ] = None,
    backend: Annotated[
        Literal["torch", "onnx", "gguf"] | None,
        typer.Option(help="Export a model directory at full precision and evaluate that."),
    ] = None,
    prompt: Annotated[
        Literal["english", "native", "auto"],
        typer.Option(help="Language of the prompts; auto takes the better one on validation."),
    ] = "english",
    beams: Annotated[int, typer.Option(help="Texts written side by side; 1 is greedy.", min=1, max=64)] = 1,
    quiet: Quiet = False,
) -> None:
    """Measure bits per byte on a corpus and scores on tasks, beside baselines."""
    from edgelm.errors import BadInput
    from edgelm.evaluate.backend import for_backend
    from edgelm.evaluate.evaluate import Splits, clear_results, evaluate_baselines, write_results
    from edgelm.evaluate.evaluate import evaluate as work
    from edgelm.evaluate.scores import ALL
    from edgelm.evaluate.tables import HEADER, cells
    from edgelm.evaluate.tables import rows as table_rows
    from edgelm.extras import require
    from edgelm.progress import Progress
    from edgelm.tasks.task import load_task

    if not tasks and corpus is None:
        raise BadInput("nothing to evaluate on", remedy="name a task, or a corpus with --corpus")
    if tasks:
        require("sklearn", "train")  # now, not after the model has been measured
    loaded = [load_task(task) for task in tasks or []]
    require_metrics(loaded)
    progress = Progress(quiet=quiet)
    codes = split_codes(languages)
    if codes is None and (trained := trained_languages(model)):
        codes = [code for code in trained if all(task.has(split, code) for task in loaded)] or None
    clear_results(output)
    splits = Splits()
    found = work(
        for_backend(model, backend, output / "export", progress) if backend else model,
        output / "model",
        adapter=adapter,
        corpus=corpus,
        tasks=loaded,
        split=split,
        languages=codes,
        prompt=prompt,
        beams=beams,
        name=model.resolve().name,
        splits=splits,
        progress=progress,
    )
    if found["bits_per_byte"]:
        measured = found["perplexity"]
        rows = [
            [code, f"{value:.3f}", f"{measured[code]:,.1f}"] for code, value in found["bits_per_byte"].items()
        ]
        print_table(["language", "bits per byte", "perplexity"], rows)
        print(f"perplexity is per token of this model's tokenizer of {found['tokenizer']['tokens']:,} tokens")
    if loaded:
        cheap = output / "baselines"
        evaluate_baselines(cheap, loaded, split, codes, progress, splits)
        entries = write_results(output, [output / "model"], cheap, loaded, split, codes, splits)
        for task in loaded:
            for code, count in found["tasks"][task.name].get("leaked", {}).items():
                print(
                    f"warning: {count} {split} texts of {task.name} in {code} are in its training data too, "
                    f"which favours what learnt them: edgelm tasks check {task.name}"
                )
        of = f" of {', '.join(codes)}" if codes else ""
        several = {one["task"] for one in entries if one["language"] == ALL}
        shown = [one for one in entries if one["language"] == ALL or one["task"] not in several]
        kept = [HEADER.index(name) for name in ("task", "system", "score", HEADER[-1])]
        rows = [[cells(row)[column] for column in kept] for row in table_rows(shown)]
        print_table([HEADER[column] for column in kept], rows, f"{split}{of}, with 95 % intervals")
        print(f"each language, further metrics and chance: {output}/results.md, also as .tex and .json")
