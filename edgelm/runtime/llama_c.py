"""llama.cpp's C functions: as llama-cpp-python binds them or, where no compiler built that, out of xllamacpp.

That prebuilt wheel binds C++ of its own; its library exports the C functions all the same. Here are the few
that the runtime calls, with the structures as `llama.h` of build 11549 has them. Another build may have moved
a field, so the version is fixed, and the defaults are checked before anything is trusted to them.
"""

import ctypes
import functools
import importlib
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int, c_int8, c_int32, c_size_t, c_uint32, c_void_p
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from edgelm.errors import MissingExtra

VERSION = "2026.10.11549"
"""Of xllamacpp; its last number is the build of llama.cpp."""
INSTALL = "pip install 'edgelm[gguf-prebuilt]'"
MISSING = (
    "llama.cpp is not installed; it is needed to run GGUF files. "
    f"Run: {INSTALL} (Linux, macOS), or, with a C++ compiler and to quantise: pip install 'edgelm[gguf]'"
)


class ModelParameters(ctypes.Structure):
    _fields_ = (
        ("devices", c_void_p),
        ("tensor_buft_overrides", c_void_p),
        ("n_gpu_layers", c_int32),
        ("split_mode", c_int),
        ("load_mode", c_int),
        ("lazy_mode", c_int),
        ("main_gpu", c_int32),
        ("tensor_split", c_void_p),
        ("progress_callback", c_void_p),
        ("progress_callback_user_data", c_void_p),
        ("kv_overrides", c_void_p),
        ("vocab_only", c_bool),
        ("check_tensors", c_bool),
        ("use_extra_bufts", c_bool),
        ("no_host", c_bool),
        ("no_alloc", c_bool),
        ("load_mtp", c_bool),
    )


class ContextParameters(ctypes.Structure):
    _fields_ = (
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("n_seq_max", c_uint32),
        ("n_rs_seq", c_uint32),
        ("n_outputs_max", c_uint32),
        ("n_outputs_max_per_seq", c_uint32),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("ctx_type", c_int),
        ("rope_scaling_type", c_int),
        ("pooling_type", c_int),
        ("attention_type", c_int),
        ("flash_attn_type", c_int),
        ("rope_freq_base", c_float),
        ("rope_freq_scale", c_float),
        ("yarn_ext_factor", c_float),
        ("yarn_attn_factor", c_float),
        ("yarn_beta_fast", c_float),
        ("yarn_beta_slow", c_float),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        ("cb_eval", c_void_p * 2),
        ("type_k", c_int),
        ("type_v", c_int),
        ("abort_callback", c_void_p * 3),
        ("embeddings", c_bool),
        ("offload_kqv", c_bool),
        ("no_perf", c_bool),
        ("op_offload", c_bool),
        ("swa_full", c_bool),
        ("kv_unified", c_bool),
        ("samplers", c_void_p),
        ("n_samplers", c_size_t),
        ("ctx_other", c_void_p),
    )


class Batch(ctypes.Structure):
    _fields_ = (
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    )


Adapter = POINTER(c_void_p)
LogCallback = ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p)

# function: (what it returns, what it takes)
SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "llama_adapter_lora_free": (None, (Adapter,)),
    "llama_adapter_lora_init": (Adapter, (c_void_p, c_char_p)),
    "llama_adapter_meta_val_str": (c_int32, (Adapter, c_char_p, c_char_p, c_size_t)),
    "llama_backend_init": (None, ()),
    "llama_batch_free": (None, (Batch,)),
    "llama_batch_init": (Batch, (c_int32, c_int32, c_int32)),
    "llama_context_default_params": (ContextParameters, ()),
    "llama_decode": (c_int32, (c_void_p, Batch)),
    "llama_free": (None, (c_void_p,)),
    "llama_get_logits": (POINTER(c_float), (c_void_p,)),
    "llama_get_memory": (c_void_p, (c_void_p,)),
    "llama_init_from_model": (c_void_p, (c_void_p, ContextParameters)),
    "llama_log_set": (None, (LogCallback, c_void_p)),
    "llama_memory_clear": (None, (c_void_p, c_bool)),
    "llama_memory_seq_rm": (c_bool, (c_void_p, c_int32, c_int32, c_int32)),
    "llama_model_chat_template": (c_char_p, (c_void_p, c_char_p)),
    "llama_model_default_params": (ModelParameters, ()),
    "llama_model_free": (None, (c_void_p,)),
    "llama_model_get_vocab": (c_void_p, (c_void_p,)),
    "llama_model_load_from_file": (c_void_p, (c_char_p, ModelParameters)),
    "llama_model_meta_val_str": (c_int32, (c_void_p, c_char_p, c_char_p, c_size_t)),
    "llama_model_n_ctx_train": (c_int32, (c_void_p,)),
    "llama_set_adapters_lora": (c_int32, (c_void_p, POINTER(Adapter), c_size_t, POINTER(c_float))),
    "llama_set_n_threads": (None, (c_void_p, c_int32, c_int32)),
    "llama_token_to_piece": (c_int32, (c_void_p, c_int32, c_char_p, c_int32, c_int32, c_bool)),
    "llama_tokenize": (c_int32, (c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool)),
    "llama_vocab_bos": (c_int32, (c_void_p,)),
    "llama_vocab_eos": (c_int32, (c_void_p,)),
    "llama_vocab_get_add_bos": (c_bool, (c_void_p,)),
    "llama_vocab_is_control": (c_bool, (c_void_p, c_int32)),
    "llama_vocab_n_tokens": (c_int32, (c_void_p,)),
}
# what the two functions that return defaults must say; every field that is not named is zero
DEFAULTS: dict[str, dict[str, float]] = {
    "llama_model_default_params": {
        "n_gpu_layers": -1, "split_mode": 1, "load_mode": -1, "lazy_mode": 1, "use_extra_bufts": True,
    },
    "llama_context_default_params": {
        "n_ctx": 512, "n_batch": 2048, "n_ubatch": 512, "n_seq_max": 1, "n_outputs_max_per_seq": 1,
        "n_threads": 4, "n_threads_batch": 4,
        "rope_scaling_type": -1, "pooling_type": -1, "attention_type": -1, "flash_attn_type": -1,
        "yarn_ext_factor": -1, "yarn_attn_factor": -1, "yarn_beta_fast": -1, "yarn_beta_slow": -1,
        "defrag_thold": -1, "type_k": 1, "type_v": 1,
        "offload_kqv": True, "no_perf": True, "op_offload": True, "swa_full": True,
    },
}  # fmt: skip


def compiled() -> Any:
    """llama-cpp-python's bindings, or None where it is not installed."""
    try:
        return importlib.import_module("llama_cpp")
    except ModuleNotFoundError as error:
        if error.name != "llama_cpp":
            raise
        return None


def llama_cpp() -> Any:
    """llama.cpp's functions by their own names: llama-cpp-python's if it is there, as it is compiled for this
    machine, or else xllamacpp's.

    Raises:
        MissingExtra: neither is installed, or xllamacpp is of another version.
    """
    if bindings := compiled():
        return bindings
    try:
        found = find_spec("xllamacpp")
    except ModuleNotFoundError:
        found = None
    if found is None or not found.submodule_search_locations:
        raise MissingExtra(MISSING)
    return _open(Path(found.submodule_search_locations[0]), version("xllamacpp"))


@functools.cache
def _open(folder: Path, installed: str) -> SimpleNamespace:
    if installed != VERSION:
        raise MissingExtra(f"xllamacpp {installed} is installed, but {VERSION} is needed. Run: {INSTALL}")
    try:
        library = ctypes.CDLL(str(next(folder.glob("xllamacpp*.*[od]"))))  # .so, or .pyd on Windows
        functions = {name: getattr(library, name) for name in SIGNATURES}
    except (StopIteration, OSError, AttributeError) as error:  # that for Windows exports nothing
        raise MissingExtra(
            f"xllamacpp's library cannot be used here ({error}). Run: pip install 'edgelm[gguf]'"
        ) from None
    for name, (returns, takes) in SIGNATURES.items():
        functions[name].restype, functions[name].argtypes = returns, takes
    for name, expected in DEFAULTS.items():
        check_defaults(functions[name](), expected)
    return SimpleNamespace(
        **functions, llama_log_callback=LogCallback, GGML_TYPE_F32=0, llama_adapter_lora_p_ctypes=Adapter
    )


def check_defaults(parameters: ctypes.Structure, expected: dict[str, float]) -> None:
    """Refuse a structure whose fields are not where they are thought to be.

    Raises:
        MissingExtra: a field has another value than expected.
    """
    for name, kind, *_ in parameters._fields_:
        value = getattr(parameters, name)
        flat = any(value) if issubclass(kind, ctypes.Array) else (value or 0)
        if flat != expected.get(name, 0):
            raise MissingExtra(
                f"xllamacpp's llama.cpp has another layout ({name} is {value}). Run: {INSTALL}"
            )
