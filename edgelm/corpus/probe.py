"""What a corpus's filters and the language identifier say of a text that is not in it.

    judge = Judge(recipe, manifest["thresholds"])
    whole, lines = judge.line_by_line("Sawubona mhlaba.\nHello, world.")
    whole.reasons, [line.language for line in lines]

A text is mended and measured by the very code that builds a corpus. What a build looks up in all documents at
once is not known of one text: copies, lines that a source repeats, placeholders in its other documents.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgelm.corpus.ingest import SCHEMA, mend
from edgelm.corpus.langid import default_identifier
from edgelm.corpus.measure import Common, Measurer
from edgelm.corpus.recipe import Filter, Proposal, Recipe
from edgelm.extras import require
from edgelm.languages import Language, load_languages

NOTHING_COMMON = Common({}, None, frozenset(), None, frozenset(), None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one filter says of one text."""

    reason: str
    column: str
    value: float | None
    """What was measured; None where one text alone does not have it."""
    least: float | None
    most: float | None

    @property
    def passes(self) -> bool:
        """Whether the value lies within the bounds; what is unknown does."""
        if self.value is None:
            return True
        return (self.least is None or self.value >= self.least) and (
            self.most is None or self.value <= self.most
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """What is said of one text."""

    text: str
    """As it would be kept: mended and redacted."""
    language: str
    """Code of the language whose bounds were used: the one it was said to be in, else the one identified."""
    reading: str | None
    """Why the filters would not come to judge it: `empty`, or in `other_language`."""
    probabilities: dict[str, float]
    """Of each language that the identifier tells apart, and `other`; they sum to 1."""
    verdicts: tuple[Verdict, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """All reasons to reject it, in the order in which they are looked for; empty if it would be kept."""
        failed = [one.reason for one in self.verdicts if not one.passes]
        return tuple(dict.fromkeys([*([self.reading] if self.reading else []), *failed]))

    @property
    def likeliest(self) -> tuple[str, float]:
        """The likeliest language and its probability."""
        return max(self.probabilities.items(), key=lambda item: item[1])


class Judge:
    """Judges texts by the bounds that a corpus was decided by.

    Args:
        thresholds: of the corpus's manifest; a language that has none there gets the recipe's own bounds.
        diacritics: share of the letters of each language that carry a diacritic, by code; of a language that
            is not there, stripped diacritics are not judged.
    """

    def __init__(
        self,
        recipe: Recipe,
        thresholds: Iterable[Mapping[str, Any]],
        diacritics: Mapping[str, float] | None = None,
    ):
        self.recipe = replace(recipe, near_duplicates=None)
        self.diacritics = diacritics or {}
        self.languages: dict[str, Language] = load_languages()
        self.bounds: dict[str, list[tuple[float | None, float | None]]] = {}
        for one in thresholds:  # of each language in the order of the filters
            self.bounds.setdefault(one["language"], []).append((one.get("min"), one.get("max")))
        self.measurer = Measurer(0, "", NOTHING_COMMON, self.recipe)

    def line_by_line(self, text: str, language: str | None = None) -> tuple[Judged, list[Judged]]:
        """A text as a whole, and each of its lines that is not blank as if it were a document of its own.

        Lines are judged as the language that the whole is in, or each as its own where that is none of ours.

        Args:
            language: code of the language that the text is said to be in; identified where None.
        """
        whole = self.judge([text], language)[0]
        lines = [line for line in text.splitlines() if line.strip()]
        return whole, self.judge(lines, whole.language if whole.language in self.languages else None)

    def judge(self, texts: Sequence[str], language: str | None = None) -> list[Judged]:
        """What is said of each text, in `language` or where that is None in the one identified."""
        if not texts:
            return []
        table = self._measure(list(texts), language)
        columns = {
            name: table[name].to_numpy()
            for name in dict.fromkeys(["letters", "diacritics", *(one.column for one in self.recipe.filters)])
            if name in table.column_names
        }
        cleaned = table["text"].to_pylist()
        identifier = default_identifier()
        probabilities = identifier.probabilities(cleaned)
        return [
            Judged(
                cleaned[row],
                code,
                reading,
                dict(zip(identifier.languages, map(float, probabilities[row]), strict=True)),
                self._verdicts(code, {name: values[row] for name, values in columns.items()}),
            )
            for row, (code, reading) in enumerate(
                zip(table["language"].to_pylist(), table["reading"].to_pylist(), strict=True)
            )
        ]

    def _measure(self, texts: list[str], language: str | None) -> Any:
        """The measured columns of the texts as a pyarrow table, a row each."""
        arrow = require("pyarrow", "corpus")
        mended, counts = mend(texts, self.recipe)
        counts |= {
            "read_words": np.array([len(text.split()) for text in texts], dtype=np.int32),
            "read_bytes": np.array([len(text.encode("utf-8", "replace")) for text in texts], dtype=np.int32),
        }
        counts.setdefault("repaired_hyphens", np.zeros(len(texts), dtype=np.int32))
        given: dict[str, list[str | None]] = {name: [None] * len(texts) for name in SCHEMA}
        given |= {"text": list(mended), "language": [language] * len(texts)}
        table = arrow.table(
            {name: arrow.array(values, arrow.string()) for name, values in given.items()}
            | {name: arrow.array(values) for name, values in counts.items()}
        )
        return self.measurer.measure(arrow, table, [])

    def _verdicts(self, code: str, measured: Mapping[str, float]) -> tuple[Verdict, ...]:
        return tuple(
            Verdict(rule.reason, rule.column, self._value(rule, code, measured), least, most)
            for rule, (least, most) in zip(self.recipe.filters, self.bounds_of(code), strict=True)
        )

    def bounds_of(self, code: str) -> list[tuple[float | None, float | None]]:
        """The least and the greatest value that each filter allows in a language; None is no bound."""
        return self.bounds.get(code) or [self._own_bounds(rule, code) for rule in self.recipe.filters]

    def _own_bounds(self, rule: Filter, code: str) -> tuple[float | None, float | None]:
        """The recipe's bounds for a language that the corpus does not have."""
        low, high = (  # in the precision of the columns
            float(np.float32(bound.otherwise if isinstance(bound, Proposal) else bound))
            for bound in rule.bounds(self.languages.get(code))
        )
        return None if np.isinf(low) else low, None if np.isinf(high) else high

    def _value(self, rule: Filter, code: str, measured: Mapping[str, float]) -> float | None:
        if rule.column == "missing_diacritics":
            if code not in self.diacritics:
                return None
            absent = measured["diacritics"] == 0
            return float(measured["letters"] * self.diacritics[code]) if absent else 0.0
        if rule.column == "contaminated" and self.recipe.evaluation:
            return None
        if rule.column == "boilerplate_lines" and self.recipe.boilerplate:
            return None
        value = measured.get(rule.column)
        return None if value is None or np.isnan(value) else float(value)
