"""Bootstrap intervals of every metric that is a function of sums over items.

Each item adds a row of counts; a metric is computed from the sum of the rows. Resampling items is then one
product of matrices, and two systems scored on the same items are resampled alike, which pairs them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgelm.errors import BadInput

RESAMPLES = 1000
BOUNDS = (2.5, 97.5)  # percentiles: 95 %
CELLS = 8_000_000  # draws held in memory at once

Figures = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Counts:
    """What each item adds to the metrics of one system.

    Attributes:
        rows: float64 [items, columns].
        measure: metrics by name, float64 [n], of sums of rows [n, columns].
        chance: the sums [columns] that guessing would reach, by way of guessing, from the system's own (both
            have the same gold columns); None where a guess means nothing.
    """

    rows: np.ndarray
    measure: Callable[[np.ndarray], Figures]
    chance: Callable[[np.ndarray], Figures] | None = None

    def __post_init__(self) -> None:
        if not len(self.rows):
            raise BadInput("there is nothing to score", remedy="give at least one item")

    def select(self, items: np.ndarray) -> "Counts":
        """The counts of some items: indices or a mask."""
        return replace(self, rows=self.rows[items])

    def resampled(self) -> Figures:
        """Each metric on `RESAMPLES` draws of as many items, with replacement: float64 [RESAMPLES].

        The draws depend on the number of items alone (seed 0).
        """
        items = len(self.rows)
        random = np.random.default_rng(0)
        sums = []
        for start in range(0, RESAMPLES, step := max(1, CELLS // items)):
            draws = random.integers(0, items, (min(step, RESAMPLES - start), items))
            draws += items * np.arange(len(draws))[:, None]
            times = np.bincount(draws.ravel(), minlength=draws.size).reshape(draws.shape)
            sums.append(times.astype(np.float64) @ self.rows)
        return self.measure(np.concatenate(sums))


def summarise(counts: Counts, main: str, drawn: Figures | None = None) -> dict[str, Any]:
    """Every metric of a system, with what a reader needs beside it.

    Returns each metric under its name; `metric`, the name of the main one, and `interval`, its 95 % interval;
    `intervals` of all; `chance` by way of guessing and metric, or None; `items`.

    Args:
        drawn: `counts.resampled()`, where it is at hand.
    """
    sums = counts.rows.sum(axis=0)
    figures = _rounded(counts.measure(sums[None]))
    intervals = {name: interval(values) for name, values in (drawn or counts.resampled()).items()}
    chance = counts.chance and {
        way: _rounded(counts.measure(reached[None])) for way, reached in counts.chance(sums).items()
    }
    return {
        main: figures[main],
        "interval": intervals[main],
        **{name: value for name, value in figures.items() if name != main},
        "metric": main,
        "intervals": intervals,
        "chance": chance,
        "items": len(counts.rows),
    }


def interval(values: np.ndarray) -> list[float]:
    """Lower and upper bound of what was resampled."""
    return [round(float(bound), 4) for bound in np.percentile(values, BOUNDS)]


def _rounded(figures: Figures) -> dict[str, float]:
    return {name: round(float(values[0]), 4) for name, values in figures.items()}
