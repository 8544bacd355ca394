"""What a corpus build leaves for people: `manifest.json`, a dataset card and `report.html`."""

from pathlib import Path
from typing import Any

from edgelm import artifacts
from edgelm.corpus.card import card
from edgelm.corpus.manifest import Manifest
from edgelm.corpus.page import page
from edgelm.corpus.recipe import Recipe
from edgelm.errors import BadInput
from edgelm.files import read_json
from edgelm.languages import Language
from edgelm.shape import fits


def read_manifest(corpus: Path) -> dict[str, Any]:
    """The manifest of a corpus directory.

    Raises:
        BadInput: `corpus` is no corpus directory.
    """
    try:
        manifest = read_json(corpus / "manifest.json")
        if fits(manifest, Manifest):  # an older edgelm wrote less
            found: dict[str, Any] = manifest
            return found
    except (OSError, ValueError):
        pass
    raise BadInput(
        "is not a corpus (its manifest.json is missing or damaged)",
        file=corpus,
        remedy="make one with: edgelm corpus build SOURCE -o DIR",
    )


def write(corpus: Path, manifest: dict[str, Any], recipe: Recipe, languages: dict[str, Language]) -> None:
    """Write the dataset card and the HTML report beside the shards."""
    artifacts.write_text(corpus / "README.md", card(manifest, recipe, languages))
    artifacts.write_text(corpus / "report.html", page(manifest, languages))
