"""Proof of what an export lost: token ids, logits and greedy continuations against PyTorch in float32."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edgelm import resources
from edgelm.errors import BadInput, EdgelmError
from edgelm.runtime import load
from edgelm.runtime.base import LanguageModel, log_softmax
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.texts import sample_texts

LOGIT_DOCUMENTS = 3  # of each language
GREEDY_TOKENS = 16
TRICKY = (
    "2026-11-22, R1 234,50 no 07:30",
    "š ḓ ḽ ṅ ṋ ṱ ê ô ë",
    "e\u0301 o\u0302 a\u0308 \u1e13\u0301",
    "👩🏾‍🌾 🇿🇦 ½ ﬁ 漢字 العربية",
    "<|eos|> <|user|> </s> [INST]",
    "  two  spaces\n\nand\ttabs  ",
    "a" * 300,
    "uku-" * 60 + "ngenakwenzeka",
)


@dataclass(frozen=True, slots=True)
class Bound:
    """How far a format may be from float32; `export/formats.yaml` explains each value."""

    kl: float
    logits: float
    top1: float
    greedy: float
    bits: float


def bounds() -> dict[str, Bound]:
    """The bound of every known format, such as `gguf:Q8_0`."""
    table = yaml.safe_load(resources.path("export", "formats.yaml").read_text(encoding="utf-8"))
    return {name: Bound(**values) for name, values in table.items()}


def verification_texts() -> dict[str, list[str]]:
    """Every document of the embedded sample by language, and strings that tokenizers trip over."""
    return {**sample_texts(), "tricky": list(TRICKY)}


def verify(reference: LanguageModel, directory: Path, artifact: Path, name: str) -> dict[str, Any]:
    """Compare an exported file or directory with the PyTorch model it came from.

    Args:
        reference: the model in PyTorch, float32.
        directory: the model directory, whose `tokenizer.json` says what the ids must be.
        name: the format, such as `gguf:Q8_0`.

    Raises:
        EdgelmError: a token id differs or a bound of the format is broken; the message has the figures.
    """
    bound, texts = bounds()[name], verification_texts()
    with contextlib.closing(load(artifact)) as exported:
        checked = _check_tokens(exported, TextTokenizer(directory), artifact, texts)
        divergences, agreements, farthest, largest = [], [], [], []
        greedy = []
        for documents in texts.values():
            for text in documents[:LOGIT_DOCUMENTS]:
                ids = [reference.bos, *reference.tokenize(text)][: reference.context]
                ours, theirs = reference.session().feed(ids), exported.session().feed(ids)
                p, q = log_softmax(ours), log_softmax(theirs)
                divergences.append((np.exp(p) * (p - q)).sum(axis=-1))
                agreements.append(p.argmax(axis=-1) == q.argmax(axis=-1))
                largest.append(np.abs(ours - theirs).max(axis=-1))
                farthest.append(largest[-1] / ours.std(axis=-1))
            start = [reference.bos, *reference.tokenize(documents[0])[:16]]
            greedy.append(_common(_continue(reference, start), _continue(exported, start)))
    found: dict[str, Any] = {
        "format": name,
        "strings_with_equal_tokens": checked,
        "kl": max(float(np.concatenate(divergences).mean()), 0.0),
        "logits": float(np.concatenate(farthest).max()),
        "top1": float(np.concatenate(agreements).mean()),
        "greedy": float(np.mean(greedy)),
        "largest_logit_difference": float(np.concatenate(largest).max()),
        "positions": sum(map(len, agreements)),
        "bytes": _size(artifact),
    }
    within = {key: found[key] <= getattr(bound, key) for key in ("kl", "logits")}  # NaN is not
    within |= {key: found[key] >= getattr(bound, key) for key in ("top1", "greedy")}
    if not all(within.values()):
        broken = [
            f"{key} {found[key]:.3g}, bound {getattr(bound, key):g}" for key in within if not within[key]
        ]
        raise EdgelmError(
            f"{artifact.name}: differs from PyTorch beyond the bounds of {name} ({'; '.join(broken)}). "
            "Choose a format with more bits."
        )
    return found


def check_size(artifact: Path, name: str, parameters: int, vocabulary: int) -> None:
    """Hold an artifact's size against its bits a weight, so that a tied embedding stored twice is found.

    Raises:
        EdgelmError: the file is larger than its format explains.
    """
    beside = vocabulary * 64 + (40_000 if artifact.is_file() else 200_000)  # token strings; names, or a graph
    allowed = parameters * bounds()[name].bits / 8 + beside
    if _size(artifact) > allowed:
        raise EdgelmError(
            f"{artifact.name}: {_size(artifact):,} bytes where {name} explains {allowed:,.0f}. "
            "Is a tied weight stored twice?"
        )


def get_bound(name: str) -> Bound:
    """The bound of one format.

    Raises:
        BadInput: no such format.
    """
    known = bounds()
    if name not in known:
        raise BadInput(f"unknown format '{name}'", remedy=f"choose from: {', '.join(known)}")
    return known[name]


def _check_tokens(
    exported: LanguageModel, tokenizer: TextTokenizer, artifact: Path, texts: dict[str, list[str]]
) -> int:
    """How many texts there are; each must have the ids of `tokenizer.json`."""
    for code, documents in texts.items():
        for text in documents:
            if exported.tokenize(text) != tokenizer.encode(text):
                raise EdgelmError(
                    f"{artifact.name}: tokenises differently from tokenizer.json in '{code}': {text[:60]!r}. "
                    "The export is not usable; please report this text."
                )
    return sum(map(len, texts.values()))


def _size(artifact: Path) -> int:
    return (artifact if artifact.is_file() else artifact / "model.onnx").stat().st_size


def _continue(model: LanguageModel, ids: list[int]) -> list[int]:
    session = model.session()
    token = int(session.feed(ids, last_only=True)[-1].argmax())
    found = [token]
    while len(found) < GREEDY_TOKENS:
        token = int(session.feed([token], last_only=True)[-1].argmax())
        found.append(token)
    return found


def _common(a: list[int], b: list[int]) -> float:
    """Share of `a` before the first place at which it differs from `b`."""
    same = next((index for index, pair in enumerate(zip(a, b, strict=True)) if pair[0] != pair[1]), len(a))
    return same / len(a)
