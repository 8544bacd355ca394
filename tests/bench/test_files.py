from pathlib import Path

import numpy as np
import pytest

from edgelm.bench.files import find_models, model_bytes
from edgelm.errors import BadInput


def test_an_export_folder_gives_all_that_lies_in_it(export_dir: Path, model_dir: Path) -> None:
    found = find_models([export_dir, model_dir])
    assert set(found) == {
        "gguf:F32", "gguf:F16", "gguf:Q8_0", "gguf:Q4_K_M", "onnx:fp32", "onnx:int8", model_dir.name,
    }  # fmt: skip
    assert (export_dir / "imatrix.gguf").exists()  # which is no model
    assert found["gguf:Q4_K_M"] == export_dir / "model-Q4_K_M.gguf"
    assert found["onnx:int8"] == export_dir / "onnx" / "int8"


def test_adapters_are_no_models(tmp_path: Path, tiny_gguf: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="GGUF files are written with the gguf package")
    writer = gguf.GGUFWriter(tmp_path / "lora.gguf", "llama")
    writer.add_type("adapter")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("mine.gguf", "sub/mine.gguf", ".hidden/mine.gguf"):
        (tmp_path / name).write_bytes(tiny_gguf.read_bytes())
    assert set(find_models([tmp_path])) == {"mine.gguf", "sub/mine.gguf"}


def test_names_tell_models_apart(tmp_path: Path) -> None:
    files = [tmp_path / folder / "model.gguf" for folder in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(b"")
    assert find_models(files) == {str(file): file for file in files}
    with pytest.raises(BadInput, match="twice"):
        find_models([files[0], files[0]])


def test_graphs_of_the_mobile_runtime_are_models(tmp_path: Path) -> None:
    for name in ("onnx/int4/model.onnx", "ort/int4/model.ort", "ort/int4/model.onnx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert set(find_models([tmp_path])) == {"onnx:int4", "ort:int4"}
    assert set(find_models([tmp_path / "ort" / "int4"])) == {"int4"}


def test_what_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such model"):
        find_models([tmp_path / "nothing"])
    with pytest.raises(BadInput, match="holds no model"):
        find_models([tmp_path])


def test_the_size_counts_weights_wherever_they_lie(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="graphs are written with the onnx package")
    weights = onnx.numpy_helper.from_array(np.zeros(50, np.float32), "weights")
    graph = onnx.helper.make_graph([], "none", [], [], [weights])
    file = tmp_path / "model.onnx"
    onnx.save(
        onnx.helper.make_model(graph),
        file,
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=0,
    )
    for other in ("tokenizer.json", "left.data"):
        (tmp_path / other).write_bytes(b"x" * 5000)
    assert model_bytes(tmp_path) == file.stat().st_size + 200
    assert model_bytes(file) == file.stat().st_size
    (tmp_path / "model.onnx.data").unlink()
    with pytest.raises(BadInput, match=r"model\.onnx\.data"):
        model_bytes(tmp_path)
