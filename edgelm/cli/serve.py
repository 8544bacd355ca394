"""`edgelm serve`."""

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.options import Adapter, Threads
from edgelm.shipped import WRITER, find


def serve(
    model: Annotated[
        Path,
        typer.Argument(help="A .gguf file, an ONNX folder or a model directory.", show_default=WRITER),
    ] = Path(WRITER),
    adapter: Adapter = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 8080,
    api_key: Annotated[
        str, typer.Option(envvar="EDGELM_API_KEY", help="Key that clients have to show.", show_envvar=True)
    ] = "",
    queue_limit: Annotated[int, typer.Option(help="Requests that may wait for their turn.", min=1)] = 64,
    time_limit: Annotated[float, typer.Option(help="Seconds that an answer may take.", min=0.001)] = 120,
    size_limit: Annotated[int, typer.Option(help="Bytes that a request may have.", min=1)] = 1 << 20,
    grace: Annotated[
        float,
        typer.Option(help="Seconds for the last answer once the server is told to end.", min=0),
    ] = 10,
    threads: Threads = None,
) -> None:
    """Serve a model over HTTP, as OpenAI's clients expect it: completions, chat, models."""
    from edgelm.extras import require

    require("starlette", "serve")
    require("uvicorn", "serve")
    from edgelm.serve.server import Limits, serve

    limits = Limits(waiting=queue_limit, seconds=time_limit, size=size_limit, grace=grace)
    serve(find(model), host, port, api_key, limits, threads, adapter)
