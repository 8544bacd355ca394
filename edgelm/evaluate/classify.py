"""Rank classification: the label whose name the model finds the likeliest answer."""

from collections.abc import Sequence

import numpy as np

from edgelm.progress import Step
from edgelm.runtime.base import LanguageModel
from edgelm.tasks.classification import Example


def label_scores(model: LanguageModel, text: str, labels: Sequence[str]) -> np.ndarray:
    """Summed log-likelihood in nats of each label as the answer to a text: float64 [len(labels)].

    A text too long for the context loses its beginning, never its end or the label.
    """
    choices = [[*model.tokenize(label), model.end] for label in labels]
    prompt = model.message(model.tokenize(text), answer=max(map(len, choices)), context=model.context)
    return model.score_choices(prompt, choices)


def classify(
    model: LanguageModel, examples: list[Example], labels: tuple[str, ...], step: Step | None = None
) -> list[str]:
    """The predicted label of each example."""
    predicted = []
    for example in examples:
        predicted.append(labels[int(label_scores(model, example.text, labels).argmax())])
        if step:
            step(1)
    return predicted
