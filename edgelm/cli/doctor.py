"""`edgelm doctor`: what this machine offers, and which extras are installed."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgelm.doctor import Diagnosis, Extra


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show what this machine offers, which extras are installed, and how to install the others."""
    from edgelm.doctor import diagnose

    diagnosis = diagnose()
    if json:
        from dataclasses import asdict
        from json import dumps

        typer.echo(dumps(asdict(diagnosis), indent=2))
    else:
        _print_tables(diagnosis)


def _print_tables(diagnosis: "Diagnosis") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text  # not str: rich would take the [train] of an install command for markup

    machine = Table(show_header=False, box=None)
    for label, value in _machine(diagnosis):
        machine.add_row(label, Text(value, overflow="fold"))
    extras = Table("extra", "state", "enables", box=None)
    for extra in diagnosis.extras:
        extras.add_row(extra.extra, Text(_state(extra), overflow="fold"), extra.enables)
    console = Console()
    console.print(machine, "", extras, sep="\n")


def _machine(diagnosis: "Diagnosis") -> list[tuple[str, str]]:
    sets = ", ".join(diagnosis.instruction_sets) or f"unknown ({diagnosis.instruction_sets_unknown})"
    memory = f"{_gib(diagnosis.memory_available)} available of {_gib(diagnosis.memory_total)}"
    return [
        ("Python", diagnosis.python),
        ("platform", diagnosis.platform),
        ("cores", str(diagnosis.cores)),
        ("memory", memory),
        ("instruction sets", sets),
        ("accelerator", diagnosis.accelerator),
        ("C++ compiler", diagnosis.compiler or "none found"),
        ("disk free here", _gib(diagnosis.disk_free)),
    ]


def _state(extra: "Extra") -> str:
    if extra.installed:
        return ", ".join(f"{module} {version}".strip() for module, version in extra.versions.items())
    return f"missing {', '.join(extra.missing)}\n{extra.install}"


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GiB"
