"""`docs/commands.md`, every command with its arguments and options, from the commands themselves.

python -m edgelm.cli.reference > docs/commands.md
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from typer import Typer
from typer.models import ArgumentInfo, OptionInfo

from edgelm.cli import app
from edgelm.cli.phone import NAME, phone

BEGINNING = """\
# Every command and its options

<!-- written by: python -m edgelm.cli.reference > docs/commands.md -->
As `edgelm COMMAND --help` says it; what the commands are for stands in the [guide](guide.md). An option with
`...` may be given more than once. Every command has `-h`, `--help`; `edgelm --version` prints the version.
"""
TYPES = {str: "TEXT", int: "INTEGER", float: "FLOAT", Path: "PATH"}


def commands(group: Typer = app, name: str = "edgelm") -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every command's whole name and function, groups in their order of registration."""
    for one in group.registered_commands:
        assert one.callback is not None
        own = f"{name} {one.name or one.callback.__name__.replace('_', '-')}"
        yield own, one.callback
        if own == "edgelm export":  # which looks at its first word itself
            yield f"{own} {NAME}", phone
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from commands(inner.typer_instance, f"{name} {inner.name}")


def page() -> str:
    """The page, the same on every machine and at every width of a terminal."""
    return "\n".join([BEGINNING, *(_command(name, function) for name, function in commands())])


def _command(name: str, function: Callable[..., Any]) -> str:
    hints = get_type_hints(function, include_extras=True)
    usage, arguments = [name], []
    panels: dict[str | None, list[str]] = {None: []}  # options
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        info = next((one for one in get_args(hint) if isinstance(one, ArgumentInfo | OptionInfo)), None)
        if info is None:  # typer's context
            continue
        kind, required = get_args(hint)[0], parameter.default is inspect.Parameter.empty
        if isinstance(info, ArgumentInfo):
            word = _word(parameter.name, info, kind)
            usage.append(word if required else f"[{word}]")
            arguments.append(_row(f"`{word}`", info, parameter.default))
        else:
            panel = panels.setdefault(info.rich_help_panel, [])
            panel.append(_row(_option(parameter.name, info, kind), info, parameter.default))
    rows = arguments
    for title, options in panels.items():
        rows += [*([f"| **{title}** | | |"] if title else []), *options]
    usage += ["[OPTIONS]"] if any(panels.values()) else []
    table = ["| | | default |", "| --- | --- | --- |", *rows, ""] if rows else []
    return "\n".join([f"## {name}", "", f"    {' '.join(usage)}", "", *_about(function), "", *table])


def _about(function: Callable[..., Any]) -> Iterator[str]:
    """The docstring; a line that begins with a command has it as code, up to its colon or end."""
    for line in inspect.cleandoc(function.__doc__ or "").split("\n"):
        yield re.sub(r"^(edgelm [^:]+(?::\S[^:]*)*)(: |$)", r"* `\1`\2", line)


def _word(name: str, info: ArgumentInfo, kind: Any) -> str:
    many = "..." * (list in (get_origin(one) for one in (kind, *get_args(kind))))
    return str(info.metavar or f"{name.upper()}{many}")


def _option(name: str, info: OptionInfo, kind: Any) -> str:
    """`-o`, `--output PATH`: its names and what it takes, nothing for a switch."""
    kind = next(one for one in get_args(kind) if one is not NoneType) if _optional(kind) else kind
    many = get_origin(kind) is list
    kind = get_args(kind)[0] if many else kind
    names = names_of(name, info, kind is bool)
    if get_origin(kind) is Literal:
        names[-1] += f" {'|'.join(get_args(kind))}"
    elif kind is not bool:
        names[-1] += f" {TYPES[kind]}{'...' * many}"
    return ", ".join(f"`{_cell(one)}`" for one in names)


def names_of(name: str, info: OptionInfo, switch: bool) -> list[str]:
    """The names of a parameter's option, short ones first. In `Annotated` the first stands as `default`."""
    given = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str)]
    long = name.replace("_", "-")
    return sorted(given or [f"--{long}", *([f"--no-{long}"] * switch)], key=len)


def _optional(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _row(name: str, info: ArgumentInfo | OptionInfo, default: Any) -> str:
    about = info.help or ""
    bounds = [
        f"{word} {bound:,}".replace(",", " ")
        for word, bound in (("at least", info.min), ("at most", info.max))
        if bound is not None
    ]
    if bounds:
        about += f" ({', '.join(bounds)})"
    if info.envvar:
        about += f" (or the variable {info.envvar})"
    if isinstance(info.show_default, str):
        shown = info.show_default
    elif default is inspect.Parameter.empty:
        shown = "**needed**"
    elif default is None or default is False or default == "":
        shown = ""
    else:
        shown = f"`{'yes' if default is True else default}`"
    return f"| {name} | {_cell(about)} | {shown} |"


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    print(page(), end="")
