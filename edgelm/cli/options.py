"""Options that several commands share, and the table they all print."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from edgelm.tasks.task import Task

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder to write; made whole or not at all.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No bars; a plain line only while something takes long.")
]
Adapter = Annotated[
    Path | None, typer.Option(help="A LoRA adapter for a .gguf file, from export --to lora:F16.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        help="CPU threads.",
        min=1,
        show_default="for a .gguf file all or one, as measured to be faster; else all",
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed and inputs give the same bytes.", min=0)]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"], typer.Option(help="auto measures which of the two is faster here.")
]
OPTIMISER = "Optimiser"
PROSE = 24
"""Characters of a table's cell from which on it is prose and may be folded."""
NARROWEST = 8
"""Characters that a column of prose needs."""
Optimizer = Annotated[
    Literal["muon", "adamw"],
    typer.Option(help="Muon with AdamW, or AdamW alone.", rich_help_panel=OPTIMISER),
]
Dropout = Annotated[
    float,
    typer.Option(help="Dropout; a small corpus seen many times needs some.", rich_help_panel=OPTIMISER),
]
Select = Annotated[
    Literal["last", "best"],
    typer.Option(help="Give out the last weights, or the best on validation.", rich_help_panel=OPTIMISER),
]

Window = Annotated[
    int | None,
    typer.Option(
        "--context",
        help="Tokens of a sequence; memory grows with it.",
        show_default="2048, or the model's if that is less",
        rich_help_panel=OPTIMISER,
    ),
]


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """A table on stdout, the first column and the last if it is prose to the left, figures to the right.

    Prose is folded to the width of the terminal; figures and names only where less room between the columns
    does not help either.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = make_console()
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    needed = sum(width if width <= PROSE else NARROWEST for width in widths)
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    if needed + 3 * len(widths) > console.width:
        table.padding = 0
    for number, name in enumerate(header):
        prose = widths[number] > PROSE
        table.add_column(
            name,
            justify="left" if prose or number == 0 else "right",
            overflow="fold",
            no_wrap=not prose and needed + len(widths) <= console.width,
        )
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table, crop=False)


def make_console() -> "Console":
    """Standard output; as wide as the terminal, or 120 characters where it is none."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=120)


def refuse_unused(context: typer.Context, needs: dict[str, tuple[bool, str]]) -> None:
    """Raise `BadInput` for an option that was given and does nothing here.

    Args:
        needs: by parameter: whether it does something, and what it would need.
    """
    from edgelm.errors import BadInput

    for name, (used, need) in needs.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and not used:
            raise BadInput(f"--{name.replace('_', '-')} does nothing {need}", remedy="leave it out")


def split_codes(codes: str | None) -> list[str] | None:
    """Language codes from `zul,xho`, checked against the registry."""
    from edgelm.languages import get_language

    return [get_language(code.strip()).code for code in codes.split(",")] if codes else None


def require_metrics(tasks: "Sequence[Task[Any]]") -> None:
    """Raise `MissingExtra` now, not after a model has been trained, where a score wants a package."""
    from edgelm.extras import require
    from edgelm.tasks.tagging import Tagging

    for task in tasks:
        if isinstance(task, Tagging) and task.scheme == "bio":
            require("seqeval", "evaluate")
        if task.family in ("generation", "chat"):
            require("sacrebleu", "evaluate")
            require("rouge_score", "evaluate")
