"""ONNX: exported by optimum and quantised by onnxruntime, or by onnxruntime-genai; and ORT's own format."""

import contextlib
import io
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnxruntime

from edgelm.errors import EdgelmError
from edgelm.export.onnx_genai import build_onnx
from edgelm.extras import require
from edgelm.model.directory import TOKENIZER_FILES
from edgelm.runtime.graph_file import external_files, find_graph

ORT_BYTES = 2_000_000_000
"""A FlatBuffers file holds no more than 2 GiB, and an `.ort` file takes no weights from beside it."""


def write_kind(model: Path, scratch: Path, kind: str) -> Path:
    """The folder of one kind of ONNX in `scratch`, made there once."""
    folder = scratch / kind
    if folder.exists():
        return folder
    if kind == "fp32":
        write_onnx(model, folder)
    elif kind == "int8":
        quantize_onnx(write_kind(model, scratch, "fp32"), folder)
    else:
        build_onnx(model, folder, kind)
        _copy_beside(model, folder)
    return folder


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


def write_ort(source: Path, folder: Path) -> None:
    """Write `model.ort` for the mobile runtime: the graph as ONNX Runtime has optimised it, with all weights.

    Raises:
        EdgelmError: the weights are too many for one file of this format.
    """
    graph = find_graph(source)
    assert graph is not None
    size = sum(file.stat().st_size for file in (graph, *external_files(graph)))
    if size > ORT_BYTES:
        raise EdgelmError(
            f"{source.name}: {size:,} bytes do not fit an .ort file, which holds {ORT_BYTES:,}. "
            f"Export onnx:{source.name} instead."
        )
    folder.mkdir(parents=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(
        graph,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["ConstantFolding"],  # would store a shared embedding twice
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
