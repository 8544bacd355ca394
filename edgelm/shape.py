"""Whether a value that a file gave has the shape that a type describes: JSON keeps no promises."""

import types
from typing import (
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

MOST = 2**63
"""What a number has to stay below: larger ones are no counts, and end in what cannot be reckoned with."""


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a type: plain ones, `list`, `tuple` (JSON's lists too), `dict` with text as keys,
    unions, `Literal`, and `TypedDict`, of which a value may have more keys.

    Numbers are finite and below `MOST`; a whole one is a `float` too, and no truth value is a number.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if kind is None:
        return value is None
    if origin in (Required, NotRequired):
        return fits(value, inner[0])
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if is_typeddict(kind):
        return isinstance(value, dict) and all(
            fits(value[name], one) if name in value else name not in kind.__required_keys__
            for name, one in get_type_hints(kind, include_extras=True).items()
        )
    if origin is tuple and inner[-1] is not Ellipsis:
        right = isinstance(value, list | tuple) and len(value) == len(inner)
        return right and all(map(fits, value, inner))
    if origin in (list, tuple):
        return isinstance(value, list | tuple) and all(fits(one, inner[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            isinstance(name, str) and fits(one, inner[1]) for name, one in value.items()
        )
    if kind in (int, float):
        number = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
        return number and -MOST < value < MOST  # false of what is no number
    return isinstance(value, kind)
