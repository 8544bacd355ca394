"""The delexicalised template: data-to-text with no model at all.

Entity and value are replaced by slots wherever a training sentence holds them; prefixes that are written
together with them stay. A test item gets the commonest such sentence of its relation, filled in with its own
entity and value.
"""

import re
from collections import Counter
from collections.abc import Sequence

from edgelm.tasks.examples import Pair
from edgelm.tasks.slots import SLOT, delexicalise, fill

SLOTS = ("entity", "value")
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def template(train: Sequence[Pair], test: Sequence[Pair]) -> list[str]:
    """The commonest delexicalised training sentence of each item's relation, filled in.

    Sentences with more slots come before commoner ones; of equals, the one that shares most words with the
    relation's others. A relation not seen in training borrows the sentences of the one that shares most words
    with its name, and without any such the item is copied.
    """
    sentences: dict[str, Counter[str]] = {}
    for one in train:
        counts = sentences.setdefault(one.parts["relation"], Counter())
        counts.update(delexicalise(sentence, one.parts, SLOTS) for sentence in one.references)
    chosen = {relation: _choose(counts) for relation, counts in sentences.items()}
    names = {relation: _words(relation) for relation in chosen}
    found = []
    for one in test:
        relation = one.parts["relation"]
        if relation not in chosen:
            mine = _words(relation)
            near = max(names, key=lambda other: _overlap(mine, names[other]), default=None)
            relation = near if near is not None and _overlap(mine, names[near]) else ""
        pattern = chosen.get(relation, "{entity} {value}")
        found.append(fill(pattern, one.parts))
    return found


def _choose(counts: Counter[str]) -> str:
    words = {sentence: set(sentence.lower().split()) for sentence in counts}

    def worth(sentence: str) -> tuple[int, int, float]:
        slots = len({slot[1] for slot in SLOT.finditer(sentence)})
        shared = sum(count * _overlap(words[sentence], words[other]) for other, count in counts.items())
        return slots, counts[sentence], shared

    return max(counts, key=worth)


def _words(relation: str) -> set[str]:
    return {word.lower() for word in WORDS.findall(relation)}


def _overlap(mine: set[str], other: set[str]) -> float:
    """Jaccard's similarity."""
    return len(mine & other) / len(mine | other) if mine | other else 0.0
