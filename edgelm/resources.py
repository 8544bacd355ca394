"""Files that ship with edgelm beside its code: `corpus/`, `export/` and `demo/`.

A wheel carries them as `edgelm/_resources/`; a checkout has them at its top level.
"""

from pathlib import Path
from typing import Any

from edgelm.errors import BadInput, EdgelmError
from edgelm.files import read_text

LONGEST_YAML, LONGEST_NUMBER, MOST_VALUES = 2**20, 100, 100_000
"""Of a YAML file: characters, digits of one number, and values with all aliases written out."""
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
    """Line of each key of a YAML file that `read_yaml` takes, in whatever depth; of one that is
    there twice the last."""
    import yaml

    found: dict[str, int] = {}
    seen: set[int] = set()

    def walk(node: yaml.Node | None) -> None:
        if isinstance(node, yaml.MappingNode) and id(node) not in seen:
            seen.add(id(node))
            for key, value in node.value:
                found[str(key.value)] = key.start_mark.line + 1
                walk(value)

    walk(yaml.compose(read_text(path), Loader=yaml.SafeLoader))
    return found


def read_yaml(path: Path) -> Any:
    """The value in a YAML file, a user's or one of edgelm's own.

    Raises:
        BadInput: the file is missing, cannot be read or is not YAML; with the line where that is known.
    """
    import yaml  # here, not above: a command that reads none need not wait for it

    try:
        return parse_yaml(read_text(path))
    except FileNotFoundError:
        raise BadInput("no such file", file=path, remedy="check the path") from None
    except UnicodeDecodeError:
        raise BadInput("not UTF-8", file=path, remedy="save the file as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise BadInput(
            f"not YAML ({error.problem})", file=path, line=line, remedy="correct that line"
        ) from None
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", file=path, remedy="check the file") from None
    except (ValueError, yaml.YAMLError) as error:
        raise BadInput(f"not YAML ({error})", file=path, remedy="correct the file") from None


def parse_yaml(text: str) -> Any:
    """The value that a YAML text stands for.

    Raises:
        yaml.YAMLError, ValueError: it is no YAML, or stands for more than a file of that length should.
    """
    import yaml

    if len(text) > LONGEST_YAML:
        raise ValueError(f"longer than {LONGEST_YAML:,} characters")
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _weigh(node, {})
        return loader.construct_document(node)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (LookupError, AttributeError, TypeError, ArithmeticError) as error:  # of a tag that does not fit
        raise ValueError(f"a value that is not of its kind: {error}") from None
    finally:
        loader.dispose()


def _weigh(node: Any, known: dict[int, int]) -> int:
    """How many values a node stands for, each alias written out: a few lines can stand for billions, which
    take no memory until they are put into a message or merged."""
    if (found := known.get(id(node), -1)) >= 0:
        return found
    if id(node) in known:
        raise ValueError("a value holds itself")
    known[id(node)] = -1
    parts = node.value if isinstance(node.value, list) else []
    size = 1 + sum(
        _weigh(one, known) for part in parts for one in (part if isinstance(part, tuple) else (part,))
    )
    if size > MOST_VALUES:
        raise ValueError(f"its aliases stand for more than {MOST_VALUES:,} values")
    if node.tag.endswith((":int", ":float")) and len(node.value) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(node.value):,} digits")
    known[id(node)] = size
    return size
