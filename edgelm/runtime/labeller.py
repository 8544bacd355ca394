"""Models that label texts or words instead of writing, whatever runs them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from edgelm.model.crf import CrfTagger, load_crf
from edgelm.model.head_config import HeadConfig
from edgelm.model.labelling import decode, encode, parts
from edgelm.model.linear import LinearClassifier, load_linear
from edgelm.progress import Step
from edgelm.tasks.examples import Labelled, Tagged
from edgelm.tokenizer.text import TextTokenizer

SMALL = ("edgelm-linear", "edgelm-crf")
TOGETHER = 64  # examples between two steps of progress


class LabelModel(ABC):
    """A model that labels, ready to use.

    Attributes:
        name: what to call it in a table.
        backend: `torch`, `onnx` or `numpy`.
        head: what it labels, and with what.
    """

    name: str
    backend: str
    head: HeadConfig

    def label(self, examples: Sequence[Labelled | Tagged], step: Step | None = None) -> list[list[str]]:
        """The labels of each example: one for a text, one a word for a sentence."""
        found: list[list[str]] = []
        for start in range(0, len(examples), TOGETHER):
            part = examples[start : start + TOGETHER]
            found += self.label_together(part)
            if step:
                step(len(part))
        return found

    @abstractmethod
    def label_together(self, examples: Sequence[Any]) -> list[list[str]]:
        """`label` of some examples."""


class HeadModel(LabelModel):
    """A decoder with a head."""

    def __init__(self, tokenizer: TextTokenizer, head: HeadConfig, context: int, name: str):
        self.tokenizer, self.head, self.context, self.name = tokenizer, head, context, name

    @abstractmethod
    def logits(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Logits of every token of each sequence, float32 [T, labels]."""

    def label_together(self, examples: Sequence[Labelled | Tagged]) -> list[list[str]]:
        pieces = [parts(self.tokenizer, one, self.context) for one in examples]
        encoded = [encode(self.tokenizer, piece, self.context) for found in pieces for piece in found]
        logits = zip(self.logits([ids for ids, _ in encoded]), encoded, strict=True)
        labels = []
        for found in pieces:
            asked = [one[places] for one, (_, places) in islice(logits, len(found))]
            together = np.concatenate(asked)
            labels.append(decode(together, self.head) if len(together) else [])
        return labels


class LinearModel(LabelModel):
    backend = "numpy"

    def __init__(self, model: LinearClassifier):
        self.model, self.head, self.name = model, HeadConfig("sequence", model.labels), "linear"

    def label_together(self, examples: Sequence[Labelled]) -> list[list[str]]:
        return [[label] for label in self.model.predict([one.text for one in examples])]


class CrfModel(LabelModel):
    backend = "numpy"

    def __init__(self, model: CrfTagger):
        self.model, self.head, self.name = model, HeadConfig("token", model.tags), "CRF"

    def label_together(self, examples: Sequence[Tagged]) -> list[list[str]]:
        return [list(tags) for tags in self.model.tag([one.words for one in examples])]


def open_small(directory: Path, kind: str) -> LabelModel:
    """A linear classifier or a CRF by the `model_type` of its `config.json`."""
    return LinearModel(load_linear(directory)) if kind == "edgelm-linear" else CrfModel(load_crf(directory))
