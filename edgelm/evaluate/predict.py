"""What a model says for each example of a task, in the form that `edgelm.evaluate.scores` takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgelm.errors import BadInput
from edgelm.progress import Step
from edgelm.runtime.base import LanguageModel
from edgelm.runtime.labeller import LabelModel
from edgelm.tasks.examples import Chat, Choice, Example, Labelled, Tagged
from edgelm.tasks.tagging import Tagging
from edgelm.tasks.task import Task

ANSWER_TOKENS = 128
"""Longest text written for an example."""


def predict(
    model: LanguageModel | LabelModel, task: Task[Any], examples: Sequence[Any], step: Step | None = None
) -> list[Any]:
    """A label, tags, a text or the place of an option for each example.

    A model with a head labels. One that writes ranks the answers of a task that has some by their summed
    log-likelihood, END included, and else writes the likeliest text, token by token.

    Raises:
        BadInput: the model cannot do the task.
    """
    if isinstance(model, LabelModel):
        wanted = "token" if isinstance(task, Tagging) else "sequence"
        known = task.tags if isinstance(task, Tagging) else task.labels
        if model.head.kind != wanted or not set(model.head.labels) <= set(known):
            raise BadInput(
                f"{model.name} has a head for other labels than those of '{task.name}'",
                remedy="evaluate it on the task it was finetuned for",
            )
        found = model.label(examples, step)
        return found if wanted == "token" else [labels[0] for labels in found]
    if isinstance(task, Tagging):
        raise BadInput(
            f"{model.name} writes, and '{task.name}' asks for a tag a word",
            remedy=f"finetune a head: edgelm finetune MODEL {task.name} --method head",
        )
    if ranks(task, examples):
        return rank(model, task, examples, step)[0]
    predicted = []
    for example in examples:
        predicted.append(write(model, task.prompt(example)))
        if step:
            step(1)
    return predicted


def ranks(task: Task[Any], examples: Sequence[Any]) -> bool:
    """Whether the task has known answers to choose from."""
    return bool(examples) and not isinstance(task, Tagging) and task.choices(examples[0]) is not None


def rank(
    model: LanguageModel, task: Task[Any], examples: Sequence[Any], step: Step | None = None
) -> tuple[list[Any], list[Any]]:
    """The answers of highest log-likelihood, summed and as the mean over tokens.

    The sum favours short answers where a model has not learnt the task, the mean long ones.
    """
    found: tuple[list[Any], list[Any]] = ([], [])
    for example in examples:
        answers = task.choices(example) or ()
        sums, lengths = answer_scores(model, task.prompt(example), answers)
        for predicted, scores in zip(found, (sums, sums / lengths), strict=True):
            place = int(scores.argmax())
            predicted.append(place if isinstance(example, Choice) else task.labels[place])
        if step:
            step(1)
    return found


def answer_scores(model: LanguageModel, prompt: str, answers: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Summed log-likelihood in nats of each answer to a message, and its tokens: two float64 [len(answers)].

    A message too long for the context loses its beginning, never its end or the answer.
    """
    choices = [[*model.tokenize(answer), model.end] for answer in answers]
    ids = model.message(model.tokenize(prompt), answer=max(map(len, choices)), context=model.context)
    return model.score_choices(ids, choices), np.array([len(choice) for choice in choices], dtype=np.float64)


def write(model: LanguageModel, prompt: str) -> str:
    """The likeliest answer to a message, token by token."""
    room = min(ANSWER_TOKENS, model.context // 2)
    ids = model.message(model.tokenize(prompt), answer=room, context=model.context)
    return "".join(model.generate(ids, max_tokens=room, temperature=0)).strip()


def expected(task: Task[Any], example: Example) -> Any:
    """The right prediction, or all of them where a text may be written in several ways."""
    if isinstance(example, Labelled):
        return example.label
    if isinstance(example, Tagged):
        return list(example.tags)
    if isinstance(example, Choice):
        return example.answer
    return [example.messages[-1][1]] if isinstance(example, Chat) else list(example.references)
