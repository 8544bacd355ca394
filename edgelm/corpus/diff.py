"""`edgelm corpus diff`: what another recipe or another source changed, document by document."""

from collections import Counter
from pathlib import Path
from typing import Any

from edgelm.corpus.report import read_manifest
from edgelm.extras import require

NOT_READ = "not read"


def compare(one: Path, other: Path) -> dict[str, dict[str, Any]]:
    """For each language: documents kept in both, only in one, and what the other says of those.

    Documents are the same if source, id and language are, or else if language and text are, but for case,
    digits, punctuation and spacing.

    Raises:
        BadInput: one of the two is no corpus.
    """
    first, second = _Documents(one), _Documents(other)
    changes: dict[str, dict[str, Any]] = {}
    for mine, theirs, side in ((first, second, "first"), (second, first, "second")):
        for place, (language, key, reason) in mine.by_id.items():
            own = changes.setdefault(language, {"both": 0, "first": Counter(), "second": Counter()})
            if reason is not None:
                continue
            there = theirs.find(place, language, key)
            if there is None:
                own[side][NOT_READ] += 1
            elif there[2] is not None:
                own[side][there[2]] += 1
            elif side == "first":
                own["both"] += 1
    return dict(sorted(changes.items()))


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


Document = tuple[str, int, str | None]  # language, key, reason to reject it


class _Documents:
    """What became of every document of a corpus, by source, id and language and by the key of its text."""

    def __init__(self, corpus: Path):
        read_manifest(corpus)
        parquet = require("pyarrow.parquet", "corpus")
        self.by_id: dict[tuple[str, str, str], Document] = {}
        self.by_key: dict[tuple[str, int], Document] = {}
        rejected = sorted((corpus / "rejected").glob("*.parquet"))
        for file in [*rejected, *sorted((corpus / "data").rglob("*.parquet"))]:
            names = ["source", "id", "language", "key"] + ["reason"] * (file in rejected)
            columns = parquet.ParquetFile(file).read(columns=names)
            reasons = columns["reason"].to_pylist() if file in rejected else [None] * len(columns)
            for source, name, language, key, reason in zip(
                *(columns[name].to_pylist() for name in names[:4]), reasons, strict=True
            ):
                self.by_id[source, name, language] = (language, key, reason)
                self.by_key[language, key] = (language, key, reason)

    def find(self, place: tuple[str, str, str], language: str, key: int) -> Document | None:
        """The document of a source, id and language, or else one of that text."""
        return self.by_id.get(place) or self.by_key.get((language, key))


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
