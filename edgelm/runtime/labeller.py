"""Models that label texts or words instead of writing, whatever runs them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from edgelm.errors import BadInput
from edgelm.model.crf import CrfTagger, load_crf
from edgelm.model.head_config import HeadConfig
from edgelm.model.labelling import decode, encode, parts
from edgelm.model.linear import LinearClassifier, load_linear
from edgelm.progress import Step
from edgelm.runtime.sampling import log_softmax
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
        measure: what `scores` are: a `probability`, or a `margin` (the decision value of a support vector
            machine, of which only the order means something).
        whole: words of its training data keep marks inside, as `e-BBC`; else each mark is a word of its own.
    """

    name: str
    backend: str
    head: HeadConfig
    measure: str = "probability"
    whole: bool = False

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

    @abstractmethod
    def scores(self, examples: Sequence[Any]) -> list[np.ndarray]:
        """How much speaks for each label (see `measure`): float [1, labels] of a text, [words, labels] of a
        sentence, columns as `head.labels`. Of tags that are decided together, each word's by itself."""

    def decide(self, examples: Sequence[Any]) -> list[tuple[list[str], np.ndarray]]:
        """Labels and scores of each example."""
        return list(zip(self.label_together(examples), self.scores(examples), strict=True))


class LogitModel(LabelModel):
    """Decides by logits, which are worked out once."""

    @abstractmethod
    def label_logits(self, examples: Sequence[Any]) -> list[np.ndarray]:
        """Of the labels, float32 [1 or words, labels] of each example."""

    def decide(self, examples: Sequence[Any]) -> list[tuple[list[str], np.ndarray]]:
        found = self.label_logits(examples)
        if not all(np.isfinite(one).all() for one in found):
            raise BadInput("the model's weights are damaged", remedy="copy or export the model again")
        return [(decode(one, self.head) if len(one) else [], np.exp(log_softmax(one))) for one in found]

    def label_together(self, examples: Sequence[Any]) -> list[list[str]]:
        return [labels for labels, _ in self.decide(examples)]

    def scores(self, examples: Sequence[Any]) -> list[np.ndarray]:
        return [scores for _, scores in self.decide(examples)]


class HeadModel(LogitModel):
    """A decoder with a head."""

    def __init__(self, tokenizer: TextTokenizer, head: HeadConfig, context: int, name: str):
        self.tokenizer, self.head, self.context, self.name = tokenizer, head, context, name
        self.whole = head.marks_inside

    @abstractmethod
    def logits(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Logits of every token of each sequence, float32 [T, labels]."""

    def label_logits(self, examples: Sequence[Labelled | Tagged]) -> list[np.ndarray]:
        pieces = [parts(self.tokenizer, one, self.context) for one in examples]
        encoded = [encode(self.tokenizer, piece, self.context) for found in pieces for piece in found]
        logits = zip(self.logits([ids for ids, _ in encoded]), encoded, strict=True)
        return [
            np.concatenate([one[places] for one, (_, places) in islice(logits, len(found))])
            for found in pieces
        ]


class TextClassifier(LabelModel):
    """A linear classifier, whatever computes its decision values."""

    def __init__(self, labels: tuple[str, ...], method: str):
        self.head = HeadConfig("sequence", labels)
        self.measure = "probability" if method.startswith("LogisticRegression") else "margin"

    @abstractmethod
    def decision(self, texts: Sequence[str]) -> np.ndarray:
        """Decision values, float32 [texts, labels]; of two labels, the first one's are 0."""

    def label_together(self, examples: Sequence[Labelled]) -> list[list[str]]:
        columns = self.decision([one.text for one in examples]).argmax(axis=1)
        return [[self.head.labels[column]] for column in columns]

    def scores(self, examples: Sequence[Labelled]) -> list[np.ndarray]:
        values = self.decision([one.text for one in examples])
        if self.measure == "probability":  # scikit-learn's, multinomial; of two labels the logistic function
            values = np.exp(log_softmax(values))
        return list(values[:, None])


class LinearModel(TextClassifier):
    backend = "numpy"

    def __init__(self, model: LinearClassifier):
        super().__init__(model.labels, model.method)
        self.model, self.name = model, "linear"

    def decision(self, texts: Sequence[str]) -> np.ndarray:
        return self.model.decision(texts)


class CrfModel(LabelModel):
    backend = "numpy"

    def __init__(self, model: CrfTagger):
        self.model, self.head, self.name = model, HeadConfig("token", model.tags), "CRF"
        self.whole = model.keeps_marks

    def label_together(self, examples: Sequence[Tagged]) -> list[list[str]]:
        return [list(tags) for tags in self.model.tag([one.words for one in examples])]

    def scores(self, examples: Sequence[Tagged]) -> list[np.ndarray]:
        return [self.model.marginals(one.words) for one in examples]


def open_small(directory: Path, kind: str, threads: int | None = None) -> LabelModel:
    """A linear classifier or a CRF by the `model_type` of its `config.json`."""
    if kind == "edgelm-crf":
        return CrfModel(load_crf(directory))
    if (directory / "model.onnx").exists():
        from edgelm.runtime.onnx_linear import OnnxLinear

        return OnnxLinear.open(directory, threads)
    return LinearModel(load_linear(directory))
