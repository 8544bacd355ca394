"""Metrics of classification and multiple choice."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgelm.errors import BadInput
from edgelm.evaluate.bootstrap import Counts, Figures, summarise


def classification_scores(
    truth: Sequence[str], predicted: Sequence[str], labels: tuple[str, ...]
) -> dict[str, Any]:
    """Macro-, micro- and weighted F1 and accuracy, with intervals, chance and count as `summarise` has them.

    Raises:
        BadInput: nothing to score, another number of predictions, or a label that is none of `labels`.
    """
    return summarise(classification_counts(truth, predicted, labels), "macro_f1")


def classification_counts(truth: Sequence[str], predicted: Sequence[str], labels: tuple[str, ...]) -> Counts:
    """For each item: its label, the one predicted, and whether they agree."""
    check_count(len(truth), len(predicted))
    return label_counts(truth, predicted, labels, np.arange(len(truth)), len(truth))


def label_counts(
    truth: Sequence[str], predicted: Sequence[str], labels: tuple[str, ...], item: np.ndarray, items: int
) -> Counts:
    """Counts of labels, gathered by item; columns: right, true and predicted, for each label.

    Args:
        item: which of `items` each label belongs to, int [len(truth)].
    """
    number = {label: index for index, label in enumerate(labels)}
    try:
        true, guess = (np.array([number[one] for one in side], dtype=np.int64) for side in (truth, predicted))
    except KeyError as error:
        raise BadInput(
            f"the label '{error.args[0]}' is none of the task's", remedy=f"its labels: {', '.join(labels)}"
        ) from None
    width = len(labels)
    right = true == guess
    columns = [
        np.bincount(place * width + label, minlength=items * width).reshape(items, width)
        for place, label in ((item[right], true[right]), (item, true), (item, guess))
    ]
    return Counts(np.concatenate(columns, axis=1).astype(np.float64), _label_figures, _label_chance)


def _label_figures(sums: np.ndarray) -> Figures:
    """As scikit-learn has them, a label that is neither true nor predicted anywhere left out of the mean."""
    right, true, guess = np.split(sums, 3, axis=1)
    total = true + guess
    f1 = share(2 * right, total)
    return {
        "macro_f1": share(f1.sum(axis=1), (total > 0).sum(axis=1)),
        "micro_f1": share(2 * right.sum(axis=1), total.sum(axis=1)),
        "weighted_f1": share((f1 * true).sum(axis=1), true.sum(axis=1)),
        "accuracy": share(right.sum(axis=1), true.sum(axis=1)),
    }


def _label_chance(sums: np.ndarray) -> Figures:
    """`uniform`: the counts to expect of labels drawn evenly. `majority`: always the commonest true label."""
    _, true, _ = np.split(sums, 3)
    even = np.full(len(true), 1 / len(true))
    commonest = np.eye(len(true))[true.argmax()]
    return {
        way: np.concatenate([true * guess, true, true.sum() * guess])
        for way, guess in (("uniform", even), ("majority", commonest))
    }


def choice_counts(answers: Sequence[int], options: Sequence[int], predicted: Sequence[int]) -> Counts:
    """For each question: whether the option chosen is the right one.

    Args:
        answers: place of the right option of each question, from 0.
        options: how many options each has.
    """
    check_count(len(answers), len(predicted))
    true, many, guess = (np.array(side, dtype=np.int64) for side in (answers, options, predicted))
    outside = np.flatnonzero((guess < 0) | (guess >= many))
    if len(outside):
        first = int(outside[0])
        raise BadInput(f"question {first + 1} has {many[first]} options, not one numbered {guess[first]}")
    places = np.arange(many.max(initial=0)) == true[:, None]
    rows = np.column_stack([true == guess, np.ones(len(true)), 1 / many, places])

    def measure(sums: np.ndarray) -> Figures:
        return {"accuracy": sums[:, 0] / sums[:, 1]}

    def chance(sums: np.ndarray) -> Figures:
        reached = {"uniform": sums[2], "majority": sums[3:].max()}
        return {way: np.array([hits, *sums[1:]]) for way, hits in reached.items()}

    return Counts(rows.astype(np.float64), measure, chance)


def check_count(items: int, predicted: int) -> None:
    """Refuse to score another number of predictions than there are items."""
    if items != predicted:
        raise BadInput(f"{predicted} predictions for {items} items", remedy="predict every item once")


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, 0 where there is nothing to divide by."""
    return part / np.where(whole > 0, whole, 1)
