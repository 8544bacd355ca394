"""Tables of a corpus's manifest, for the command line and the card: a header and rows of text."""

from typing import Any

Table = tuple[list[str], list[list[str]]]


def table(manifest: dict[str, Any]) -> Table:
    """Header and rows of the per-language table that the command line and the card show."""
    header = ["language", "documents", "kept", "words", "kB", "rejected because"]
    rows = []
    for code, one in manifest["languages"].items():
        reasons = sorted(one["rejected"].items(), key=lambda item: -item[1])
        rows.append(
            [
                code,
                f"{one['documents']:,}",
                f"{one['kept']:,}",
                f"{one['words']:,}",
                f"{one['bytes'] / 1000:,.0f}",
                ", ".join(f"{reason} {count:,}" for reason, count in reasons[:3]) or "-",
            ]
        )
    return header, rows


def sources_table(manifest: dict[str, Any]) -> Table:
    """Header and rows: what each source gave, under which licence."""
    header = ["source", "documents", "kept", "share", "kB", "genre", "licence"]
    rows = []
    for name, one in manifest["sources"].items():
        terms = manifest["terms"].get(name, {})
        share = one["kept"] / max(one["documents"], 1)
        cells = [f"{one['documents']:,}", f"{one['kept']:,}", f"{share:.0%}", f"{one['bytes'] / 1000:,.0f}"]
        rows.append([name, *cells, terms.get("genre", "not stated"), terms.get("licence", "not stated")])
    return header, rows


def thresholds_table(manifest: dict[str, Any]) -> Table:
    """Header and rows: the bounds used, languages with the same ones together; proposals refused."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for one in manifest["thresholds"]:
        bounds = [f"{one[side]:g}" if side in one else "-" for side in ("min", "max")]
        refused = ", ".join(f"{note['value']:g}" for note in one.get("proposed", ()) if not note["used"])
        groups.setdefault((one["reason"], one["column"], *bounds, refused or "-"), []).append(one["language"])
    header = ["filter", "column", "min", "max", "refused", "languages"]
    everywhere = len(manifest["languages"])
    return header, [
        [*group, "all" if len(codes) == everywhere else " ".join(codes)] for group, codes in groups.items()
    ]


def mix_table(manifest: dict[str, Any]) -> Table:
    """Header and rows: share of each language in training, and how often its text is seen."""
    header = ["language", "kB", "share", "epochs"]
    rows = [
        [code, f"{one['bytes'] / 1000:,.0f}", f"{one['share']:.1%}", f"{one['epochs']:.2f}"]
        for code, one in manifest["mix"].items()
    ]
    return header, rows
