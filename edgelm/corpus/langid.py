"""Which language a text is in: naive Bayes over byte 1- to 4-grams, after Cavnar and Trenkle's observation
that short character sequences tell languages apart.

It learns from the embedded sample when first asked, so it knows exactly the languages that the sample holds.
It is used only where neither record nor file name says the language, and has no class for other languages.
"""

import json
from dataclasses import dataclass
from functools import cache

import numpy as np

from edgelm import resources

ORDERS = (1, 2, 3, 4)
BUCKETS = 1 << 16
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
MAX_BYTES = 2000  # a longer text is judged by its beginning


@dataclass(frozen=True, slots=True)
class Identifier:
    """A trained identifier; `log_probability` is float32 of shape [languages, buckets]."""

    languages: tuple[str, ...]
    log_probability: np.ndarray

    def identify(self, text: str) -> tuple[str, float]:
        """The likeliest language of `text` and its posterior probability under a uniform prior."""
        scores = self.log_probability[:, _grams(text)].sum(axis=1)
        scores -= scores.max()
        posterior = np.exp(scores) / np.exp(scores).sum()
        best = int(posterior.argmax())
        return self.languages[best], float(posterior[best])


def train(texts: dict[str, list[str]], smoothing: float = 0.1) -> Identifier:
    """Train on a list of texts for each language code, with additive smoothing."""
    languages = tuple(sorted(texts))
    counts = np.full((len(languages), BUCKETS), smoothing)
    for row, language in enumerate(languages):
        for text in texts[language]:
            np.add.at(counts[row], _grams(text), 1)
    return Identifier(languages, np.log(counts / counts.sum(axis=1, keepdims=True)).astype(np.float32))


@cache
def default_identifier() -> Identifier:
    """The identifier trained on the training documents of the embedded sample."""
    texts: dict[str, list[str]] = {}
    for path in sorted(resources.path("corpus", "sample").glob("*.jsonl")):
        documents = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        texts[path.stem] = [document["text"] for document in documents if document["split"] == "train"]
    return train(texts)


def _grams(text: str) -> np.ndarray:
    """Bucket numbers of every n-gram of the lower-cased text's first bytes."""
    data = np.frombuffer(f" {text.lower()} ".encode()[:MAX_BYTES], dtype=np.uint8).astype(
        np.uint64
    ) + np.uint64(1)
    rolling = np.zeros(len(data), dtype=np.uint64)
    grams = []
    for order in ORDERS:
        if len(data) < order:
            break
        rolling = rolling[: len(data) - order + 1] * np.uint64(257) + data[order - 1 :]
        grams.append(((rolling * MULTIPLIER) >> np.uint64(48)).astype(np.int64))
    return np.concatenate(grams)
