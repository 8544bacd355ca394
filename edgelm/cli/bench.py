"""`edgelm bench`."""

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.options import Adapter, Output, Quiet, print_table, require_metrics


def bench(
    models: Annotated[
        list[Path], typer.Argument(help="GGUF files, ONNX folders, model directories, folders of exports.")
    ],
    output: Output,
    adapter: Adapter = None,
    prompt: Annotated[int, typer.Option("--prompt", "-p", help="Tokens read.", min=1)] = 512,
    new: Annotated[int, typer.Option("--new", "-n", help="Tokens written.", min=1)] = 128,
    repetitions: Annotated[int, typer.Option("--repetitions", "-r", help="Turns of each model.", min=1)] = 5,
    threads: Annotated[
        str | None, typer.Option("--threads", "-t", help="As in 1,4; by default one and all usable cores.")
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="A corpus or text no model has seen, for quality; the embedded sample by default."),
    ] = None,
    tasks: Annotated[
        list[str] | None, typer.Option("--tasks", help="A task to score; repeat for more.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Set models side by side in speed, memory, size and quality."""
    from edgelm.bench.bench import Settings
    from edgelm.bench.bench import bench as work
    from edgelm.bench.tables import language_table, notes, pareto_table, speed_table
    from edgelm.errors import BadInput, MissingExtra
    from edgelm.extras import require
    from edgelm.progress import Progress
    from edgelm.shipped import find
    from edgelm.tasks.task import load_task

    try:
        counts = tuple(sorted({int(one) for one in threads.split(",")})) if threads else ()
        if counts and counts[0] < 1:
            raise ValueError
    except ValueError:
        raise BadInput(f"--threads {threads}: not whole numbers", remedy="write as in: 1,4") from None
    if tasks:
        require("sklearn", "train")
    loaded = [load_task(task) for task in tasks or []]
    require_metrics(loaded)
    settings = Settings(prompt, new, repetitions, counts)
    progress = Progress(quiet=quiet)
    models = [find(model) for model in models]
    figures = work(models, output, settings, adapter=adapter, text=text, tasks=loaded, progress=progress)
    print_table(*speed_table(figures), f"Means of {repetitions} turns, and standard deviations")
    print_table(
        *language_table(figures, "characters_per_second"), "Characters a second, threads as suits best"
    )
    print_table(*pareto_table(figures), f"Quality on {figures['text']} beside speed and size")
    print("pp: tokens of a prompt read at once; tg: tokens written one after another")
    print("not beaten in speed (size): no other is as good and as fast (small) and better in one")
    for note in notes(figures):
        print(note)
    if not (output / "bench.png").exists():
        try:
            require("matplotlib", "bench")
        except MissingExtra as error:
            print(f"No bench.png: {error}")
    print(f"each language and every repetition: {output}/bench.html, bench.json")
