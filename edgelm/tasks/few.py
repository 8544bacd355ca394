"""A few of many examples, as even over labels as can be: how much does a model need?"""

import random
from collections.abc import Sequence
from typing import TypeVar

from edgelm.tasks.examples import Example, Labelled, languages_in

One = TypeVar("One", bound=Example)


def few(examples: Sequence[One], count: int) -> list[One]:
    """`count` of the examples of each language, in their order; all where there are no more.

    Of labelled texts every label in turn gives one. The first 16 of 64 are the 16: more labels only add.
    """
    chosen: set[int] = set()
    for language in languages_in(examples):
        own = [place for place, one in enumerate(examples) if one.language == language]
        random.Random(0).shuffle(own)
        kinds: dict[str, list[int]] = {}
        for place in own:
            one = examples[place]
            kinds.setdefault(one.label if isinstance(one, Labelled) else "", []).append(place)
        turns = [
            (number, kind, place) for kind, places in kinds.items() for number, place in enumerate(places)
        ]
        chosen.update(place for _, _, place in sorted(turns)[:count])
    return [one for place, one in enumerate(examples) if place in chosen]
