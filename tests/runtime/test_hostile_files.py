"""Model directories that someone damaged, or made to do damage."""

import json
import os
import pickle
import random
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exported
import pytest

from edgelm.errors import BadInput
from edgelm.runtime import load

FILES = 100
LOAD_EACH = """
import resource, sys
from pathlib import Path
from edgelm.errors import EdgelmError
from edgelm.runtime import load
for line in sys.stdin:
    folder, name, damaged = map(Path, line.rstrip("\\n").split("\\t"))
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(damaged.read_bytes())
    try:
        model = load(folder)
        list(model.generate("Namhlanje", max_tokens=2))
        print("used", flush=True)
    except EdgelmError as error:
        print(error.exit_code, error, flush=True)
    (folder / name).write_bytes(whole)
"""
JSON = ("config.json", "tokenizer.json")


class Armed:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def model(tmp_path: Path, tiny_model_dir: Path) -> Path:
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))


def refused(folder: Path, name: str, problem: str = ".") -> None:
    with pytest.raises(BadInput, match=problem) as caught:
        load(folder)
    assert str(caught.value).startswith(f"{folder / name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_pickle_is_never_loaded(model: Path, tmp_path: Path, name: str) -> None:
    (model / "model.safetensors").unlink()
    (model / name).write_bytes(pickle.dumps({"model.norm.weight": Armed(tmp_path / "ran")}))
    with pytest.raises(BadInput, match=rf"{name}: (is not a safetensors file|is pickle, which can run code)"):
        load(model)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["model.safetensors", *JSON])
@pytest.mark.parametrize("kind", ["a pipe", "a device"])
def test_what_is_no_file_is_not_read(model: Path, name: str, kind: str) -> None:
    (model / name).unlink()
    if kind == "a pipe":
        os.mkfifo(model / name)
    else:
        (model / name).symlink_to("/dev/zero")
    refused(model, name, "no regular file")


def test_links_to_files_are_followed(model: Path, tmp_path: Path) -> None:
    """The Hugging Face hub's cache is made of them."""
    (tmp_path / "blobs").mkdir()
    for path in list(model.iterdir()):
        (tmp_path / "blobs" / path.name).write_bytes(path.read_bytes())
        path.unlink()
        path.symlink_to(tmp_path / "blobs" / path.name)
    load(model).close()


@pytest.mark.parametrize("name", JSON)
def test_json_that_is_too_deep_or_too_long(model: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (model / name).write_text("[" * 100_000, encoding="utf-8")
    refused(model, name)
    whole = (model / name).read_text(encoding="utf-8")
    monkeypatch.setattr("edgelm.files.LONGEST", len(whole) - 1)
    refused(model, name, "longer than")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_size", 2**40),
        ("num_hidden_layers", 2**31),
        ("vocab_size", 2**62),
        ("intermediate_size", 1e400),
        ("num_attention_heads", 0),
        ("max_position_embeddings", -1),
        ("num_key_value_heads", "x"),
        ("vocab_size", None),
    ],
)
def test_a_shape_that_no_file_holds_takes_no_memory(model: Path, field: str, value: object) -> None:
    change(model / "config.json", **{field: value})
    with pytest.raises(BadInput, match=r"(does not describe|does not fit config\.json)") as caught:
        load(model)
    assert "\n" not in str(caught.value)


def change(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields), encoding="utf-8")


def test_a_token_without_a_row_is_said(model: Path, tmp_path: Path, export_dir: Path) -> None:
    graph = Path(shutil.copytree(export_dir / "onnx" / "int8", tmp_path / "onnx"))
    for folder in (model, graph):
        content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        content["model"]["vocab"]["ĠĠĠĠ"] = len(content["model"]["vocab"])
        (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
        refused(folder, "tokenizer.json", r"has \d+ tokens, the model only")


@pytest.mark.parametrize("number", [2**32 - 1, 2**31])
def test_a_token_with_an_id_far_out_takes_no_memory(model: Path, number: int) -> None:
    content = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["vocab"]["ĠĠĠĠ"] = number
    (model / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    refused(model, "tokenizer.json", f"a token has the id {number}")


def test_a_tokenizer_that_is_not_of_bytes_is_said(model: Path) -> None:
    content = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["vocab"]["▁n"] = content["model"]["vocab"].pop("Ġn")
    content["model"]["merges"] = []
    (model / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    refused(model, "tokenizer.json", r"is no byte-level BPE \(a token has '▁' in it\)")


HEADERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another shape": lambda header: header["model.norm.weight"].update(shape=[2, 128]),
    "a shape that overflows": lambda header: header["model.norm.weight"].update(shape=[2**40, 2**40]),
    "an offset outside": lambda header: header["model.norm.weight"].update(data_offsets=[0, 2**50]),
    "an unknown type": lambda header: header["model.norm.weight"].update(dtype="X9"),
    "a tensor missing": lambda header: header.pop("model.norm.weight"),
    "another name": lambda header: header.update(more=header.pop("model.norm.weight")),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_false_header_of_the_weights_is_one_line(model: Path, name: str) -> None:
    path = model / "model.safetensors"
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    HEADERS[name](header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    refused(model, "model.safetensors")
    path.write_bytes(struct.pack("<Q", 2**60) + data[8:])
    refused(model, "model.safetensors", "is not a safetensors file")


def test_damaged_at_random_it_stops_no_process(tmp_path: Path, model: Path) -> None:
    draw, jobs = random.Random(3), []
    for place in range(FILES):
        name = draw.choice(["model.safetensors", *JSON])
        data = bytearray((model / name).read_bytes())
        reach = 2000 if name == "model.safetensors" else len(data)
        if draw.random() < 0.2:
            del data[draw.randrange(len(data)) :]
        for _ in range(draw.randrange(1, 6)):
            if data:
                data[draw.randrange(min(reach, len(data)))] = draw.choice(b'0123456789"{}[],:-e\x00\xff')
        (tmp_path / str(place)).write_bytes(data)
        jobs.append(f"{model}\t{name}\t{tmp_path / str(place)}")
    done = subprocess.run(
        exported.python(LOAD_EACH), input="\n".join(jobs), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-800:]
    lines = [line for line in done.stdout.splitlines() if not line.startswith("The OrderedVocab")]  # Rust's
    assert len(lines) == FILES
    assert all(line == "used" or line.startswith("2 /") for line in lines)
    assert sum(line != "used" for line in lines) > FILES / 2
