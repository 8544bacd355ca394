"""Whether values fit types."""

from typing import Any, Literal, NotRequired, TypedDict

import pytest

from edgelm.shape import fits


class Inner(TypedDict):
    count: int
    share: NotRequired[float]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, int), (1, float), (0.5, float), ("", str), (True, bool), (None, None), ([1], Any),
        ([], list[int]), ([1, 2], list[int]), ((1,), tuple[int, ...]), ([1, "a"], tuple[int, str]),
        ({}, dict[str, int]),
        ({"a": [1]}, dict[str, list[int]]), (None, int | None), ("a", Literal["a", "b"]),
        ({"count": 1}, Inner), ({"count": 1, "share": 0.5, "more": []}, Inner),
        ({"x": {"count": 1}}, dict[str, Inner]),
    ],
)  # fmt: skip
def test_it_fits(value: Any, kind: Any) -> None:
    assert fits(value, kind)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, int), (1.0, int), ("1", int), (None, int), (2**63, int), (-(2**63), int), (10**400, float),
        (float("nan"), float), (float("inf"), float), (1, str), (1, bool), (0, None), ("ab", list[str]),
        ([1, "a"], list[int]),
        ([1], tuple[int, int]), ([1, 2, 3], tuple[int, int]), ({"a": "b"}, dict[str, int]),
        ({1: 1}, dict[str, int]),
        ([], dict[str, int]), ("a", int | None), ("c", Literal["a", "b"]), ({}, Inner),
        ({"count": "1"}, Inner), ({"count": 1, "share": None}, Inner), ([], Inner), (None, Inner),
    ],
)  # fmt: skip
def test_it_does_not(value: Any, kind: Any) -> None:
    assert not fits(value, kind)
