"""`edgelm corpus diff`: what another recipe or another source changed, document by document."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from edgelm.corpus.report import read_manifest
from edgelm.extras import require

NOT_READ = "not read"


def compare(one: Path, other: Path) -> dict[str, dict[str, Any]]:
    """For each language: documents kept in both, only in one, and what the other says of those.

    Documents are the same if they are equal but for case, digits, punctuation and spacing.

    Raises:
        BadInput: one of the two is no corpus.
    """
    found = [_read(corpus) for corpus in (one, other)]
    languages = sorted({*found[0], *found[1]})
    return {code: _compare(found[0].get(code, {}), found[1].get(code, {})) for code in languages}


def table(changes: dict[str, dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of what `compare` found."""
    header = ["language", "kept in both", "only in 1", "2 says", "only in 2", "1 says"]
    rows = []
    for code, one in changes.items():
        row = [code, f"{one['both']:,}"]
        for side in ("first", "second"):
            counts = Counter(one[side])
            why = ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common(3))
            row += [f"{counts.total():,}", why or "-"]
        rows.append(row)
    return header, rows


def recipe_changes(one: Path, other: Path) -> list[str]:
    """The keys of the recipes that differ, each as a line."""
    recipes = [_flat(read_manifest(corpus)["recipe"]) for corpus in (one, other)]
    return [
        f"{key}: {recipes[0].get(key, 'not set')} -> {recipes[1].get(key, 'not set')}"
        for key in sorted({*recipes[0], *recipes[1]})
        if recipes[0].get(key) != recipes[1].get(key)
    ]


def _compare(first: dict[int, str | None], second: dict[int, str | None]) -> dict[str, Any]:
    kept = [{key for key, reason in one.items() if reason is None} for one in (first, second)]
    return {
        "both": len(kept[0] & kept[1]),
        "first": Counter(second.get(key) or NOT_READ for key in kept[0] - kept[1]),
        "second": Counter(first.get(key) or NOT_READ for key in kept[1] - kept[0]),
    }


def _read(corpus: Path) -> dict[str, dict[int, str | None]]:
    """For each language the reason each document was rejected, None for a kept one, by its key."""
    read_manifest(corpus)
    parquet = require("pyarrow.parquet", "corpus")
    found: dict[str, dict[int, str | None]] = {}
    for file in sorted((corpus / "rejected").glob("*.parquet")):
        columns = parquet.ParquetFile(file).read(columns=["language", "key", "reason"])
        for code, key, reason in zip(*(column.to_pylist() for column in columns), strict=True):
            found.setdefault(code, {})[key] = reason
    for file in sorted((corpus / "data").rglob("*.parquet")):
        keys = parquet.ParquetFile(file).read(columns=["key"])["key"].to_numpy()
        found.setdefault(file.parent.name, {}).update(dict.fromkeys(np.asarray(keys).tolist()))
    return found


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots; filters by their reason."""
    if isinstance(value, dict):
        return {
            key: leaf
            for part, one in value.items()
            for key, leaf in _flat(one, f"{name}.{part}".strip(".")).items()
        }
    if isinstance(value, list) and value and isinstance(value[0], dict) and "reason" in value[0]:
        return {key: leaf for one in value for key, leaf in _flat(one, f"{name}.{one['reason']}").items()}
    return {name: value}
