"""`edgelm export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelm.cli.options import Output, Quiet, print_table

if TYPE_CHECKING:
    from edgelm.model.head_config import HeadConfig
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
    """Write GGUF and ONNX files, each verified against PyTorch."""
    from edgelm.extras import require
    from edgelm.progress import Progress

    require("torch", "train")
    from edgelm.export.export import artifact_name
    from edgelm.export.export import export as work
    from edgelm.model.head_config import read_head

    if head := read_head(model):
        _export_head(model, head, output, to, Progress(quiet=quiet))
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


def _export_head(
    model: Path, head: "HeadConfig", output: Path, formats: list[str], progress: "Progress"
) -> None:
    from edgelm.export.export import artifact_name
    from edgelm.export.head import export_head

    found = export_head(model, head, output, formats, progress=progress)
    rows = [
        [
            str(output / artifact_name(name)),
            f"{one['bytes'] / 1e6:.2f}",
            f"{one['logits']:.1e}",
            f"{one['labels']:.3f}",
        ]
        for name, one in found.items()
    ]
    print_table(["file", "MB", "logits differ by", "same labels"], rows, "Verified against PyTorch float32")
