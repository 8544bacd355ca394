"""`edgelm run`."""

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.options import Quiet


def run(
    model: Annotated[Path, typer.Argument(help="A .gguf file, an ONNX folder or a model directory.")],
    prompt: Annotated[
        str, typer.Argument(help="Text to continue, or a message to answer with --chat; - for stdin.")
    ],
    language: Annotated[str | None, typer.Option(help="Language to continue in, such as zul.")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Answer the text as a message.")] = False,
    max_tokens: Annotated[int, typer.Option(help="Longest continuation.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token.")] = 0.7,
    top_p: Annotated[
        float, typer.Option(help="Sample from the likeliest tokens of this probability.")
    ] = 0.95,
    seed: Annotated[int, typer.Option(help="The same seed gives the same text.", min=0)] = 0,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all by default.", min=1)] = None,
    quiet: Quiet = False,
) -> None:
    """Stream a continuation of a text, or an answer to it."""
    import sys

    from edgelm.errors import BadInput
    from edgelm.languages import get_language
    from edgelm.runtime import Generation, load

    try:  # a shell hands over bytes; those that are not UTF-8 arrive as lone surrogates
        data = sys.stdin.buffer.read() if prompt == "-" else prompt.encode("utf-8", "surrogateescape")
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput("the text is not UTF-8", remedy="convert it first") from None
    if prompt == "-":
        text = text.removesuffix("\n")  # what `echo` adds is no part of the text
    loaded = load(model, threads=threads)
    report = Generation()
    pieces = loaded.generate(
        text,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        language=get_language(language).code if language else None,
        chat=chat,
        report=report,
    )
    if not chat:
        print(text, end="")
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
    if not quiet:
        print(
            f"[{loaded.name}: {report.tokens} tokens, {report.tokens_per_second:.0f} tokens/s]",
            file=sys.stderr,
        )
    loaded.close()
