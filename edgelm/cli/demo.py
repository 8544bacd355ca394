"""`edgelm demo`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def demo(
    models: Annotated[
        list[Path], typer.Argument(help="Models, or folders such as quickstart's that hold some.")
    ],
    port: Annotated[
        int, typer.Option(help="Port on this machine; 0 takes a free one.", min=0, max=65535)
    ] = 7860,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Open a page on this machine to type in and watch a model write."""
    from edgelm import resources
    from edgelm.extras import require

    require("gradio", "demo")
    sys.path.insert(0, str(resources.path("demo")))
    from edgelm_demo.server import serve

    serve(models, port=port, open_browser=open_browser)
