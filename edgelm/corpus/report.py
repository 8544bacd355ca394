"""What a corpus build leaves for people: `manifest.json`, a dataset card and `report.html`."""

import json
from pathlib import Path
from typing import Any

from edgelm import artifacts
from edgelm.corpus.card import card
from edgelm.corpus.page import page
from edgelm.corpus.recipe import Recipe
from edgelm.errors import BadInput
from edgelm.languages import Language

NEEDED = {"recipe", "sources", "terms", "thresholds", "mix", "contamination"}  # an older edgelm wrote fewer


def read_manifest(corpus: Path) -> dict[str, Any]:
    """The manifest of a corpus directory.

    Raises:
        BadInput: `corpus` is no corpus directory.
    """
    try:
        manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
        if not isinstance(manifest["languages"], dict) or not manifest.keys() >= NEEDED:
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
    artifacts.write_text(corpus / "README.md", card(manifest, recipe, languages))
    artifacts.write_text(corpus / "report.html", page(manifest, languages))
