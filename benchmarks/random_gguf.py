"""GGUF files of any shape, with random weights and no tokenizer: speed does not depend on their values."""

import tempfile
from pathlib import Path

import numpy as np

from edgelm.export.gguf import finish, quantize_gguf, write_shape
from edgelm.model.config import ModelConfig, get_preset

OURS = get_preset("125m")
"""125.8 M parameters."""
REFERENCE = ModelConfig(65_536, 512, 1536, layers=30, heads=9, kv_heads=3, context=2048, head_size=56)
"""The reference's 125.0 M parameters: many narrow layers and half as large a vocabulary again."""


def write_random(shape: ModelConfig, path: Path, kind: str) -> None:
    """Write a model with tied embeddings; llama.cpp quantises it as it does any other."""
    import gguf

    draw = np.random.default_rng(0)
    size, inner = shape.hidden_size, shape.intermediate_size
    wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    matrices = {
        "attn_q": (wide, size), "attn_k": (narrow, size), "attn_v": (narrow, size),
        "attn_output": (size, wide), "ffn_gate": (inner, size),
        "ffn_up": (inner, size), "ffn_down": (size, inner),
    }  # fmt: skip

    def random(*sides: int) -> np.ndarray:
        return (0.02 * draw.standard_normal(sides, dtype=np.float32)).astype(np.float16)

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        source = Path(folder) / "F16.gguf"
        writer = gguf.GGUFWriter(source, "llama")
        write_shape(writer, shape)
        writer.add_tokenizer_model("no_vocab")
        writer.add_file_type(1)
        writer.add_tensor("token_embd.weight", random(shape.vocab_size, size))
        writer.add_tensor("output_norm.weight", np.ones(size, dtype=np.float32))
        for layer in range(shape.layers):
            for norm in ("attn_norm", "ffn_norm"):
                writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(size, dtype=np.float32))
            for name, sides in matrices.items():
                writer.add_tensor(f"blk.{layer}.{name}.weight", random(*sides))
        finish(writer, source)
        quantize_gguf(source, path, kind)
