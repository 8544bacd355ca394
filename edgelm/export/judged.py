"""The text by which an export is judged: the embedded sample's, or that of a model's own languages.

What few bits cost shows only on text in a language that the model knows. The sample has eleven languages; of
others a corpus or a folder of text has to be given.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from edgelm.evaluate.bits_per_byte import corpus_texts
from edgelm.export.verify import LOGIT_DOCUMENTS, OTHER, verification_texts
from edgelm.languages import find_language
from edgelm.model.card import read_card
from edgelm.tokenizer.texts import is_corpus, read_source, sample_texts

BYTES = 10_000
"""Text of a language that the sample lacks."""
CODE = re.compile(r"[a-z]{2,3}\b")
"""Cards of models made elsewhere may say `multilingual` too."""


def judged_texts(source: Path | None, languages: Sequence[str] = ()) -> dict[str, list[str]]:
    """By language, and under `OTHER` what tokenizers trip over.

    Args:
        source: a corpus, whose languages count: those that the sample lacks by held-out documents; or files,
            which hold nothing out. None for the sample.
        languages: of these only.
    """
    sample = {code: own[:LOGIT_DOCUMENTS] for code, own in verification_texts(languages).items()}
    if source is None:
        return sample
    own = {code: texts for code, texts in _texts(source).items() if not languages or code in languages}
    return {**{code: sample.get(code, texts) for code, texts in own.items()}, OTHER: sample[OTHER]}


def unsampled(model: Path) -> list[str]:
    """The languages of a model's card, where the sample has none of them."""
    said = read_card(model)[1].get("language") or []
    names = [one for one in map(str, [said] if isinstance(said, str) else said) if CODE.match(one)]
    found = [language.code if (language := find_language(name)) else name for name in names]
    return [] if set(found) & sample_texts().keys() else found


def _texts(source: Path) -> dict[str, list[str]]:
    if is_corpus(source):
        splits = [corpus_texts(source, split, BYTES) for split in ("train", "validation", "test")]
        return {code: texts for found in splits for code, texts in found.items()}
    found: dict[str, list[str]] = {}
    for code, text in read_source(source):
        own = found.setdefault(code, [])
        if sum(len(one.encode("utf-8")) for one in own) < BYTES:
            own.append(text)
    return found
