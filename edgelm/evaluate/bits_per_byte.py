"""Bits per byte: how well a model predicts text, independent of its tokenizer. Lower is better."""

import math
from pathlib import Path

from edgelm.corpus.shards import languages_of
from edgelm.progress import Step
from edgelm.runtime.base import LanguageModel
from edgelm.tokenizer.train import sample


def corpus_texts(corpus: Path, split: str, max_bytes: int) -> dict[str, list[str]]:
    """The first documents of a split in each language, up to `max_bytes` of UTF-8."""
    texts = {code: list(sample(corpus, code, split, max_bytes)) for code in languages_of(corpus)}
    return {code: found for code, found in texts.items() if found}


def bits_per_byte(
    model: LanguageModel, texts: dict[str, list[str]], step: Step | None = None
) -> dict[str, float]:
    """Bits per UTF-8 byte of the texts of each language, and their mean over languages under `mean`.

    A text starts after BOS with no language tag; one longer than the context is read in windows that each
    start after BOS, without the text before. The end of a text is not counted.
    """
    found = {}
    for code, documents in texts.items():
        nats = size = 0.0
        for text in documents:
            ids = model.tokenize(text)
            for start in range(0, len(ids), model.context):
                nats -= float(
                    model.score([model.bos], ids[start : start + model.context]).sum(dtype="float64")
                )
            size += len(text.encode("utf-8"))
            if step:
                step(1)
        found[code] = round(nats / math.log(2) / size, 4)
    return {**found, "mean": round(sum(found.values()) / len(found), 4)} if found else {}
