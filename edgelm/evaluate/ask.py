"""A model that writes does a task on one text: asked, and its answer read, as in evaluation.

What it says has the form that `edgelm.runtime.answers.answer` gives to models that label.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from edgelm.corpus.repair import normalise
from edgelm.errors import BadInput
from edgelm.evaluate.constrained import TagWriter
from edgelm.evaluate.predict import answer_scores, beginning
from edgelm.runtime.answers import spans, split_sentences
from edgelm.runtime.base import LanguageModel
from edgelm.runtime.generation import Generation
from edgelm.runtime.sampling import log_softmax
from edgelm.tasks.classification import Classification
from edgelm.tasks.examples import Labelled, Pair, Tagged, marks_spans
from edgelm.tasks.generation import Generation as Writing
from edgelm.tasks.tagging import Tagging
from edgelm.tasks.task import Task

FAMILIES = (Classification, Tagging, Writing)
"""Tasks that take a text and nothing else."""


def ask(
    model: LanguageModel,
    task: Task[Any],
    text: str,
    language: str,
    *,
    source: str | None = None,
    native: bool = False,
    report: Generation | None = None,
) -> Iterator[dict[str, Any]]:
    """What the model says, growing as it is written; whoever has enough of it stops asking.

    Args:
        language: code of the text's language; of the one to write in for a task that asks for text.
        source: code of the text's language where it is another.
        native: ask and answer in the language itself.
        report: filled in where a text is written.

    Yields:
        once `measure`, `label` and `labels`, probability among the task's labels by label, likeliest first;
        or `sentences`, one more each time, of `words`, `tags` and, where the tags mark some, `spans`;
        or `text`, whole characters.

    Raises:
        BadInput: the text is empty or not put together as the task has it, or the task is of a family that
            asks for more than a text.
    """
    if not text.strip():
        raise BadInput("the text is empty", remedy="give one")
    if isinstance(task, Classification):
        yield _label(model, task, Labelled(normalise(text), "", language), native)
    elif isinstance(task, Tagging):
        yield from _tag(model, task, text, language, native)
    elif isinstance(task, Writing):
        yield from _write(model, task, _pair(task, text, language, source), native, report or Generation())
    else:
        raise BadInput(f"'{task.name}' asks for more than a text", remedy="choose another task")


def _label(model: LanguageModel, task: Classification, example: Labelled, native: bool) -> dict[str, Any]:
    ((sums, _),) = answer_scores(model, [task.prompt(example, native)], [task.choices(example, native)])
    shares = np.exp(log_softmax(sums))
    order = np.argsort(-shares, kind="stable")
    ranked = {task.labels[place]: round(float(shares[place]), 4) for place in order}
    return {"model": model.name, "measure": "probability", "label": next(iter(ranked)), "labels": ranked}


def _tag(
    model: LanguageModel, task: Tagging, text: str, language: str, native: bool
) -> Iterator[dict[str, Any]]:
    writer, found = TagWriter(model, task), list[dict[str, Any]]()
    for words in split_sentences(text):
        tags = writer.write(Tagged(tuple(words), (), language), native)
        one: dict[str, Any] = {"words": words, "tags": tags}
        if marks_spans(task.tags):
            one["spans"] = [
                {"kind": kind, "start": start, "end": end, "words": words[start:end]}
                for kind, start, end in spans(tags)
            ]
        found.append(one)
        yield {"model": model.name, "sentences": list(found)}


def _write(
    model: LanguageModel, task: Writing, example: Pair, native: bool, report: Generation
) -> Iterator[dict[str, Any]]:
    ids, room = beginning(model, task.messages(example, native))
    written = ""
    for piece in model.generate(ids, max_tokens=room, temperature=0, report=report):
        written += piece
        yield {"model": model.name, "text": task.finish(written.strip(), example)}
    if not written:
        yield {"model": model.name, "text": ""}


def parts_of(task: Writing) -> list[str]:
    """The parts that a text of the task is put together from, ` | ` between; none for most tasks."""
    return re.findall(r"\{([a-z_]+)\}", task.pattern)


def _pair(task: Writing, text: str, language: str, source: str | None) -> Pair:
    names = parts_of(task)
    if not names:
        return Pair(normalise(text), (), language, source)
    values = [one.strip() for one in text.split("|")]
    if len(values) != len(names) or not all(values):
        raise BadInput(
            f"the text has not {len(names)} parts with | between", remedy=f"write {' | '.join(names)}"
        )
    return Pair(" | ".join(values), (), language, source, dict(zip(names, values, strict=True)))
