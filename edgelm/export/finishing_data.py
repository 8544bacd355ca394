"""What a model is finished on: a corpus, or any file or folder of text, and what of it is held out."""

from itertools import chain
from pathlib import Path

import numpy as np

from edgelm.corpus.shards import languages_of
from edgelm.errors import BadInput
from edgelm.evaluate.bits_per_byte import corpus_texts
from edgelm.mixture import temperature_shares
from edgelm.pretrain.sampling import CorpusSource, corpus_source
from edgelm.pretrain.tokens import TokenShard
from edgelm.progress import Progress
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.texts import is_corpus, read_source

HELD_OUT = 2_000
"""Bytes of each language."""
EACH = 10
"""Of text that has no splits, one document in so many is held out to choose by and another to report on."""
TEMPERATURE = 2.0
Texts = dict[str, list[str]]


def finishing_texts(source: Path) -> tuple[Texts, Texts, Texts]:
    """Documents by language: to choose by, to report on, and, where `source` is no corpus, to learn from.

    Raises:
        BadInput: there is nothing to hold out, or no text at all.
    """
    if is_corpus(source):
        chosen, told = (corpus_texts(source, split, HELD_OUT) for split in ("validation", "test"))
        return _all(chosen or told, source), _all(told or chosen, source), {}
    chosen, told = {}, {}
    learnt: Texts = {}
    seen: dict[str, int] = {}
    for code, text in read_source(source):
        number = seen.get(code, 0)
        seen[code] = number + 1
        part = {EACH // 2: chosen, EACH - 1: told}.get(number % EACH, learnt)
        part.setdefault(code, []).append(text)
    return _all(_cut(chosen), source), _all(_cut(told), source), learnt


def finishing_source(
    source: Path, learnt: Texts, tokenizer: TextTokenizer, seed: int, fallback: Path, progress: Progress
) -> CorpusSource:
    """Documents to learn from, languages by the square root of their sizes."""
    if not learnt:
        languages = languages_of(source)
        return corpus_source(
            source, languages, tokenizer, fallback, seed=seed, temperature=TEMPERATURE, progress=progress
        )
    shards = {}
    for code, texts in learnt.items():
        ids = tokenizer.encode_batch(texts)
        offsets = np.cumsum([0, *map(len, ids)])
        shards[code] = TokenShard(np.fromiter(chain.from_iterable(ids), dtype=np.int64), offsets)
    shares = temperature_shares({code: one.tokens for code, one in shards.items()}, TEMPERATURE)
    return CorpusSource(shards, tokenizer, seed=seed, shares=shares)


def _all(texts: Texts, source: Path) -> Texts:
    if not texts:
        raise BadInput(
            "has too little text to hold some out", file=source, remedy=f"give {EACH} documents or more"
        )
    return texts


def _cut(texts: Texts) -> Texts:
    """The first documents of each language, up to `HELD_OUT` bytes and one at least."""
    found: Texts = {}
    for code, own in texts.items():
        ends = np.cumsum([len(one.encode("utf-8")) for one in own])
        found[code] = own[: max(int(np.searchsorted(ends, HELD_OUT, side="right")), 1)]
    return found
