"""`edgelm demo`."""

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
    import importlib.util

    from edgelm import resources
    from edgelm.extras import require

    require("gradio", "demo")
    spec = importlib.util.spec_from_file_location("edgelm_demo", resources.path("demo", "app.py"))
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    page.serve(models, port=port, open_browser=open_browser)
