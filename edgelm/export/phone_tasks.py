"""The tasks that a model was finetuned for, as the phone app takes them: prompts, labels and their words."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgelm.artifacts import read_provenance
from edgelm.languages import load_languages
from edgelm.tasks.task import ENGLISH, load_task

FAMILIES = ("classification", "tagging", "generation")
"""Those that the app has a form for."""
FORMS = {"slots": [], "pattern": "", "pairs": []}
"""Of generation: what decides which form it is."""
DEEPEST = 6
"""Steps from an artifact to what it was made from."""


def described(names: Sequence[str]) -> list[dict[str, Any]]:
    """Tasks by name or YAML file; asked in English.

    Raises:
        BadInput: there is no such task.
    """
    return _usable([_plain(load_task(name, data=False).config()) for name in names], native=False)


def tasks_of(model: Path) -> list[dict[str, Any]]:
    """The tasks that a model's provenance names: its own, or that of what it was exported from."""
    place = model if model.is_dir() else model.parent
    for _ in range(DEEPEST):
        found = read_provenance(place)
        if found is None:
            return []
        if found.get("command", "").startswith("finetune"):
            config = found.get("config", {})
            return _usable(config.get("tasks") or [], native=config.get("prompts") == "native")
        folders = [Path(name) for name in found.get("inputs", {})]
        place = next((one for one in folders if one.is_dir() and read_provenance(one)), place)
    return []


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _usable(tasks: Sequence[dict[str, Any]], native: bool) -> list[dict[str, Any]]:
    return [_task(one, native) for one in tasks if one.get("family") in FAMILIES]


def _task(config: dict[str, Any], native: bool) -> dict[str, Any]:
    """One task; its prompts and words by language, those of `eng` where a language has none of its own."""
    known = load_languages()
    codes = [code for code in config.get("languages", {}) if code in known]
    prompts = config.get("prompts", {})
    english = prompts.get(ENGLISH, "{text}")
    found: dict[str, Any] = {
        "name": config["name"],
        "family": config["family"],
        "languages": {code: known[code].autonym for code in codes},
        "prompts": {code: prompts.get(code, english) if native else english for code in codes},
    }
    if config["family"] == "classification":
        found["words"] = {code: _words(config, code if native else ENGLISH) for code in codes}
    elif config["family"] == "tagging":
        found["scheme"] = config.get("scheme", "flat")
        found["tags"] = _tags(config)
    else:
        found |= {key: config.get(key, default) for key, default in FORMS.items()}
    return found


def _words(config: dict[str, Any], code: str) -> dict[str, str]:
    """What a model writes for each label."""
    verbalisers = config.get("verbalisers", {})
    return {
        label: verbalisers.get(code, {}).get(label)
        or verbalisers.get(ENGLISH, {}).get(label)
        or label.replace("_", " ")
        for label in config["labels"]
    }


def _tags(config: dict[str, Any]) -> list[str]:
    if config.get("scheme", "flat") == "flat":
        return list(config["labels"])
    return ["O", *(f"{begin}-{label}" for label in config["labels"] for begin in "BI")]
