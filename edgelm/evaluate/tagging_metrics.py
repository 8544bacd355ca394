"""Metrics of tagging, a tag for every word: spans as seqeval finds them, and tokens.

Every gold token counts. A prediction of another length is refused: cutting both to the shorter one, as is
sometimes done with generated tags, scores only what a model happened to write.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from edgelm.errors import BadInput
from edgelm.evaluate.bootstrap import Counts, Figures
from edgelm.evaluate.metrics import check_count, label_counts, share
from edgelm.extras import require

Tags = Sequence[Sequence[str]]  # of each sentence


def tag_counts(gold: Tags, predicted: Tags, labels: tuple[str, ...] = ()) -> Counts:
    """For each sentence, its tokens by tag: accuracy, and F1 over tags.

    Args:
        labels: every tag; those of `gold` and `predicted` where it is empty.

    Raises:
        BadInput: nothing to score, a sentence of another length than its prediction, an unknown tag.
    """
    _check(gold, predicted)
    truth, guess = ([tag for sentence in side for tag in sentence] for side in (gold, predicted))
    item = np.array([place for place, sentence in enumerate(gold) for _ in sentence], dtype=np.int64)
    return label_counts(truth, guess, labels or tuple(sorted({*truth, *guess})), item, len(gold))


def span_counts(gold: Tags, predicted: Tags, labels: tuple[str, ...] = ()) -> Counts:
    """For each sentence, its spans and those predicted, by type (BIO, seqeval's default mode).

    `span_f1`, `span_precision` and `span_recall` are over all types, `span_f1_TYPE` over one that is there;
    `accuracy` is that of the tokens. Chance: one uniformly random tagging (seed 0), the commonest gold tag
    everywhere.

    Args:
        labels: every tag, for the random tagging; those of `gold` where it is empty.

    Raises:
        BadInput: nothing to score, a sentence of another length than its prediction, a tag that is not BIO.
        MissingExtra: seqeval is not installed.
    """
    require("seqeval", "evaluate")
    from seqeval.metrics.sequence_labeling import get_entities

    _check(gold, predicted)
    for tag in {tag for side in (gold, predicted) for sentence in side for tag in sentence}:
        if tag != "O" and not (tag[:2] in ("B-", "I-") and tag[2:]):
            raise BadInput(f"the tag '{tag}' is none of O, B-TYPE and I-TYPE")
    frequency = Counter(tag for sentence in gold for tag in sentence)
    tags = list(labels or sorted(frequency))
    commonest = max(frequency, key=lambda tag: frequency[tag], default="O")
    random = np.random.default_rng(0)
    systems = {
        "own": predicted,
        "uniform": [[tags[place] for place in random.integers(0, len(tags), len(one))] for one in gold],
        "majority": [[commonest] * len(one) for one in gold],
    }
    spans = {name: [set(get_entities(list(one))) for one in side] for name, side in systems.items()}
    true = [set(get_entities(list(one))) for one in gold]
    kinds = sorted({kind for side in (true, *spans.values()) for one in side for kind, _, _ in one})
    number = {kind: place for place, kind in enumerate(kinds)}
    width = len(kinds)

    def rows(name: str) -> np.ndarray:
        """Columns: right tokens, tokens; right spans, true and predicted ones, for each type."""
        found = np.zeros((len(gold), 2 + 3 * width))
        for row, wanted, tagged, known, guessed in zip(
            found, gold, systems[name], true, spans[name], strict=True
        ):
            row[:2] = sum(map(str.__eq__, wanted, tagged)), len(wanted)
            for block, group in enumerate((known & guessed, known, guessed)):
                for kind, _, _ in group:
                    row[2 + block * width + number[kind]] += 1
        return found

    def measure(sums: np.ndarray) -> Figures:
        right, known, guessed = np.split(sums[:, 2 : 2 + 3 * width], 3, axis=1)
        by_type = share(2 * right, known + guessed)
        total = [part.sum(axis=1) for part in (right, known, guessed)]
        return {
            "span_f1": share(2 * total[0], total[1] + total[2]),
            "span_precision": share(total[0], total[2]),
            "span_recall": share(total[0], total[1]),
            "accuracy": share(sums[:, 0], sums[:, 1]),
            **{
                f"span_f1_{kind}": by_type[:, place]
                for kind, place in number.items()
                if (known + guessed)[:, place].any()
            },
        }

    def chance(sums: np.ndarray) -> Figures:
        _, uniform, majority = np.split(sums, 3)
        return {"uniform": uniform, "majority": majority}

    return Counts(np.concatenate([rows(name) for name in systems], axis=1), measure, chance)


def _check(gold: Tags, predicted: Tags) -> None:
    check_count(len(gold), len(predicted))
    for place, (wanted, found) in enumerate(zip(gold, predicted, strict=True), start=1):
        if len(wanted) != len(found):
            raise BadInput(
                f"sentence {place} has {len(wanted)} words and {len(found)} predicted tags",
                remedy="tag every word; neither side is cut to the other's length",
            )
    if gold and not any(gold):
        raise BadInput("no sentence has a word", remedy="give at least one word to score")
