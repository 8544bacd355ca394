"""A task as a model remembers it: from what `edgelm.json` says of the finetuning, without the task's files.

It asks and answers as the task did when the model learnt it, whatever its YAML has become since.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from edgelm.errors import BadInput
from edgelm.shape import fits
from edgelm.tasks.task import Task, families


def from_config(config: dict[str, Any]) -> Task[Any]:
    """A task from what `Task.config` said of it, which may have been through JSON.

    What this edgelm does not know is left out.

    Raises:
        BadInput: the family is unknown, or something that it needs is missing.
    """
    family = families().get(str(config.get("family")))
    if family is None:
        raise BadInput(
            f"a task of the unknown family {config.get('family')!r}", remedy="finetune the model again"
        )
    known = {one.name for one in fields(family)} - {"place", "folder"}
    given = {name: _tuples(name, value) for name, value in config.items() if name in known}
    kinds = get_type_hints(family)
    if wrong := [name for name, value in given.items() if not fits(value, kinds[name])]:
        raise BadInput(f"a task whose '{wrong[0]}' is damaged", remedy="finetune the model again")
    try:
        return family(place=Path(), folder="", **given)
    except TypeError as error:  # which names what is missing
        raise BadInput(f"a task that is not whole ({error})", remedy="finetune the model again") from None


def _tuples(name: str, value: Any) -> Any:
    """JSON's lists as the tuples that they were; those of `fields` were lists."""
    if isinstance(value, list):
        return tuple(tuple(one) if isinstance(one, list) else one for one in value)
    if name == "without" and isinstance(value, dict):
        return {code: _tuples("", splits) for code, splits in value.items()}
    return value
