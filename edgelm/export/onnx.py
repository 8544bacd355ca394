"""ONNX: exported by optimum with its key-value cache, quantised by onnxruntime."""

import contextlib
import io
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from edgelm.extras import require
from edgelm.model.directory import TOKENIZER_FILES


def write_onnx(model: Path, folder: Path) -> None:
    """Write `model.onnx` in float32 with the tokenizer and config beside it.

    Raises:
        MissingExtra: optimum is not installed.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with silence():
        exporters = require("optimum.exporters.onnx", "export")
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            exporters.main_export(
                str(model), scratch, task="text-generation-with-past", device="cpu", do_validation=False
            )
            folder.mkdir()
            shutil.move(Path(scratch) / "model.onnx", folder / "model.onnx")
    _copy_beside(model, folder)


def quantize_onnx(source: Path, folder: Path) -> None:
    """Quantise weights to 8 bits, activations when the model runs (onnxruntime's dynamic quantisation)."""
    with silence():
        quantization = require("onnxruntime.quantization", "export")
        folder.mkdir()
        quantization.quantize_dynamic(
            source / "model.onnx",
            folder / "model.onnx",
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
        )
    _copy_beside(source, folder)


def _copy_beside(source: Path, folder: Path) -> None:
    for name in ("config.json", *TOKENIZER_FILES):
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """The exporter speaks of itself at length; its failures are exceptions."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
