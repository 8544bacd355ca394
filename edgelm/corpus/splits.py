"""Which split a document is in, and how often a language is seen in training."""

from collections.abc import Mapping

import numpy as np

from edgelm.corpus.readers import SPLITS
from edgelm.corpus.recipe import Mix, Recipe
from edgelm.corpus.table import Table

FEWEST_TO_SPLIT = 10  # documents
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
TRAIN, VALIDATION, TEST = range(len(SPLITS))


def assign_splits(table: Table, kept: np.ndarray, recipe: Recipe) -> np.ndarray:
    """The place in `SPLITS` of each document, int8 [documents], by its own claim or by the hash of its text.

    A split takes the documents with the smallest hashes of its share, up to its bytes in each language; and
    at least one document of a language that has `FEWEST_TO_SPLIT`.
    """
    language, codes = table.codes("language")
    claimed, names = table.codes("claimed")
    place = np.array([*(SPLITS.index(name) for name in names), TRAIN], dtype=np.int8)
    split = place[claimed]
    size = table["bytes"].astype(np.int64)
    draw = (table["key"].astype(np.uint64) * MULTIPLIER).astype(np.float64) / 2.0**64
    free = kept & (claimed < 0)
    for number in range(len(codes)):
        rows = np.flatnonzero(free & (language == number))
        rows = rows[np.argsort(draw[rows], kind="stable")]
        start = 0.0
        for name, rule in ((TEST, recipe.test), (VALIDATION, recipe.validation)):
            inside = rows[(draw[rows] >= start) & (draw[rows] < start + rule.share)]
            inside = inside[(size[inside] <= rule.max_bytes) & (split[inside] == TRAIN)]
            chosen = inside[np.cumsum(size[inside]) <= rule.max_bytes]
            if not len(chosen) and rule.share and len(rows) >= FEWEST_TO_SPLIT:
                chosen = rows[split[rows] == TRAIN][:1]
            split[chosen] = name
            start += rule.share
    return split


def mixture(sizes: Mapping[str, int], mix: Mix) -> dict[str, dict[str, float]]:
    """Share of each language in training, and how often its text is then seen, where all text is seen once.

    Args:
        sizes: bytes of training text in each language.
    """
    sizes = {code: size for code, size in sizes.items() if size}
    total = sum(sizes.values())
    if mix.temperature is not None:
        weight = {code: size ** (1 / mix.temperature) for code, size in sizes.items()}
    else:
        weight, budget = {}, float(total)
        for done, code in enumerate(sorted(sizes, key=lambda code: (sizes[code], code))):
            even = budget / (len(sizes) - done)
            weight[code] = min(even, (mix.unimax_epochs or 1.0) * sizes[code])
            budget -= weight[code]
    whole = sum(weight.values())
    return {
        code: {
            "bytes": sizes[code],
            "share": round(weight[code] / whole, 6),
            "epochs": round(weight[code] / whole * total / sizes[code], 4),
        }
        for code in sorted(sizes)
    }
