"""The fields of a request's body: checked one by one, and none left over."""

import json
from collections.abc import Sequence
from typing import Any

from edgelm.serve.errors import Refused

IGNORED = (
    "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
    "prompt_cache_retention", "parallel_tool_calls", "prediction",
)  # fmt: skip
"""Fields of OpenAI's interface that change nothing in an answer."""
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logit_bias": ({},),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
}
"""Fields that would change an answer in a way this server cannot, and the values that do not."""
LARGEST = 2**63


def parse_json(data: bytes) -> dict[str, Any]:
    """The object in a request's body, all its text in characters that UTF-8 has.

    Raises:
        Refused: it is none.
    """
    try:
        body = json.loads(data.decode("utf-8"), parse_constant=_no_number)
        json.dumps(body, ensure_ascii=False).encode("utf-8")  # an escape may be half a character
    except UnicodeError:
        raise Refused(400, "the body is not UTF-8. Encode the text as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}.") from None
    if not isinstance(body, dict):
        raise Refused(400, "the body is not a JSON object.")
    return body


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


class Fields:
    """Takes fields out of a body by name; null is as good as absent."""

    def __init__(self, body: dict[str, Any]):
        self.left = {name: value for name, value in body.items() if value is not None}

    def take(self, name: str) -> Any:
        return self.left.pop(name, None)

    def text(self, name: str) -> str | None:
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise wrong(name, "a text")
        return value

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(name, "true or false")
        return bool(value)

    def whole(self, name: str, least: int, most: int) -> int | None:
        value = self.take(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most
        ):
            raise wrong(name, f"a whole number from {least} to {most}")
        return value

    def number(self, name: str, default: float) -> float:
        value = self.take(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise wrong(name, "a number")
        if isinstance(value, int) and abs(value) > LARGEST:  # a float would overflow
            raise wrong(name, f"at most {LARGEST}")
        return default if value is None else float(value)

    def texts(self, name: str) -> list[str]:
        """A list of texts; one text alone is a list of it."""
        value = self.take(name)
        found = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise wrong(name, "a text or a list of texts")
        return found

    def object(self, name: str) -> dict[str, Any] | None:
        value = self.take(name)
        if value is not None and not isinstance(value, dict):
            raise wrong(name, "an object")
        return value

    def finish(self) -> None:
        """Refuse what is left, unless it changes nothing.

        Raises:
            Refused: a field is left that would change the answer.
        """
        for name, value in self.left.items():
            if name not in IGNORED and value not in NEUTRAL.get(name, ()):
                raise _unsupported(name)


def wrong(name: str, wanted: str) -> Refused:
    """A field that is not what it has to be."""
    return Refused(400, f"{name} has to be {wanted}.", param=name)


def only(found: dict[str, Any], allowed: Sequence[str], name: str) -> None:
    """Refuse members of an object that this server does nothing with."""
    for member, value in found.items():
        if member not in allowed and value not in (None, [], {}):
            raise _unsupported(f"{name}.{member}")


def _unsupported(name: str) -> Refused:
    message = f"{name} is not supported here. Leave it out."
    return Refused(400, message, param=name, code="unsupported_parameter")
