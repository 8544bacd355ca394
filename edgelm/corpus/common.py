"""Between the two passes: what is known only once all text was read."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgelm.corpus import blanks, decontaminate, hyphens, lines
from edgelm.corpus.measure import Common, grams_file
from edgelm.corpus.recipe import Recipe


def gather(read: Path, answers: dict[int, dict[str, Any]], folder: Path, recipe: Recipe) -> Common:
    """Merge the line and word counts of all inputs in `read` and lay the outcome into `folder`."""
    folder.mkdir(exist_ok=True)
    groups: dict[str, list[int]] = {}
    for number in sorted(answers):
        groups.setdefault(answers[number]["group"], []).append(number)
    boilerplate = {}
    if recipe.boilerplate:
        for place, (group, numbers) in enumerate(sorted(groups.items())):
            counted = [_line_counts(read, number) for number in numbers]
            keys, counts = lines.merge((keys, counts) for keys, counts, _ in counted)
            documents = sum(int(count) for _, _, count in counted)
            boilerplate[group] = folder / f"boilerplate-{place:04d}.npy"
            np.save(boilerplate[group], lines.boilerplate(keys, counts, documents, recipe.boilerplate))
    pairs = words = None
    broken: list[int] = []
    blanked: list[int] = []
    if "hyphens" in (recipe.repair or ()):
        pairs, words = folder / "hyphens.npy", folder / "words.npz"
        parts = _Words([read / f"{number:05d}.words.npz" for number in sorted(answers)])
        found = hyphens.breaks(parts)
        np.save(pairs, found.keys)
        broken = [
            number
            for number, part in zip(sorted(answers), parts, strict=True)
            if hyphens.is_broken(part, found)
        ]
        blanked = [
            number
            for number, part in zip(sorted(answers), parts, strict=True)
            if hyphens.is_broken(part, found, blanks.BROKEN_SHARE)
        ]
        if blanked:
            blanks.all_words(parts).save(words)
    evaluation = None
    if recipe.evaluation:
        evaluation = folder / "evaluation"
        decontaminate.load_evaluation(recipe.evaluation, recipe.evaluation_ngram).save(evaluation)
    return Common(boilerplate, pairs, frozenset(broken), words, frozenset(blanked), evaluation)


def contamination(common: Common, measured: Sequence[Path]) -> list[dict[str, Any]]:
    """For each evaluation file how many of its items the documents hold; none where no file was given."""
    if common.evaluation is None:
        return []
    grams = np.concatenate([np.zeros(0, dtype=np.int64), *(np.load(grams_file(shard)) for shard in measured)])
    found = decontaminate.Contamination.load(common.evaluation).report(np.unique(grams))
    paths = [Path(os.path.abspath(str(one["file"]))) for one in found]
    root = os.path.commonpath([path.parent for path in paths])  # where they lie is no result
    return [
        {**one, "file": path.relative_to(root).as_posix()} for one, path in zip(found, paths, strict=True)
    ]


class _Words(Sequence[hyphens.WordCounts]):
    """The word counts of all inputs, in memory only one at a time."""

    def __init__(self, files: list[Path]):
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: Any) -> Any:
        return hyphens.WordCounts.load(self.files[place])


def _line_counts(read: Path, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.load(read / f"{number:05d}.lines.npz") as found:
        return found["keys"], found["counts"], found["documents"]
