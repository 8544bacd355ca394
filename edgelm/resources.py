"""Files that ship with edgelm beside its code: `corpus/`, `export/` and `demo/`.

A wheel carries them as `edgelm/_resources/`; a checkout has them at its top level.
"""

from pathlib import Path
from typing import Any

from edgelm.errors import BadInput, EdgelmError

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


def yaml_lines(path: Path) -> dict[str, int]:
    """Line of each key of a YAML file, in whatever depth; the last of one that is there twice."""
    import yaml

    found: dict[str, int] = {}

    def walk(node: yaml.Node | None) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                found[str(key.value)] = key.start_mark.line + 1
                walk(value)

    walk(yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader))
    return found


def read_yaml(path: Path) -> Any:
    """The value in a YAML file, a user's or one of edgelm's own.

    Raises:
        BadInput: the file is missing, cannot be read or is not YAML; with the line where that is known.
    """
    import yaml  # here, not above: a command that reads none need not wait for it

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput("no such file", file=path, remedy="check the path") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise BadInput(
            f"not YAML ({error.problem})", file=path, line=line, remedy="correct that line"
        ) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"cannot be read as YAML ({reason})", file=path, remedy="correct the file") from None
