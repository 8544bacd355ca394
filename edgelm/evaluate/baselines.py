"""Baselines by family of tasks; a model that does not beat them has not earned its megabytes.

Each is a function of training and test examples that answers with one prediction for each test example, as
`edgelm.evaluate.scores` takes it: a label, the tags of a sentence, a text, or the place of an option.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from edgelm.errors import BadInput
from edgelm.evaluate.template import template
from edgelm.tasks.examples import Choice, Labelled, Pair, Tagged

SUFFIX = 6
"""Longest suffix that the most frequent tag is looked up by, in letters."""
LETTER, CAPITAL, CLOSING, OPENING = r"[^\W\d_]", r"[^\W\d_a-z]", r"[\"'”’)\]]", r"[\"'“‘(\[]"
SENTENCE_END = re.compile(
    rf"(?<=[.!?…]){CLOSING}*\s+(?={OPENING}*{CAPITAL})|(?<={LETTER}{LETTER}[.!?…])(?={CAPITAL})|\n\s*"
)
"""A mark and white space before a capital, a mark between a word and a capital (news sites lose the space),
or a new line."""


def majority(train: Sequence[Labelled], test: Sequence[Labelled]) -> list[str]:
    """The commonest training label of each language; ties go to the one seen first."""
    commonest = {}
    for code in {one.language for one in test}:
        labels = [one.label for one in train if one.language == code] or [one.label for one in train]
        commonest[code] = Counter(labels).most_common(1)[0][0]
    return [commonest[one.language] for one in test]


def tfidf_svm(train: Sequence[Labelled], test: Sequence[Labelled]) -> list[str]:
    """TF-IDF of character 2- to 5-grams with a linear support vector machine, one for all languages."""
    return _linear(train, test, "svm")


def tfidf_logistic(train: Sequence[Labelled], test: Sequence[Labelled]) -> list[str]:
    """TF-IDF of character 2- to 5-grams with logistic regression, one for all languages."""
    return _linear(train, test, "logistic")


def _linear(train: Sequence[Labelled], test: Sequence[Labelled], method: str) -> list[str]:
    from edgelm.finetune.linear import train_linear

    if len({one.label for one in train}) == 1:  # nothing to separate
        return majority(train, test)
    return train_linear(train, methods=(method,), half=False).predict([one.text for one in test])


def frequent_tag(train: Sequence[Tagged], test: Sequence[Tagged]) -> list[list[str]]:
    """The commonest tag of a word, else of the longest suffix that training words have too."""
    tags: dict[str, Counter[str]] = {}
    for one in train:
        for word, tag in zip(one.words, one.tags, strict=True):
            for form in _forms(word):
                tags.setdefault(form, Counter())[tag] += 1
    commonest = {form: counts.most_common(1)[0][0] for form, counts in tags.items()}
    return [
        [next(commonest[form] for form in _forms(word) if form in commonest) for word in one.words]
        for one in test
    ]


def _forms(word: str) -> Iterator[str]:
    """A word, and what stands for it where it is not known; the last is in every text."""
    yield f"={word}"
    lower = word.lower()
    for size in range(min(SUFFIX, len(lower)), 0, -1):
        yield f"~{word[:1].isupper():d}{lower[-size:]}"
    yield ""


def crf(train: Sequence[Tagged], test: Sequence[Tagged]) -> list[list[str]]:
    """A conditional random field over how words are spelt, one for all languages."""
    from edgelm.finetune.crf import train_crf

    return train_crf(train, half=False).tag([one.words for one in test])


def copy_source(train: Sequence[Pair], test: Sequence[Pair]) -> list[str]:
    """The text as it is; of a data-to-text item, entity and value, which is what both texts have."""
    return [
        f"{one.parts['entity']} {one.parts['value']}" if {"entity", "value"} <= one.parts.keys() else one.text
        for one in test
    ]


def lead_sentence(train: Sequence[Pair], test: Sequence[Pair]) -> list[str]:
    """The first sentence of the text."""
    return [SENTENCE_END.split(one.text.strip(), maxsplit=1)[0] for one in test]


def first_choice(train: Sequence[Choice], test: Sequence[Choice]) -> list[int]:
    """The place where the training's right answers most often are; ties go to the first."""
    places = Counter(one.answer for one in sorted(train, key=lambda one: one.answer))
    place = places.most_common(1)[0][0] if places else 0
    return [min(place, len(one.options) - 1) for one in test]


Baseline = Callable[[Sequence[Any], Sequence[Any]], list[Any]]

FAMILIES: dict[str, dict[str, Baseline]] = {
    "classification": {
        "majority": majority,
        "TF-IDF + SVM": tfidf_svm,
        "TF-IDF + logistic regression": tfidf_logistic,
    },
    "tagging": {"most frequent tag": frequent_tag, "CRF": crf},
    "generation": {"copy": copy_source, "template": template, "lead sentence": lead_sentence},
    "choice": {"commonest place": first_choice},
    "chat": {},
}
BASELINES = FAMILIES["classification"]
UNTRAINED = ("copy", "lead sentence", "commonest place")
"""Those that need no training examples."""


def baselines(family: str, examples: Sequence[Any] = ()) -> dict[str, Baseline]:
    """The baselines of a family by name, in the order of a table.

    Args:
        examples: where given, only the baselines that suit them: the template wants data-to-text items, the
            lead sentence texts in the language that is written.

    Raises:
        BadInput: no such family.
    """
    if family not in FAMILIES:
        raise BadInput(f"no family of tasks is called '{family}'", remedy=f"known: {', '.join(FAMILIES)}")
    found = dict(FAMILIES[family])
    if family == "generation" and examples:
        data = all({"entity", "relation", "value"} <= one.parts.keys() for one in examples)
        if not data:
            del found["template"]
        if data or any(one.source for one in examples):
            del found["lead sentence"]
    return found
