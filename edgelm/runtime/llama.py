"""The llama.cpp runtime: one `.gguf` file, through llama.cpp's C interface."""

import ctypes
import math
import os
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgelm.errors import BadInput, EdgelmError
from edgelm.machine import usable_cores
from edgelm.runtime.adapter import WEIGHTS, open_adapter
from edgelm.runtime.base import LanguageModel
from edgelm.runtime.gguf_check import check_gguf
from edgelm.runtime.llama_c import llama_cpp
from edgelm.tokenizer.special import BOS, language_tag

LONGEST_TOKEN = 256  # bytes; a longer piece asks for its true size
ALL_F32 = "0"  # llama.cpp's number for a file without quantised or half-precision weights
FLASH_ATTENTION_OFF = 0
LONGEST_CONTEXT = 8192
"""Tokens; memory is taken for all at once, and some files allow a hundred thousand."""
LOGITS = 67_108_864
"""Numbers in a batch of logits, for which memory is taken too."""
COMPOSES = "edgelm.nfc"
"""In a file's metadata, whether its tokenizer composes text; GGUF has no word of its own for it."""
COMPOSING = ("qwen2",)
"""Pre-tokenizers (`tokenizer.ggml.pre`) that stand after NFC, in files that do not say."""
MEASURED_TOKENS = 8


class LlamaCppModel(LanguageModel):
    backend = "llama.cpp"

    def __init__(self, model: Any, path: Path, threads: int | None):
        self.model, self.path, self.cpp, self.state = model, path, llama_cpp(), None
        try:
            self._start(threads)
        except BaseException:  # Ctrl-C too: nothing else would free what llama.cpp holds
            self.close()
            raise

    def _start(self, threads: int | None) -> None:
        model, path, cpp = self.model, self.path, self.cpp
        self.vocab = cpp.llama_model_get_vocab(model)
        self.name = f"GGUF {path.stem.removeprefix('model-')}"
        self.composes = self._composes()
        self._name_tokens()
        self.context = min(int(cpp.llama_model_n_ctx_train(model)), LONGEST_CONTEXT)
        self.vocab_size = int(cpp.llama_vocab_n_tokens(self.vocab))
        self.threads = threads or usable_cores()
        parameters = cpp.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = self.context
        parameters.n_ubatch = min(self.context, max(LOGITS // self.vocab_size, 1))
        parameters.n_threads = parameters.n_threads_batch = self.threads
        parameters.no_perf = True
        if self._metadata("general.file_type") == ALL_F32:  # llama.cpp would keep keys and values in F16
            parameters.type_k = parameters.type_v = cpp.GGML_TYPE_F32
            parameters.flash_attn_type = FLASH_ATTENTION_OFF
        self.state = cpp.llama_init_from_model(model, parameters)
        if not self.state:
            raise BadInput("llama.cpp could not open a context", file=path, remedy="free some memory")
        self.current: LlamaCppSession | None = None
        self.adapters: dict[Path, Any] = {}
        if threads is None and self.threads > 1:
            self.threads = self._faster_threads()
        if not np.isfinite(self.session().feed([self.bos])).all():
            raise BadInput("its weights are damaged", file=path, remedy="copy or export the model again")

    @classmethod
    def open(cls, path: Path, threads: int | None = None) -> "LlamaCppModel":
        cpp = llama_cpp()
        check_gguf(path)
        silence_llama_cpp(cpp)
        cpp.llama_backend_init()
        parameters = cpp.llama_model_default_params()
        parameters.n_gpu_layers = 0
        model = cpp.llama_model_load_from_file(os.fsencode(path), parameters)
        if not model:
            raise BadInput(
                "is not a GGUF file that llama.cpp can read", file=path, remedy="export the model again"
            )
        return cls(model, path, threads)

    def session(self) -> "LlamaCppSession":
        self.check_open()
        self.current = LlamaCppSession(self)
        return self.current

    def tokenize(self, text: str) -> list[int]:
        return self._ids(unicodedata.normalize("NFC", text) if self.composes else text, parse_special=False)

    def token_bytes(self, token: int) -> bytes:
        return self._piece(token, special=False)

    def token_name(self, token: int) -> str:
        return self._piece(token, special=True).decode("utf-8", "replace") or super().token_name(token)

    def language_tag(self, code: str) -> int | None:
        return self._special(language_tag(code))

    def use_adapter(self, path: str | Path | None) -> None:
        """Put a LoRA adapter on the model in place of the one before; None takes it off.

        What has been used once stays in memory, so that changing costs nothing. Sessions end.

        Raises:
            BadInput: it is damaged, of another model, or missing.
        """
        self.check_open()
        self.current = None
        path = None if path is None else Path(path)
        if path is not None and path not in self.adapters:
            self.adapters[path] = open_adapter(self.cpp, self.model, path, self._metadata(WEIGHTS))
        pointers = [] if path is None else [self.adapters[path]]
        count = len(pointers)
        scales = (ctypes.c_float * count)(*[1.0] * count)
        array = (self.cpp.llama_adapter_lora_p_ctypes * count)(*pointers)
        if self.cpp.llama_set_adapters_lora(self.state, array, count, scales):
            raise BadInput("llama.cpp could not use the adapter", file=path, remedy="export it again")
        base = f"GGUF {self.path.stem.removeprefix('model-')}"
        self.name = base if path is None else f"{base} with {path.stem}"

    def _faster_threads(self) -> int:
        """All usable cores or one, whichever decodes faster; leaves llama.cpp set to it.

        Waking a second thread for every matrix of a small model costs more than it brings. Prompts, which are
        read many tokens at once, keep all cores.
        """
        seconds = {self.threads: math.inf, 1: math.inf}
        for count in (*seconds, *seconds):  # once to warm up
            self.cpp.llama_set_n_threads(self.state, count, self.threads)
            session = self.session()
            begin = time.perf_counter()
            for _ in range(MEASURED_TOKENS):
                session.feed([self.bos], last_only=True)
            seconds[count] = min(seconds[count], time.perf_counter() - begin)
        chosen = min(seconds, key=lambda count: seconds[count])
        self.cpp.llama_set_n_threads(self.state, chosen, self.threads)
        self.current = None
        return chosen

    def close(self) -> None:
        if not self.closed:
            self.closed, self.current, self.held = True, None, None
            if self.state:
                self.cpp.llama_free(self.state)
            self.cpp.llama_model_free(self.model)

    def _name_tokens(self) -> None:
        cpp = self.cpp
        bos, eos = (int(of(self.vocab)) for of in (cpp.llama_vocab_bos, cpp.llama_vocab_eos))
        if eos < 0:
            raise BadInput(
                "names no token that ends a text",
                file=self.path,
                remedy="give a model that writes, exported with its tokenizer",
            )
        template = cpp.llama_model_chat_template(self.model, None) or b""
        self.name_tokens(
            self._special,
            self.tokenize,
            bos if cpp.llama_vocab_get_add_bos(self.vocab) else None,
            eos,
            template.decode("utf-8", "replace"),
        )

    def _composes(self) -> bool:
        """Whether text is composed before it is cut, as `tokenizer.json` has it done and GGUF has not."""
        if said := self._metadata(COMPOSES):
            return said == "true"
        return self._metadata("tokenizer.ggml.pre") in COMPOSING or self._special(BOS) is not None

    def _metadata(self, key: str) -> str:
        """A value of the file's metadata as text, empty where it has none."""
        buffer = ctypes.create_string_buffer(128)
        written = self.cpp.llama_model_meta_val_str(self.model, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if written >= 0 else ""

    def _piece(self, token: int, special: bool) -> bytes:
        self.check_open()
        size = LONGEST_TOKEN
        while True:
            buffer = ctypes.create_string_buffer(size)
            written = self.cpp.llama_token_to_piece(self.vocab, token, buffer, size, 0, special)
            if written >= 0:
                return buffer.raw[:written]
            size = -written

    def _special(self, token: str) -> int | None:
        """Id of a special token, or None where there is none of this name."""
        ids = self._ids(token, parse_special=True)
        return ids[0] if len(ids) == 1 and self.cpp.llama_vocab_is_control(self.vocab, ids[0]) else None

    def _ids(self, text: str, parse_special: bool) -> list[int]:
        self.check_open()
        data = text.encode("utf-8")
        room = len(data) + 8
        ids = (ctypes.c_int32 * room)()
        count = self.cpp.llama_tokenize(self.vocab, data, len(data), ids, room, False, parse_special)
        if count < 0:
            raise BadInput(f"llama.cpp could not tokenise {text[:40]!r}", remedy="shorten the text")
        return list(ids[:count])


class LlamaCppSession:
    """The model's one sequence; opening a session clears it."""

    def __init__(self, model: LlamaCppModel):
        self.owner, self.length = model, 0
        model.cpp.llama_memory_clear(model.cpp.llama_get_memory(model.state), True)

    def feed(self, ids: Sequence[int], last_only: bool = False) -> np.ndarray:
        self._check_current()
        cpp, state, count = self.owner.cpp, self.owner.state, len(ids)
        batch = cpp.llama_batch_init(count, 0, 1)
        try:
            batch.n_tokens = count
            for index, token in enumerate(ids):
                batch.token[index] = token
                batch.pos[index] = self.length + index
                batch.n_seq_id[index] = 1
                batch.seq_id[index][0] = 0
                batch.logits[index] = not last_only or index == count - 1
            if cpp.llama_decode(state, batch):
                raise BadInput(f"{self.length + count} tokens do not fit the context of {self.owner.context}")
        finally:
            cpp.llama_batch_free(batch)
        self.length += count
        rows = 1 if last_only else count
        return np.ctypeslib.as_array(cpp.llama_get_logits(state), shape=(rows, self.owner.vocab_size)).copy()

    def rewind(self, length: int) -> None:
        self._check_current()
        cpp = self.owner.cpp
        cpp.llama_memory_seq_rm(cpp.llama_get_memory(self.owner.state), 0, length, -1)
        self.length = length

    def _check_current(self) -> None:
        if self.owner.current is not self:
            raise EdgelmError(
                f"{self.owner.name} holds one sequence at a time; this one has ended. Begin again."
            )


def silence_llama_cpp(cpp: Any) -> None:
    """Keep llama.cpp's log off the user's terminal; what goes wrong is raised."""
    if id(cpp) not in _quiet:
        _quiet[id(cpp)] = cpp.llama_log_callback(lambda level, text, data: None)
        cpp.llama_log_set(_quiet[id(cpp)], ctypes.c_void_p(0))


_quiet: dict[int, Any] = {}  # callbacks must outlive every call, or llama.cpp calls freed memory
