"""Decisions against a plain reference."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelm.corpus import decide as decide_module
from edgelm.corpus.decide import DUPLICATES, Decisions, decide
from edgelm.corpus.recipe import Filter, Proposal, Recipe, SplitRule
from edgelm.errors import BadInput
from edgelm.languages import load_languages

LANGUAGES = load_languages()
NONE = SplitRule(0, 0)
EIGHTHS = st.integers(0, 16).map(lambda value: value / 8)  # the same in 32 bits
DOCUMENT = st.fixed_dictionaries(
    {
        "language": st.sampled_from(["zul", "xho", "eng", "unknown"]),
        "source": st.sampled_from(["radio", "web"]),
        "reading": st.sampled_from([None] * 8 + ["empty", "bad record: not JSON"]),
        "digits": st.one_of(EIGHTHS, st.just(float("nan"))),
        "uppercase": EIGHTHS,
        "words": st.integers(0, 9),
        "letters": st.integers(0, 3),
        "key": st.integers(0, 3),
        "cluster": st.integers(0, 4),
        "language_probability": st.sampled_from([0.25, 0.5, 0.75, float("nan")]),
    }
)
PROPOSAL = st.builds(
    lambda quantile, low, size, at: Proposal(quantile, (low, low + size), low + at * size),
    st.sampled_from([0.1, 0.5, 0.75]), EIGHTHS, EIGHTHS, st.sampled_from([0.0, 0.5, 1.0]),
)  # fmt: skip
BOUND = st.one_of(st.none(), EIGHTHS, PROPOSAL)
BOUNDS = st.dictionaries(st.sampled_from(["min", "max"]), BOUND)
FILTER = st.builds(
    Filter,
    reason=st.sampled_from(["a", "b", "c", "empty", "duplicate"]),
    column=st.sampled_from(["digits", "uppercase", "words"]),
    min=BOUND,
    max=BOUND,
    conjunctive=BOUNDS,
    languages=st.dictionaries(st.sampled_from(["zul", "eng"]), BOUNDS),
)


def recipe_of(*filters: Filter) -> Recipe:
    return Recipe("test", (), filters, NONE, NONE)


def bound_of(rule: Filter, side: str, language: str) -> Any:
    """The language's own bound, else that of its writing, else that of all."""
    if side in rule.languages.get(language, {}):
        return rule.languages[language][side]
    own = LANGUAGES.get(language)
    if own is not None and own.writing == "conjunctive" and side in rule.conjunctive:
        return rule.conjunctive[side]
    return getattr(rule, side)


def quantile(values: list[float], share: float) -> float:
    values = sorted(values)
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def goodness(rows: list[dict[str, Any]], place: int) -> tuple[Any, ...]:
    """The smallest of a cluster is kept: not of a doubtful language, the longest, the first."""
    row = rows[place]
    return row["language_probability"] < 0.5, -row["letters"], place


def reference(rows: list[dict[str, Any]], recipe: Recipe) -> list[tuple[str | None, list[str]]]:
    """First reason and all reasons of each document, one document after another."""
    first = [row["reading"] for row in rows]
    every = [[row["reading"]] if row["reading"] else [] for row in rows]
    for rule in recipe.filters:
        bounds: dict[tuple[str, str], float | None] = {}
        for language in {row["language"] for row in rows}:
            left = [
                row[rule.column]
                for row, reason in zip(rows, first, strict=True)
                if row["language"] == language and reason is None and row[rule.column] == row[rule.column]
            ]
            for side in ("min", "max"):
                bound = bound_of(rule, side, language)
                if isinstance(bound, Proposal):
                    value = bound.otherwise
                    if len(left) >= decide_module.FEWEST_TO_PROPOSE:
                        proposed = quantile(left, bound.quantile)
                        value = proposed if bound.between[0] <= proposed <= bound.between[1] else value
                    bound = value
                bounds[language, side] = bound
        for place, row in enumerate(rows):
            low, high = (bounds[row["language"], side] for side in ("min", "max"))
            value = row[rule.column]
            outside = (low is not None and value < low) or (high is not None and value > high)
            if outside and not row["reading"]:
                first[place] = first[place] or rule.reason
                every[place] += [rule.reason] if rule.reason not in every[place] else []
    for cluster in {row["cluster"] for row in rows}:
        passing = [place for place, row in enumerate(rows) if row["cluster"] == cluster and not first[place]]
        best = min(passing, key=lambda place: goodness(rows, place), default=None)
        for place in passing:
            if place != best:
                equal = rows[place]["key"] == rows[best]["key"]
                first[place] = DUPLICATES[not equal]
                every[place] = [first[place]]
    return list(zip(first, every, strict=True))


def said(decisions: Decisions, recipe: Recipe) -> list[tuple[str | None, list[str]]]:
    return [
        (None if number < 0 else decisions.names[number], decisions.reasons(recipe, row))
        for row, number in enumerate(decisions.first)
    ]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three documents are enough to propose a bound, two to judge a source."""
    monkeypatch.setattr(decide_module, "FEWEST_TO_PROPOSE", 3)
    monkeypatch.setattr(decide_module, "FEWEST_OF_SOURCE", 2)


quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(st.lists(DOCUMENT, min_size=1, max_size=24), st.lists(FILTER, max_size=4), st.randoms())
def test_decisions_are_those_of_the_reference(few, make_table, rows, filters, draw) -> None:
    recipe = recipe_of(*filters)
    expected = reference(rows, recipe)
    assert said(decide(make_table(rows), recipe, LANGUAGES), recipe) == expected
    # a finished corpus has its documents in another order, and says where each one stood
    order = draw.sample(range(len(rows)), len(rows))
    moved = [rows[place] | {"row": place} for place in order]
    assert said(decide(make_table(moved, 3), recipe, LANGUAGES), recipe) == [expected[row] for row in order]


def row(**values: Any) -> dict[str, Any]:
    usual = {
        "language": "eng",
        "source": "s",
        "reading": None,
        "letters": 9,
        "key": 1,
        "cluster": 0,
        "words": 5,
    }
    return usual | values


def test_first_and_all_reasons(make_table):
    recipe = recipe_of(
        Filter("short", "words", min=6), Filter("many", "digits", max=0.5), Filter("short", "words", min=7)
    )
    rows = [
        row(cluster=0, digits=0.9),
        row(cluster=1, digits=0.9, words=6),
        row(cluster=2, digits=float("nan"), words=7),
        row(cluster=3, digits=0.9, reading="empty"),
    ]
    assert said(decide(make_table(rows), recipe, LANGUAGES), recipe) == [
        ("short", ["short", "many"]), ("many", ["many", "short"]), (None, []), ("empty", ["empty"]),
    ]  # fmt: skip


def test_bounds_include_their_ends_in_single_precision(make_table):
    rows = [row(cluster=place, digits=value) for place, value in enumerate((0.2, 0.2000001, 0.1, 0.0999999))]
    recipe = recipe_of(Filter("digits", "digits", min=0.1, max=0.2))
    assert decide(make_table(rows), recipe, LANGUAGES).kept.tolist() == [True, False, True, False]


def test_an_implausible_proposal_is_noted_and_not_used(few, make_table):
    rows = [row(cluster=place, words=10 * place, language="zul") for place in range(5)]
    rows += [row(cluster=5 + place, words=place, language="eng") for place in range(5)]
    rows += [row(cluster=10, words=99, language="xho")]
    rule = Filter("long", "words", max=Proposal(0.5, (1, 5), 4))
    found = decide(make_table(rows), recipe_of(rule), LANGUAGES)
    between = [1, 5]
    assert found.thresholds == [
        {"reason": "long", "column": "words", "language": "eng", "max": 2.0,
         "proposed": [{"side": "max", "value": 2.0, "between": between, "used": True}]},
        {"reason": "long", "column": "words", "language": "xho", "max": 4.0},
        {"reason": "long", "column": "words", "language": "zul", "max": 4.0,
         "proposed": [{"side": "max", "value": 20.0, "between": between, "used": False}]},
    ]  # fmt: skip
    assert found.kept.tolist() == [True] + [False] * 4 + [True] * 3 + [False] * 3


def test_a_proposal_sees_only_what_passed_before_and_can_be_measured(few, make_table):
    rows = [row(cluster=place, words=place, digits=float("nan") if place < 3 else 0.5) for place in range(9)]
    proposal = Proposal(0.5, (0, 1), 1)
    found = decide(make_table(rows), recipe_of(Filter("x", "digits", max=proposal)), LANGUAGES)
    assert found.thresholds[0]["proposed"] == [{"side": "max", "value": 0.5, "between": [0, 1], "used": True}]
    rules = Filter("first", "words", min=4), Filter("second", "words", max=Proposal(0.5, (0, 9), 9))
    found = decide(make_table(rows), recipe_of(*rules), LANGUAGES)
    assert found.thresholds[1]["max"] == 6


def test_of_a_cluster_the_longest_stays_then_the_first(make_table):
    rows = [
        row(cluster=0, letters=9, key=1),
        row(cluster=0, letters=10, key=2),
        row(cluster=0, letters=10, key=1),
        row(cluster=3, letters=99, key=3, words=0),
        row(cluster=3, letters=5, key=3),
        row(cluster=3, letters=5, key=3),
        row(cluster=6, letters=5, key=4, reading="empty"),
        row(cluster=6, letters=4, key=4),
    ]
    recipe = recipe_of(Filter("short", "words", min=1))
    assert [first for first, _ in said(decide(make_table(rows), recipe, LANGUAGES), recipe)] == [
        "near_duplicate", None, "near_duplicate", "short", None, "duplicate", "empty", None,
    ]  # fmt: skip


def test_of_a_cluster_one_in_its_language_stays(make_table):
    rows = [row(cluster=0, letters=letters) | {"language_probability": share} for letters, share in
            ((9, 0.4), (5, float("nan")), (4, 0.9))]  # fmt: skip
    recipe = recipe_of()
    assert decide(make_table(rows), recipe, LANGUAGES).kept.tolist() == [False, True, False]
    assert decide(make_table(rows[::2]), recipe, LANGUAGES).kept.tolist() == [False, True]


def test_stripped_diacritics_follow_from_the_rate_of_the_language(make_table):
    """Of 1000 letters with 1 % marked ones, 100 letters without any miss one, by Poisson's law."""
    rows = [row(cluster=0, letters=1000, diacritics=0.01, language="ven")]
    rows += [row(cluster=1, letters=100, diacritics=0.0, language="ven")]
    rows += [row(cluster=2, letters=9999, diacritics=0.5, language="ven", reading="bad record: x")]
    rows += [row(cluster=3, letters=100, diacritics=0.0, language="eng")]
    table = make_table(rows)
    missing = 100 * 10 / 1100
    for bound, kept in ((missing + 0.001, True), (missing - 0.001, False)):
        recipe = recipe_of(Filter("stripped", "missing_diacritics", max=bound))
        assert decide(table, recipe, LANGUAGES).kept.tolist() == [True, kept, False, True]


def test_a_source_of_interface_strings_goes_as_a_whole(monkeypatch, make_table):
    monkeypatch.setattr(decide_module, "FEWEST_OF_SOURCE", 4)
    groups = {("app", "zul"): [1, 0, 0, 0], ("app", "xho"): [1, 0, 0], ("web", "zul"): [0, 0, 0, 0]}
    rows = [
        row(source=source, language=language, placeholders=count, cluster=0, key=1)
        for (source, language), counts in groups.items()
        for count in counts
    ]
    rows += [row(source="web", language="zul", placeholders=9, reading="bad record: x")]
    rows = [one | {"cluster": place} for place, one in enumerate(rows)]
    table = make_table(rows)
    for bound, kept in ((0.2, False), (0.25, True)):
        recipe = recipe_of(Filter("interface", "source_placeholders", max=bound))
        assert decide(table, recipe, LANGUAGES).kept.tolist() == [kept] * 4 + [True] * 7 + [False]


def test_at_most_64_filters(make_table):
    rows = [row(cluster=0, words=63), row(cluster=1, words=64)]
    rules = [Filter(f"r{bound}", "words", min=bound) for bound in range(1, 65)]
    recipe = recipe_of(*rules)
    found = decide(make_table(rows), recipe, LANGUAGES)
    assert said(found, recipe) == [("r64", ["r64"]), (None, [])]
    with pytest.raises(ValueError, match="65 filters, more than 64"):
        recipe_of(*rules, rules[0])


def test_a_column_that_was_not_measured(make_table):
    with pytest.raises(BadInput, match=r"no column 'digits' was measured, which a filter needs"):
        decide(make_table([row()]), recipe_of(Filter("many", "digits", max=1)), LANGUAGES)


def test_more_reasons_than_a_short_integer_can_count(make_table):
    rows = [row(cluster=place, reading=f"unknown language: {place}") for place in range(40_000)]
    found = decide(make_table(rows), recipe_of(), LANGUAGES)
    assert not found.kept.any()
    assert len(np.unique(found.first)) == 40_000
