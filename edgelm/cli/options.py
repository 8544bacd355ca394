"""Options that several commands share, and the table they all print."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from edgelm.tasks.task import Task

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder to write; made whole or not at all.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No bars; a plain line only while something takes long.")
]
Adapter = Annotated[
    Path | None, typer.Option(help="A LoRA adapter for a .gguf file, from export --to lora:F16.")
]
Seed = Annotated[int, typer.Option(help="The same seed and inputs give the same bytes.", min=0)]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"], typer.Option(help="auto measures which of the two is faster here.")
]
OPTIMISER = "Optimiser"
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
    """A table on stdout, the first column and the last if it is prose to the left, figures to the right."""
    from rich import box
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for number, name in enumerate(header):
        prose = number == 0 or any(len(row[number]) > 24 for row in rows)
        short = number == 0 and max((len(row[0]) for row in rows), default=0) <= 16  # as onnx:int8-genai
        table.add_column(name, justify="left" if prose else "right", overflow="fold", no_wrap=short)
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    if Measurement.get(console, console.options.update(max_width=1000), table).maximum > console.width:
        table.padding = 0  # rather than fold figures
    console.print(table, crop=False)


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


def trained_languages(model: Path) -> list[str] | None:
    """The languages that a model was finetuned on with `--languages`, if it was."""
    from edgelm.artifacts import read_provenance

    found = read_provenance(model) if model.is_dir() else None
    languages = found["config"].get("languages") if found and found.get("command") == "finetune" else None
    return languages or None
