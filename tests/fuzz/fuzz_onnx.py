"""ONNX folders: the graph, what it says of other files, and those beside it."""

import functools
from pathlib import Path

import fuzz_files as sound
from fuzz_models import json_of, label, use
from fuzzing import Files, Reader, bytes_like, one_of
from hypothesis import strategies as st

GRAPH = "model.onnx"
PLACES = [
    "weights", "model.onnx", "", "..", "../x", "/etc/passwd", "a" * 300, "weights\0", "x/../weights", ".",
    "C:x", "\\x", "./weights", "ḓ", "weights/", "//x", "given/../../x",
]  # fmt: skip
NUMBERS = ["0", "4", "8", "-1", "-8", "", "x", "1e3", "9" * 30, "9" * 5000, "٣", " 4", "0x4", "4.0"]


@functools.cache
def outside() -> Files:
    """A graph with one tensor in a file beside it."""
    from onnx import TensorProto, helper

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "weights"), ("offset", "0"), ("length", "8")):
        tensor.external_data.add(key=key, value=value)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, [2])],
        [value("y", TensorProto.FLOAT, [2])],
        [tensor],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return {GRAPH: made.SerializeToString(), "weights": bytes(8)}


def elsewhere(entries: list[tuple[str, str]], dims: list[int]) -> Files:
    import onnx

    model = onnx.load_from_string(outside()[GRAPH])
    tensor = model.graph.initializer[0]
    del tensor.external_data[:]
    for key, value in entries:
        tensor.external_data.add(key=key, value=value)
    tensor.dims[:] = dims
    return {GRAPH: model.SerializeToString()}


entries = st.lists(
    st.tuples(st.just("location"), st.sampled_from(PLACES))
    | st.tuples(st.sampled_from(["offset", "length", "checksum", ""]), st.sampled_from(NUMBERS)),
    max_size=4,
)


def open_any(folder: Path) -> None:
    import numpy as np

    from edgelm.bench.files import model_bytes
    from edgelm.runtime.onnx import open_graph

    model_bytes(folder)
    values = {"x": np.zeros(2, np.float32)}
    open_graph(folder / GRAPH, 1, lambda engine: engine.run(None, values)[0])


@functools.cache
def linear() -> Files:
    from edgelm.export.linear import export_linear
    from edgelm.model.linear import load_linear

    sound.linear()
    folder = sound.scratch() / "linear-onnx"
    folder.mkdir()
    export_linear(load_linear(sound.scratch() / "linear"), folder, ["umfana uyahamba"])
    return sound.read_folder(folder)


READERS = [
    Reader(
        "ONNX weights elsewhere",
        outside,
        st.builds(elsewhere, entries, st.lists(st.sampled_from([2, 0, 1, -1, 3, 2**31, 2**62]), max_size=3)),
        open_any,
    ),
    Reader("ONNX graph", outside, one_of(**{GRAPH: bytes_like(lambda: outside()[GRAPH])}), open_any),
    Reader(
        "ONNX decoder",
        sound.onnx,
        one_of(
            **{
                GRAPH: bytes_like(lambda: sound.onnx()[GRAPH], 60_000),
                "config.json": json_of(sound.onnx, "config.json"),
            }
        ),
        use,
    ),
    Reader(
        "ONNX linear model",
        linear,
        one_of(**{GRAPH: bytes_like(lambda: linear()[GRAPH]), "config.json": json_of(linear, "config.json")}),
        label,
    ),
]
