"""`edgelm demo`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def demo(
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Models and corpora, or folders such as quickstart's that hold some.",
            show_default="the models that ship with edgelm",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port on this machine; 0 takes a free one.", min=0, max=65535)
    ] = 7860,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Open a page on this machine: watch a model write, and look into a corpus."""
    from edgelm import resources, shipped
    from edgelm.extras import require

    require("gradio", "demo")
    sys.path.insert(0, str(resources.path("demo")))
    from edgelm_demo.server import serve

    if not models:
        shipped.writer()  # or says that there is none
    given = [shipped.find(one) for one in models or [shipped.folder()]]
    serve(given, port=port, open_browser=open_browser)
