"""What counts as a near-duplicate or as boilerplate, and how likely the former are found; needs no compiler.

A document is the set of its character n-grams. Two documents whose sets have a Jaccard similarity s agree
in each of `bands * rows` MinHash values with probability s. They are compared when all values of one band
agree, and are duplicates when at least `threshold` of all their values do (Broder 1997; Leskovec,
Rajaraman and Ullman, Mining of Massive Datasets, chapter 3).
"""

from dataclasses import dataclass
from math import ceil, comb

import numpy as np

from edgelm.errors import BadInput


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """How near-duplicates are found.

    Attributes:
        ngram: characters a shingle. Smaller ones forgive more edits but make short sentences look alike.
        bands: groups of values; two documents are compared when one group agrees. More find more, slower.
        rows: values a band. More spare comparisons, but lose pairs near the threshold.
        threshold: Jaccard similarity, estimated from all values, from which two documents are duplicates.
        seed: of the hash functions. Another seed is another draw of the same estimate.

    Raises:
        BadInput: a value is out of its range.
    """

    ngram: int = 5
    bands: int = 25
    rows: int = 5
    threshold: float = 0.7
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (("ngram", 2, 64), ("bands", 1, 256), ("rows", 1, 32), ("seed", 0, 2**63 - 1)):
            _check_whole("near-duplicates", name, getattr(self, name), low, high)
        _check_share("near-duplicates", "threshold", self.threshold)
        if self.permutations > 1024:
            raise BadInput(
                f"near-duplicates: {self.bands} bands of {self.rows} rows are {self.permutations} values",
                remedy="use at most 1024",
            )

    @property
    def permutations(self) -> int:
        """MinHash values a document."""
        return self.bands * self.rows


@dataclass(frozen=True, slots=True)
class BoilerplateLines:
    """Which lines are navigation rather than text: those repeated over the documents of one source.

    Attributes:
        documents: two lines that follow one another in this many documents of a source are boilerplate there.
            What is merely common, such as "Yebo!" in many stories, stands beside another line each time.
        share: a line alone is boilerplate if it is in this share of the documents, and in twice `documents`.

    Raises:
        BadInput: a value is out of its range.
    """

    documents: int = 10
    share: float = 0.1

    def __post_init__(self) -> None:
        _check_whole("boilerplate", "documents", self.documents, 2, 10**9)
        _check_share("boilerplate", "share", self.share)


def _check_whole(of: str, name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadInput(f"{of}: {name} is {value!r}", remedy=f"use a whole number from {low} to {high}")


def _check_share(of: str, name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise BadInput(f"{of}: {name} is {value!r}", remedy="use a number above 0 and up to 1")


def fewest_equal(permutations: int, threshold: float) -> int:
    """Smallest number of equal values, of `permutations`, that reaches `threshold`."""
    return ceil(threshold * permutations - 1e-9)


def collision_probability(similarity: np.ndarray | float, bands: int, rows: int) -> np.ndarray:
    """Probability that two documents of this Jaccard similarity agree in a whole band, i.e. are compared."""
    return 1 - (1 - np.asarray(similarity, dtype=np.float64) ** rows) ** bands


def detection_probability(similarity: np.ndarray | float, settings: NearDuplicates) -> np.ndarray:
    """Probability that two documents of this Jaccard similarity are compared *and* found above the threshold.

    Exact for independent values: from the outcomes with enough equal values those in which no band is
    whole are subtracted, which are sums over bands of fewer than `rows` equal values.
    """
    needed = fewest_equal(settings.permutations, settings.threshold)
    total, rows = settings.permutations, settings.rows
    answers = []
    for s in np.atleast_1d(np.asarray(similarity, dtype=np.float64)):
        one = np.array([comb(rows, k) * s**k * (1 - s) ** (rows - k) for k in range(rows + 1)])
        enough, none_whole = np.ones(1), np.ones(1)
        for _ in range(settings.bands):
            enough, none_whole = np.convolve(enough, one), np.convolve(none_whole, one[:-1])
        answers.append(enough[needed : total + 1].sum() - none_whole[needed:].sum())
    return np.clip(answers, 0, 1).reshape(np.shape(similarity))
