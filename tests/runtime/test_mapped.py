"""Weights stay in their files, mapped into memory, wherever the runtime can use them as they are there."""

import os
import subprocess
import sys
from pathlib import Path

import exported
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc says what a process has mapped")

MAPPED = """
import sys
from pathlib import Path
import edgelm

model = edgelm.load(sys.argv[1], threads=1)
session = model.session()
session.feed([model.bos, 300, 400])
for token in range(300, 320):
    session.feed([token])
total, here = 0, False
for line in Path("/proc/self/smaps").read_text().splitlines():
    if not line.split()[0].endswith(":"):
        here = line.endswith(sys.argv[2])
    elif here and line.startswith("Rss:"):
        total += 1024 * int(line.split()[1])
print(total)
"""


def mapped(model: Path, file: str) -> float:
    """Share of a file of weights that is in a process's memory as the file's own pages while it is in use."""
    command = exported.python(MAPPED, str(model), file)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    path = model if model.is_file() else model / file
    return int(done.stdout) / os.path.getsize(path)


def test_pytorch_reads_weights_where_they_are(model_dir: Path) -> None:
    assert mapped(model_dir, "model.safetensors") > 0.7


def test_llama_cpp_does(export_dir: Path) -> None:
    assert mapped(export_dir / "model-Q8_0.gguf", "model-Q8_0.gguf") > 0.7


def test_onnx_runtime_does_with_its_own_format(genai_dir: Path) -> None:
    assert mapped(genai_dir / "ort" / "int4", "model.ort") > 0.7


def test_onnx_runtime_maps_what_lies_outside_a_graph(genai_dir: Path) -> None:
    assert mapped(genai_dir / "onnx" / "int4", "model.onnx.data") > 0.02


def test_what_is_mapped_is_the_model_and_training_leaves_the_file(model_dir: Path, tmp_path: Path) -> None:
    import torch

    from edgelm.model.directory import WEIGHTS, load_model

    before = (model_dir / WEIGHTS).read_bytes()
    read, there = load_model(model_dir), load_model(model_dir, mapped=True)
    assert read.state_dict().keys() == there.state_dict().keys()
    for name, value in read.state_dict().items():
        assert torch.equal(value, there.state_dict()[name]), name
    with torch.no_grad():
        for weight in there.parameters():
            weight.add_(1)
    assert (model_dir / WEIGHTS).read_bytes() == before
