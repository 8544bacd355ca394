"""How well a model predicts text, lower is better: bits per byte, whatever its tokenizer, and perplexity."""

import math
from dataclasses import dataclass
from pathlib import Path

from edgelm.corpus.shards import languages_of
from edgelm.progress import Step
from edgelm.runtime.base import LanguageModel
from edgelm.tokenizer.train import sample


def corpus_texts(corpus: Path, split: str, max_bytes: int) -> dict[str, list[str]]:
    """The first documents of a split in each language, up to `max_bytes` of UTF-8."""
    texts = {code: list(sample(corpus, code, split, max_bytes)) for code in languages_of(corpus)}
    return {code: found for code, found in texts.items() if found}


@dataclass(slots=True)
class Read:
    """What a model found in some texts."""

    nats: float = 0.0
    bytes: int = 0
    tokens: int = 0


def read_texts(
    model: LanguageModel, texts: dict[str, list[str]], step: Step | None = None
) -> dict[str, Read]:
    """Read the texts of each language.

    A text starts after BOS with no language tag; one longer than the context is read in windows that each
    start after BOS, without the text before. The end of a text is not counted.
    """
    found = {}
    for code, documents in texts.items():
        found[code] = one = Read()
        for text in documents:
            ids = model.tokenize(text)
            for start in range(0, len(ids), model.context):
                one.nats -= float(
                    model.score([model.bos], ids[start : start + model.context]).sum(dtype="float64")
                )
            one.bytes += len(text.encode("utf-8"))
            one.tokens += len(ids)
            if step:
                step(1)
    return found


def bits_per_byte(
    model: LanguageModel, texts: dict[str, list[str]], step: Step | None = None
) -> dict[str, float]:
    """Bits per UTF-8 byte of the texts of each language, and their mean over languages under `mean`."""
    return bits_of(read_texts(model, texts, step))


def bits_of(read: dict[str, Read]) -> dict[str, float]:
    """As `bits_per_byte`, of what was read."""
    found = {code: round(one.nats / math.log(2) / one.bytes, 4) for code, one in read.items()}
    return {**found, "mean": round(sum(found.values()) / len(found), 4)} if found else {}


def perplexity_of(read: dict[str, Read]) -> dict[str, float]:
    """Perplexity per token by language, and the geometric mean over languages under `mean`.

    Only models with one tokenizer can be compared by it: a token that stands for more text is harder to
    guess.
    """
    nats = {code: one.nats / max(one.tokens, 1) for code, one in read.items()}
    if nats:
        nats["mean"] = sum(nats.values()) / len(nats)
    return {code: round(math.exp(min(one, 700.0)), 2) for code, one in nats.items()}
