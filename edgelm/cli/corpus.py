"""`edgelm corpus`."""

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.options import Output, Quiet, print_table

app = typer.Typer(no_args_is_help=True, help="Documents in, filtered shards and a report out.")


@app.callback()
def corpus() -> None:
    """Documents in, filtered shards and a report out."""


@app.command()
def build(
    source: Annotated[
        str,
        typer.Argument(help="Folder or file of .txt .jsonl .parquet (plain, .gz, .xz, .zst), or a recipe."),
    ],
    output: Output,
    language: Annotated[
        str | None, typer.Option(help="Language of all documents, where neither records nor names say it.")
    ] = None,
    text_field: Annotated[str | None, typer.Option(help="Field of a record that holds the text.")] = None,
    quiet: Quiet = False,
) -> None:
    """Read, repair, measure, filter, deduplicate and split documents, one a line or record."""
    from dataclasses import replace

    from edgelm.corpus.build import build_corpus
    from edgelm.corpus.recipe import load_recipe
    from edgelm.corpus.report import table
    from edgelm.progress import Progress

    recipe = load_recipe(source)
    if text_field:
        recipe = replace(recipe, text_field=text_field)
    manifest = build_corpus(recipe, output, language=language, progress=Progress(quiet=quiet))
    print_table(*table(manifest))
    if manifest["guessed"]:
        print(
            f"The language of {manifest['guessed']:,} documents was guessed from their text. "
            "Where that is wrong, name it with --language or in the file's name."
        )
    print(f"{output / Path('report.html')} shows it.")
