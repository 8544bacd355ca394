"""`edgelm export`."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelm.cli.options import Output, Quiet, print_table, refuse_unused, split_codes

if TYPE_CHECKING:
    from edgelm.progress import Progress

ALIKE = 0.99
"""Of held-out documents that a pruned tokenizer should cut as before."""


UNUSED_BY_LABELLERS = dict.fromkeys(("languages", "text"), (False, "with a model that labels"))


def export(
    call: typer.Context,
    model: Annotated[Path, typer.Argument(help="A model directory.")],
    output: Output,
    to: Annotated[
        list[str] | None,
        typer.Option(help="gguf:Q8_0, gguf:Q4_K_M, onnx:int8 or another of the formats; repeat for more."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Find the format for a device: laptop, raspberry-pi, phone, browser, or your own YAML file."
        ),
    ] = None,
    text: Annotated[
        str,
        typer.Option(
            help="Text that quantisation weighs the weights by: a corpus, a folder of text, sample "
            "for the embedded one, or none."
        ),
    ] = "sample",
    languages: Annotated[
        str | None,
        typer.Option(help="Drop the tokens that these languages do not use in --text, as in zul,xho."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Write GGUF and ONNX files, each verified against the model it came from.

    An app for phones: edgelm export phone --help
    """
    from edgelm.errors import BadInput
    from edgelm.export.target import load_target
    from edgelm.extras import require
    from edgelm.model.head_config import model_type
    from edgelm.progress import Progress
    from edgelm.runtime.labeller import SMALL

    if target and to:
        raise BadInput("--target chooses among its own formats", remedy="leave --to out")
    if not target and not to:
        raise BadInput(
            "no format was given", remedy="name one, as in: --to gguf:Q8_0, or a device with --target"
        )
    to = to or []
    if target:
        load_target(target)  # a misspelt one shows before PyTorch is there
    kind = model_type(model)
    if kind in SMALL and not target:
        refuse_unused(call, UNUSED_BY_LABELLERS)
        _export_small(model, kind, output, to, Progress(quiet=quiet))
        return
    require("torch", "train")
    from edgelm.export.ensemble import is_labeller
    from edgelm.export.export import PRUNING, artifact_name
    from edgelm.export.export import export as work

    if target and (kind in SMALL or is_labeller(model)):
        raise BadInput("labels; targets are for models that write", file=model, remedy="give --to instead")
    if is_labeller(model):
        refuse_unused(call, UNUSED_BY_LABELLERS)
        _export_labeller(model, output, to, Progress(quiet=quiet))
        return
    if adapters := [name for name in to if name.startswith("lora:")]:
        with_base = (len(adapters) < len(to), f"with {adapters[0]} alone")
        refuse_unused(call, {"languages": (False, f"with {adapters[0]}"), "text": with_base})
        _export_adapter(model, output, to, text, Progress(quiet=quiet))
        return
    codes = split_codes(languages) or ()
    if target:
        _export_for(model, output, target, text, codes, Progress(quiet=quiet))
        if codes:
            _report_pruning(output / PRUNING)
        return
    found = work(model, output, to, text=text, languages=codes, progress=Progress(quiet=quiet))
    rows = [
        [
            artifact_name(name),
            f"{one['bytes'] / 1e6:.2f}",
            f"{one['kl']:.1e}",
            *_worst(one["languages"]),
            f"{one['top1']:.3f}",
            f"{one['greedy']:.2f}",
        ]
        for name, one in found.items()
    ]
    header = ["file", "MB", "KL", "bits per byte", "most in", "same top token", "same greedy text"]
    print_table(header, rows, "Verified against PyTorch float32")
    for name, one in found.items():
        if larger := one.get("fallen_back"):
            types = ", ".join(sorted({*larger.values()}))
            print(f"{name}: {len(larger)} matrices stay at {types}, as their rows are no multiple of 256")
    print(f"written: {output} (each language: verification.json)")
    if codes:
        _report_pruning(output / PRUNING)


def _worst(languages: dict[str, dict[str, float]]) -> tuple[str, str]:
    """By how much bits per byte rise on the mean of languages, and where they rise most."""
    rises = {code: one["bits_per_byte"] - one["bits_per_byte_before"] for code, one in languages.items()}
    if not rises:
        return "-", "-"
    worst = max(rises, key=lambda code: rises[code])
    return f"{sum(rises.values()) / len(rises):+.3f}", f"{worst} {rises[worst]:+.3f}"


def _export_for(
    model: Path, output: Path, name: str, text: str, languages: Sequence[str], progress: "Progress"
) -> None:
    from edgelm.cli.target_table import print_target
    from edgelm.export.search import TARGET, NothingFits, export_for
    from edgelm.export.target import load_target

    try:
        found = export_for(
            model, output, load_target(name), text=text, languages=languages, progress=progress
        )
    except NothingFits as error:
        print_target(error.figures)
        raise
    print_target(found)
    print(f"chosen: {output / found['file']}; why: {output / TARGET}")


def _export_small(model: Path, kind: str, output: Path, formats: list[str], progress: "Progress") -> None:
    from edgelm.export.linear import FOLDER, export_small

    rows = [
        [
            FOLDER,
            f"{one['bytes'] / 1e6:.2f}",
            f"{one['largest_decision_difference']:.1e}",
            f"{one['equal_labels']:.3f}",
        ]
        for one in export_small(model, kind, output, formats, progress=progress).values()
    ]
    print_table(["file", "MB", "values differ by", "same labels"], rows, "Verified against numpy")
    print(f"written: {output}")


def _export_labeller(model: Path, output: Path, formats: list[str], progress: "Progress") -> None:
    from edgelm.export.ensemble import export_labeller
    from edgelm.export.export import artifact_name

    found = export_labeller(model, output, formats, progress=progress)
    rows = [
        [
            artifact_name(name),
            f"{one['bytes'] / 1e6:.2f}",
            f"{one['logits']:.1e}",
            f"{one['labels']:.3f}",
        ]
        for name, one in found.items()
    ]
    header = ["file", "MB", "logits differ by", "same labels"]
    print_table(header, rows, "The head, verified against PyTorch float32")
    print(f"written: {output}")


def _export_adapter(model: Path, output: Path, formats: list[str], text: str, progress: "Progress") -> None:
    from edgelm.export.adapter import FAMILY, export_adapter
    from edgelm.export.export import artifact_name

    rows = []
    for name, one in export_adapter(model, output, formats, text=text, progress=progress).items():
        if name.startswith(FAMILY):
            file = f"adapter-{name.removeprefix(FAMILY)}.gguf"
        else:
            file = f"base/{artifact_name(name.removeprefix('base '))}"
        rows.append([file, f"{one['bytes'] / 1e6:.2f}", f"{one['kl']:.1e}", f"{one['top1']:.3f}"])
    print_table(["file", "MB", "KL", "same top token"], rows, "Verified against PyTorch float32")
    print(f"written: {output}")


def _report_pruning(path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        [what, f"{before:,.{places}f}", f"{after:,.{places}f}", f"{after / before - 1:+.0%}"]
        for what, places, (before, after) in (
            ("tokens", 0, found["tokens"]),
            ("MB of weights in float32", 1, [size / 1e6 for size in found["bytes"]]),
            ("tokens/s", 0, found["tokens_per_second"]),
        )
    ]
    print_table(["what", "before", "after", "change"], rows, "Pruned")
    for code, one in found["languages"].items():
        alike, pieces = f"{one['alike']:.1%}", f"{one['pieces']:.3f}"
        print(f"{code}: {alike} of held-out documents are cut alike, into {pieces} times the tokens")
    if lost := [code for code, one in found["languages"].items() if one["alike"] < ALIKE]:
        print(
            f"edgelm: warning: other text in {', '.join(lost)} is cut into other tokens than before, which "
            "costs quality: there was too little to see what these languages use. Give more with --text.",
            file=sys.stderr,
        )
