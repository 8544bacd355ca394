"""In which languages a model is evaluated on a task: those that are asked for, else those that it learnt."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgelm.artifacts import read_provenance
from edgelm.errors import BadInput
from edgelm.tasks.remembered import from_config
from edgelm.tasks.task import Task

Languages = Sequence[str] | Mapping[str, Sequence[str]] | None
"""Of all tasks, or by task; None for all that a task has."""
OTHER = {"test": "validation", "validation": "test"}
FOLLOWED = ("export", "quantize")
"""Commands that make another form of a model."""
ABOVE = 3
"""Folders above a model that may say what it was exported from."""


def languages_of(task: Task[Any], languages: Languages) -> Sequence[str] | None:
    """The languages of one task; None for all."""
    return languages.get(task.name) if isinstance(languages, Mapping) else languages


def usual_languages(model: Path, task: Task[Any], split: str) -> tuple[list[str], str]:
    """The languages to evaluate in where none are named, and a line that says which and why.

    They are those that the model was finetuned on for the task, as `edgelm.json` beside it, or beside what it
    was exported from, says; of any other model all that the task has. Only those whose data is here count.

    Raises:
        BadInput: no file of the split is here.
    """
    every = [code for code in sorted(task.languages) if task.has(split, code)]
    here = [code for code in every if task.there(split, code)]
    if not here:
        check_files(task, split)
    learnt = learnt_languages(model, task)
    chosen = [code for code in here if learnt is None or code in learnt]
    if not chosen:
        said = f"{task.name}: in {', '.join(here)}, none of which the model was finetuned on"
        return here, f"{said} ({', '.join(learnt or [])})."
    why = " (what the model was finetuned on)" if learnt is not None else ""
    parts = [f"{task.name}: in {', '.join(chosen)}{why}"]
    if others := [code for code in here if code not in chosen]:
        parts.append(f"not in {', '.join(others)}: for these give --languages {','.join(here)}")
    if absent := [code for code in every if code not in here and (learnt is None or code in learnt)]:
        parts.append(f"not in {', '.join(absent)}, whose {split} file is not here")
    if lacking := [code for code in learnt or [] if not task.has(split, code)]:
        parts.append(f"not in {', '.join(lacking)}, which has no {split} split")
    return chosen, "; ".join(parts) + "."


def learnt_languages(model: Path, task: Task[Any]) -> list[str] | None:
    """Those that a model was finetuned on for a task; None where nothing says so, or not on this task."""
    config = finetuning(model)
    if task.name not in [one.get("name") for one in config.get("tasks", [])]:
        return None
    named = config.get("languages") or list(task.languages)
    return [code for code in sorted(task.languages) if code in named and task.has("train", code)]


def learnt_tasks(model: Path) -> list[Task[Any]]:
    """The tasks that a model was finetuned for, without their files; those that can still be read."""
    found = []
    for config in finetuning(model).get("tasks", []):
        with suppress(BadInput):
            found.append(from_config(config))
    return found


def finetuning(model: Path) -> dict[str, Any]:
    """The settings that a model was finetuned with; empty where it was not, or nothing says so."""
    model = model.resolve()
    for folder in (model, *model.parents[:ABOVE]):
        found = read_provenance(folder) if folder.is_dir() else None
        while found and found.get("command") in FOLLOWED:
            named = [Path(one) for one in found.get("inputs", {})]
            sources = [one if one.is_dir() else folder.parent / one.name for one in named]  # moved together
            found = next((read_provenance(one) for one in sources if one.is_dir()), None)
        if found:
            config: dict[str, Any] = found.get("config", {}) if found.get("command") == "finetune" else {}
            return config
    return {}


def check_files(task: Task[Any], split: str, languages: Sequence[str] | None = None) -> None:
    """Raise `BadInput` where a split or a file of it is missing, and say whether the other split is here."""
    codes = [code for code in languages or sorted(task.languages) if code in task.languages]
    other = OTHER[split]
    instead = any(task.there(other, code) for code in codes)
    if split not in task.files and instead:
        raise BadInput(
            f"the task '{task.name}' has no {split} split", remedy=f"evaluate with --split {other}"
        )
    for code in codes:
        for path in task.sources(split, code) if task.has(split, code) else []:
            if not path.is_file():
                more = f", or evaluate with --split {other}, which is here" if instead else ""
                raise BadInput(
                    "no such file",
                    file=path,
                    remedy=f"check the task's folder, or get it from its publisher{more}",
                )
