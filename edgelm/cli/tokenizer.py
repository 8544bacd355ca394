"""`edgelm tokenizer`."""

from errno import EISDIR
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgelm.cli.options import Output, Quiet, print_table

if TYPE_CHECKING:
    from edgelm.tokenizer.report import Result

app = typer.Typer(no_args_is_help=True, help="Train a byte-level BPE tokenizer, and measure any other.")
Corpus = Annotated[Path, typer.Argument(help="A corpus directory.")]
Temperature = Annotated[
    float, typer.Option(min=1, help="1 samples languages in proportion to their text, more evens them out.")
]
SampleMB = Annotated[float, typer.Option(min=0.1, help="Megabytes of text to learn from.")]
Tokenizers = "A tokenizer.json of any kind, or a directory that has one."
Text = "A corpus, or a file or folder of text; the embedded sample if not given."
Split = Annotated[
    Literal["test", "validation", "train", "all"],
    typer.Option(help="Of a corpus; `all` checks that every document comes back."),
]
Page = Annotated[
    Path | None, typer.Option("--output", "-o", help="File for a page with plots, such as report.html.")
]
Json = Annotated[Path | None, typer.Option("--json", help="File for the figures as JSON.")]


@app.callback()
def tokenizer() -> None:
    """Train a byte-level BPE tokenizer, and measure any other."""


@app.command()
def train(
    corpus: Corpus,
    output: Output,
    vocab_size: Annotated[int, typer.Option(help="Tokens in all, special ones included.", min=1)] = 32768,
    temperature: Temperature = 2.0,
    sample_mb: SampleMB = 16,
    quiet: Quiet = False,
) -> None:
    """Train on a language-balanced sample of a corpus."""
    from edgelm.progress import Progress
    from edgelm.tokenizer.report import trained_table, trained_verdict
    from edgelm.tokenizer.train import train_tokenizer

    found = train_tokenizer(
        corpus,
        output,
        vocab_size=vocab_size,
        temperature=temperature,
        sample_mb=sample_mb,
        progress=Progress(quiet=quiet),
    )
    print_table(*trained_table(found["languages"]))
    print(trained_verdict(found["languages"], temperature))
    if found["vocab_size"] < vocab_size:
        print(f"The text gave {found['vocab_size']:,} tokens; {vocab_size:,} were asked for.")


@app.command()
def report(
    tokenizer: Annotated[Path, typer.Argument(help=Tokenizers)],
    text: Annotated[Path | None, typer.Argument(help=Text)] = None,
    against: Annotated[list[Path] | None, typer.Option(help="Another tokenizer to show beside it.")] = None,
    output: Page = None,
    json: Json = None,
    split: Split = "test",
    quiet: Quiet = False,
) -> None:
    """How many tokens each language costs."""
    from edgelm.tokenizer.report import language_table, verdict

    results = _measure([tokenizer, *(against or [])], text, split, output, json, quiet)
    for one in results:
        print_table(*language_table(one), one.tokenizer.name if against else None)
    for one in results:
        print(verdict(one))


@app.command()
def compare(
    tokenizers: Annotated[list[Path], typer.Argument(help=Tokenizers)],
    text: Annotated[Path | None, typer.Option("--text", help=Text)] = None,
    output: Page = None,
    json: Json = None,
    split: Split = "test",
    quiet: Quiet = False,
) -> None:
    """Tokenizers side by side: one row each, then bytes a token in each language."""
    from edgelm.tokenizer.report import comparison_table, ratio_table

    results = _measure(tokenizers, text, split, output, json, quiet)
    print_table(*comparison_table(results))
    title = "Bytes a token" + (f", and tokens over those of {results[0].tokenizer.name}" * (len(results) > 1))
    print_table(*ratio_table(results), title)


@app.command()
def sweep(
    corpus: Corpus,
    sizes: Annotated[str, typer.Option(help="Sizes of vocabulary.")] = "4096,8192,16384,32768,65536",
    preset: Annotated[str, typer.Option(help="Model whose embedding is counted.")] = "125m",
    temperature: Temperature = 2.0,
    sample_mb: SampleMB = 16,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """What a larger vocabulary saves in tokens and costs in parameters."""
    from edgelm.errors import BadInput
    from edgelm.progress import Progress
    from edgelm.tokenizer.sweep import sweep as run
    from edgelm.tokenizer.sweep import table

    try:
        wanted = [int(size) for size in sizes.split(",")]
    except ValueError:
        raise BadInput(f"--sizes {sizes}: not whole numbers", remedy="write as in: 8192,32768") from None
    rows = run(
        corpus,
        wanted,
        preset=preset,
        temperature=temperature,
        sample_mb=sample_mb,
        progress=Progress(quiet=quiet),
    )
    print_table(*table(rows, preset))
    if json:
        figures = [{**row.result.summary(), "embedding": row.embedding, "share": row.share} for row in rows]
        _write(json, figures)


def _measure(
    paths: list[Path], text: Path | None, split: str, page: Path | None, json: Path | None, quiet: bool
) -> list["Result"]:
    """The tokenizers' figures, also written as a page and as JSON where asked for."""
    from edgelm.progress import Progress
    from edgelm.tokenizer.measure import open_tokenizers
    from edgelm.tokenizer.page import page as render
    from edgelm.tokenizer.report import measure

    results = measure(open_tokenizers(paths), text, split=split, progress=Progress(quiet=quiet))
    if page:
        _write(page, render(results, str(text or "the embedded sample")))
    if json:
        _write(json, [one.summary() for one in results])
    return results


def _write(path: Path, value: object) -> None:
    """Text as it is, anything else as JSON."""
    from edgelm import artifacts
    from edgelm.errors import BadInput

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(EISDIR, "is a folder")
        if isinstance(value, str):
            artifacts.write_text(path, value)
        else:
            artifacts.write_json(path, value)
    except OSError as error:
        reason = f"cannot be written ({error.strerror})"
        raise BadInput(reason, file=path, remedy="give the name of a file that can be") from None
