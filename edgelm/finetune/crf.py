"""Train a CRF tagger with CRFsuite: L-BFGS with an L1 and an L2 penalty, chosen on validation sentences."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from edgelm.errors import BadInput
from edgelm.evaluate.scores import score
from edgelm.extras import require
from edgelm.model.crf import CrfTagger, sentence_attributes
from edgelm.tasks.examples import Tagged, languages_in, marks_spans

PENALTIES = ((0.1, 0.1), (0.3, 0.01), (0.03, 0.3))
"""(L1, L2); the first where there is no validation."""
ITERATIONS = 100
SMALLEST = 1e-3
"""Attributes with no weight this far from 0 are left out of the model."""


def train_crf(
    train: Sequence[Tagged],
    validation: Sequence[Tagged] = (),
    *,
    task: str = "",
    penalties: Sequence[tuple[float, float]] = PENALTIES,
    iterations: int = ITERATIONS,
    seen: int = 1,
    half: bool = True,
) -> CrfTagger:
    """The tagger with the best validation score, the first one of equals.

    The score is span F1 where the tags look like `B-PER`, and accuracy otherwise.

    Args:
        penalties: pairs of L1 and L2 penalty to choose from; more than one only with validation sentences.
        seen: leave out attributes that fewer training words have.
        half: keep weights in 16 bits.

    Raises:
        BadInput: there is nothing to train on.
        MissingExtra: sklearn-crfsuite, or seqeval for the score of names, is not installed.
    """
    if not any(one.words for one in train):
        raise BadInput("there are no training sentences", remedy="check the task's training file")
    attributes = [sentence_attributes(one.words) for one in train]
    if seen > 1:  # not CRFsuite's min_freq, which leaves out transitions too, those that never happen first
        counts = Counter(chain.from_iterable(chain.from_iterable(attributes)))
        attributes = [[[name for name in word if counts[name] >= seen] for word in one] for one in attributes]
    tags = [list(one.tags) for one in train]
    tried: dict[str, float] = {}
    best: CrfTagger | None = None
    for first, second in penalties if validation else penalties[:1]:
        tagger = _fit(attributes, tags, first, second, iterations, half)
        tried[tagger.method] = tagging_score(validation, tagger.tag([one.words for one in validation]))
        if best is None or tried[tagger.method] > tried[best.method]:
            best = tagger
    assert best is not None
    figures: dict[str, Any] = {"training_sentences": len(train)}
    if validation:
        name = "span_f1" if marks_spans(chain.from_iterable(tags)) else "accuracy"
        figures |= {
            "validation_sentences": len(validation),
            f"validation_{name}": tried[best.method],
            "tried": tried,
        }
    languages = tuple(languages_in(train))
    return CrfTagger(
        best.tags, best.attributes, best.states, best.transitions, task, languages, best.method, figures
    )


def _fit(
    attributes: list[list[list[str]]],
    tags: list[list[str]],
    first: float,
    second: float,
    iterations: int,
    half: bool,
) -> CrfTagger:
    crf = require("sklearn_crfsuite", "train").CRF(
        algorithm="lbfgs", c1=first, c2=second, max_iterations=iterations, all_possible_transitions=True
    )
    crf.fit(attributes, tags)
    return from_crfsuite(crf, f"CRF, c1={first:g}, c2={second:g}", half)


def from_crfsuite(crf: Any, method: str, half: bool) -> CrfTagger:
    """The weights of a fitted `sklearn_crfsuite.CRF`, attributes that hardly weigh anything left out."""
    names = list(crf.classes_)  # in CRFsuite's order, so that equal sequences are chosen between alike
    column = {tag: number for number, tag in enumerate(names)}
    weighty = sorted({name for (name, _), weight in crf.state_features_.items() if abs(weight) >= SMALLEST})
    row = {name: number for number, name in enumerate(weighty)}
    states = np.zeros((len(weighty), len(names)), dtype=np.float32)
    for (name, tag), weight in crf.state_features_.items():
        if name in row:
            states[row[name], column[tag]] = weight
    transitions = np.zeros((len(names), len(names)), dtype=np.float32)
    for (before, after), weight in crf.transition_features_.items():
        transitions[column[before], column[after]] = weight
    kind = np.float16 if half else np.float32
    return CrfTagger(tuple(names), tuple(weighty), states.astype(kind), transitions, method=method)


def tagging_score(examples: Sequence[Tagged], predicted: Sequence[Sequence[str]]) -> float:
    """Span F1 of `B-`/`I-` tags, share of right tags otherwise; 0 of no examples."""
    if not examples:
        return 0.0
    spans = marks_spans(tag for one in examples for tag in one.tags)
    found = score(examples, predicted, scheme="bio" if spans else "flat")
    return float(found[found["metric"]])
