"""ONNX with weights in 4 or 8 bits, block by block, written by onnxruntime-genai's model builder.

Its graphs attend with GroupQueryAttention, which keeps the key-value cache in place, and run with onnxruntime
alone (`edgelm.runtime.onnx_shared`) or in onnxruntime-genai, for which there is a `genai_config.json`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgelm.errors import BadInput, EdgelmError
from edgelm.extras import require
from edgelm.model.config import read_config

BUILDER = "onnxruntime_genai.models.builder"
OPTIONS = {
    "int4": ("int4", "algo_config=k_quant_last", "shared_embeddings=true"),
    "int4-all": ("int4", "algo_config=k_quant", "shared_embeddings=true"),
    "int8-genai": ("int8", "algo_config=default", "shared_embeddings=false"),
}
"""Of each kind the builder's precision and options. In 8 bits what it shares does not load: `_share` does."""


def build_onnx(model: Path, folder: Path, kind: str) -> None:
    """Write a folder as onnxruntime-genai reads it, without the tokenizer.

    The builder runs as the program it is: as a module it would put packages called `builders`, `loaders` and
    `quantization` on the import path, and its functions change where its options do not.

    Raises:
        MissingExtra: onnxruntime-genai is not installed.
        BadInput: the head is not tied to the embedding.
        EdgelmError: the builder fails; the message has the last line of what it says.
    """
    require("onnx_ir", "export")
    require("onnxruntime_genai", "export")
    check_tied(model, kind)
    precision, *options = OPTIONS[kind]
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        command = [sys.executable, "-P", "-m", BUILDER, "-i", str(model), "-o", str(folder), "-c", scratch]
        command += ["-p", precision, "-e", "cpu", "--extra_options", "hf_token=false", *options]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise EdgelmError(
            f"{model}: onnxruntime-genai cannot build ONNX of it ({said[-1]}). Choose another format."
        )
    if kind == "int8-genai":
        _share(folder / "model.onnx")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
        (folder / name).unlink(missing_ok=True)  # rewritten by transformers; the model's own are copied


def check_tied(model: Path, kind: str) -> None:
    """Raise `BadInput` where the head is not the embedding: the builder stores one matrix for both."""
    if not read_config(model).tied:
        raise BadInput(
            f"has a head beside its embedding, which onnx:{kind} is not written of",
            file=model,
            remedy="choose onnx:int8 or a GGUF",
        )


def _share(path: Path) -> None:
    """Look embeddings up in the weights of the head, to which they are tied, instead of in float32."""
    onnx = require("onnx", "export")
    model = onnx.load(path)
    graph: Any = model.graph
    head = next(node for node in graph.node if "logits" in node.output)
    place, gather = next(pair for pair in enumerate(graph.node) if pair[1].input[1:] == ["input_ids"])
    size = {one.name: one.i for one in head.attribute}
    graph.initializer.remove(next(one for one in graph.initializer if one.name == gather.input[0]))
    shape = onnx.helper.make_tensor("embedding_shape", onnx.TensorProto.INT64, [2], [size["N"], size["K"]])
    graph.initializer.append(shape)
    rows = onnx.helper.make_node("Reshape", [head.input[1], shape.name], ["embedding_rows"], "embedding_rows")
    look_up = onnx.helper.make_node(
        "GatherBlockQuantized", [*rows.output, "input_ids", *head.input[2:]], gather.output, gather.name,
        domain="com.microsoft", bits=size["bits"], block_size=size["block_size"], gather_axis=0,
        quantize_axis=1,
    )  # fmt: skip
    graph.node.remove(gather)
    graph.node.insert(place, look_up)
    graph.node.insert(place, rows)
    data = path.with_name("model.onnx.data")
    data.unlink()
    onnx.save(model, path, save_as_external_data=True, location=data.name)
    data.chmod(path.stat().st_mode)  # else it is the owner's alone
