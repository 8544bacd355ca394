"""ONNX folders from strangers: no file outside them is read, damage is one line and stops no process."""

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import exported
import pytest

pytest.importorskip("onnx", reason="graphs are made with onnx")

import onnx
from onnx import TensorProto, helper

from edgelm.errors import BadInput
from edgelm.runtime import load
from edgelm.runtime.graph_file import external_files, find_graph
from edgelm.runtime.onnx import open_graph

USE_EACH = """
import sys
from edgelm.errors import EdgelmError
from edgelm.runtime import load
for path in sys.argv[1:]:
    try:
        model = load(path)
        model.session().feed([model.bos, *range(40, 60)])
        print("loaded", flush=True)
    except EdgelmError as error:
        print(error.exit_code, error, flush=True)
"""


def weight(name: str, place: str, **more: int) -> onnx.TensorProto:
    """Four numbers that lie in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": place, **more}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def constant(place: str) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["w"], value=weight("", place))


def graph_of(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto]) -> onnx.GraphProto:
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    return helper.make_graph(nodes, "g", [], [out], weights)


def plain(place: str) -> onnx.ModelProto:
    graph = graph_of([helper.make_node("Identity", ["w"], ["y"])], [weight("w", place)])
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])


def in_a_node(place: str) -> onnx.ModelProto:
    return helper.make_model(graph_of([constant(place), helper.make_node("Identity", ["w"], ["y"])], []))


def in_a_branch(place: str) -> onnx.ModelProto:
    branch = graph_of([helper.make_node("Identity", ["w"], ["y"])], [weight("w", place)])
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    choice = helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)
    return helper.make_model(graph_of([choice], [yes]))


def in_a_function(place: str) -> onnx.ModelProto:
    body = [constant(place), helper.make_node("Identity", ["w"], ["v"])]
    made = helper.make_function("own", "F", [], ["v"], body, [helper.make_opsetid("", 17)])
    graph = graph_of([helper.make_node("F", [], ["y"], domain="own")], [])
    return helper.make_model(graph, functions=[made])


def sparse(place: str) -> onnx.ModelProto:
    indices = helper.make_tensor("i", TensorProto.INT64, [4], [0, 1, 2, 3])
    tensor = onnx.SparseTensorProto(values=weight("w", place), indices=indices, dims=[4])
    model = helper.make_model(graph_of([helper.make_node("Identity", ["w"], ["y"])], []))
    model.graph.sparse_initializer.append(tensor)
    return model


def said_twice(place: str) -> onnx.ModelProto:
    model = plain(place)
    model.graph.initializer[0].external_data.add(key="location", value="weights")
    return model


def in_two_parts(place: str) -> onnx.ModelProto:
    """The graph comes twice, which Protocol Buffers put together."""
    model = helper.make_model(graph_of([helper.make_node("Identity", ["w"], ["y"])], []))
    model.graph.name = "g"
    more = onnx.ModelProto()
    more.graph.initializer.append(weight("w", place))
    whole = onnx.ModelProto()
    whole.ParseFromString(model.SerializeToString() + more.SerializeToString())
    assert whole.graph.initializer[0].external_data
    model.doc_string = more.SerializeToString().hex()  # the parts, for `written`
    return model


def in_an_attribute(field: str) -> Callable[[str], onnx.ModelProto]:
    """Where an attribute can hold weights besides `value`."""

    def make(place: str) -> onnx.ModelProto:
        sparse_weight = onnx.SparseTensorProto(values=weight("w", place))
        held = {"tensors": weight("w", place), "graphs": graph_of([], [weight("w", place)])}
        node = helper.make_node("Anything", [], ["y"])
        attribute = onnx.AttributeProto(name="a")
        if field == "sparse_tensor":
            attribute.sparse_tensor.CopyFrom(sparse_weight)
        else:
            getattr(attribute, field).append(held.get(field, sparse_weight))
        node.attribute.append(attribute)
        return helper.make_model(graph_of([node], []))

    return make


def in_training(place: str) -> onnx.ModelProto:
    model = helper.make_model(graph_of([], []))
    model.training_info.add().algorithm.initializer.append(weight("w", place))
    return model


MAKERS = [
    *map(in_an_attribute, ("tensors", "graphs", "sparse_tensor", "sparse_tensors")), in_training,
    plain, in_a_node, in_a_branch, in_a_function, sparse, said_twice, in_two_parts,
]  # fmt: skip
OUTSIDE = [
    "/etc/passwd",
    "../weights",
    "a/../../weights",
    "..\\weights",
    "C:\\weights",
    "\\weights",
    "",
    "a\0b",
]


def written(folder: Path, model: onnx.ModelProto) -> Path:
    parts, model.doc_string = bytes.fromhex(model.doc_string), ""
    (folder / "model.onnx").write_bytes(model.SerializeToString() + parts)
    return folder / "model.onnx"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "weights").write_bytes(b"\0" * 16)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"\0" * 16)
    return tmp_path / "model"


@pytest.mark.parametrize("make", MAKERS)
def test_weights_outside_the_folder_are_refused(folder: Path, make: Callable[[str], onnx.ModelProto]) -> None:
    assert external_files(written(folder, make("weights"))) == [folder / "weights"]
    for place in OUTSIDE:
        path = written(folder, make(place))
        with pytest.raises(BadInput, match="wants weights from outside its folder") as caught:
            open_graph(path, None, lambda engine: engine.run(None, {})[0])
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_weights_beside_the_graph_are_read(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "weights").rename(folder / "sub" / "weights")
    _, found = open_graph(written(folder, plain("sub/weights")), 1, lambda engine: engine.run(None, {})[0])
    assert found.tolist() == [0, 0, 0, 0]


def test_weights_that_are_missing_or_cut_short(folder: Path) -> None:
    model = plain("weights")
    model.graph.initializer[0].external_data.add(key="offset", value="4096")
    model.graph.initializer[0].external_data.add(key="length", value="16")
    path = written(folder, model)
    (folder / "weights").write_bytes(b"\0" * 4112)
    assert external_files(path) == [folder / "weights"]
    for damage in (lambda: (folder / "weights").write_bytes(b"\0" * 4111), (folder / "weights").unlink):
        damage()
        with pytest.raises(
            BadInput, match=r"weights: is missing or shorter than model\.onnx says \(4,112 bytes"
        ):
            external_files(path)
    for place in ("*/_ORT_MEM_ADDR_/*", "."):
        with pytest.raises(BadInput, match="is missing or shorter"):
            external_files(written(folder, plain(place)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x3a",  # a graph without a length
        b"\x3a\x05ab",  # longer than the file
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # of a length that no number holds
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x0b",  # a group, which ONNX has none of
        b"\x08",
        b"\x09abc",
        b"\x3a\x04\x2a\x02\x6a\x05",  # an entry longer than its tensor
    ],
)
def test_what_is_no_message_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises(BadInput, match=r"model\.onnx: is not an ONNX model that can be read"):
        external_files(tmp_path / "model.onnx")


def test_nested_a_thousand_times(folder: Path) -> None:
    data = b""
    for _ in range(1000):  # a graph in an attribute of a node of a graph
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            size, length = len(data), b""
            while size > 127:
                length, size = length + bytes([size & 127 | 128]), size >> 7
            data = tag + length + bytes([size]) + data
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises(BadInput, match="is not an ONNX model that can be read"):
        open_graph(folder / "model.onnx", None, lambda engine: engine.run(None, {})[0])


@pytest.mark.parametrize("name", ["model.onnx", "model.ort"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(BadInput, match="is no file"):
        external_files(tmp_path / name)


def test_the_graph_of_a_folder(tmp_path: Path) -> None:
    assert find_graph(tmp_path) is None
    (tmp_path / "model.ort").touch()
    assert find_graph(tmp_path) == tmp_path / "model.ort"
    (tmp_path / "model.onnx").touch()
    assert find_graph(tmp_path) == tmp_path / "model.onnx"
    assert find_graph(tmp_path / "model.onnx") is None


def test_a_model_of_a_stranger_is_not_loaded(tmp_path: Path, genai_dir: Path) -> None:
    outside = Path(shutil.copy(genai_dir / "onnx" / "int4" / "model.onnx.data", tmp_path / "secret"))
    for number, place in enumerate((str(outside), "../secret")):
        folder = Path(shutil.copytree(genai_dir / "onnx" / "int4", tmp_path / str(number)))
        graph = onnx.load(folder / "model.onnx", load_external_data=False)
        for entry in graph.graph.initializer[3].external_data:
            if entry.key == "location":
                entry.value = place
        (folder / "model.onnx").write_bytes(graph.SerializeToString())
        with pytest.raises(BadInput, match="wants weights from outside its folder"):
            load(folder)


def test_bits_that_flip_stop_no_process(tmp_path: Path, genai_dir: Path) -> None:
    """In graphs; in weights they change figures, which nothing here sees."""
    draw, folders = random.Random(5), []
    for source, end in ((genai_dir / "onnx" / "int4", 1 << 30), (genai_dir / "ort" / "int4", 20_000)):
        graph = find_graph(source)
        assert graph is not None
        whole = graph.read_bytes()
        for number in range(25):
            data = bytearray(whole)
            place = draw.randrange(min(end, len(whole)))
            if number % 2:
                data[place] ^= 1 << draw.randrange(8)
            elif number % 4:
                data[place : place + 16] = draw.randbytes(16)
            else:
                del data[place:]
            folder = tmp_path / f"{source.parent.name}{number}"
            folder.mkdir()
            for file in source.iterdir():
                (folder / file.name).symlink_to(file) if file.suffix == ".json" else None
            if (source / "model.onnx.data").exists():
                shutil.copy(source / "model.onnx.data", folder)  # onnx refuses a file with two names
            (folder / graph.name).write_bytes(data)
            folders.append(str(folder))
    done = subprocess.run(exported.python(USE_EACH, *folders), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == len(folders)
    for line, name in zip(lines, folders, strict=True):
        assert line == "loaded" or line.startswith((f"2 {name}/model.", "2 ONNX Runtime cannot read token"))
    assert sum(line != "loaded" for line in lines) > 25
