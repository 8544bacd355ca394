"""Which tasks the models of the page do, in which languages, and texts to try them on."""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm import resources
from edgelm.errors import BadInput
from edgelm.evaluate.ask import FAMILIES, parts_of
from edgelm.evaluate.languages import finetuning, learnt_languages, learnt_tasks
from edgelm.languages import load_languages
from edgelm.model.head_config import model_type, read_head
from edgelm.runtime.answers import SENTENCE
from edgelm.runtime.ensemble import HEAD
from edgelm.runtime.ensemble import MODEL_TYPE as ENSEMBLE
from edgelm.tasks.classification import Classification
from edgelm.tasks.generation import Generation
from edgelm.tasks.tagging import Tagging
from edgelm.tasks.task import Task, load_task
from edgelm_demo.models import Found

INTO = ">"
"""Between the two languages of a translation, as `eng>zul`."""
SAMPLE = "topic"
"""The task whose texts, of many kinds and in every language, ship with edgelm."""
EXAMPLES = 3
NAME = re.compile(r"\s[^\W\d_]?[^\W\d_a-z][a-z]")
"""Perhaps a name, inside a sentence: `Thandi` or `eThekwini`."""
OTHERS = ("labels", "writing")
"""Kinds that are shown only where there is a model for them."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A task that a model does."""

    model: Found
    kind: str
    """A key of `kinds`."""
    task: Task[Any] | None
    """As the model learnt it; None where nothing says so."""
    languages: tuple[str, ...]
    """Codes, of a translation two with `INTO` between."""
    native: bool = False
    """It was asked in the language itself."""

    @property
    def key(self) -> str:
        return f"{self.model.name} · {self.task.name}" if self.task else self.model.name


@functools.cache
def _table() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = resources.read_yaml(Path(__file__).with_name("tasks.yaml"))
    return found


def kinds() -> dict[str, dict[str, Any]]:
    """Of every kind of task the tasks, the command and the examples that tasks.yaml names."""
    return _table()["kinds"]


def hues() -> dict[str, int]:
    """The hue of a tag, in degrees."""
    return _table()["hues"]


def find_offers(models: Iterable[Found]) -> dict[str, Offer]:
    """What the models do, by key; models that were not finetuned for any such task do nothing."""
    found = [offer for model in models for offer in (_written(model) if model.writes else _labelled(model))]
    return {one.key: one for one in found}


def _written(model: Found) -> list[Offer]:
    native = finetuning(model.path).get("prompts") == "native"
    return [
        Offer(model, kind_of(task), task, _languages(model, task), native)
        for task in learnt_tasks(model.path)
        if isinstance(task, FAMILIES)
    ]


def _labelled(model: Found) -> list[Offer]:
    family, kind = _head(model.path)
    tasks = [task for task in learnt_tasks(model.path) if isinstance(task, family)]
    if not tasks:
        return [Offer(model, kind, None, tuple(load_languages()))]
    return [Offer(model, kind_of(task), task, _languages(model, task)) for task in tasks]


def _head(path: Path) -> tuple[type[Task[Any]], str]:
    """The family of tasks that a model labels for, and the kind where no task is known."""
    kind = model_type(path)
    head = read_head(path / HEAD if kind == ENSEMBLE else path)
    if kind == "edgelm-crf" or (head and head.kind == "token"):
        return Tagging, "speech" if head and head.scheme == "flat" else "names"
    return Classification, "labels"


def kind_of(task: Task[Any]) -> str:
    """What a reader calls a task, a key of `kinds`."""
    for kind, one in kinds().items():
        if task.name in one["tasks"]:
            return kind
    if isinstance(task, Tagging):
        return "names" if task.scheme == "bio" else "speech"
    if isinstance(task, Generation):
        return "translation" if task.pairs else "writing"
    return "labels"


def _languages(model: Found, task: Task[Any]) -> tuple[str, ...]:
    learnt = learnt_languages(model.path, task) or list(task.languages)
    if not isinstance(task, Generation) or not task.pairs:
        return tuple(learnt)
    return tuple(f"{source}{INTO}{code}" for code in learnt for source in task.partners(code))


def language_name(code: str) -> str:
    """A language's own name, or a direction of translation: `English → isiZulu`."""
    known = load_languages()
    return " → ".join(known[one].autonym if one in known else one for one in code.split(INTO))


def bcp47(code: str) -> str:
    """The tag of a language, empty where it is unknown."""
    known = load_languages().get(code)
    return known.bcp47 if known else ""


def examples(offer: Offer, code: str) -> list[str]:
    """Texts to try a task on, in a language: those that ship with it and were not trained on, else some of
    the embedded sample, or a sentence of it where the task is for sentences."""
    source = code.split(INTO)[0]
    task = offer.task
    if isinstance(task, Generation) and (parts := parts_of(task)):
        own = [str(one) for one in kinds()["triples"]["examples"]]
        return [one for one in own if len(one.split("|")) == len(parts)]
    texts = _sample(source)
    if isinstance(task, Classification) or offer.kind in ("labels", "headline"):
        return list(texts[:EXAMPLES])
    languages = load_languages()
    opening = [f"{languages[source].prompt}."] if source in languages else []
    sentences = [sentence for one in texts for sentence in SENTENCE.split(one)]
    if offer.kind == "names":
        sentences.sort(key=lambda one: not NAME.search(one))
    return [*opening, *sentences][:EXAMPLES]


@functools.cache
def _sample(code: str) -> tuple[str, ...]:
    """Held-out texts of a language in the sample, one of each topic first."""
    task = load_task(SAMPLE)
    try:
        found = task.examples("test", [code])
    except BadInput:  # not one of its languages
        return ()
    first = {one.label: one for one in reversed(found)}
    return tuple(one.text for one in sorted(found, key=lambda one: first[one.label] is not one))
