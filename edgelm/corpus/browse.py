"""Read a finished corpus one document at a time, in an order that a seed decides.

    corpus = Tuning(Path("corpus"))
    rows = choose(corpus.table, corpus.before, kept=False, language="zul", reason="too_short", seed=1)
    read(corpus.table, rows[0], corpus.recipe)

Only columns in memory are looked at, and then the one row group that holds the document.
"""

import numpy as np

from edgelm.corpus.decide import Decisions
from edgelm.corpus.recipe import Recipe
from edgelm.corpus.sample import Sampled, described, read_row
from edgelm.corpus.table import Table


def choose(
    table: Table,
    decisions: Decisions,
    *,
    kept: bool,
    language: str | None = None,
    reason: str | None = None,
    source: str | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Rows of the documents kept, or rejected (first of all for `reason`), in random order; int64 [rows].

    What the corpus does not have, such as an unknown language, has no rows.
    """
    chosen = decisions.kept == kept
    for column, value in (("language", language), ("source", source)):
        if value is not None:
            numbers, names = table.codes(column)
            chosen &= numbers == (names.index(value) if value in names else len(names))
    if reason is not None:
        place = decisions.names.index(reason) if reason in decisions.names else len(decisions.names)
        chosen &= decisions.first == place
    rows: np.ndarray = np.random.default_rng(seed).permutation(np.flatnonzero(chosen))
    return rows


def read(table: Table, row: int, recipe: Recipe) -> Sampled:
    """The document of a row, with the columns that the recipe's filters judge.

    Raises:
        BadInput: its file is missing or damaged.
    """
    shard = int(np.searchsorted(table.starts, row, side="right")) - 1
    found = read_row(table.open(table.shards[shard]), int(row - table.starts[shard]))
    return described(found, dict.fromkeys(one.column for one in recipe.filters))
