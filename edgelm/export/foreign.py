"""What llama.cpp cannot hold of models made elsewhere, said before it is written wrongly."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import edgelm.tokenizer
from edgelm.errors import BadInput
from edgelm.extras import require
from edgelm.model.config import read_config
from edgelm.runtime.gguf_header import read_header
from edgelm.tokenizer.text import TextTokenizer

INSTEAD = "export to onnx:fp32 or onnx:int8, which keeps the tokenizer as it is"
BLOCK, SUPERBLOCK = 32, 256
"""Weights of a row that llama.cpp's kinds round together: the smallest and the largest such blocks."""
WHOLE = ("F32", "F16", "BF16")
"""Kinds that take rows of any length."""
LEFT_OUT = ("trim_offsets",)
"""Of a step of a pre-tokenizer: no id depends on it."""


def pre_tokenizer(content: dict[str, Any], file: Path) -> str:
    """llama.cpp's name for how a `tokenizer.json` cuts text before byte-pair encoding.

    Raises:
        BadInput: it has none, or changes text in a way that no GGUF file can say.
    """
    normalizer = content["normalizer"]
    if normalizer not in (None, {"type": "NFC"}):
        raise BadInput(
            f"changes text by {normalizer['type']}, which GGUF has no word for", file=file, remedy=INSTEAD
        )
    before, model = content["pre_tokenizer"] or {"type": "nothing"}, content["model"]
    steps = [
        {"use_regex": True, **{key: value for key, value in step.items() if key not in LEFT_OUT}}
        if step["type"] == "ByteLevel"
        else step
        for step in before.get("pretokenizers", [before])
    ]
    path = Path(edgelm.tokenizer.__path__[0]) / "pre.yaml"
    for name, known in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        if steps == known["steps"] and bool(model.get("ignore_merges")) == known["ignore_merges"]:
            return str(name)
    cuts = " and ".join(step.get("pattern", {}).get("Regex", step["type"]) for step in steps)
    raise BadInput(f"cuts text by {cuts}, which is none of llama.cpp's ways", file=file, remedy=INSTEAD)


def check_gguf(model: Path, kinds: Sequence[str]) -> None:
    """Raise `BadInput` where llama.cpp has no word for the tokenizer, or a kind could be had in name only.

    Of rows that are no multiple of `BLOCK` weights llama.cpp rounds none and keeps the matrix in F16: one
    matrix of a layer may be such, as where 9 heads of 56 come together, but not those that read the hidden
    states, the embedding among them.
    """
    pre_tokenizer(json.loads(TextTokenizer(model).tokenizer.to_str()), model / "tokenizer.json")
    size, rounded = read_config(model).hidden_size, [kind for kind in kinds if kind not in WHOLE]
    if rounded and size % BLOCK:
        raise BadInput(
            f"gguf:{rounded[0]} cannot be had of a hidden size of {size}, which is no multiple of {BLOCK}: "
            "nearly all would stay in 16 bits",
            file=model,
            remedy="export to gguf:F16, gguf:BF16 or onnx:int8",
        )


def fallen_back(path: Path, kind: str) -> dict[str, tuple[str, int]]:
    """Matrices of a GGUF file to which its kind does not apply: type and bytes by the tensor's name.

    These are those whose rows are no multiple of `SUPERBLOCK`, for which llama.cpp takes a type of more bits.
    """
    kinds = require("gguf", "export").GGMLQuantizationType
    return {
        name: (kinds(tensor.kind).name, tensor.bytes)
        for name, tensor in read_header(path).tensors.items()
        if len(tensor.shape) == 2 and tensor.shape[0] % SUPERBLOCK and kinds(tensor.kind).name != kind
    }
