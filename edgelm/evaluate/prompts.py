"""In which language a model is asked: English, the text's own, or whichever does better on validation."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from edgelm.errors import BadInput
from edgelm.evaluate.predict import Asking, predict
from edgelm.progress import Step
from edgelm.runtime.base import LanguageModel
from edgelm.tasks.task import Task

Prompt = Literal["english", "native", "auto"]
PROMPTS: tuple[Prompt, ...] = ("english", "native", "auto")
Score = Callable[[Task[Any], Sequence[Any], Sequence[Any]], dict[str, Any]]


def check_prompt_choice(
    prompt: str, split: str, tasks: Sequence[Task[Any]], languages: Sequence[str]
) -> None:
    """Raise `BadInput` where there is nothing that prompts could be chosen on.

    Args:
        languages: those asked for; all of each task's where there are none.
    """
    if prompt not in PROMPTS:
        raise BadInput(f"unknown prompt '{prompt}'", remedy=f"choose one of: {', '.join(PROMPTS)}")
    if prompt != "auto":
        return
    if split == "validation":
        raise BadInput(
            "--prompt auto would choose on the examples it is judged on",
            remedy="evaluate on test, or choose english or native",
        )
    for task in tasks:
        asked = [code for code in languages or task.languages if task.has(split, code)]
        lacking = [code for code in asked if not task.has("validation", code)]
        if lacking:
            raise BadInput(
                f"--prompt auto: '{task.name}' has no validation split in {', '.join(lacking)}",
                remedy="choose english or native",
            )


def choose_prompts(
    model: LanguageModel, task: Task[Any], examples: Sequence[Any], score: Score, beams: int, step: Step
) -> tuple[frozenset[str], dict[str, Any]]:
    """The languages whose own prompt does better on validation, and both scores of each language.

    A language whose prompt and answers are the English ones is not asked twice. Equal scores leave English.

    Args:
        examples: of the validation split.
        score: what `edgelm.evaluate.evaluate.score_task` does.
        step: told of each example twice.
    """
    codes = [one.language for one in examples]
    native = frozenset(code for code in set(codes) if _differs(task, examples, code))
    scores: dict[str, dict[str, float]] = {code: {} for code in sorted(set(codes))}
    for name, own in (("english", frozenset[str]()), ("native", native)):
        asked = [one for one in examples if name == "english" or one.language in native]
        step(len(examples) - len(asked))
        if not asked:
            continue
        predicted = predict(model, task, asked, step, Asking(own, beams))
        places = np.array([one.language for one in asked])
        for code in scores:
            mine = np.flatnonzero(places == code)
            if len(mine):
                found = score(task, [asked[place] for place in mine], [predicted[place] for place in mine])
                scores[code][name] = found[found["metric"]]
    chosen = frozenset(code for code, one in scores.items() if one.get("native", -np.inf) > one["english"])
    return chosen, {
        code: {"prompt": "native" if code in chosen else "english", "validation": one}
        for code, one in scores.items()
    }


def _differs(task: Task[Any], examples: Sequence[Any], code: str) -> bool:
    return any(
        task.prompt(one, True) != task.prompt(one) or task.choices(one, True) != task.choices(one)
        for one in examples
        if one.language == code
    )
