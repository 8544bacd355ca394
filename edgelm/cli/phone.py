"""`edgelm export phone`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from edgelm.cli.options import Output, Quiet, refuse_unused
from edgelm.shipped import WRITER, place

NAME = "phone"


def phone(
    call: typer.Context,
    output: Output,
    model: Annotated[
        Path,
        typer.Argument(help="A .gguf file, an export, or a model directory.", show_default=WRITER),
    ] = Path(WRITER),
    tasks: Annotated[
        str | None,
        typer.Option(
            help="Tasks it was finetuned for, as in topic,sona; by default those of its edgelm.json."
        ),
    ] = None,
    title: Annotated[str, typer.Option(help="Name of the model in the app.")] = "",
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Download wllama (10 MB, once) where it is not there yet.")
    ] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Serve the app when it is written.")] = False,
    host: Annotated[
        str, typer.Option(help="With --serve: where to listen; 0.0.0.0 for the whole network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="With --serve; 0 takes a free one.", min=0, max=65535)] = 8090,
    quiet: Quiet = False,
) -> None:
    """Write an app for phones: a folder of static files, with the model, that works without a network."""
    from edgelm.export.phone import export_phone
    from edgelm.export.site_server import serve as run
    from edgelm.progress import Progress

    refuse_unused(call, dict.fromkeys(("host", "port"), (serve, "without --serve")))
    names = None if tasks is None else [name.strip() for name in tasks.split(",") if name.strip()]
    about = export_phone(
        place(model), output, tasks=names, title=title, fetch=fetch, progress=Progress(quiet=quiet)
    )
    tasks_said = ", ".join(one["name"] for one in about["tasks"]) or "none, so the app has no tab for them"
    print(f"model: {about['file']}, {about['bytes'] / 1e6:.1f} MB, {about['memory'] / 1e6:.0f} MB of memory")
    print(f"tasks: {tasks_said}")
    print(f"written: {output}; put the folder at any https address")
    if serve:
        run(output, host, port)


class ExportCommand(TyperCommand):
    """`edgelm export`, whose first word may name another command: `edgelm export phone`."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        if args[:1] == [NAME]:
            app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            app.command(NAME, context_settings=dict(self.context_settings))(phone)
            command = typer.main.get_command(app)
            return command.make_context(f"{info_name} {NAME}", args[1:], *rest, **extra)
        return super().make_context(info_name, args, *rest, **extra)
