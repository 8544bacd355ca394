"""Classification metrics with intervals."""

from typing import Any

import numpy as np

RESAMPLES = 1000


def macro_f1(truth: np.ndarray, predicted: np.ndarray, labels: int) -> float:
    """Unweighted mean of the F1 of each label that is true or predicted anywhere; integers in [0, labels)."""
    right = np.bincount(truth[truth == predicted], minlength=labels)
    total = np.bincount(truth, minlength=labels) + np.bincount(predicted, minlength=labels)
    return float((2 * right[total > 0] / total[total > 0]).mean())


def classification_scores(truth: list[str], predicted: list[str], labels: tuple[str, ...]) -> dict[str, Any]:
    """Macro-F1 with a 95 % bootstrap interval (percentiles of 1 000 resamples, seed 0), accuracy, count."""
    number = {label: index for index, label in enumerate(labels)}
    true, guess = (np.array([number[one] for one in values]) for values in (truth, predicted))
    random = np.random.default_rng(0)
    resampled = [
        macro_f1(true[rows], guess[rows], len(labels))
        for rows in (random.integers(0, len(true), len(true)) for _ in range(RESAMPLES))
    ]
    return {
        "macro_f1": round(macro_f1(true, guess, len(labels)), 4),
        "interval": [round(float(bound), 4) for bound in np.percentile(resampled, (2.5, 97.5))],
        "accuracy": round(float((true == guess).mean()), 4),
        "items": len(true),
    }
