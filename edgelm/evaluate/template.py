"""The delexicalised template: data-to-text with no model at all.

Entity and value are replaced by slots wherever a training sentence holds them; prefixes that are written
together with them stay. A test item gets the commonest such sentence of its relation, filled in with its own
entity and value. A slot remembers the form in which it was found, such as a number without its `.0`.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from edgelm.tasks.examples import Pair

SLOT = re.compile("\0(entity|value):([a-z]+)\0")
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def _bare(text: str) -> str:
    return re.sub(r"\s*\([^)]*\)", "", text).replace("_", " ").strip() or text


FORMS: dict[str, Callable[[str], str]] = {
    "whole": lambda text: text,
    "bare": _bare,
    "number": lambda text: re.sub(r"(?<=\d)\.0+$", "", _bare(text)),
    "head": lambda text: _bare(text).split(",")[0].strip() or text,
}
"""How a sentence may write an entity or a value, from the most to the least of it."""


def template(train: Sequence[Pair], test: Sequence[Pair]) -> list[str]:
    """The commonest delexicalised training sentence of each item's relation, filled in.

    Sentences with more slots come before commoner ones; of equals, the one that shares most words with the
    relation's others. A relation not seen in training borrows the sentences of the one that shares most words
    with its name, and without any such the item is copied.
    """
    sentences: dict[str, Counter[str]] = {}
    for one in train:
        counts = sentences.setdefault(one.parts["relation"], Counter())
        counts.update(delexicalise(sentence, one.parts) for sentence in one.references)
    chosen = {relation: _choose(counts) for relation, counts in sentences.items()}
    names = {relation: _words(relation) for relation in chosen}
    found = []
    for one in test:
        relation = one.parts["relation"]
        if relation not in chosen:
            mine = _words(relation)
            near = max(names, key=lambda other: _overlap(mine, names[other]), default=None)
            relation = near if near is not None and _overlap(mine, names[near]) else ""
        pattern = chosen.get(relation, "\0entity:whole\0 \0value:whole\0")
        found.append(SLOT.sub(lambda slot, one=one: FORMS[slot[2]](one.parts[slot[1]]), pattern))  # type: ignore[misc]
    return found


def delexicalise(sentence: str, parts: dict[str, str]) -> str:
    """The sentence with a slot for each place that holds the entity or the value, letters of any case."""
    for name in sorted(("entity", "value"), key=lambda name: -len(parts[name])):
        for form, write in FORMS.items():
            words = [re.escape(word) for word in re.split(r"[\s_-]+", write(parts[name])) if word]
            if not words:
                continue
            # a number is not part of a longer one, and a name of a letter or two not part of a word
            edge = r"(?<!\d)", r"(?!\d)"
            if len("".join(words)) < 3 and not parts[name][:1].isdigit():
                edge = r"\b", r"\b"
            pattern = re.compile(edge[0] + r"[\s_-]+".join(words) + edge[1], re.IGNORECASE)
            pieces = re.split("(\0[^\0]*\0)", sentence)
            changed = [
                piece if piece.startswith("\0") else pattern.sub(f"\0{name}:{form}\0", piece)
                for piece in pieces
            ]
            if changed != pieces:
                sentence = "".join(changed)
                break
    return sentence


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
