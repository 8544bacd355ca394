"""ONNX: exported by optimum and quantised by onnxruntime, or by onnxruntime-genai; and ORT's own format."""

import contextlib
import io
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgelm.errors import EdgelmError
from edgelm.export.onnx_genai import build_onnx
from edgelm.extras import require
from edgelm.model.config import read_config
from edgelm.model.directory import TOKENIZER_FILES
from edgelm.runtime.graph_file import external_files, find_graph

BLOCK = 32
ORT_BYTES = 2_000_000_000
"""A FlatBuffers file holds no more than 2 GiB, and an `.ort` file takes no weights from beside it."""


def write_kind(
    model: Path, scratch: Path, kind: str, importance: Mapping[str, np.ndarray] | None = None
) -> Path:
    """The folder of one kind of ONNX in `scratch`, made there once.

    Args:
        importance: mean squares of what each matrix is multiplied by (`edgelm.export.importance`).
    """
    folder = scratch / kind
    if folder.exists():
        return folder
    if kind == "fp32":
        write_onnx(model, folder)
    elif kind == "int8":
        levels = {} if read_config(model).mlp_bias else importance  # a bias would have to be divided too
        quantize_onnx(write_kind(model, scratch, "fp32"), folder, levels)
    else:
        build_onnx(model, folder, kind)
        copy_beside(model, folder)
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
    copy_beside(model, folder)


def quantize_onnx(source: Path, folder: Path, importance: Mapping[str, np.ndarray] | None = None) -> None:
    """Quantise weights to 8 bits, activations when the model runs (onnxruntime's dynamic quantisation).

    Args:
        importance: level the activations by these first, where it has them.
    """
    with silence():
        quantization = require("onnxruntime.quantization", "export")
        onnx = require("onnx", "export")
        graph: Any = source / "model.onnx"
        if importance:
            graph = onnx.load(graph)
            _level(graph.graph, importance)
        folder.mkdir()
        quantization.quantize_dynamic(
            graph,
            folder / "model.onnx",
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
        )
    copy_beside(source, folder)


def _level(graph: Any, importance: Mapping[str, np.ndarray]) -> None:
    """Make the channels that a layer's last product reads more alike, as one scale has to do for all of them.

    What the product before divides a channel by, this one multiplies it with, so the model stays what it is
    (SmoothQuant: Xiao et al., 2023).
    """
    helper = require("onnx", "export").numpy_helper
    weights = {one.name: one for one in graph.initializer}
    products = {node.name: node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for name, squares in importance.items():
        if not name.endswith(".ffn_down.weight"):
            continue
        inside = f"/model/layers.{name.split('.')[1]}/mlp"
        sizes = np.maximum(squares, squares.mean() * 1e-4) ** 0.25  # half way; all of it gained less
        for product, factor in (("up_proj", 1 / sizes), ("down_proj", sizes[:, None])):
            weight = weights[products[f"{inside}/{product}/MatMul"]]
            values = helper.to_array(weight) * factor
            weight.CopyFrom(helper.from_array(values.astype(np.float32), weight.name))


def quantize_blocks(source: Path, folder: Path) -> None:
    """Quantise a graph without a cache, as a head's, in blocks of 32: products to 4 bits, embeddings to 8."""
    onnx = require("onnx", "export")
    with silence():
        quantization = require("onnxruntime.quantization.matmul_nbits_quantizer", "export")
        quantizer = quantization.MatMulNBitsQuantizer(
            onnx.load(source / "model.onnx"), algo_config=quantization.KQuantWeightOnlyQuantConfig()
        )
        quantizer.process()
    model = quantizer.model.model
    weights = {one.name: one for one in model.graph.initializer}
    for node in model.graph.node:
        table = weights.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or len(table.dims) != 2 or table.dims[1] % BLOCK:
            continue
        rows, scales = _to_eight_bits(onnx.numpy_helper.to_array(table))
        model.graph.initializer.remove(table)
        model.graph.initializer.append(onnx.numpy_helper.from_array(rows, table.name))
        model.graph.initializer.append(onnx.numpy_helper.from_array(scales, f"{table.name}_scales"))
        look_up = {"bits": 8, "block_size": BLOCK, "gather_axis": 0, "quantize_axis": 1}
        node.input.append(f"{table.name}_scales")
        node.op_type, node.domain = "GatherBlockQuantized", "com.microsoft"
        del node.attribute[:]
        node.attribute.extend(onnx.helper.make_attribute(*pair) for pair in look_up.items())
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    copy_beside(source, folder)


def _to_eight_bits(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows as uint8 around 128 [rows, width], and a scale for each block of them [rows, width / BLOCK]."""
    blocks = table.reshape(len(table), -1, BLOCK)
    scales = np.maximum(np.abs(blocks).max(axis=2), 1e-12) / 127
    rows = np.rint(blocks / scales[:, :, None]) + 128
    return rows.astype(np.uint8).reshape(table.shape), scales.astype(np.float32)


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
    copy_beside(source, folder)


def copy_beside(source: Path, folder: Path) -> None:
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
