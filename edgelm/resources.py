"""Files that ship with edgelm beside its code: `corpus/`, `export/` and `demo/`.

A wheel carries them as `edgelm/_resources/`; a checkout has them at its top level.
"""

from pathlib import Path

from edgelm.errors import EdgelmError

PACKAGE = Path(__file__).resolve().parent


def root() -> Path:
    """The folder that holds `corpus/`, `export/` and `demo/`."""
    for folder in (PACKAGE / "_resources", PACKAGE.parent):
        if (folder / "corpus" / "languages").is_dir():
            return folder
    raise EdgelmError(f"{PACKAGE}: the resource folders are missing. Install edgelm again.")


def path(*parts: str) -> Path:
    """Path of a resource, as `path("corpus", "sample", "zul.jsonl")`. It may not exist."""
    return root().joinpath(*parts)
