import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm.mixture import bounded_shares

WEIGHTS = st.dictionaries(st.text(min_size=1), st.floats(1e-3, 1e3), min_size=1, max_size=30)


@given(WEIGHTS, st.floats(0, 1), st.floats(0.01, 1))
def test_bounds_hold_and_the_rest_is_in_proportion(
    weights: dict[str, float], smallest: float, largest: float
) -> None:
    smallest = min(smallest, 1 / len(weights))
    found = bounded_shares(weights, smallest, largest)
    assert list(found) == list(weights)
    assert sum(found.values()) == pytest.approx(1)
    if largest * len(weights) < 1:  # no way to keep to it
        assert list(found.values()) == pytest.approx([1 / len(weights)] * len(weights))
        return
    assert min(found.values()) >= min(smallest, largest) * (1 - 1e-9)
    assert max(found.values()) <= largest * (1 + 1e-9)
    between = [
        share / weights[name]
        for name, share in found.items()
        if smallest * (1 + 1e-6) < share < largest * (1 - 1e-6)
    ]
    assert not between or max(between) == pytest.approx(min(between))


def test_no_bounds_no_change() -> None:
    assert bounded_shares({"a": 1.0, "b": 3.0}, 0, 1) == pytest.approx({"a": 0.25, "b": 0.75})


def test_each_may_have_a_largest_share_of_its_own() -> None:
    found = bounded_shares({"a": 1.0, "b": 1.0, "c": 2.0}, 0, {"a": 0.1, "b": 1.0, "c": 1.0})
    assert found == pytest.approx({"a": 0.1, "b": 0.3, "c": 0.6})
    assert bounded_shares({"a": 5.0, "b": 1.0}, 0, {"a": 0.1, "b": 0.3}) == pytest.approx(
        {"a": 0.25, "b": 0.75}
    )


def test_a_least_share_gives_way_to_a_greatest_one() -> None:
    found = bounded_shares({"a": 1.0, "b": 100.0, "c": 100.0}, 0.2, {"a": 0.05, "b": 1.0, "c": 1.0})
    assert found == pytest.approx({"a": 0.05, "b": 0.475, "c": 0.475})
