"""Proof of what an export lost: token ids, logits and greedy continuations against PyTorch in float32."""

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edgelm import resources
from edgelm.bench.files import model_bytes
from edgelm.errors import BadInput, Unfit, instead_of
from edgelm.export.foreign import fallen_back
from edgelm.export.strings import TRICKY, hard_strings
from edgelm.model.config import ModelConfig
from edgelm.runtime import load
from edgelm.runtime.base import LanguageModel
from edgelm.runtime.gguf_header import read_header
from edgelm.runtime.sampling import log_softmax
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.texts import sample_texts

LOGIT_DOCUMENTS = 3  # of each language
GREEDY_TOKENS = 16
OTHER = "other"
HEAD = "output.weight"
"""llama.cpp's name for a head that is not the embedding."""
STRINGS = 1000
"""Made from each language's documents, to be cut into the same tokens."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How far a format may be from float32; `export/formats.yaml` explains each value."""

    kl: float
    logits: float
    top1: float
    greedy: float
    bits: float
    embedding: float | None = None


def bounds() -> dict[str, Bound]:
    """The bound of every known format, such as `gguf:Q8_0`."""
    table = yaml.safe_load(resources.path("export", "formats.yaml").read_text(encoding="utf-8"))
    return {name: Bound(**values) for name, values in table.items()}


def verification_texts(languages: Sequence[str] = ()) -> dict[str, list[str]]:
    """Every document of the embedded sample by language, and under `OTHER` what tokenizers trip over.

    Args:
        languages: of these only.
    """
    sample = {code: texts for code, texts in sample_texts().items() if not languages or code in languages}
    return {**sample, OTHER: list(TRICKY)}


def verify(
    reference: LanguageModel,
    directory: Path,
    artifact: Path,
    name: str,
    languages: Sequence[str] = (),
    base: Path | None = None,
    judged: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Compare an exported file or directory with the PyTorch model it came from.

    Args:
        reference: the model in PyTorch, float32.
        directory: the model directory, whose `tokenizer.json` says what the ids must be.
        name: the format, such as `gguf:Q8_0`.
        languages: on text of these only.
        base: the GGUF file that `artifact` is an adapter of.
        judged: text whose logits are compared, by language (`edgelm.export.judged`); the first documents of
            the sample where it is not given. Token ids are compared on all texts.

    Raises:
        Unfit: a token id differs or a bound of the format is broken; the message has the figures.
    """
    bound, texts, tokenizer = bounds()[name], verification_texts(languages), TextTokenizer(directory)
    if judged is None:
        judged = {code: own[:LOGIT_DOCUMENTS] for code, own in texts.items()}
    texts = {code: list(own) for code, own in judged.items()} | texts
    loaded = load(base, adapter=artifact) if base else load(artifact)
    with contextlib.closing(loaded) as exported:
        checked = _check_tokens(exported, tokenizer, artifact, texts)
        each = {code: _compare(reference, exported, own) for code, own in judged.items()}
    total = _Compared.of(each.values())
    found: dict[str, Any] = {
        "format": name,
        "strings_with_equal_tokens": checked,
        "kl": max(float(total.divergence.mean()), 0.0),
        "logits": float(total.farthest.max()),
        "top1": float(total.same.mean()),
        "greedy": float(np.mean([one.greedy for one in each.values()])),
        "largest_logit_difference": float(total.largest.max()),
        "positions": len(total.same),
        "bytes": model_bytes(artifact),
        "languages": {code: one.figures() for code, one in each.items() if code != OTHER},
    }
    within = {key: found[key] <= getattr(bound, key) for key in ("kl", "logits")}  # NaN is not
    within |= {key: found[key] >= getattr(bound, key) for key in ("top1", "greedy")}
    if not all(within.values()):
        broken = [
            f"{key} {found[key]:.3g}, bound {getattr(bound, key):g}" for key in within if not within[key]
        ]
        raise Unfit(
            f"{artifact.name}: differs from PyTorch beyond the bounds of {name} ({'; '.join(broken)}). "
            "Choose a format with more bits."
        )
    return found


def compare(
    reference: LanguageModel, exported: LanguageModel, texts: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """`kl`, `top1`, `bits_per_byte` and the reference's `bits_per_byte_before` over texts by language.

    Each is the mean over languages; of every language they are under `languages`.
    """
    each = {code: _compare(reference, exported, own).figures() for code, own in texts.items()}
    keys = next(iter(each.values()))
    means = {key: float(np.mean([one[key] for one in each.values()])) for key in keys}
    return {**means, "languages": each}


@dataclass(frozen=True, slots=True)
class _Compared:
    """What an export and its parent make of the same text, a number a position.

    Attributes:
        divergence: Kullback-Leibler, nats.
        farthest: largest difference of a logit, in standard deviations of the parent's at that position.
        largest: the same, as it is.
        same: the likeliest token is the same.
        nats: what each thinks of the tokens that follow [2, positions that have one].
        bytes: UTF-8 bytes of these tokens.
        greedy: share of a greedy continuation that is the same from its start.
    """

    divergence: np.ndarray
    farthest: np.ndarray
    largest: np.ndarray
    same: np.ndarray
    nats: np.ndarray
    bytes: int = 0
    greedy: float = 0.0

    @classmethod
    def of(cls, parts: Iterable["_Compared"]) -> "_Compared":
        parts = list(parts)
        return cls(
            np.concatenate([one.divergence for one in parts]),
            np.concatenate([one.farthest for one in parts]),
            np.concatenate([one.largest for one in parts]),
            np.concatenate([one.same for one in parts]),
            np.concatenate([one.nats for one in parts], axis=1),
            sum(one.bytes for one in parts),
        )

    def figures(self) -> dict[str, float]:
        before, after = self.nats.sum(axis=1) / (math.log(2) * max(self.bytes, 1))
        return {
            "kl": max(float(self.divergence.mean()), 0.0),
            "top1": float(self.same.mean()),
            "bits_per_byte": round(float(after), 4),
            "bits_per_byte_before": round(float(before), 4),
        }


def _compare(reference: LanguageModel, exported: LanguageModel, documents: Sequence[str]) -> _Compared:
    """Read documents, each from its beginning as far as the context goes, and go on from the first one's."""
    parts, size = [], 0
    for text in documents:
        ids = [reference.bos, *reference.tokenize(text)][: min(reference.context, exported.context)]
        known = 0
        for ours, theirs in zip(reference.logits(ids), exported.logits(ids), strict=True):
            parts.append(_compare_logits(ours, theirs, ids[known + 1 : known + len(ours) + 1]))
            known += len(ours)
        size += len(reference.detokenize(ids[1:]).encode("utf-8"))
    start = [reference.bos, *reference.tokenize(documents[0])[:16]]
    greedy = _common(_continue(reference, start), _continue(exported, start))
    return replace(_Compared.of(parts), bytes=size, greedy=greedy)


def _compare_logits(ours: np.ndarray, theirs: np.ndarray, following: Sequence[int]) -> _Compared:
    """Logits [N, V] of two models, and the tokens that follow; after the last there may be none."""
    p, q = log_softmax(ours), log_softmax(theirs)
    largest, rows = np.abs(ours - theirs).max(axis=-1), np.arange(len(following))
    return _Compared(
        (np.exp(p) * (p - q)).sum(axis=-1),
        largest / ours.std(axis=-1),
        largest,
        p.argmax(axis=-1) == q.argmax(axis=-1),
        -np.stack([one[rows, list(following)] for one in (p, q)]),
    )


def check_size(artifact: Path, name: str, config: ModelConfig) -> None:
    """Hold an artifact's size against its bits a weight, so that a tied embedding stored twice is found.

    In a GGUF file of few bits a weight it may be small beside what else the bound allows, so there the names
    of the tensors are looked at too. Matrices whose rows its kind does not fit may have the bits they have.

    Args:
        parameters: weights, a tied embedding counted once.
        tied: the embedding is the output head too.

    Raises:
        Unfit: the file is larger than its format explains.
    """
    bound, embedding = bounds()[name], config.vocab_size * config.hidden_size
    bits = (config.parameters - embedding) * bound.bits + embedding * (bound.embedding or bound.bits)
    allowed = bits / 8 + config.vocab_size * 64  # token strings
    if artifact.is_file():
        allowed += 40_000  # names
        allowed += sum(size for _, size in fallen_back(artifact, name.split(":")[1]).values())
    else:
        allowed += 120_000 + 2_500 * config.layers  # a graph
        if bound.embedding:
            allowed += config.context * config.head_dim * 4  # cosines and sines of positions
    twice = config.tied and artifact.is_file() and HEAD in read_header(artifact).tensors
    if twice or model_bytes(artifact) > allowed:
        raise Unfit(
            f"{artifact.name}: {model_bytes(artifact):,} bytes where {name} explains {allowed:,.0f}. "
            "Is a tied weight stored twice?"
        )


def get_bound(name: str) -> Bound:
    """The bound of one format.

    Raises:
        BadInput: no such format.
    """
    known = bounds()
    if name not in known:
        remedy = "give --to once for each format" if "," in name else instead_of(name, known)
        raise BadInput(f"unknown format '{name}'", remedy=remedy)
    return known[name]


def _check_tokens(
    exported: LanguageModel, tokenizer: TextTokenizer, artifact: Path, texts: dict[str, list[str]]
) -> int:
    """How many texts there are, those made from them included; each must have the ids of `tokenizer.json`."""
    count, each = 0, {code: [*own, *hard_strings(own, STRINGS)] for code, own in texts.items()}
    each["special tokens"] = [f"a {token}b" for token in tokenizer.added]
    for code, strings in each.items():
        for text, ids in zip(strings, tokenizer.encode_batch(strings), strict=True):
            if exported.tokenize(text) != list(ids):
                raise Unfit(
                    f"{artifact.name}: tokenises differently from tokenizer.json in '{code}': {text[:60]!r}. "
                    "The export is not usable; please report this text."
                )
        count += len(strings)
    return count


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
