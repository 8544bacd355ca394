"""GGUF files of any shape, with random weights and no tokenizer: speed does not depend on their values."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    inner: int
    context: int = 2048


OURS = Shape(32_768, 768, 16, 12, 4, 64, 2048)
"""edgelm's preset `125m`: 125.8 M parameters."""
REFERENCE = Shape(65_536, 512, 30, 9, 3, 56, 1536)
"""The reference's 125.0 M parameters: many narrow layers and half as large a vocabulary again."""


def write_random(shape: Shape, path: Path, kind: str) -> None:
    """Write a model with tied embeddings; llama.cpp quantises it as it does any other."""
    import gguf

    from edgelm.export.gguf import quantize_gguf

    draw = np.random.default_rng(0)
    wide, narrow = shape.heads * shape.head, shape.kv_heads * shape.head
    matrices = {
        "attn_q": (wide, shape.hidden), "attn_k": (narrow, shape.hidden), "attn_v": (narrow, shape.hidden),
        "attn_output": (shape.hidden, wide), "ffn_gate": (shape.inner, shape.hidden),
        "ffn_up": (shape.inner, shape.hidden), "ffn_down": (shape.hidden, shape.inner),
    }  # fmt: skip

    def random(*size: int) -> np.ndarray:
        return (0.02 * draw.standard_normal(size, dtype=np.float32)).astype(np.float16)

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        source = Path(folder) / "F16.gguf"
        writer = gguf.GGUFWriter(source, "llama")
        writer.add_context_length(shape.context)
        writer.add_embedding_length(shape.hidden)
        writer.add_block_count(shape.layers)
        writer.add_feed_forward_length(shape.inner)
        writer.add_head_count(shape.heads)
        writer.add_head_count_kv(shape.kv_heads)
        writer.add_key_length(shape.head)
        writer.add_value_length(shape.head)
        writer.add_rope_dimension_count(shape.head)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_vocab_size(shape.vocabulary)
        writer.add_tokenizer_model("no_vocab")
        writer.add_file_type(1)
        writer.add_tensor("token_embd.weight", random(shape.vocabulary, shape.hidden))
        writer.add_tensor("output_norm.weight", np.ones(shape.hidden, dtype=np.float32))
        for layer in range(shape.layers):
            for norm in ("attn_norm", "ffn_norm"):
                writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(shape.hidden, dtype=np.float32))
            for name, size in matrices.items():
                writer.add_tensor(f"blk.{layer}.{name}.weight", random(*size))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        quantize_gguf(source, path, kind)
