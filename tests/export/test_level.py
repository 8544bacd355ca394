"""ONNX int8: one scale does for all that a layer's last product reads, whatever a channel of it is like."""

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="ONNX files are written with the extra 'export'")

from edgelm.export.onnx import copy_beside, quantize_onnx  # noqa: E402
from edgelm.runtime import load  # noqa: E402
from edgelm.runtime.sampling import log_softmax  # noqa: E402

LOUD, TIMES = 3, 60.0


def test_a_loud_channel_costs_the_others_little(tmp_path: Path, export_dir: Path) -> None:
    """The same model, but for one channel that is made large by one product and small by the next."""
    source = tmp_path / "fp32"
    source.mkdir()
    copy_beside(export_dir / "onnx" / "fp32", source)
    graph = onnx.load(export_dir / "onnx" / "fp32" / "model.onnx")
    weights = {one.name: one for one in graph.graph.initializer}
    products = {one.name: one.input[1] for one in graph.graph.node if one.op_type == "MatMul"}
    for product, part, factor in (("up", np.s_[:, LOUD], TIMES), ("down", np.s_[LOUD], 1 / TIMES)):
        weight = weights[products[f"/model/layers.0/mlp/{product}_proj/MatMul"]]
        values = onnx.numpy_helper.to_array(weight).copy()
        values[part] *= factor
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(graph, source / "model.onnx")
    squares = np.ones(len(values), dtype=np.float32)
    squares[LOUD], squares[LOUD + 1] = (
        TIMES**2,
        0,
    )  # text may reach none of a channel
    importance = {"blk.0.ffn_down.weight": squares, "blk.0.ffn_up.weight": squares[:1]}
    quantize_onnx(source, tmp_path / "as-it-is")
    quantize_onnx(source, tmp_path / "levelled", importance)
    exact = logarithms(export_dir / "onnx" / "fp32")
    lost = {}
    for name in ("fp32", "as-it-is", "levelled"):
        lost[name] = float((np.exp(exact) * (exact - logarithms(tmp_path / name))).sum(-1).mean())
    assert abs(lost["fp32"]) < 1e-5
    assert lost["levelled"] < 0.4 * lost["as-it-is"]
    scales = [
        onnx.numpy_helper.to_array(one)
        for one in onnx.load(tmp_path / "levelled" / "model.onnx").graph.initializer
        if one.name.endswith("_scale")
    ]
    assert scales
    assert all(np.isfinite(one).all() for one in scales)
    sizes = [(tmp_path / name / "model.onnx").stat().st_size for name in ("as-it-is", "levelled")]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


def logarithms(folder: Path) -> np.ndarray:
    model = load(folder)
    ids = model.prompt("Namhlanje ekuseni sihambe sonke", language="zul")
    found = log_softmax(model.session().feed(ids))
    model.close()
    return found
