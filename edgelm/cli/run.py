"""`edgelm run`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgelm.cli.options import Adapter, Quiet, Threads, refuse_unused
from edgelm.shipped import WRITER

if TYPE_CHECKING:
    from rich.text import Text

    from edgelm.runtime import LabelModel
    from edgelm.runtime.grammar import Grammar

WRITING = "Models that write"
SHOWN = 5
"""Labels of a text that are printed; `--json` has all."""
BAR = 30
"""Characters that stand for certainty."""
FITS = "What the text has to fit (one of them)"
COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "red")


def run(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            help="A .gguf file, an ONNX folder, a directory of any model that edgelm makes, or the name of "
            "one that ships with it.",
            show_default=WRITER,
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Argument(
            help="Text to continue or to label, or a message to answer with --chat.",
            show_default="what comes in on a pipe, as does -",
        ),
    ] = None,
    adapter: Adapter = None,
    language: Annotated[
        str | None, typer.Option(help="Language to continue in, such as zul.", rich_help_panel=WRITING)
    ] = None,
    chat: Annotated[
        bool,
        typer.Option("--chat", help="Take the text as a message and answer it.", rich_help_panel=WRITING),
    ] = False,
    max_tokens: Annotated[
        int, typer.Option(help="Most tokens to write; a token is a piece of a word.", rich_help_panel=WRITING)
    ] = 64,
    temperature: Annotated[
        float,
        typer.Option(
            help="How daring: 0 always takes the likeliest token, 1 draws as the model believes.",
            rich_help_panel=WRITING,
        ),
    ] = 0.7,
    top_p: Annotated[
        float,
        typer.Option(
            help="Draw only from the likeliest tokens that together have this probability.",
            rich_help_panel=WRITING,
        ),
    ] = 0.95,
    json_schema: Annotated[
        Path | None, typer.Option(help="A JSON schema: the text is JSON that fits it.", rich_help_panel=FITS)
    ] = None,
    regex: Annotated[
        str | None, typer.Option(help="The text matches it as a whole.", rich_help_panel=FITS)
    ] = None,
    grammar: Annotated[
        Path | None, typer.Option(help="A file in Lark's syntax: the text is a start.", rich_help_panel=FITS)
    ] = None,
    seed: Annotated[
        int,
        typer.Option(help="The same seed gives the same text.", min=0, rich_help_panel=WRITING),
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON, with all labels and their scores.")
    ] = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Use a model on a text: it goes on with it, answers it (--chat), or labels it or its words.

    edgelm run "Izolo ngiye": what the model that ships with edgelm makes of it.
    edgelm run MODEL "Izolo ngiye": what another does.
    edgelm run names-zul "UThandi uhlala eThekwini.": the names in it; topics, intents, sentiment,
    parts-of-speech-zul and both for nbl, ssw and xho ship too.
    """
    from edgelm.languages import find_language, get_language
    from edgelm.runtime import Generation, load, load_labeller
    from edgelm.runtime.conversation import ONLY_PRETRAINED, only_pretrained

    path, text = _model_and_text(model, prompt, quiet)
    if labeller := load_labeller(path, threads=threads):
        writing = (
            "adapter", "language", "chat", "max_tokens", "temperature", "top_p", "json_schema", "regex",
            "grammar", "seed",
        )  # fmt: skip
        refuse_unused(context, dict.fromkeys(writing, (False, "with a model that labels")))
        _label(labeller, text, as_json, quiet)
        return
    fits = _grammar(json_schema, regex, grammar)
    loaded = load(path, threads=threads, adapter=adapter)
    if chat and adapter is None and only_pretrained(loaded, path) and not quiet:
        print(f"edgelm: {ONLY_PRETRAINED}", file=sys.stderr)
    code = language
    if language and (find_language(language) or loaded.language_tag(language) is None):
        code = get_language(language).code  # a model may know one that has no file here
    report = Generation()
    pieces = loaded.generate(
        text,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        language=code,
        chat=chat,
        grammar=fits,
        report=report,
    )
    if as_json:
        written = "".join(pieces)
        found = {"model": loaded.name, "prompt": text, "text": written, "tokens": report.tokens}
        print(json.dumps({**found, "ended": report.ended}, ensure_ascii=False))
    else:
        if not chat:
            print(text, end="")
        for piece in pieces:
            print(piece, end="", flush=True)
        print()
    if not report.tokens and not quiet:
        hint = "begin in another way, or give another --seed" if not chat else "say it in another way"
        print(f"edgelm: the model ended the text at once; {hint}.", file=sys.stderr)
    if not quiet:
        print(
            f"[{loaded.name}: {report.tokens} tokens, {report.tokens_per_second:.0f} tokens/s]",
            file=sys.stderr,
        )
    loaded.close()


def _grammar(json_schema: Path | None, regex: str | None, lark: Path | None) -> "Grammar | None":
    from edgelm.errors import BadInput
    from edgelm.extras import require
    from edgelm.files import read_text
    from edgelm.runtime.grammar import Grammar

    if sum(one is not None for one in (json_schema, regex, lark)) > 1:
        raise BadInput("--json-schema, --regex and --grammar exclude each other", remedy="give one of them")
    path = json_schema or lark
    if path is None and regex is None:
        return None
    require("llguidance", "grammar")  # now, not after the model has been loaded
    try:
        text = regex if path is None else read_text(path)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise BadInput(f"cannot be read ({said})", file=path, remedy="check the path") from None
    return Grammar("json_schema" if json_schema else "lark" if lark else "regex", text or "")


def _model_and_text(model: str | None, prompt: str | None, quiet: bool) -> tuple[Path, str]:
    """What was meant: one word or text alone is a model where there is one of that name, else a text."""
    import os
    from difflib import get_close_matches

    from edgelm import shipped
    from edgelm.errors import BadInput

    if model is None or (prompt is None and model in ("", "-")):
        if not (text := _read("-" if model is None else model)):
            raise BadInput("no text was given", remedy="give it in quotes, or send it in on a pipe")
        return shipped.writer(), text
    if prompt is not None:
        if not os.path.exists(found := shipped.find(model)):
            ways = f"a .gguf file, a model directory or one of {', '.join(shipped.names())}"
            remedy = f"give {ways}; a text of several words goes in quotes"
            raise BadInput("no such model", file=model, remedy=remedy)
        return found, _read(prompt)
    found = shipped.find(model)
    if os.path.exists(model) or (os.path.exists(found) and not _like_a_path(model)):
        return found, _read("-")
    if _like_a_path(model):
        raise BadInput("no such model", file=model, remedy="give a .gguf file or a model directory")
    one_word = len(model.split()) == 1
    if one_word and (close := get_close_matches(model.lower(), shipped.names(), 1, 0.8)):
        raise BadInput("no such model", file=model, remedy=f"there is one called {close[0]}")
    if one_word and not quiet:
        print(
            f"edgelm: there is no model '{model}' here: it is taken for a text to continue.", file=sys.stderr
        )
    return shipped.writer(), _read(model)


def _like_a_path(text: str) -> bool:
    inside = not any(map(str.isspace, text)) and any(sign in text for sign in "/\\")
    whole = Path(text).is_absolute() or text.startswith(("./", "../", ".\\", "~")) or text[1:3] == ":\\"
    return inside or whole or text.endswith((".gguf", ".onnx", ".ort", ".safetensors"))


def _read(prompt: str) -> str:
    """The text itself, or that on stdin."""
    from edgelm.errors import BadInput

    if not prompt or (prompt == "-" and sys.stdin.isatty()):
        raise BadInput("no text was given", remedy="give it in quotes, or send it in on a pipe")
    try:  # a shell hands over bytes; those that are not UTF-8 arrive as lone surrogates
        data = sys.stdin.buffer.read() if prompt == "-" else prompt.encode("utf-8", "surrogateescape")
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput("the text is not UTF-8", remedy="convert it first") from None
    return text.removesuffix("\n") if prompt == "-" else text  # what `echo` adds is no part of the text


def _label(model: "LabelModel", text: str, as_json: bool, quiet: bool) -> None:
    import time

    from rich.console import Console

    from edgelm.runtime.answers import answer

    begin = time.perf_counter()
    found = answer(model, text)
    seconds = time.perf_counter() - begin
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        lines = _bars(found) if "labels" in found else _tagged(found, model.head.labels)
        for line in lines:
            console.print(line, soft_wrap=True)
    if not quiet:
        print(f"[{model.name}: {1000 * seconds:.0f} ms]", file=sys.stderr)


def _bars(found: dict[str, Any]) -> "Iterator[Text]":
    """A label a line: a bar and the probability, or the margin alone, which has no certain side."""
    from rich.text import Text

    ranked = list(found["labels"].items())
    width = max(len(label) for label, _ in ranked[:SHOWN])
    for place, (label, score) in enumerate(ranked[:SHOWN]):
        style = "bold green" if place == 0 else ""
        bar = f"{'█' * round(score * BAR):<{BAR}} " if found["measure"] == "probability" else ""
        yield Text.assemble((f"{label:<{width}}  {bar}", style), f"{score:>6.3f}")
    hidden = len(ranked) - SHOWN
    if hidden > 0:
        yield Text(f"and {hidden} more {'label' if hidden == 1 else 'labels'}")
    if found["measure"] == "margin":
        yield Text("margins of a support vector machine, not probabilities: the highest wins")


def _tagged(found: dict[str, Any], labels: tuple[str, ...]) -> "Iterator[Text]":
    """A sentence a line: spans as `[uNomsa PER]`, other tags as `uyahamba/VERB`."""
    from rich.text import Text

    kinds = list(dict.fromkeys(label.removeprefix("B-").removeprefix("I-") for label in labels))
    colour = {kind: COLOURS[place % len(COLOURS)] for place, kind in enumerate(kinds)}
    for one in found["sentences"]:
        line, begins = Text(), {span["start"]: span for span in one.get("spans", [])}
        inside = {place for span in one.get("spans", []) for place in range(span["start"] + 1, span["end"])}
        for place, (word, tag) in enumerate(zip(one["words"], one["tags"], strict=True)):
            if place in inside:
                continue
            line.append(" " if place else "")
            if place in begins:
                span = begins[place]
                line.append(f"[{' '.join(span['words'])} {span['kind']}]", colour[span["kind"]])
            elif "spans" in one:
                line.append(word)
            else:
                line.append(word)
                line.append(f"/{tag}", colour[tag])
        yield line
