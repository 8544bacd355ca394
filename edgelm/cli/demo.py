"""`edgelm demo`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def demo(
    models: Annotated[
        list[Path], typer.Argument(help="Models and corpora, or folders such as quickstart's that hold some.")
    ],
    port: Annotated[
        int, typer.Option(help="Port on this machine; 0 takes a free one.", min=0, max=65535)
    ] = 7860,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Open a page on this machine: watch a model write, and look into a corpus."""
    from edgelm import resources
    from edgelm.extras import require

    require("gradio", "demo")
    sys.path.insert(0, str(resources.path("demo")))
    from edgelm_demo.server import serve

    serve(models, port=port, open_browser=open_browser)
