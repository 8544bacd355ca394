"""The tasks that a model was finetuned for, as the phone app takes them: prompts, labels and their words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgelm.evaluate.languages import finetuning, learnt_languages, learnt_tasks
from edgelm.languages import load_languages
from edgelm.tasks.classification import Classification
from edgelm.tasks.generation import Generation
from edgelm.tasks.tagging import Tagging
from edgelm.tasks.task import ENGLISH, Task, load_task

FAMILIES = (Classification, Tagging, Generation)
"""Those that the app has a form for."""


def described(names: Sequence[str]) -> list[dict[str, Any]]:
    """Tasks by name or YAML file; asked in English, in all their languages.

    Raises:
        BadInput: there is no such task.
    """
    tasks = [load_task(name, data=False) for name in names]
    return [_described(one, one.languages, native=False) for one in tasks if isinstance(one, FAMILIES)]


def tasks_of(model: Path) -> list[dict[str, Any]]:
    """The tasks that a model's provenance names, or that of what it was exported from, in the languages that
    it learnt."""
    native = finetuning(model).get("prompts") == "native"
    return [
        _described(task, learnt_languages(model, task) or task.languages, native)
        for task in learnt_tasks(model)
        if isinstance(task, FAMILIES)
    ]


def _described(
    task: Classification | Tagging | Generation, learnt: Sequence[str] | dict[str, str], native: bool
) -> dict[str, Any]:
    """One task; its prompts and words by language, those of `eng` where a language has none of its own.

    Returns:
        `name`, `family`, `languages` (of the answer where that is another than the text's) and `prompts`; of
        classification the `words` of its labels, of tagging `scheme` and `tags`, of generation `slots`,
        `pattern` and `partners`, by language those that are translated into it.
    """
    names = {code: one.autonym for code, one in load_languages().items()}
    codes = [code for code in task.languages if code in learnt and code in names]
    partners = _partners(task, names) if isinstance(task, Generation) else {}
    if partners:
        codes = [code for code in codes if partners.get(code)]
    found: dict[str, Any] = {
        "name": task.name,
        "family": task.family,
        "languages": {code: names[code] for code in codes},
        "prompts": {code: _template(task, code if native else ENGLISH) for code in codes},
    }
    if isinstance(task, Classification):
        found["words"] = {
            code: {label: task.verbalise(label, code if native else ENGLISH) for label in task.labels}
            for code in codes
        }
    elif isinstance(task, Tagging):
        found |= {"scheme": task.scheme, "tags": list(task.tags)}
    else:
        found |= {
            "slots": list(task.slots),
            "pattern": task.pattern,
            "partners": {code: partners[code] for code in codes if code in partners},
        }
    return found


def _template(task: Task[Any], code: str) -> str:
    return task.prompts.get(code) or task.prompts.get(ENGLISH, "{text}")


def _partners(task: Generation, names: dict[str, str]) -> dict[str, dict[str, str]]:
    """By language the names of those that are translated into it; empty where the task has no pairs."""
    found = {
        code: {one: names[one] for one in task.partners(code) if one in names} for code in task.languages
    }
    return found if task.pairs else {}
