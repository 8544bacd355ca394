"""`edgelm evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.options import Output, Quiet, print_table


def evaluate(
    model: Annotated[Path, typer.Argument(help="A .gguf file, an ONNX folder or a model directory.")],
    output: Output,
    tasks: Annotated[list[str] | None, typer.Argument(help="Tasks by name or YAML file.")] = None,
    corpus: Annotated[Path | None, typer.Option(help="A corpus to measure bits per byte on.")] = None,
    split: Annotated[str, typer.Option(help="test or validation.")] = "test",
    quiet: Quiet = False,
) -> None:
    """Measure bits per byte on a corpus and scores on tasks, beside baselines."""
    from edgelm.errors import BadInput
    from edgelm.evaluate.evaluate import evaluate as work
    from edgelm.evaluate.evaluate import evaluate_baselines
    from edgelm.extras import require
    from edgelm.progress import Progress
    from edgelm.tasks.classification import load_task

    if not tasks and corpus is None:
        raise BadInput("nothing to evaluate on", remedy="name a task, or a corpus with --corpus")
    if tasks:
        require("sklearn", "train")  # now, not after the model has been measured
    loaded = [load_task(task) for task in tasks or []]
    progress = Progress(quiet=quiet)
    found = work(model, output / "model", corpus=corpus, tasks=loaded, split=split, progress=progress)
    if found["bits_per_byte"]:
        rows = [[code, f"{value:.3f}"] for code, value in found["bits_per_byte"].items()]
        print_table(["language", "bits per byte"], rows)
    if loaded:
        baselines = evaluate_baselines(output / "baselines", loaded, split, progress)
        rows = []
        for task, ours in found["tasks"].items():
            for name, one in {found["name"]: ours, **baselines[task]}.items():
                interval = f"{one['interval'][0]:.2f}-{one['interval'][1]:.2f}"
                rows.append([task, name, f"{one['macro_f1']:.3f}", interval, str(one["items"])])
        print_table(["task", "model", "macro-F1", "95 %", "items"], rows)
