"""What a corpus build leaves for people: `manifest.json`, a dataset card and `report.html`."""

import json
from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from edgelm import artifacts
from edgelm.corpus.readers import SPLITS
from edgelm.corpus.recipe import Recipe
from edgelm.errors import BadInput
from edgelm.languages import Language

SAMPLES = 3


class Counts:
    """Adds up documents as they are written."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.languages: dict[str, dict[str, Counter[str]]] = {}
        self.sources: dict[str, Counter[str]] = {}
        self.samples: dict[str, list[dict[str, str]]] = {}
        self.guessed = 0

    def add(self, batch: Any, reasons: np.ndarray, splits: np.ndarray) -> None:
        """Count one record batch with its decisions, and keep a few documents of each kind to show."""
        self.guessed += batch["guessed"].true_count
        columns = [batch[name].to_pylist() for name in ("language", "source", "words", "bytes", "text")]
        for language, source, words, size, text, reason, split in zip(*columns, reasons, splits, strict=True):
            per_split = self.languages.setdefault(
                language, {name: Counter() for name in (*SPLITS, "rejected")}
            )
            per_source = self.sources.setdefault(source, Counter())
            per_source["documents"] += 1
            if reason is None:
                per_split[split].update(documents=1, words=words, bytes=size)
                per_source.update(kept=1, bytes=size)
            else:
                per_split["rejected"][reason] += 1
            shown = self.samples.setdefault("kept" if reason is None else reason, [])
            if len(shown) < SAMPLES:
                shown.append({"language": language, "text": text[:300]})

    def manifest(self) -> dict[str, Any]:
        languages: dict[str, Any] = {}
        for code in sorted(self.languages):
            parts = self.languages[code]
            kept = sum((parts[name] for name in SPLITS), Counter())
            languages[code] = {
                "documents": kept["documents"] + parts["rejected"].total(),
                "kept": kept["documents"],
                "words": kept["words"],
                "bytes": kept["bytes"],
                "splits": {
                    name: {key: parts[name][key] for key in ("documents", "bytes")} for name in SPLITS
                },
                "rejected": dict(sorted(parts["rejected"].items())),
            }
        return {
            "recipe": self.recipe.config(),
            "documents": sum(one["documents"] for one in languages.values()),
            "kept": sum(one["kept"] for one in languages.values()),
            "bytes": sum(one["bytes"] for one in languages.values()),
            "guessed": self.guessed,
            "languages": languages,
            "sources": {name: dict(self.sources[name]) for name in sorted(self.sources)},
            "samples": {name: self.samples[name] for name in sorted(self.samples)},
        }


def read_manifest(corpus: Path) -> dict[str, Any]:
    """The manifest of a corpus directory.

    Raises:
        BadInput: `corpus` is no corpus directory.
    """
    try:
        manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
        if not isinstance(manifest["languages"], dict):
            raise ValueError
        return manifest
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(
            "is not a corpus (its manifest.json is missing or damaged)",
            file=corpus,
            remedy="make one with: edgelm corpus build SOURCE -o DIR",
        ) from None


def write(corpus: Path, manifest: dict[str, Any], recipe: Recipe, languages: dict[str, Language]) -> None:
    """Write the dataset card and the HTML report beside the shards."""
    artifacts.write_text(corpus / "README.md", _card(manifest, recipe, languages))
    artifacts.write_text(corpus / "report.html", _html(manifest, languages))


def table(manifest: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
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


def _card(manifest: dict[str, Any], recipe: Recipe, languages: dict[str, Language]) -> str:
    kept = {code: one for code, one in manifest["languages"].items() if one["kept"]}
    lines = ["---", "language:"]
    lines += [
        f'- "{languages[code].bcp47 if code in languages else code}"' for code in kept
    ]  # else `no` is false
    lines += ["task_categories:", "- text-generation", "configs:", "- config_name: default", "  data_files:"]
    lines += _data_files(
        "*", {name for one in kept.values() for name in SPLITS if one["splits"][name]["documents"]}
    )
    for code, one in kept.items():
        lines += [f"- config_name: {code}", "  data_files:"]
        lines += _data_files(code, {name for name in SPLITS if one["splits"][name]["documents"]})
    header, rows = table(manifest)
    lines += ["---", "", f"# Corpus built with the edgelm recipe `{recipe.name}`", ""]
    lines += ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    lines += ["", "## Sources", "", "| source | documents | kept | bytes |", "| --- | --- | --- | --- |"]
    for name, one in manifest["sources"].items():
        cells = (one.get(key, 0) for key in ("documents", "kept", "bytes"))
        lines.append(f"| {_cell(name)} | " + " | ".join(f"{cell:,}" for cell in cells) + " |")
    lines += ["", "Terms the recipe states:", ""]
    lines += [
        f"* {_cell(one.path.name)}: licence {one.licence}; attribution: {one.attribution}"
        for one in recipe.sources
    ]
    lines += [
        "",
        "## Known limits",
        "",
        "The language is what the record or the file's name says; where neither does, a small identifier",
        "guesses, which knows no language outside the embedded sample. Exact duplicates (up to case, digits,",
        "punctuation and spacing) are removed, near-duplicates are not. Rejected documents are kept in",
        "`rejected/` with the reason.",
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that stays inside its cell of a Markdown table, whatever a record said."""
    return escape(" ".join(text.split()), quote=False).replace("|", "\\|")


def _data_files(code: str, splits: set[str]) -> list[str]:
    lines = []
    for name in SPLITS:
        if name in splits:
            lines += [f"  - split: {name}", f'    path: "data/{code}/{name}-*.parquet"']
    return lines


STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .2rem .6rem .2rem 0 }
td:nth-child(n+2):nth-child(-n+5) { text-align: right; font-variant-numeric: tabular-nums }
.bar { display: flex; height: .8rem; background: #8883; border-radius: 3px; min-width: 8rem }
.bar { overflow: hidden } .bar i { background: #2a7f62 }
blockquote { margin: .3rem 0; padding-left: .8rem; border-left: 3px solid #8886 }
"""


def _html(manifest: dict[str, Any], languages: dict[str, Language]) -> str:
    rows = []
    for code, one in manifest["languages"].items():
        share = one["kept"] / max(one["documents"], 1)
        name = languages[code].autonym if code in languages else code
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(one["rejected"].items()))
        rows.append(
            f"<tr><td>{escape(name)}</td><td>{one['documents']:,}</td><td>{one['kept']:,}</td>"
            f"<td>{one['words']:,}</td><td>{one['bytes'] / 1000:,.0f}</td>"
            f'<td><div class="bar" role="img" aria-label="{share:.0%} kept"><i style="width:{share:.1%}"></i>'
            f"</div></td><td>{escape(reasons)}</td></tr>"
        )
    samples = []
    for reason, texts in manifest["samples"].items():
        quotes = "".join(
            f"<blockquote>{escape(one['text'])} <small>{one['language']}</small></blockquote>"
            for one in texts
        )
        samples.append(f"<h3>{escape(reason)}</h3>{quotes}")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Corpus report</title><style>{STYLE}</style><h1>Corpus report</h1>"
        f"<p>{manifest['kept']:,} of {manifest['documents']:,} documents kept, "
        f"{manifest['bytes'] / 1e6:,.1f} MB of text.</p>"
        "<table><tr><th>Language<th>Documents<th>Kept<th>Words<th>kB<th>Share kept<th>Rejected because</tr>"
        f"{''.join(rows)}</table><h2>First documents of each kind</h2>{''.join(samples)}</html>\n"
    )
