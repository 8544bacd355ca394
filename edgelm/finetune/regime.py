"""The general regime: many tasks in many languages, each pair with a share of the tokens.

A pair of n examples gets p ~ w * n^t, within bounds; t = 1 takes all examples alike, 0 all pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgelm.errors import BadInput
from edgelm.finetune.examples import ExampleSource, Mixture
from edgelm.mixture import bounded_shares
from edgelm.pretrain.packing import Item, Source
from edgelm.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Mixing:
    """How the shares follow from the sizes; the exponent and the bounds are those of MzansiLM."""

    exponent: float = 0.3
    weights: dict[str, float] = field(default_factory=dict)
    """By task; 1 where none is given."""
    smallest: float = 0.02
    """Least share of a pair; with many pairs, half of an equal share."""
    largest: float = 0.6
    """Greatest share of a pair."""
    epochs: float = 0.0
    """How often an example is seen at most; 0 as often as it comes."""

    def __post_init__(self) -> None:
        for option, value, least, most in (
            ("exponent", self.exponent, 0, 1),
            ("min-share", self.smallest, 0, 1),
            ("max-share", self.largest, 0.01, 1),
            ("max-epochs", self.epochs, 0, 1_000_000),
            *((f"weight {name}", weight, 0.001, 1000) for name, weight in self.weights.items()),
        ):
            if not least <= value <= most:
                raise BadInput(
                    f"--{option} {value:g} is out of range", remedy=f"give between {least:g} and {most:g}"
                )


@dataclass(frozen=True, slots=True)
class Pair:
    """A task in a language: its examples, its share of the tokens, and how often it will be seen."""

    task: str
    language: str
    examples: int
    share: float
    epochs: float


def check_weights(mixing: Mixing, tasks: Sequence[Task[Any]]) -> None:
    """Raise `BadInput` where a weight is of no task."""
    names = [task.name for task in tasks]
    for name in mixing.weights:
        if name not in names:
            raise BadInput(
                f"a weight is given for '{name}', which is not among the tasks",
                remedy=f"choose from: {', '.join(names)}",
            )


def languages_by_task(
    tasks: Sequence[Task[Any]], languages: Sequence[str] | None
) -> dict[str, list[str] | None]:
    """By task, those of the languages that it has training examples in; None, for all, where none are named.

    Raises:
        BadInput: a language is in no task, or a task has none of them.
    """
    if not languages:
        return {task.name: None for task in tasks}
    found: dict[str, list[str] | None] = {}
    for task in tasks:
        own = [code for code in languages if task.has("train", code)]
        if not own:
            raise BadInput(
                f"the task '{task.name}' has nothing to train on in {', '.join(languages)}",
                remedy="leave it out, or name another language",
            )
        found[task.name] = own
    known = {code for own in found.values() for code in own or ()}
    if strange := [code for code in languages if code not in known]:
        raise BadInput(
            f"no task has anything to train on in {', '.join(strange)}", remedy="leave it out of --languages"
        )
    return found


def mix(
    items: Mapping[tuple[str, str], Sequence[Item]], mixing: Mixing, tokens: float, seed: int
) -> tuple[Source, list[Pair]]:
    """A source of all items, and what each pair gets of it.

    Args:
        items: by task and language.
        tokens: that will be taken from the source.
    """
    sizes = {pair: sum(len(one.ids) for one in own) for pair, own in items.items()}
    weights = {
        " ".join(pair): mixing.weights.get(pair[0], 1.0) * len(own) ** mixing.exponent
        for pair, own in items.items()
    }
    largest = {
        " ".join(pair): min(mixing.largest, mixing.epochs * size / tokens)
        if mixing.epochs
        else mixing.largest
        for pair, size in sizes.items()
    }
    shares = bounded_shares(weights, min(mixing.smallest, 0.5 / len(items)), largest)
    source = Mixture({" ".join(pair): ExampleSource(own, seed) for pair, own in items.items()}, shares)
    pairs = [
        Pair(*pair, len(own), round(share, 4), round(share * tokens / sizes[pair], 2))
        for (pair, own), share in zip(items.items(), shares.values(), strict=True)
    ]
    return source, pairs
