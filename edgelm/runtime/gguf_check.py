"""Whether a GGUF file is one model: its tensors, its vocabulary and its hyperparameters fit each other."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgelm.errors import BadInput
from edgelm.runtime.gguf_header import F32, REMEDY, Header, read_header

ARCHITECTURES = ("llama", "qwen2", "qwen3")
"""Whose tensors are known here; of others only what all have in common is checked."""
OTHERS = {
    b"adapter": ("a LoRA adapter", "give its base as the model, and this with --adapter"),
    b"imatrix": ("an importance matrix", "give one of the models beside it"),
}
"""Kinds of file that lie beside models: what they are, and what to do."""
MOST_LAYERS, MOST_HEADS, LONGEST_CONTEXT = 512, 1024, 2**24
TOKENS, TOKEN_TYPES, MERGES = (f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "merges"))
KINDS = range(7)
"""Of tokens: undefined, normal, unknown, control, user-defined, unused, byte."""


def check_gguf(path: Path) -> Header:
    """Read a file's header and see that it describes one model, whole.

    Raises:
        BadInput: it does not, or the file is missing or damaged.
    """
    found = read_header(path)
    kind = found.values.get("general.type")
    if isinstance(kind, bytes) and (other := OTHERS.get(kind)):
        raise BadInput(f"is {other[0]}, no model", file=path, remedy=other[1])
    try:
        _check_vocabulary(found.values)
        _check_shape(found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        said = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise BadInput(f"is no model that can be run: {said}", file=path, remedy=REMEDY) from None
    return found


def _whole(values: dict[str, Any], key: str, most: int, default: int | None = None) -> int:
    """A whole number between 1 and `most`."""
    value = values[key] if default is None else values.get(key, default)
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{key} is {str(value)[:40]}")
    return value


def _check_vocabulary(values: dict[str, Any]) -> None:
    tokens, types = values[TOKENS], values.get(TOKEN_TYPES)
    if not isinstance(tokens, list) or not tokens:
        raise ValueError(f"{TOKENS} is no list of strings")
    _check_utf8(TOKENS, tokens)
    known = set(tokens)
    if len(known) < len(tokens):
        raise ValueError("a token is there twice")
    if types is not None and (len(types) != len(tokens) or not set(types) <= set(KINDS)):
        raise ValueError(f"{TOKEN_TYPES} does not fit {len(tokens)} tokens")
    scores = values.get("tokenizer.ggml.scores", types)
    if scores is not None and len(scores) != len(tokens):
        raise ValueError(f"tokenizer.ggml.scores does not fit {len(tokens)} tokens")
    for key, value in values.items():
        special = key.startswith("tokenizer.ggml.") and key.endswith("_token_id")
        if special and value not in range(len(tokens)):
            raise ValueError(f"{key} is {str(value)[:40]} of {len(tokens)} tokens")
    if values.get("tokenizer.ggml.model") == b"gpt2":
        _check_merges(values[MERGES], known)


def _check_utf8(key: str, texts: list[bytes]) -> None:
    try:
        b"\n".join(texts).decode("utf-8")  # a character that the end of a text cuts would not pass
    except UnicodeDecodeError:
        raise ValueError(f"{key} is not UTF-8") from None


def _check_merges(merges: list[bytes], known: set[bytes]) -> None:
    """Both halves and the whole of each are tokens, as `tokenizers` wants it too."""
    for merge in merges:
        left, _, right = merge.partition(b" ")
        if left not in known or right not in known or left + right not in known:
            raise ValueError(f"the merge {merge[:40]!r} is not of tokens")


def _check_shape(found: Header) -> None:
    values, tensors = found.values, found.tensors
    family = values["general.architecture"].decode("utf-8", "replace")
    layers = _whole(values, f"{family}.block_count", MOST_LAYERS)
    _whole(values, f"{family}.context_length", LONGEST_CONTEXT)
    if f"blk.{layers}.attn_norm.weight" in tensors:
        raise ValueError(f"{family}.block_count is {layers}, and there are more layers")
    if family not in ARCHITECTURES or f"{family}.expert_count" in values:
        return
    for name, shape, needed in _expected(values, family, layers):
        if name not in tensors:
            if needed:
                raise ValueError(f"there is no tensor {name}")
        elif tensors[name].shape != shape:
            raise ValueError(f"tensor {name} has the shape {tensors[name].shape} and not {shape}")
        elif len(shape) == 1 and tensors[name].kind != F32:
            raise ValueError(f"tensor {name} is not of float32")


def _expected(
    values: dict[str, Any], family: str, layers: int
) -> Iterator[tuple[str, tuple[int, ...], bool]]:
    """The name and shape of each tensor, and whether there must be one."""
    width = _whole(values, f"{family}.embedding_length", 2**20)
    inner = _whole(values, f"{family}.feed_forward_length", 2**24)
    heads = _whole(values, f"{family}.attention.head_count", MOST_HEADS)
    shared = _whole(values, f"{family}.attention.head_count_kv", heads, heads)
    key = _whole(values, f"{family}.attention.key_length", 2**16, width // heads)
    value = _whole(values, f"{family}.attention.value_length", 2**16, width // heads)
    turned = _whole(values, f"{family}.rope.dimension_count", key, key)
    if heads % shared or key % 2 or turned % 2:
        raise ValueError(
            f"{heads} heads of {key}, {shared} of them with keys, {turned} turned, do not divide"
        )
    _check_positive(values, f"{family}.attention.layer_norm_rms_epsilon", f"{family}.rope.freq_base")
    vocabulary = len(values[TOKENS])
    if values.get(f"{family}.vocab_size", vocabulary) != vocabulary:
        raise ValueError(f"{family}.vocab_size does not fit {vocabulary} tokens")

    yield "token_embd.weight", (width, vocabulary), True
    yield "output_norm.weight", (width,), True
    yield "output.weight", (width, vocabulary), False
    matrices = {
        "attn_q": (width, heads * key), "attn_k": (width, shared * key), "attn_v": (width, shared * value),
        "attn_output": (heads * value, width),
        "ffn_gate": (width, inner), "ffn_up": (width, inner), "ffn_down": (inner, width),
    }  # fmt: skip
    norms = {"attn_norm": width, "ffn_norm": width}
    norms |= {"attn_q_norm": key, "attn_k_norm": key} if family == "qwen3" else {}
    biased = ("attn_q", "attn_k", "attn_v") if family == "qwen2" else ()
    for number in range(layers):
        for name, shape in matrices.items():
            yield f"blk.{number}.{name}.weight", shape, True
            yield f"blk.{number}.{name}.bias", shape[1:], name in biased
        for name, size in norms.items():
            yield f"blk.{number}.{name}.weight", (size,), True


def _check_positive(values: dict[str, Any], *keys: str) -> None:
    for key in keys:
        value = values.get(key, 1.0)
        if not isinstance(value, float) or not 0 < value < math.inf:
            raise ValueError(f"{key} is {str(value)[:40]}")
