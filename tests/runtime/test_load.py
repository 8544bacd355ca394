import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import exported
import pytest

from edgelm.errors import BadInput, EdgelmError
from edgelm.runtime import load

LOAD_EACH = """
import sys
from edgelm.errors import EdgelmError
from edgelm.runtime import load
for path in sys.argv[1:]:
    try:
        load(path).close()
        print("loaded", flush=True)
    except EdgelmError as error:
        print(error.exit_code, error, flush=True)
"""
USE = """
import sys
import edgelm
for path in sys.argv[1:]:
    model = edgelm.load(path)
    text = "".join(model.generate("Namhlanje", language="zul", max_tokens=5, temperature=0))
    print(model.backend, bool(text), model.score(model.prompt("a"), model.tokenize(" b")).shape[0] > 0)
    model.close()
loaded = {name.split(".")[0] for name in sys.modules}
print(*loaded & {"torch", "transformers", "sklearn", "pyarrow", "gradio"})
"""
HEAVY = ("torch", "transformers", "sklearn", "pyarrow", "gradio")


def lines_of(command: list[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not done.stderr, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.fixture
def broken(tmp_path: Path, model_dir: Path, export_dir: Path) -> Callable[[str], Path]:
    """A copy of a model, to damage: `torch`, `onnx` or `gguf`."""

    def copy(kind: str) -> Path:
        if kind == "gguf":
            return Path(shutil.copy(export_dir / "model-Q8_0.gguf", tmp_path / "broken.gguf"))
        source = model_dir if kind == "torch" else export_dir / "onnx" / "int8"
        return Path(shutil.copytree(source, tmp_path / kind))

    return copy


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: cut(path, path.stat().st_size // 2),
    "nearly whole": lambda path: cut(path, -2),
    "random": lambda path: path.write_bytes(random.Random(0).randbytes(5000)),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("torch", "model.safetensors"),
        ("torch", "config.json"),
        ("torch", "tokenizer.json"),
        ("onnx", "model.onnx"),
        ("onnx", "config.json"),
        ("onnx", "tokenizer.json"),
    ],
)
def test_a_damaged_file_of_a_directory_is_named(
    broken: Callable[[str], Path], kind: str, name: str, damage: str
) -> None:
    folder = broken(kind)
    DAMAGE[damage](folder / name)
    with pytest.raises(BadInput) as caught:
        load(folder)
    line = str(caught.value)
    assert "\n" not in line
    assert str(folder if (name, damage) == ("model.onnx", "missing") else folder / name) in line


def test_a_graph_of_another_model_is_refused(broken: Callable[[str], Path]) -> None:
    folder = broken("onnx")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"num_key_value_heads": 4}), encoding="utf-8")
    with pytest.raises(BadInput, match=r"model\.onnx: is not an ONNX model that can be read"):
        load(folder)


def test_a_damaged_gguf_is_one_line_and_stops_no_process(tmp_path: Path, export_dir: Path) -> None:
    whole = (export_dir / "model-Q8_0.gguf").read_bytes()
    draw = random.Random(1)
    damaged = [b"", b"GGUF", whole[:24], whole[:-1], b"GGML" + whole[4:], whole[:4] + b"\x63" + whole[5:]]
    damaged += [whole[: draw.randrange(len(whole))] for _ in range(20)]
    damaged += [whole[: draw.randrange(40_000)] for _ in range(20)]  # inside the metadata
    damaged += [draw.randbytes(draw.randrange(1, 5000)) for _ in range(10)]
    damaged += [whole[:8] + draw.randbytes(5000) for _ in range(10)]
    paths = []
    for number, data in enumerate(damaged):
        paths.append(tmp_path / f"{number}.gguf")
        paths[-1].write_bytes(data)
    (tmp_path / "folder.gguf").mkdir()
    lines = lines_of(exported.python(LOAD_EACH, *map(str, [*paths, tmp_path / "folder.gguf"])))
    for line, path in zip(lines, [*paths, tmp_path / "folder.gguf"], strict=True):
        assert line.startswith(f"2 {path}: is n")
        assert line.endswith((". Copy or export the model again.", ". Give a .gguf file."))


def test_a_gguf_without_the_tokens_of_a_chat_writes_all_the_same(tmp_path: Path, export_dir: Path) -> None:
    data = (export_dir / "model-Q8_0.gguf").read_bytes()
    assert data.count(b"<|assistant|>") > 1  # in the vocabulary, and in the chat template
    path = tmp_path / "other.gguf"
    path.write_bytes(data.replace(b"<|assistant|>", b"<|assistent|>"))
    model = load(path)
    with pytest.raises(BadInput, match=r"no chat format that edgelm knows\. It can continue text"):
        model.prompt("Molo", chat=True)
    assert "".join(model.generate("Molo", max_tokens=4))
    model.close()


@pytest.mark.parametrize("name", ["nothing", "nothing.gguf", "folder", "file.txt"])
def test_what_is_no_model_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(BadInput, match=rf"{name}: (no such model|is not a model)\. Give a \.gguf file"):
        load(tmp_path / name)


def test_gguf_and_onnx_need_no_torch(model_dir: Path, export_dir: Path) -> None:
    paths = [str(export_dir / "model-Q4_K_M.gguf"), str(export_dir / "onnx" / "int8")]
    lines = lines_of(exported.python(USE, *paths, blocked=HEAVY))
    assert lines == ["llama.cpp True True", "onnx True True", ""]
    assert lines_of(exported.python(USE, *paths))[-1] == ""
    needed = lines_of(exported.python(LOAD_EACH, str(model_dir), blocked=HEAVY))
    assert len(needed) == 1
    assert needed[0].startswith("1 torch is not installed")
    assert needed[0].endswith("Run: pip install 'edgelm[train]'")


def test_closing(model_dir: Path, export_dir: Path) -> None:
    for path in (model_dir, export_dir / "onnx" / "fp32", export_dir / "model-F32.gguf"):
        model = load(path)
        session = model.session()
        session.feed([model.bos])
        model.close()
        model.close()
        with pytest.raises(EdgelmError, match=r"was closed\. Load it again"):
            list(model.generate("a"))
    with pytest.raises(EdgelmError):
        session.feed([model.bos])
    with pytest.raises(EdgelmError):
        model.tokenize("a")


def test_threads_do_not_change_the_text(model_dir: Path, export_dir: Path) -> None:
    for path in (export_dir / "onnx" / "fp32", export_dir / "model-F32.gguf"):
        texts = set()
        for threads in (1, 2):
            model = load(path, threads=threads)
            texts.add("".join(model.generate("Namhlanje", temperature=0, max_tokens=20)))
            model.close()
        assert len(texts) == 1


def test_onnxruntime_reports_to_nobody(tmp_path: Path, export_dir: Path) -> None:
    """Its wheels send what they are used for, and keep it in the home folder until they can."""
    command = exported.python(LOAD_EACH, str(export_dir / "onnx" / "int8"))
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**environment, "HOME": str(tmp_path)}
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "loaded\n", "")
    assert list(tmp_path.iterdir()) == []
