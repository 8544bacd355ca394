"""Which documents are kept, and why the others are not: predicates over measured columns.

Nothing here reads a text: a million documents are decided in less than a second, as often as one likes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgelm.corpus.recipe import Bound, Proposal, Recipe
from edgelm.corpus.table import Table
from edgelm.errors import BadInput
from edgelm.languages import Language

FEWEST_TO_PROPOSE = 200  # documents of a language; fewer say little about its distribution
FEWEST_OF_SOURCE = 50  # documents of a source in a language, to judge them together
DUPLICATES = ("duplicate", "near_duplicate")


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided of each document.

    Attributes:
        names: every reason there is; first what was found in reading, then the filters', then duplicates.
        first: int32 [documents], the first reason by its place in `names`, or -1 for a document that is kept.
        failed: uint64 [documents], one bit for each filter that the document fails, whatever came before.
        thresholds: for each filter and language the bounds used, and how a proposed one was judged.
    """

    names: tuple[str, ...]
    first: np.ndarray
    failed: np.ndarray
    thresholds: list[dict[str, Any]]

    @property
    def kept(self) -> np.ndarray:
        """Bool [documents]."""
        return self.first < 0

    def reasons(self, recipe: Recipe, row: int) -> list[str]:
        """All reasons to reject the document of a row, the first one first."""
        found = [] if self.first[row] < 0 else [self.names[self.first[row]]]
        for bit, rule in enumerate(recipe.filters):
            if int(self.failed[row]) >> bit & 1 and rule.reason not in found:
                found.append(rule.reason)
        return found


def decide(table: Table, recipe: Recipe, languages: Mapping[str, Language]) -> Decisions:
    """Decide over all documents of a table after the filters of `recipe`.

    Of the documents of one cluster of duplicates that pass every filter, one stays: rather one that is likely
    in the language it is said to be in, then the one with the most letters, then the first.

    Raises:
        BadInput: the recipe has a filter over a column that was not measured.
    """
    language, codes = table.codes("language")
    found, found_names = table.codes("reading")
    names = found_names + tuple(dict.fromkeys([one.reason for one in recipe.filters])) + DUPLICATES
    place = {name: index for index, name in reversed(list(enumerate(names)))}
    first = found.astype(np.int32)
    readable = first < 0
    failed = np.zeros(len(table), dtype=np.uint64)
    thresholds = []
    for bit, rule in enumerate(recipe.filters):
        values = judged(table, rule.column, language, len(codes), readable)
        low = np.full(len(codes), -np.inf, dtype=np.float32)
        high = np.full(len(codes), np.inf, dtype=np.float32)
        for number, code in enumerate(codes):
            bounds = rule.bounds(languages.get(code))
            own = _Proposed(values, first, language, number)
            low[number], high[number] = map(own.value, ("min", "max"), bounds)
            thresholds.append(
                {"reason": rule.reason, "column": rule.column, "language": code}
                | {
                    side: float(value)
                    for side, value in (("min", low[number]), ("max", high[number]))
                    if np.isfinite(value)
                }
                | ({"proposed": own.notes} if own.notes else {})
            )
        fails = readable & ((values < low[language]) | (values > high[language]))
        failed |= fails.astype(np.uint64) << np.uint64(bit)
        first[fails & (first < 0)] = place[rule.reason]
    _mark_duplicates(table, first, place)
    return Decisions(names, first, failed, thresholds)


class _Proposed:
    """Resolves the bounds of one filter in one language, and notes what was proposed."""

    def __init__(self, values: np.ndarray, first: np.ndarray, language: np.ndarray, number: int):
        self.values, self.first, self.language, self.number = values, first, language, number
        self.notes: list[dict[str, Any]] = []

    def value(self, side: str, bound: Bound) -> float:
        if not isinstance(bound, Proposal):
            return bound
        own = self.values[(self.first < 0) & (self.language == self.number)]
        own = own[~np.isnan(own)]
        if len(own) < FEWEST_TO_PROPOSE:
            return bound.otherwise
        value = float(np.quantile(own, bound.quantile))
        low, high = bound.between
        plausible = low <= value <= high
        self.notes.append({"side": side, "value": round(value, 4), "between": [low, high], "used": plausible})
        return value if plausible else bound.otherwise


def judged(
    table: Table, column: str, language: np.ndarray, languages: int, readable: np.ndarray
) -> np.ndarray:
    """The column that a filter judges: a measured one, or one that follows from others over all documents.

    Args:
        language: the number of each document's language, of so many `languages`.
        readable: whether each document is one; bool [documents].
    """
    if column in DERIVED:
        return DERIVED[column](table, language, languages, readable)
    if column not in table and len(table):
        raise BadInput(
            f"no column '{column}' was measured, which a filter needs",
            remedy="build the corpus with a recipe that measures it",
        )
    return table[column]


def _missing_diacritics(
    table: Table, language: np.ndarray, languages: int, readable: np.ndarray
) -> np.ndarray:
    """Letters with a diacritic that a text without any would have at its language's rate.

    By Poisson's law a text of the language has none with probability exp(-value): above 8 they were stripped.
    """
    letters, share = table["letters"].astype(np.float32), table["diacritics"]
    rate = diacritic_rates(table, language, languages, readable)
    return np.where(share > 0, np.float32(0), letters * rate[language])


def diacritic_rates(table: Table, language: np.ndarray, languages: int, readable: np.ndarray) -> np.ndarray:
    """Share of the letters of each language that carry a diacritic, float32 [languages]."""
    letters = table["letters"].astype(np.float32)
    total = np.bincount(language[readable], letters[readable], languages)
    marked = np.bincount(language[readable], (letters * table["diacritics"])[readable], languages)
    return (marked / np.maximum(total, 1)).astype(np.float32)


def _source_placeholders(
    table: Table, language: np.ndarray, languages: int, readable: np.ndarray
) -> np.ndarray:
    """Share of the documents of the same source and language that hold a placeholder of software.

    Prose holds none. A file of interface strings does in some, and then its others are no prose either.
    """
    source, names = table.codes("source")
    group = source * languages + language
    size = np.bincount(group[readable], minlength=len(names) * languages)
    holding = np.bincount(group[readable], table["placeholders"][readable] > 0, len(size))
    share = np.where(size >= FEWEST_OF_SOURCE, holding / np.maximum(size, 1), 0).astype(np.float32)
    return share[group]


DERIVED: dict[str, Callable[[Table, np.ndarray, int, np.ndarray], np.ndarray]] = {
    "missing_diacritics": _missing_diacritics,
    "source_placeholders": _source_placeholders,
}


def _mark_duplicates(table: Table, first: np.ndarray, place: Mapping[str, int]) -> None:
    """Mark in `first` all but the best document of each cluster."""
    cluster, letters, key = (table[name] for name in ("cluster", "letters", "key"))
    several = np.bincount(cluster, minlength=1)[cluster] > 1
    rows = np.flatnonzero((first < 0) & several)
    if not len(rows):
        return
    came = table["row"][rows] if "row" in table else rows
    doubtful = np.zeros(len(rows), dtype=bool)
    if "language_probability" in table:
        doubtful = table["language_probability"][rows] < 0.5  # not so where it is unknown
    order = rows[np.lexsort((came, -letters[rows], doubtful, cluster[rows]))]
    begins = np.concatenate([[True], cluster[order[1:]] != cluster[order[:-1]]])
    best = order[begins][np.cumsum(begins) - 1]
    losers = order != best
    equal = key[order] == key[best]
    first[order[losers & equal]] = place["duplicate"]
    first[order[losers & ~equal]] = place["near_duplicate"]
