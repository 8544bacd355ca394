"""`edgelm export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelm.cli.options import Output, Quiet, print_table

if TYPE_CHECKING:
    from edgelm.progress import Progress


def export(
    model: Annotated[Path, typer.Argument(help="A model directory.")],
    output: Output,
    to: Annotated[
        list[str],
        typer.Option(help="gguf:F32 gguf:F16 gguf:Q8_0 gguf:Q4_K_M onnx:fp32 onnx:int8; repeat for more."),
    ],
    quiet: Quiet = False,
) -> None:
    """Write GGUF and ONNX files, each verified against the model it came from."""
    from edgelm.extras import require
    from edgelm.model.head_config import model_type
    from edgelm.progress import Progress
    from edgelm.runtime.labeller import SMALL

    if (kind := model_type(model)) in SMALL:
        _export_small(model, kind, output, to, Progress(quiet=quiet))
        return
    require("torch", "train")
    from edgelm.export.ensemble import is_labeller
    from edgelm.export.export import artifact_name
    from edgelm.export.export import export as work

    if is_labeller(model):
        _export_labeller(model, output, to, Progress(quiet=quiet))
        return
    found = work(model, output, to, progress=Progress(quiet=quiet))
    rows = [
        [
            str(output / artifact_name(name)),
            f"{one['bytes'] / 1e6:.2f}",
            f"{one['kl']:.1e}",
            f"{one['top1']:.3f}",
            f"{one['greedy']:.2f}",
        ]
        for name, one in found.items()
    ]
    print_table(
        ["file", "MB", "KL", "same top token", "same greedy text"], rows, "Verified against PyTorch float32"
    )


def _export_small(model: Path, kind: str, output: Path, formats: list[str], progress: "Progress") -> None:
    from edgelm.export.linear import FOLDER, export_small

    rows = [
        [
            str(output / FOLDER),
            f"{one['bytes'] / 1e6:.2f}",
            f"{one['largest_decision_difference']:.1e}",
            f"{one['equal_labels']:.3f}",
        ]
        for one in export_small(model, kind, output, formats, progress=progress).values()
    ]
    print_table(["file", "MB", "values differ by", "same labels"], rows, "Verified against numpy")


def _export_labeller(model: Path, output: Path, formats: list[str], progress: "Progress") -> None:
    from edgelm.export.ensemble import export_labeller
    from edgelm.export.export import artifact_name

    found = export_labeller(model, output, formats, progress=progress)
    rows = [
        [
            str(output / artifact_name(name)),
            f"{one['bytes'] / 1e6:.2f}",
            f"{one['logits']:.1e}",
            f"{one['labels']:.3f}",
        ]
        for name, one in found.items()
    ]
    header = ["file", "MB", "logits differ by", "same labels"]
    print_table(header, rows, "The head, verified against PyTorch float32")
