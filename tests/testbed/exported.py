"""A small model and its exports, made once a session.

The weights are random, but scaled so that a text's last tokens decide what follows with some margin, as in a
trained model: quantisation must not change much. A model straight from its initialisation is all but uniform,
and the likeliest of its tokens is noise.
"""

import functools
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # before torch: spinning threads are slow on a busy machine

VOCAB_SIZE = 2048
FORMATS = ("gguf:F32", "gguf:F16", "gguf:Q8_0", "gguf:Q4_K_M", "onnx:fp32", "onnx:int8")
GENAI_FORMATS = ("onnx:int4", "onnx:int4-all", "onnx:int8-genai", "ort:int4")
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


@functools.cache
def model_dir(folder: Path) -> Path:
    """A model directory of preset `nano` with a tokenizer trained on the embedded sample."""
    import torch

    from edgelm.model.config import get_preset
    from edgelm.model.decoder import Decoder
    from edgelm.model.directory import save_model
    from edgelm.tokenizer.texts import sample_texts
    from edgelm.tokenizer.train import save_tokenizer, train_on

    (folder / "tokenizer").mkdir(parents=True)
    save_tokenizer(train_on(chain(*sample_texts().values()), VOCAB_SIZE), folder / "tokenizer")
    model = Decoder(get_preset("nano", VOCAB_SIZE))
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            back = name.endswith(("o_proj.weight", "down_proj.weight"))
            std = 0.12 if "embed" in name else 0.06 if back else 0.04
            torch.nn.init.normal_(weight, std=std, generator=generator)
        else:  # norms: not all ones, so that a norm that gets lost shows
            torch.nn.init.uniform_(weight, 0.8, 1.2, generator=generator)
    save_model(model, folder / "tokenizer", folder / "model", "A random model for tests.\n")
    return folder / "model"


@functools.cache
def export_dir(folder: Path) -> Path:
    """Its export in every format, verified as `edgelm export` does."""
    from edgelm.export.export import export

    export(model_dir(folder), folder / "export", FORMATS)
    return folder / "export"


@functools.cache
def genai_export(folder: Path) -> subprocess.CompletedProcess[str]:
    """Its export through onnxruntime-genai's builder, to `folder / "work" / "genai"`, by the command.

    It runs where nothing outside can be reached, with folders of its own for what programs keep on the side:
    `home`, `temporary` and the working directory.
    """
    for name in ("home", "temporary", "work"):
        (folder / name).mkdir(parents=True)
    nowhere = "http://127.0.0.1:9"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "temporary"),
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_ENDPOINT"), nowhere),
    }
    command = [sys.executable, "-m", "edgelm", "export", str(model_dir(folder)), "-o", "genai", "-q"]
    for name in GENAI_FORMATS:
        command += ["--to", name]
    return subprocess.run(
        command, cwd=folder / "work", env=environment, capture_output=True, text=True, timeout=280
    )


def python(code: str, *arguments: str, blocked: tuple[str, ...] = ()) -> list[str]:
    """A command that runs `code` in a fresh interpreter where some modules cannot be imported."""
    return [sys.executable, "-c", BLOCKER.format(names=blocked) + code, *arguments]
