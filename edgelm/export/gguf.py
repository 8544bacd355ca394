"""GGUF: written with the `gguf` package, quantised by llama.cpp itself."""

import ctypes
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from edgelm.artifacts import digest_path
from edgelm.errors import EdgelmError
from edgelm.extras import require
from edgelm.model.card import read_card, training_summary
from edgelm.model.config import ModelConfig, read_config
from edgelm.runtime.adapter import WEIGHTS
from edgelm.runtime.llama import silence_llama_cpp
from edgelm.tokenizer.special import BOS, CHAT_TEMPLATE, END, EOS, PAD
from edgelm.tokenizer.text import TextTokenizer

PRE_TOKENIZER = "smollm"  # llama.cpp's name for: single digits, then ByteLevel
MIXED = {"Q3_K_XL": "Q3_K_L", "Q4_K_L": "Q4_K_M", "Q5_K_L": "Q5_K_M"}
"""Kinds by the name that people give them: the embedding, which is the head too, stays at Q8_0."""
FILE_TYPES = {"F32": 0, "F16": 1, "BF16": 32}
"""llama.cpp's numbers for files that are not quantised."""
LAYER_TENSORS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(model: Path, path: Path, kind: str) -> None:
    """Write a model directory as one GGUF file of type `F32`, `F16` or `BF16` (norms stay F32).

    Raises:
        BadInput: the directory is no model.
    """
    gguf = require("gguf", "export")
    config = read_config(model)
    tokenizer = TextTokenizer(model)
    writer = gguf.GGUFWriter(path, "llama")
    _write_metadata(writer, model, config, kind)
    _write_tokenizer(writer, gguf, tokenizer)
    wide = getattr(gguf.GGMLQuantizationType, kind)
    for name, weight in load_file(model / "model.safetensors").items():
        weight = weight.astype(np.float32)
        if name.endswith("q_proj.weight"):
            weight = _interleave(weight, config.heads)
        elif name.endswith("k_proj.weight"):
            weight = _interleave(weight, config.kv_heads)
        if weight.ndim == 1:
            writer.add_tensor(tensor_name(name), weight)
        else:
            writer.add_tensor(tensor_name(name), gguf.quantize(weight, wide), raw_dtype=wide)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantize_gguf(
    source: Path, path: Path, kind: str, importance: Mapping[str, np.ndarray] | None = None
) -> None:
    """Quantise a GGUF file with llama.cpp.

    Args:
        kind: llama.cpp's name for a file type such as `Q4_K_M`, or one of `MIXED`.
        importance: what an error costs in each column of a tensor, float32 [columns] by its name; kinds of
            few bits cannot do without.
    """
    cpp = require("llama_cpp", "gguf")
    silence_llama_cpp(cpp)
    parameters = cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(cpp, f"LLAMA_FTYPE_MOSTLY_{MIXED.get(kind, kind)}")
    if kind in MIXED:
        parameters.token_embedding_type = parameters.output_tensor_type = cpp.GGML_TYPE_Q8_0
    columns = {name: np.ascontiguousarray(one, dtype=np.float32) for name, one in (importance or {}).items()}
    if columns:
        entry, pointer = cpp.llama_model_imatrix_data, ctypes.POINTER(ctypes.c_float)
        entries = [
            entry(name.encode(), one.ctypes.data_as(pointer), len(one)) for name, one in columns.items()
        ]
        parameters.imatrix = (entry * (len(entries) + 1))(*entries)  # an empty one ends it
    if cpp.llama_model_quantize(os.fsencode(source), os.fsencode(path), parameters):
        raise EdgelmError(f"{path}: llama.cpp could not quantise to {kind}. Is there room on the disk?")


def _write_metadata(writer: Any, model: Path, config: ModelConfig, kind: str) -> None:
    title, card = read_card(model)
    writer.add_name(title or model.resolve().name)
    writer.add_size_label(f"{config.parameters / 1e6:.1f}M")
    if summary := training_summary(model):
        writer.add_description(summary)
    for key, add in (("license", writer.add_license), ("license_name", writer.add_license_name)):
        if isinstance(card.get(key), str):
            add(card[key])
    for key, add in (("language", writer.add_languages), ("tags", writer.add_tags)):
        if isinstance(card.get(key), list) and card[key]:
            add([str(one) for one in card[key]])
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_string(WEIGHTS, digest_path(model / "model.safetensors"))


def _write_tokenizer(writer: Any, gguf: Any, tokenizer: TextTokenizer) -> None:
    content = json.loads(tokenizer.tokenizer.to_str())
    special = {token["id"] for token in content["added_tokens"] if token["special"]}
    vocabulary = sorted(tokenizer.tokenizer.get_vocab().items(), key=lambda item: item[1])
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([control if number in special else normal for _, number in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in content["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.id(BOS))
    writer.add_eos_token_id(tokenizer.id(EOS))
    writer.add_eot_token_id(tokenizer.id(END))
    writer.add_pad_token_id(tokenizer.id(PAD))
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def tensor_name(name: str) -> str:
    """llama.cpp's name for a tensor of a transformers model."""
    if name.startswith("model.layers."):
        _, _, number, inner = name.removesuffix(".weight").split(".", 3)
        return f"blk.{number}.{LAYER_TENSORS[inner]}.weight"
    return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]


def _interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows from transformers' rotary layout (two halves of a head) to llama.cpp's (pairs side by side)."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def rotary_rows(name: str, rows: int, config: ModelConfig) -> np.ndarray | None:
    """The order in which a GGUF file has the rows of a transformers tensor; None where it is the same."""
    heads = {"q_proj": config.heads, "k_proj": config.kv_heads}.get(name.split(".")[-2])
    return None if heads is None else _interleave(np.arange(rows)[:, None], heads)[:, 0]
