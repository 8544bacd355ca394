"""Scores of any family of tasks: one main metric each, over all items and by language, beside baselines."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from edgelm.errors import BadInput
from edgelm.evaluate.bootstrap import Counts, interval, summarise
from edgelm.evaluate.metrics import choice_counts, classification_counts
from edgelm.evaluate.tagging_metrics import span_counts, tag_counts
from edgelm.evaluate.text_metrics import text_counts
from edgelm.tasks.examples import Chat, Choice, Example, Labelled, Pair, Tagged

ALL = "all"  # languages together


def score(
    examples: Sequence[Example],
    predicted: Sequence[Any],
    *,
    labels: tuple[str, ...] = (),
    scheme: str = "flat",
    metric: str = "",
) -> dict[str, Any]:
    """Scores over all languages together, as `summarise` has them, and of each language under `languages`.

    Args:
        examples: of one family; the family decides the metrics.
        predicted: for each example its label, its tags, the text written, or the place of the option chosen.
        labels: every label or tag of the task.
        scheme: of tags: `bio` or `flat`.
        metric: the main one, where it is not the family's.

    Raises:
        BadInput: nothing to score, no such metric, another number of predictions or of tags, an unknown
            label.
        MissingExtra: what the metric needs is not installed.
    """
    found, main = count(examples, predicted, labels=labels, scheme=scheme, metric=metric)
    together = summarise(found, main)
    groups = by_language(examples)
    if len(groups) == 1:
        return {**together, "languages": dict.fromkeys(groups, together)}
    return {
        **together,
        "languages": {code: summarise(found.select(items), main) for code, items in groups.items()},
    }


def compare(
    task: str,
    examples: Sequence[Example],
    predictions: Mapping[str, Sequence[Any]],
    baselines: Collection[str] = (),
    *,
    labels: tuple[str, ...] = (),
    scheme: str = "flat",
    metric: str = "",
) -> list[dict[str, Any]]:
    """Score several systems on the same items: entries of `edgelm.evaluate.tables`, by language and for all.

    `differences` of an entry has, for each baseline, the difference of the main metric and its 95 % interval
    from resampling the items of both alike (paired bootstrap).

    Args:
        predictions: what each system predicted, by its name.
        baselines: names of those that are baselines.

    Raises:
        As `score` does.
    """
    counted = {
        name: count(examples, predicted, labels=labels, scheme=scheme, metric=metric)
        for name, predicted in predictions.items()
    }
    groups = by_language(examples)
    if len(groups) > 1:
        groups = {ALL: np.arange(len(examples)), **groups}
    entries = []
    for language, items in groups.items():
        own = {name: (found.select(items), main) for name, (found, main) in counted.items()}
        drawn = {name: found.resampled() for name, (found, _) in own.items()}
        scores = {name: summarise(found, main, drawn[name]) for name, (found, main) in own.items()}
        for name, (_, main) in own.items():
            differences = {
                other: {
                    "difference": round(scores[name][main] - scores[other][main], 4),
                    "interval": interval(drawn[name][main] - drawn[other][main]),
                }
                for other in predictions
                if other in baselines and other != name
            }
            entries.append(
                {
                    "task": task,
                    "language": language,
                    "system": name,
                    "baseline": name in baselines,
                    "scores": scores[name],
                    "differences": differences,
                }
            )
    return entries


def count(
    examples: Sequence[Example],
    predicted: Sequence[Any],
    *,
    labels: tuple[str, ...],
    scheme: str,
    metric: str = "",
) -> tuple[Counts, str]:
    """What each example adds to the metrics of its family, and the name of the main one."""
    found, usual = _count(examples, predicted, labels, scheme)
    known = found.measure(found.rows.sum(axis=0)[None])
    if metric and metric not in known:
        raise BadInput(f"the metric '{metric}' is not of this family", remedy=f"choose: {', '.join(known)}")
    return found, metric or usual


def _count(
    examples: Sequence[Example], predicted: Sequence[Any], labels: tuple[str, ...], scheme: str
) -> tuple[Counts, str]:
    kinds = {type(one) for one in examples}
    if len(kinds) > 1:
        raise BadInput("examples of several families", remedy="score each task by itself")
    if kinds <= {Labelled}:
        texts = [one for one in examples if isinstance(one, Labelled)]
        return classification_counts([one.label for one in texts], predicted, labels), "macro_f1"
    if kinds == {Tagged}:
        tags = [one.tags for one in examples if isinstance(one, Tagged)]
        if scheme == "bio":
            return span_counts(tags, predicted, labels), "span_f1"
        return tag_counts(tags, predicted, labels), "accuracy"
    if kinds == {Choice}:
        questions = [one for one in examples if isinstance(one, Choice)]
        answers = [one.answer for one in questions]
        return choice_counts(answers, [len(one.options) for one in questions], predicted), "accuracy"
    references = [
        one.references if isinstance(one, Pair) else (one.messages[-1][1],)
        for one in examples
        if isinstance(one, Pair | Chat)
    ]
    return text_counts(references, predicted), "chrf"


def by_language(examples: Sequence[Example]) -> dict[str, np.ndarray]:
    """Places of the examples of each language, by code."""
    codes = np.array([one.language for one in examples])
    return {str(code): np.flatnonzero(codes == code) for code in np.unique(codes)}
