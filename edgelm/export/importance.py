"""Importance matrices: how large the inputs of each weight are on real text, for llama.cpp's quantisation.

A weight that is multiplied by large values may err less. llama.cpp's own tool reads one stream of text; here
every language gives equally many tokens, as one that is rare in the text would else be rounded away.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from edgelm.errors import BadInput
from edgelm.evaluate.bits_per_byte import corpus_texts
from edgelm.export.gguf import finish, tensor_name
from edgelm.export.verify import LOGIT_DOCUMENTS
from edgelm.extras import require
from edgelm.model.decoder import Decoder, Linear
from edgelm.model.directory import load_model
from edgelm.progress import Step
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.texts import is_corpus, read_source, sample_texts

TOKENS = 4096
"""Of each language; less text comes once."""
BYTES = 8
"""A token has fewer on the mean."""
SUMS, COUNTS = ".in_sum2", ".counts"
"""What llama.cpp calls the two arrays of a matrix."""


@dataclass(frozen=True, slots=True)
class Importance:
    """Sums over `tokens` of the squared inputs of each matrix, float32 [columns], by its GGUF name."""

    sums: dict[str, np.ndarray]
    tokens: int
    languages: tuple[str, ...]

    @property
    def means(self) -> dict[str, np.ndarray]:
        return {name: sums / self.tokens for name, sums in self.sums.items()}


def calibration_texts(source: Path | None) -> dict[str, list[str]]:
    """Documents by language: of a corpus's training text, of files, or those of the embedded sample that no
    export is verified on."""
    if source is None:
        return {code: texts[LOGIT_DOCUMENTS:] for code, texts in sample_texts().items()}
    if is_corpus(source):
        return corpus_texts(source, "train", TOKENS * BYTES)
    found: dict[str, list[str]] = {}
    for code, text in read_source(source):
        found.setdefault(code, []).append(text)
    return found


@torch.inference_mode()
def measure(
    model: Path, texts: Mapping[str, Sequence[str]], *, tokens: int = TOKENS, step: Step | None = None
) -> Importance:
    """Read equally many tokens of each language and sum the squares of what each matrix is multiplied by.

    Raises:
        BadInput: a language has no text, or the model is missing or damaged.
    """
    decoder, text = load_model(model).eval(), TextTokenizer(model)
    blocks = {code: list(_blocks(text, own, decoder.config.context, tokens)) for code, own in texts.items()}
    for code, own in blocks.items():
        if not own:
            raise BadInput(f"there is no text in {code} to weigh the weights by", remedy="give some text")
    fewest = min(sum(map(len, own)) for own in blocks.values())
    with _watch(decoder) as sums:
        for code, own in blocks.items():
            left = fewest
            for ids in own:
                if left > 0:
                    decoder.hidden(torch.tensor([ids[:left]]))  # the head itself has nothing to tell
                    left -= len(ids)
            if step:
                step(1, code)
    arrays = {name: one.float().numpy() for name, one in sums.items()}
    return Importance(arrays, fewest * len(blocks), tuple(sorted(blocks)))


def _blocks(text: TextTokenizer, documents: Sequence[str], context: int, tokens: int) -> Iterator[list[int]]:
    """Documents after BOS, cut at the context, `tokens` in all."""
    for document in documents:
        ids = text.encode(document)
        for start in range(0, len(ids), context - 1):
            if tokens <= 0:
                return
            block = [text.bos, *ids[start : start + context - 1]][:tokens]
            tokens -= len(block)
            yield block


@contextmanager
def _watch(decoder: Decoder) -> Iterator[dict[str, torch.Tensor]]:
    """The sums, filled while the decoder reads."""
    sums: dict[str, torch.Tensor] = {}

    def note(name: str, x: torch.Tensor) -> None:
        squares = x.detach().flatten(0, -2).double().square().sum(0)
        sums[name] = sums.get(name, torch.zeros_like(squares)) + squares

    handles = [
        module.register_forward_pre_hook(
            lambda module, inputs, name=name: note(tensor_name(f"{name}.weight"), inputs[0])
        )
        for name, module in decoder.named_modules()
        if isinstance(module, Linear)
    ]
    head = "model.embed_tokens.weight" if decoder.config.tied else "lm_head.weight"
    handles.append(  # what the head is multiplied by; it is no module's work
        decoder.model.norm.register_forward_hook(
            lambda module, inputs, output: note(tensor_name(head), output)
        )
    )
    try:
        yield sums
    finally:
        for handle in handles:
            handle.remove()


def write_importance(found: Importance, path: Path) -> None:
    """Write llama.cpp's file of an importance matrix, a GGUF of its own kind."""
    gguf = require("gguf", "export")
    writer = gguf.GGUFWriter(path, "")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", list(found.languages))
    writer.add_uint32("imatrix.chunk_count", 1)
    writer.add_uint32("imatrix.chunk_size", found.tokens)
    for name, sums in sorted(found.sums.items()):
        writer.add_tensor(name + SUMS, sums[None])
        writer.add_tensor(name + COUNTS, np.array([[found.tokens]], dtype=np.float32))
    finish(writer, path)
