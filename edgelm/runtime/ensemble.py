"""A decoder with a head and the cheap model of its task, which decide together.

What each thinks of a label is added up, weighed: a logarithmic opinion pool. A small decoder knows what words
mean beside each other, a linear classifier or a CRF how they are spelt.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgelm.model.labelling import decode
from edgelm.model.small import read_config, reading, strings
from edgelm.runtime.labeller import LabelModel
from edgelm.runtime.sampling import log_softmax
from edgelm.tasks.examples import Labelled, Tagged

MODEL_TYPE, VERSION = "edgelm-ensemble", 1
HEAD, CHEAP = "head", ("linear", "crf")
FLOOR = 1e-6
"""The least probability that a model gives a label: it may be wrong."""


class Ensemble(LabelModel):
    """Attributes: `parts`, the models, the head first; `weights`, one each."""

    def __init__(self, parts: Sequence[LabelModel], weights: Sequence[float]):
        first = parts[0]
        self.parts, self.weights = tuple(parts), np.asarray(weights, dtype=np.float32)
        self.head, self.whole, self.backend = first.head, first.whole, first.backend
        self.name = " + ".join(part.name for part in parts)

    def label_together(self, examples: Sequence[Labelled | Tagged]) -> list[list[str]]:
        return [decode(one, self.head) if len(one) else [] for one in self._pooled(examples)]

    def scores(self, examples: Sequence[Labelled | Tagged]) -> list[np.ndarray]:
        return [np.exp(log_softmax(one)) for one in self._pooled(examples)]

    def _pooled(self, examples: Sequence[Labelled | Tagged]) -> list[np.ndarray]:
        """Logits of the labels, float32 [1 or words, labels] of each example."""
        each = zip(*(log_scores(part, examples, self.head.labels) for part in self.parts), strict=True)
        return [np.tensordot(self.weights, np.stack(one), 1) for one in each]


def log_scores(
    model: LabelModel, examples: Sequence[Labelled | Tagged], labels: Sequence[str]
) -> list[np.ndarray]:
    """What a model thinks of each label, float32 [1 or words, labels] of each example.

    The logarithm of a probability, up to a constant of each row; a label that the model does not know is as
    unlikely as its least likely one.
    """
    place = {label: number for number, label in enumerate(model.head.labels)}
    found = []
    for scores in model.scores(examples):
        logs = np.log(np.maximum(scores, FLOOR)) if model.measure == "probability" else scores
        columns = [logs[:, place[label]] if label in place else logs.min(1) for label in labels]
        found.append(np.stack(columns, 1).astype(np.float32))
    return found


def ensemble_config(cheap: str, weights: Sequence[float]) -> dict[str, object]:
    """What `config.json` says: the folders of the models, and how much each counts."""
    return {"model_type": MODEL_TYPE, "version": VERSION, "parts": [HEAD, cheap], "weights": list(weights)}


def read_parts(directory: Path) -> tuple[list[Path], list[float]]:
    """The folders of the models and their weights.

    Raises:
        BadInput: `config.json` is missing or damaged.
    """
    config = read_config(directory, MODEL_TYPE, VERSION)
    with reading(directory, "an ensemble"):
        names, weights = strings(config["parts"]), [float(one) for one in config["weights"]]
        if len(names) != 2 or names[0] != HEAD or names[1] not in CHEAP:
            raise ValueError(f"parts {names}")
        if len(weights) != 2 or not all(0 <= one < np.inf for one in weights):
            raise ValueError(f"weights {weights}")
    return [directory / name for name in names], weights
