"""What a model says for each example of a task, in the form that `edgelm.evaluate.scores` takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgelm.errors import BadInput
from edgelm.evaluate.beam import beam_search
from edgelm.evaluate.constrained import TagWriter
from edgelm.progress import Step
from edgelm.runtime.base import LanguageModel
from edgelm.runtime.labeller import LabelModel
from edgelm.tasks.examples import Chat, Choice, Example, Labelled, Tagged
from edgelm.tasks.tagging import Tagging
from edgelm.tasks.task import Task

ANSWER_TOKENS = 128
"""Longest text written for an example."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model that writes is asked.

    Attributes:
        native: languages in which prompts and answers are in the language itself, elsewhere in English.
        beams: texts that are written side by side to find the likeliest; 1 takes the likeliest token each
            time.
    """

    native: frozenset[str] = frozenset()
    beams: int = 1


PLAIN = Asking()


def predict(
    model: LanguageModel | LabelModel,
    task: Task[Any],
    examples: Sequence[Any],
    step: Step | None = None,
    asking: Asking = PLAIN,
) -> list[Any]:
    """A label, tags, a text or the place of an option for each example.

    A model with a head labels. One that writes ranks the answers of a task that has some by their summed
    log-likelihood, END included; chooses among the tags that each word of a sentence may have; and writes a
    likely text for the other tasks.

    Raises:
        BadInput: the model cannot do the task.
    """
    if isinstance(model, LabelModel):
        wanted = "token" if isinstance(task, Tagging) else "sequence"
        known = task.tags if isinstance(task, Tagging) else task.labels
        if not known:
            raise BadInput(
                f"{model.name} labels, and '{task.name}' asks for text",
                remedy="give a model that writes, as edgelm finetune --method full makes",
            )
        if model.head.kind != wanted or not set(model.head.labels) <= set(known):
            raise BadInput(
                f"{model.name} gives other labels than those of '{task.name}'",
                remedy="evaluate it on the task it was finetuned for",
            )
        found = model.label(examples, step)
        return found if wanted == "token" else [labels[0] for labels in found]
    if ranks(task, examples):
        return rank(model, task, examples, step, asking)[0]
    writer = TagWriter(model, task) if isinstance(task, Tagging) else None
    predicted: list[Any] = []
    for example in examples:
        native = example.language in asking.native
        if writer:
            predicted.append(writer.write(example, native))
        else:
            text = write(model, task.messages(example, native), asking.beams)
            predicted.append(task.finish(text, example))
        if step:
            step(1)
    return predicted


def ranks(task: Task[Any], examples: Sequence[Any]) -> bool:
    """Whether the task has known answers to choose from."""
    return bool(examples) and not isinstance(task, Tagging) and task.choices(examples[0]) is not None


def rank(
    model: LanguageModel,
    task: Task[Any],
    examples: Sequence[Any],
    step: Step | None = None,
    asking: Asking = PLAIN,
) -> tuple[list[Any], list[Any]]:
    """The answers of highest log-likelihood, summed and as the mean over tokens.

    The sum favours short answers where a model has not learnt the task, the mean long ones.
    """
    native = [example.language in asking.native for example in examples]
    prompts = [task.prompt(one, own) for one, own in zip(examples, native, strict=True)]
    answers = [task.choices(one, own) or () for one, own in zip(examples, native, strict=True)]
    found: tuple[list[Any], list[Any]] = ([], [])
    for example, (sums, lengths) in zip(examples, answer_scores(model, prompts, answers, step), strict=True):
        for predicted, scores in zip(found, (sums, sums / lengths), strict=True):
            place = int(scores.argmax())
            predicted.append(place if isinstance(example, Choice) else task.labels[place])
    return found


def answer_scores(
    model: LanguageModel,
    prompts: Sequence[str],
    answers: Sequence[Sequence[str]],
    step: Step | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Summed log-likelihood in nats of each answer to each message, and its tokens: two float64 [answers].

    A message too long for the context loses its beginning, never its end or the answer.
    """
    spelt: dict[tuple[str, ...], list[list[int]]] = {}
    for own in answers:
        if tuple(own) not in spelt:
            spelt[tuple(own)] = [[*model.tokenize(answer), model.end] for answer in own]
    choices = [spelt[tuple(own)] for own in answers]
    messages = [
        model.message(model.tokenize(prompt), answer=max(map(len, own)), context=model.context)
        for prompt, own in zip(prompts, choices, strict=True)
    ]
    lengths = [np.array([len(one) for one in own], dtype=np.float64) for own in choices]
    ranked = model.score_choices_many(messages, choices, step)
    return [(one.sums, own) for one, own in zip(ranked, lengths, strict=True)]


def write(model: LanguageModel, messages: Sequence[tuple[str, str]], beams: int = 1) -> str:
    """A likely answer to (role, content): the likeliest token each time, or found by beam search."""
    ids, room = beginning(model, messages)
    if beams == 1:
        return "".join(model.generate(ids, max_tokens=room, temperature=0)).strip()
    return model.detokenize(beam_search(model, ids, beams=beams, max_tokens=room)).strip()


def beginning(model: LanguageModel, messages: Sequence[tuple[str, str]]) -> tuple[list[int], int]:
    """What an answer to (role, content) follows, as ids, and the most tokens that it may have."""
    room = min(ANSWER_TOKENS, model.context // 2)
    turns = [(role, model.tokenize(content)) for role, content in messages]
    return model.conversation(turns, answer=room, context=model.context), room


def expected(task: Task[Any], example: Example) -> Any:
    """The right prediction, or all of them where a text may be written in several ways."""
    if isinstance(example, Labelled):
        return example.label
    if isinstance(example, Tagged):
        return list(example.tags)
    if isinstance(example, Choice):
        return example.answer
    return [example.messages[-1][1]] if isinstance(example, Chat) else list(example.references)
