"""`edgelm quickstart`."""

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.options import Quiet, Seed, print_table


def quickstart(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything it makes.")] = Path(
        "edgelm-quickstart"
    ),
    source: Annotated[
        str | None,
        typer.Option(
            help="Text of your own in place of the embedded sample, as edgelm corpus build takes it."
        ),
    ] = None,
    task: Annotated[str, typer.Option(help="Task to finetune on, by name or YAML file.")] = "topic",
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Go the whole way once: raw text to a small model that answers offline, in minutes."""
    from edgelm.progress import Progress
    from edgelm.quickstart import quickstart as work

    result = work(output, source=source, task=task, seed=seed, progress=Progress(quiet=quiet))
    print_table(result.header, result.rows, result.title)
    print(result.verdict, end="\n\n")
    for name, prompt, text in result.samples:
        print(f"{name}: {prompt} … {text}")
    print(f"\n{result.closing}\n\nNext:")
    for command in result.next_commands:
        print(f"  {command}")
