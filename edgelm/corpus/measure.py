"""The second pass: everything there is to know of each document, in batches, as Parquet columns.

A shard is measured independently of the others, given what the first pass found in all of them (`Common`).
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgelm.corpus import (
    blanks,
    datatrove,
    decontaminate,
    hyphens,
    lines,
    minhash,
    redact,
    statistics,
)
from edgelm.corpus.ingest import SCHEMA, UNKNOWN, input_number
from edgelm.corpus.langid import default_identifier
from edgelm.corpus.parquet import open_writer
from edgelm.corpus.recipe import Recipe
from edgelm.extras import require
from edgelm.languages import load_languages

CONFIDENT = 0.9  # probability from which a line counts as being in another language
SHORTEST_LINE = 15  # letters; a shorter line says too little about its language
OTHER = "other"
NOT_LETTERS = re.compile(r"[\W\d_]+")
LANGUAGE_COLUMNS = ("language_probability", "foreign_lines")


@dataclass(frozen=True, slots=True)
class Common:
    """What the first pass found in all text, in files that every worker maps.

    Attributes:
        boilerplate: sorted keys of the lines to remove, by group of sources.
        hyphens: sorted keys of the hyphenated pairs that are broken words.
        broken: numbers of the inputs that hold such words at all.
        words: the words of the corpus and their counts.
        blanked: numbers of the inputs whose words are broken by blanks too.
        evaluation: n-grams of evaluation files.
    """

    boilerplate: dict[str, Path]
    hyphens: Path | None
    broken: frozenset[int]
    words: Path | None
    blanked: frozenset[int]
    evaluation: Path | None


def measure_shard(shard: Path, group: str, output: Path, common: Common, recipe: Recipe) -> int:
    """Measure the documents of one shard of the first pass into `output`; returns how many there are."""
    arrow = require("pyarrow", "corpus")
    parquet = require("pyarrow.parquet", "corpus")
    part = output.with_name(f"{output.stem}.{os.getpid()}.part")
    measurer = Measurer(input_number(shard), group, common, recipe)
    reader = parquet.ParquetFile(shard)
    writer = None
    shared = [np.zeros(0, dtype=np.int64)]  # n-grams of evaluation files that occur here
    for number in range(reader.num_row_groups):
        table = measurer.measure(arrow, reader.read_row_group(number), shared)
        if writer is None:
            writer = open_writer(part, table.schema, compression="lz4", use_dictionary=DICTIONARY)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    if common.evaluation:
        np.save(grams_file(output), np.unique(np.concatenate(shared)))
    part.replace(output)
    return int(reader.metadata.num_rows)


def grams_file(measured: Path) -> Path:
    """Beside a measured shard, the n-grams of evaluation files that its documents hold."""
    return measured.with_suffix(".grams.npy")


DICTIONARY = ["language", "source", "claimed", "reading", "identified"]


class Measurer:
    def __init__(self, number: int, group: str, common: Common, recipe: Recipe):
        self.recipe = recipe
        path = common.boilerplate.get(group)
        self.boilerplate = np.load(path, mmap_mode="r") if path else None
        self.hyphens = np.load(common.hyphens) if common.hyphens and number in common.broken else None
        self.words = blanks.Words.load(common.words) if common.words and number in common.blanked else None
        self.evaluation = decontaminate.Contamination.load(common.evaluation) if common.evaluation else None
        self.codes, self.alphabets = _alphabets()

    def measure(self, arrow: Any, table: Any, shared: list[np.ndarray]) -> Any:
        """The table with its texts cleaned and the measured columns added; `shared` gains what was hit."""
        texts = table["text"].to_pylist()
        declared = table["language"].to_pylist()
        reading = table["reading"].to_pylist()
        none = np.zeros(len(texts), dtype=np.int32)
        columns = {"boilerplate_lines": none, "contaminated": none}
        if self.boilerplate is not None:
            left, columns["boilerplate_lines"] = lines.strip(texts, self.boilerplate)
            # what is nothing but boilerplate is kept as it is, to be read among the rejected
            texts = [new or old for new, old in zip(left, texts, strict=True)]
        if self.hyphens is not None:
            texts, joined = hyphens.join_hyphens(texts, self.hyphens)
            if self.words is not None:
                texts, closed = blanks.join_blanks(texts, self.words)
                joined = joined + closed
            columns["repaired_hyphens"] = joined + table["repaired_hyphens"].to_numpy()
        if self.recipe.redact != "off":
            texts, found = redact.redact(texts, tags=self.recipe.redact == "tags")
            columns |= found
        measured, cleaned = datatrove.measure(texts)
        if self.recipe.c4_lines:
            texts = cleaned
        columns |= measured
        language, identified, found = self._languages(texts, declared, reading)
        columns |= found
        alphabet = np.array([self.codes.get(code, 0) for code in language])
        columns |= statistics.measure(texts, self.alphabets, alphabet)
        columns["key"] = statistics.text_keys(texts)
        if self.evaluation is not None:
            hits = self.evaluation.hits(texts)
            columns |= {"contaminated": hits.counts, "contaminated_by": hits.files}
            shared.append(hits.grams)
        strings = {"text": texts, "language": language, "reading": reading, "identified": identified}
        arrays = {name: table[name] for name in ("id", "source", "claimed")}
        arrays |= {name: arrow.array(values, arrow.string()) for name, values in strings.items()}
        arrays |= {name: arrow.array(values) for name, values in columns.items()}
        for name in table.column_names:
            arrays.setdefault(name, table[name])
        if near := self.recipe.near_duplicates:
            signatures = minhash.signatures(texts, near.ngram, near.permutations, near.seed)
            packed = minhash.compact(signatures)
            arrays["minhash"] = arrow.FixedSizeBinaryArray.from_buffers(
                arrow.binary(packed.shape[1]),
                len(packed),
                [None, arrow.py_buffer(np.ascontiguousarray(packed))],
            )
        order = [*SCHEMA, *sorted(set(arrays) - set(SCHEMA))]  # the same in every shard
        return arrow.table({name: arrays[name] for name in order})

    def _languages(
        self, texts: Sequence[str], declared: Sequence[str | None], reading: list[str | None]
    ) -> tuple[list[str], list[str | None], dict[str, np.ndarray]]:
        """Language of each document, the identified one, and columns; notes in `reading` what is no language.

        Where nothing says the language, the identified one is taken.
        """
        guessed = np.array([code is None for code in declared])
        language = [UNKNOWN if code is None else code for code in declared]
        unknown = dict.fromkeys(LANGUAGE_COLUMNS, np.full(len(texts), np.nan, dtype=np.float32))
        if not self.recipe.identify and not guessed.any():
            return language, [None] * len(texts), {"guessed": guessed, **unknown}
        identifier = default_identifier()
        names = identifier.languages
        place = {name: index for index, name in enumerate(names)}
        probabilities = identifier.probabilities(texts)
        best = probabilities.argmax(axis=1)
        identified = [names[index] if text else None for index, text in zip(best, texts, strict=True)]
        for row in np.flatnonzero(guessed):
            language[row] = identified[row] or UNKNOWN
            if reading[row] is None and identified[row] is None:
                reading[row] = "empty"
            if reading[row] is None and identified[row] == OTHER and self.recipe.identify:
                reading[row] = "other_language"
        guessed &= np.array([reason is None for reason in reading])
        if not self.recipe.identify:
            return language, [None] * len(texts), {"guessed": guessed, **unknown}
        own = np.array([place.get(code, -1) for code in language])
        probability = np.where(own >= 0, probabilities[np.arange(len(texts)), own], np.nan)
        columns = {
            "guessed": guessed,
            "language_probability": probability.astype(np.float32),
            "foreign_lines": self._foreign_lines(texts, own),
        }
        return language, identified, columns

    def _foreign_lines(self, texts: Sequence[str], own: np.ndarray) -> np.ndarray:
        """Share of the letters of each document that stand on lines confidently in another language."""
        share = np.zeros(len(texts), dtype=np.float32)
        pieces: list[str] = []
        owner: list[int] = []
        for row, text in enumerate(texts):
            if own[row] >= 0 and "\n" in text:
                found = [line for line in text.split("\n") if _letters(line) >= SHORTEST_LINE]
                pieces += found
                owner += [row] * len(found)
        if pieces:
            owners = np.array(owner)
            theirs = default_identifier().probabilities(pieces)[np.arange(len(pieces)), own[owners]]
            foreign = np.array([_letters(line) for line in pieces]) * (theirs < 1 - CONFIDENT)
            total = np.bincount(owners, foreign, len(texts))
            size = np.array([max(_letters(text), 1) for text in texts])
            share += (total / size).astype(np.float32)
        return share


def _letters(text: str) -> int:
    return len(NOT_LETTERS.sub("", text))


@cache
def _alphabets() -> tuple[dict[str, int], np.ndarray]:
    """Row of each language in the table of alphabets; row 0 holds every letter, for languages unknown."""
    languages = load_languages()
    codes = {code: row for row, code in enumerate(sorted(languages), 1)}
    return codes, statistics.alphabet_table(["", *(languages[code].alphabet for code in sorted(languages))])
