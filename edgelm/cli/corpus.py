"""`edgelm corpus`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from edgelm.cli.options import Output, Quiet, print_table

app = typer.Typer(no_args_is_help=True, help="Documents in, filtered shards and a report out.")
Corpus = Annotated[Path, typer.Argument(help="A corpus directory that `edgelm corpus build` made.")]


@app.callback()
def corpus() -> None:
    """Documents in, filtered shards and a report out."""


@app.command()
def build(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder or file of .txt .jsonl .parquet .html .warc (plain, .gz, .xz, .zst), or a recipe."
        ),
    ],
    output: Output,
    language: Annotated[
        str | None, typer.Option(help="Language of all documents, where neither records nor names say it.")
    ] = None,
    text_field: Annotated[str | None, typer.Option(help="Field of a record that holds the text.")] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="File or folder of evaluation data whose text must not be in the corpus."),
    ] = None,
    recipe_name: Annotated[
        str | None,
        typer.Option("--recipe", help="Recipe to use for a folder or file; `default` if not given."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; as many as there are cores by default.")
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Where the work is done; the result is the same.")
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(help="Ray cluster, such as ray://host:10001; else RAY_ADDRESS or this machine."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Read, repair, measure, identify, filter, deduplicate, redact, split and write documents."""
    from dataclasses import replace

    from edgelm.corpus.build import build_corpus
    from edgelm.corpus.recipe import load_recipe
    from edgelm.corpus.tables import table
    from edgelm.progress import Progress

    recipe = load_recipe(source, recipe_name)
    if text_field:
        recipe = replace(recipe, text_field=text_field)
    if evaluation:
        recipe = replace(recipe, evaluation=(*recipe.evaluation, *evaluation))
    manifest = build_corpus(
        recipe,
        output,
        language=language,
        engine=engine,
        workers=workers,
        address=ray_address,
        progress=Progress(quiet=quiet),
    )
    print_table(*table(manifest))
    for line in _remarks(manifest):
        print(line)
    print(f"{output / 'report.html'} shows it.")


@app.command()
def report(
    corpus: Corpus,
    show: Annotated[bool, typer.Option("--open", help="Open report.html in the browser.")] = False,
) -> None:
    """What is in a corpus: documents kept and rejected, sources, thresholds, the mix of languages."""
    from edgelm.corpus.report import read_manifest
    from edgelm.corpus.tables import mix_table, sources_table, table, thresholds_table

    manifest = read_manifest(corpus)
    print_table(*table(manifest), "Languages")
    print_table(*sources_table(manifest), "Sources")
    print_table(*thresholds_table(manifest), "Bounds")
    print_table(*mix_table(manifest), "Training mix, if all text is seen once")
    for line in _remarks(manifest):
        print(line)
    page = (corpus / "report.html").resolve()
    print(f"{page} shows it.")
    if show:
        import webbrowser

        webbrowser.open(page.as_uri())


@app.command()
def tune(
    corpus: Corpus,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A bound, as word_length.max=12, zul:too_short.min=4 or capitals.max=none."
        ),
    ] = None,
    propose: Annotated[
        bool, typer.Option(help="Show the bounds that each language's own distribution proposes.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write the corpus to, as now decided.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Change thresholds and see the effect at once; asks for changes where none is given."""
    from edgelm.corpus.tune import Tuning
    from edgelm.errors import BadInput
    from edgelm.progress import Progress

    tuning = Tuning(corpus)
    if propose:
        print_table(*tuning.proposals())
    if change:
        tuning.change(*change)
        print_table(*tuning.effect())
    elif not propose and not output:
        if not sys.stdin.isatty():
            raise BadInput("nothing to change", remedy="give --set, as in: --set word_length.max=12")
        print_table(*tuning.effect())
        print("A bound, as word_length.max=12 or zul:too_short.min=4; an empty line ends.")
        while line := input("> ").strip():
            try:
                tuning.change(*line.split())
            except BadInput as error:
                print(error)
                continue
            print_table(*tuning.effect())
    if output:
        tuning.write(output, Progress(quiet=quiet))
        print(f"{output / 'report.html'} shows it.")
    elif change:
        print("Nothing was written; to write the corpus as now decided, give -o FOLDER.")


@app.command()
def sample(
    corpus: Corpus,
    rejected: Annotated[
        str | None, typer.Option(help="Show documents rejected for this reason, or `any`; else kept ones.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="Only documents in this language.")] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws others.")] = 0,
) -> None:
    """Random documents to read, with what was measured of them."""
    from edgelm.corpus.sample import sample as draw
    from edgelm.languages import find_language

    named = find_language(language) if language else None
    code = named.code if named else language
    for one in draw(corpus, rejected, code, count, seed):
        why = f", rejected: {', '.join(one.reasons)}" if one.reasons else ""
        print(f"{one.id} ({one.language}, {one.source}{why})")
        print("  " + " ".join(f"{name}={value:.4g}" for name, value in one.measured.items()))
        text = one.text if len(one.text) <= 1200 else f"{one.text[:1200]} ... ({len(one.text):,} characters)"
        print("\n".join(f"  | {line}" for line in text.split("\n")), end="\n\n")


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(help="A corpus directory.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
) -> None:
    """What differs between two corpora: recipes, documents kept in only one, and why not in the other."""
    from edgelm.corpus.diff import compare, recipe_changes, table

    for line in recipe_changes(first, second):
        print(line)
    print_table(*table(compare(first, second)))


@app.command()
def langid(
    file: Annotated[
        Path, typer.Argument(help="Text of one line each, any format that can be read; - is stdin.")
    ],
    summary: Annotated[bool, typer.Option(help="Only how many lines are in each language.")] = False,
) -> None:
    """Identify the language of each line or document: eleven South African languages, or `other`."""
    from collections import Counter

    from edgelm.corpus.langid import default_identifier
    from edgelm.corpus.readers import Document, read_records

    identifier = default_identifier()
    counts: Counter[str] = Counter()

    def show(texts: list[str]) -> None:
        for text, row in zip(texts, identifier.probabilities(texts), strict=True):
            best = int(row.argmax())
            counts[identifier.languages[best]] += 1
            if not summary:
                print(f"{identifier.languages[best]}\t{row[best]:.3f}\t{text[:200]}")

    batch: list[str] = []
    records = (
        (line.decode("utf-8", "replace").rstrip("\r\n") for line in sys.stdin.buffer)
        if str(file) == "-"
        else (
            line for one in read_records(file) if isinstance(one, Document) for line in one.text.split("\n")
        )
    )
    for text in records:
        if text.strip():
            batch.append(text)
        if len(batch) == 1000:
            show(batch)
            batch = []
    show(batch)
    if summary:
        total = max(counts.total(), 1)
        rows = [[code, f"{count:,}", f"{count / total:.1%}"] for code, count in counts.most_common()]
        print_table(["language", "lines", "share"], rows)


def _remarks(manifest: dict[str, object]) -> list[str]:
    """What a user should know besides the table."""
    lines = []
    if manifest.get("guessed"):
        lines.append(
            f"Documents whose language was guessed from their text: {manifest['guessed']:,}. "
            "Where that is wrong, name it with --language or in the file's name."
        )
    unknown = manifest.get("unidentified")
    if isinstance(unknown, list) and unknown:
        lines.append(
            f"The language identifier does not know {', '.join(unknown)}: nothing checks that the text is in "
            f"{'it' if len(unknown) == 1 else 'them'}. What it took the documents for is in the report."
        )
    skipped = manifest.get("skipped")
    if isinstance(skipped, list) and skipped:
        names = ", ".join(f"{one['file']} ({one['reason']})" for one in skipped[:5])
        lines.append(f"Not read: {names}{f' and {len(skipped) - 5} more' if len(skipped) > 5 else ''}.")
    return lines
