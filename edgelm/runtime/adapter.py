"""LoRA adapters in llama.cpp: a GGUF file that goes on another."""

import ctypes
import os
from pathlib import Path
from typing import Any

from edgelm.errors import BadInput
from edgelm.runtime.gguf_header import read_header

WEIGHTS = "edgelm.weights"
"""SHA-256 of the weights that a file was made of, or that an adapter goes on."""
EMBEDDING = "token_embd.weight.lora_a"


def open_adapter(cpp: Any, model: Any, path: Path, weights: str) -> Any:
    """llama.cpp's handle of an adapter, which is freed with the model.

    Args:
        weights: the model's `WEIGHTS`; empty where the file says nothing.

    Raises:
        BadInput: it is missing or damaged, or goes on another model.
    """
    if EMBEDDING in read_header(path).tensors:  # it stops the process where it is the head too
        raise BadInput(
            "adapts the embedding, which llama.cpp cannot do", file=path, remedy="train it without"
        )
    adapter = cpp.llama_adapter_lora_init(model, os.fsencode(path))
    if not adapter:
        raise BadInput(
            "is not an adapter that llama.cpp can put on this model",
            file=path,
            remedy="give what edgelm export --to lora:F16 wrote, and its base",
        )
    buffer = ctypes.create_string_buffer(128)
    written = cpp.llama_adapter_meta_val_str(adapter, WEIGHTS.encode(), buffer, len(buffer))
    if written >= 0 and weights and buffer.value.decode("utf-8", "replace") != weights:
        cpp.llama_adapter_lora_free(adapter)
        raise BadInput(
            "was trained on another base", file=path, remedy="load the base that was exported with it"
        )
    return adapter
