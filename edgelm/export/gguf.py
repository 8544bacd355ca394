"""GGUF: written with the `gguf` package, which quantises to a few kinds; to the others llama.cpp does."""

import ctypes
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgelm.errors import EdgelmError, MissingExtra
from edgelm.export.foreign import pre_tokenizer
from edgelm.extras import require
from edgelm.model.card import read_card, training_summary
from edgelm.model.config import ModelConfig, read_config
from edgelm.model.directory import read_weights, weights_digest
from edgelm.runtime.adapter import WEIGHTS
from edgelm.runtime.llama import COMPOSES, silence_llama_cpp
from edgelm.runtime.llama_c import compiled
from edgelm.tokenizer.text import TextTokenizer

MIXED = {"Q3_K_XL": "Q3_K_L", "Q4_K_L": "Q4_K_M", "Q5_K_L": "Q5_K_M"}
"""Kinds by the name that people give them: the embedding, which is the head too, stays at Q8_0."""
FILE_TYPES = {"F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q4_0": 2, "Q5_0": 8}
"""llama.cpp's numbers for the kinds that can be written without it."""
ALIKE = ("F32", "F16", "BF16", "Q8_0")
"""Those that llama.cpp would write no better: the weights are the same bytes."""
HEADS = ("token_embd.weight", "output.weight")
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
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
}
OUTER_TENSORS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write_gguf(model: Path, path: Path, kind: str) -> None:
    """Write a model directory as one GGUF file of one of `FILE_TYPES`.

    Norms and biases stay F32. The embedding and the head have 8 bits where the others have fewer; a matrix
    whose rows cannot be cut into the kind's blocks stays F16.

    Raises:
        BadInput: the directory is no model, or llama.cpp cannot cut text as its tokenizer does.
    """
    gguf = require("gguf", "export")
    config = read_config(model)
    tokenizer = TextTokenizer(model)
    tokenizer.check_fits(config.vocab_size, model)
    writer = gguf.GGUFWriter(path, config.family)
    _write_metadata(writer, model, config, kind)
    if kind in ("Q8_0", "Q5_0", "Q4_0"):
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _write_tokenizer(writer, gguf, tokenizer, config.vocab_size, model / "tokenizer.json")
    for name, weight in sorted(read_weights(model).items()):
        if config.tied and name == "lm_head.weight":
            continue
        values, name = _arranged(name, weight.numpy(), config), tensor_name(name)
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            own = package_type(gguf, name, values.shape[1], kind)
            writer.add_tensor(name, gguf.quantize(values, own), raw_dtype=own)
    if divisors := config.rope_divisors:
        writer.add_tensor("rope_freqs.weight", np.array(divisors, dtype=np.float32))
    finish(writer, path)


def package_type(gguf: Any, name: str, columns: int, kind: str) -> Any:
    """The type that `write_gguf` gives a matrix, by its name in the file."""
    own = gguf.GGMLQuantizationType["Q8_0" if name in HEADS and kind not in ALIKE else kind]
    return gguf.GGMLQuantizationType.F16 if columns % gguf.GGML_QUANT_SIZES[own][0] else own


def finish(writer: Any, path: Path) -> None:
    """Write what a `gguf.GGUFWriter` has been given.

    Raises:
        EdgelmError: there is no room.
    """
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    except OSError as error:  # numpy's has no number and no name
        raise EdgelmError(f"{path.name}: {error}. Make room on the disk and run this again.") from None


def written_here(kind: str) -> bool:
    """Whether `write_gguf` is to write a kind, as llama.cpp's quantiser is not needed for it or not there."""
    return kind in ALIKE or (kind in FILE_TYPES and compiled() is None)


def check_quantiser(kinds: Iterable[str]) -> None:
    """Refuse what cannot be written here.

    Raises:
        MissingExtra: a kind needs llama.cpp's quantiser, which is not installed.
    """
    needy = [kind for kind in kinds if not written_here(kind)]
    if needy and compiled() is None:
        able = ", ".join(f"gguf:{kind}" for kind in FILE_TYPES)
        raise MissingExtra(
            f"gguf:{needy[0]} takes llama.cpp's quantiser; without it {able} can be written. "
            "Run: pip install 'edgelm[gguf]' (needs a C++ compiler)"
        )


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
    write_shape(writer, config)
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_string(WEIGHTS, weights_digest(model))


def write_shape(writer: Any, config: ModelConfig) -> None:
    """Give a `gguf.GGUFWriter` the hyperparameters of a model."""
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    if config.head_size or config.family == "qwen3":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _write_tokenizer(writer: Any, gguf: Any, tokenizer: TextTokenizer, rows: int, file: Path) -> None:
    """Vocabulary and special tokens; rows of the embedding without a token are marked as unused."""
    content = json.loads(tokenizer.tokenizer.to_str())
    kind = gguf.TokenType
    tokens, types = [f"[PAD{number}]" for number in range(rows)], [kind.UNUSED] * rows
    added = {one["content"]: one for one in content["added_tokens"]}
    for token, number in tokenizer.tokenizer.get_vocab().items():
        tokens[number], types[number] = token, kind.NORMAL
        if token in added:
            types[number] = kind.CONTROL if added[token]["special"] else kind.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(content, file))
    writer.add_bool(COMPOSES, content["normalizer"] is not None)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(pair) for pair in content["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.bos)
    writer.add_eos_token_id(tokenizer.eos)
    writer.add_eot_token_id(tokenizer.end)
    writer.add_pad_token_id(tokenizer.pad)
    writer.add_add_bos_token(tokenizer.adds_bos)
    writer.add_add_eos_token(False)
    if tokenizer.template:
        writer.add_chat_template(tokenizer.template)


def tensor_name(name: str) -> str:
    """llama.cpp's name for a tensor of a transformers model."""
    inner, _, kind = name.rpartition(".")
    if not name.startswith("model.layers."):
        return f"{OUTER_TENSORS[inner]}.{kind}"
    _, _, number, inner = inner.split(".", 3)
    return f"blk.{number}.{LAYER_TENSORS[inner]}.{kind}"


def rotary_rows(name: str, rows: int, config: ModelConfig) -> np.ndarray | None:
    """The order in which a GGUF file has the rows of a transformers tensor; None where it is the same.

    llama.cpp turns Llama's queries and keys by pairs side by side, transformers by the two halves of a head.
    """
    heads = {"q_proj": config.heads, "k_proj": config.kv_heads}.get(name.split(".")[-2])
    if config.family != "llama" or heads is None:
        return None
    return np.arange(rows).reshape(heads, 2, -1).swapaxes(1, 2).reshape(-1)


def _arranged(name: str, weight: np.ndarray, config: ModelConfig) -> np.ndarray:
    order = rotary_rows(name, len(weight), config)
    return weight if order is None else weight[order]
