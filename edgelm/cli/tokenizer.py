"""`edgelm tokenizer`."""

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.options import Output, Quiet, print_table

app = typer.Typer(no_args_is_help=True, help="Train a byte-level BPE tokenizer.")


@app.callback()
def tokenizer() -> None:
    """Train a byte-level BPE tokenizer."""


@app.command()
def train(
    corpus: Annotated[Path, typer.Argument(help="A corpus directory.")],
    output: Output,
    vocab_size: Annotated[int, typer.Option(help="Tokens in all, special ones included.", min=1)] = 32768,
    quiet: Quiet = False,
) -> None:
    """Train on a language-balanced sample of a corpus."""
    from edgelm.progress import Progress
    from edgelm.tokenizer.train import train_tokenizer

    report = train_tokenizer(corpus, output, vocab_size=vocab_size, progress=Progress(quiet=quiet))
    rows = [
        [code, *(f"{one[key]:.2f}" if one[key] else "-" for key in ("fertility", "bytes_per_token"))]
        for code, one in report["languages"].items()
    ]
    print_table(["language", "tokens a word", "bytes a token"], rows)
