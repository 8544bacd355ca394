"""What a decided corpus amounts to: counts, distributions and samples for manifest, card and report."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgelm.corpus.decide import DUPLICATES, Decisions, judged
from edgelm.corpus.ingest import UNKNOWN
from edgelm.corpus.readers import SPLITS
from edgelm.corpus.recipe import Recipe
from edgelm.corpus.splits import TRAIN, mixture
from edgelm.corpus.table import Table

BINS = 40
SAMPLES_KEPT, SAMPLES_REJECTED = 5, 3  # of each language; of each language and reason
REPAIRED = ("mojibake", "entities", "markup", "unicode", "control", "hyphens", "joins")
REDACTED = ("email", "phone", "id", "card")
CLUSTER_SIZES = ("2", "3-4", "5-9", "10-99", "100-999", "1000 and more")
MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)


def summarise(table: Table, decisions: Decisions, splits: np.ndarray, recipe: Recipe) -> dict[str, Any]:
    """Counts of a corpus by language and source, as the manifest has them."""
    language, codes = table.codes("language")
    source, sources = table.codes("source")
    kept = decisions.kept
    size = {name: table[name].astype(np.int64) for name in ("words", "bytes")}
    found = {name: table[f"read_{name}"].astype(np.int64) for name in size}
    languages: dict[str, Any] = {}
    for number, code in enumerate(codes):
        own = language == number
        mine = own & kept
        languages[code] = {
            "documents": int(own.sum()),
            "kept": int(mine.sum()),
            "words": int(size["words"][mine].sum()),
            "bytes": int(size["bytes"][mine].sum()),
            "read": {name: int(values[own].sum()) for name, values in found.items()},
            "splits": {
                part: {
                    "documents": int((mine & (splits == place)).sum()),
                    "bytes": int(size["bytes"][mine & (splits == place)].sum()),
                }
                for place, part in enumerate(SPLITS)
            },
            "rejected": _counts(decisions.first[own & ~kept], decisions.names),
            "failed": {
                rule.reason: int(((decisions.failed[own] >> np.uint64(bit)) & np.uint64(1)).sum())
                for bit, rule in enumerate(recipe.filters)
            },
        }
    for group, names in (("repaired", REPAIRED), ("redacted", REDACTED)):
        for name in names:
            if f"{group}_{name}" in table:
                total = np.bincount(language, table[f"{group}_{name}"], len(codes))
                for number, code in enumerate(codes):
                    languages[code].setdefault(group, {})[name] = int(total[number])
    pair = source * len(codes) + language
    by_pair = np.bincount(pair, minlength=len(sources) * len(codes))
    kept_by_pair = np.bincount(pair[kept], minlength=len(by_pair))
    bytes_by_pair = np.bincount(pair[kept], size["bytes"][kept], len(by_pair))
    return {
        "documents": len(table),
        "kept": int(kept.sum()),
        "bytes": int(size["bytes"][kept].sum()),
        "languages": languages,
        "sources": {
            name: {
                "documents": int(by_pair[first : first + len(codes)].sum()),
                "kept": int(kept_by_pair[first : first + len(codes)].sum()),
                "bytes": int(bytes_by_pair[first : first + len(codes)].sum()),
                "languages": {
                    codes[at - first]: [int(by_pair[at]), int(kept_by_pair[at]), int(bytes_by_pair[at])]
                    for at in range(first, first + len(codes))
                    if by_pair[at]
                },
            }
            for name, first in zip(sources, range(0, len(by_pair), len(codes)), strict=True)
        },
        "clusters": _cluster_sizes(table, decisions),
        "thresholds": decisions.thresholds,
        "mix": mixture(
            {
                code: int(size["bytes"][kept & (language == number) & (splits == TRAIN)].sum())
                for number, code in enumerate(codes)
            },
            recipe.mix,
        ),
    }


def distributions(table: Table, decisions: Decisions, recipe: Recipe) -> dict[str, Any]:
    """For each filtered column and language, how many documents kept and rejected lie in each of the bins."""
    language, codes = table.codes("language")
    readable = table.codes("reading")[0] < 0
    kept = decisions.kept
    found: dict[str, Any] = {}
    for column in dict.fromkeys(rule.column for rule in recipe.filters):
        values = judged(table, column, language, len(codes), readable).astype(np.float64)
        finite = np.isfinite(values)
        if not finite.any():
            continue
        low, high = np.quantile(values[finite], [0, 0.995])
        bounds = [
            one[side]
            for one in decisions.thresholds
            for side in ("min", "max")
            if one["column"] == column and side in one and abs(one[side]) < 1e6
        ]
        if high <= low:  # nearly all documents have the least value
            high = float(values[finite].max())
        high = max([high, low + 1e-6, *(bound * 1.1 for bound in bounds if bound <= 2 * high)])
        place = np.clip((values - low) / (high - low) * BINS, 0, BINS - 1)
        place = np.where(finite, place, 0).astype(np.int64)
        found[column] = {"low": float(low), "high": float(high), "languages": {}}
        for number, code in enumerate(codes):
            own = finite & (language == number)
            if own.any():
                found[column]["languages"][code] = [
                    np.bincount(place[own & which], minlength=BINS).tolist() for which in (kept, ~kept)
                ]
    return found


def confusion(table: Table) -> dict[str, dict[str, int]]:
    """How many documents said to be in one language were identified as each."""
    if "identified" not in table:
        return {}
    (said, codes), (seen, names) = table.codes("language"), table.codes("identified")
    known = seen >= 0
    counts = np.bincount(said[known] * len(names) + seen[known], minlength=len(codes) * len(names))
    return {
        code: {name: int(count) for name, count in zip(names, row, strict=True) if count}
        for code, row in zip(codes, counts.reshape(len(codes), len(names)), strict=True)
        if row.any()
    }


def unidentified(table: Table) -> list[str]:
    """Languages that the identifier was asked about and does not know."""
    if "identified" not in table:
        return []
    (said, codes), (seen, _) = table.codes("language"), table.codes("identified")
    asked, known = seen >= 0, ~np.isnan(table["language_probability"])
    return [
        code
        for number, code in enumerate(codes)
        if (asked & (said == number)).any() and not (known & (said == number)).any() and code != UNKNOWN
    ]


def choose_samples(table: Table, decisions: Decisions) -> np.ndarray:
    """Rows to show: random ones, the same in every run, of each language and each reason in it; sorted."""
    language, _ = table.codes("language")
    draw = np.arange(len(table), dtype=np.uint64) * MULTIPLIER
    draw ^= draw >> np.uint64(32)
    draw *= MULTIPLIER
    group = language.astype(np.int64) * (len(decisions.names) + 1) + decisions.first + 1
    order = np.lexsort((draw, group))
    begins = np.flatnonzero(np.concatenate([[True], group[order[1:]] != group[order[:-1]]]))
    rank = np.arange(len(order)) - np.repeat(begins, np.diff(np.append(begins, len(order))))
    most = np.where(decisions.kept[order], SAMPLES_KEPT, SAMPLES_REJECTED)
    return np.sort(order[rank < most])


def describe_samples(
    shown: dict[int, dict[str, Any]], table: Table, decisions: Decisions
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The sampled texts by language and by `kept` or reason."""
    language, codes = table.codes("language")
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in sorted(shown):
        reason = "kept" if decisions.first[row] < 0 else decisions.names[decisions.first[row]]
        found.setdefault(codes[language[row]], {}).setdefault(reason, []).append(shown[row])
    return {code: dict(sorted(own.items())) for code, own in sorted(found.items())}


def _counts(numbers: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(numbers, minlength=len(names))
    return {name: int(count) for name, count in sorted(zip(names, counts, strict=True)) if count}


def _cluster_sizes(table: Table, decisions: Decisions) -> dict[str, Any]:
    """How many clusters of duplicates there are by size, and how many documents they took."""
    _, sizes = np.unique(table["cluster"], return_counts=True)
    several = sizes[sizes > 1]
    edges = [2, 3, 5, 10, 100, 1000, np.inf]
    counts = np.histogram(several, edges)[0]
    return {
        "sizes": dict(zip(CLUSTER_SIZES, counts.tolist(), strict=True)),
        "largest": int(several.max()) if len(several) else 1,
        "removed": {name: int((decisions.first == decisions.names.index(name)).sum()) for name in DUPLICATES},
    }
