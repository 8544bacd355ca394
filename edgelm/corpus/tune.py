"""Decide again over a finished corpus: other thresholds, the effect at once, no pass over the texts.

corpus = Tuning(Path("corpus"))
corpus.change("word_length.max=12", "zul:too_short.min=4")
print_table(*corpus.effect())
corpus.write(Path("corpus-2"))
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgelm import artifacts
from edgelm.corpus import report
from edgelm.corpus.decide import Decisions, decide
from edgelm.corpus.engine import open_engine
from edgelm.corpus.recipe import Filter, Recipe, parse_recipe
from edgelm.corpus.splits import assign_splits
from edgelm.corpus.table import Table
from edgelm.errors import BadInput
from edgelm.languages import Language, load_languages
from edgelm.progress import Progress

FACTS = ("guessed", "terms", "skipped", "contamination")


class Tuning:
    """A finished corpus whose filters can be changed as often as one likes.

    Raises:
        BadInput: `corpus` is no corpus directory.
    """

    def __init__(self, corpus: Path):
        self.corpus = corpus
        self.manifest = report.read_manifest(corpus)
        self.languages: dict[str, Language] = load_languages()
        self.recipe: Recipe = recipe_of(self.manifest, corpus)
        self.table = open_table(corpus, self.manifest)
        self.before: Decisions = decide(self.table, self.recipe, self.languages)
        self.after = self.before

    def change(self, *settings: str) -> None:
        """Set bounds, each as `reason.min=5` or `zul:reason.max=none`, and decide again.

        Raises:
            BadInput: a setting is not of that form or names no filter; nothing is changed then.
        """
        self.recipe, self.after = self.decided(*settings)

    def decided(self, *settings: str) -> tuple[Recipe, Decisions]:
        """The recipe with other bounds, written as `change` takes them, and what it decides.

        Nothing of `self` changes, so that several threads may ask at once.

        Raises:
            BadInput: a setting is not of that form or names no filter.
        """
        recipe = self.recipe
        for setting in settings:
            recipe = _changed(recipe, setting, self.languages)
        return recipe, decide(self.table, recipe, self.languages)

    def effect(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows: documents kept by language before and after, and what the filters now reject."""
        header = ["language", "kept before", "kept now", "change", "rejected now because"]
        language, codes = self.table.codes("language")
        rows = []
        for number, code in enumerate(codes):
            own = language == number
            was, now = int((own & self.before.kept).sum()), int((own & self.after.kept).sum())
            counts = np.bincount(self.after.first[own & ~self.after.kept], minlength=len(self.after.names))
            most = [place for place in np.argsort(-counts, kind="stable")[:3] if counts[place]]
            why = ", ".join(f"{self.after.names[place]} {counts[place]:,}" for place in most)
            rows.append([code, f"{was:,}", f"{now:,}", f"{now - was:+,}", why or "-"])
        return header, rows

    def proposals(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows: what each language's own distribution proposed, and whether it is used."""
        header = ["language", "filter", "proposed", "plausible between", "used", "bounds"]
        rows = []
        for one in self.after.thresholds:
            for note in one.get("proposed", ()):
                bounds = " ".join(f"{side} {one[side]:g}" for side in ("min", "max") if side in one)
                low, high = note["between"]
                rows.append(
                    [
                        one["language"],
                        one["reason"],
                        f"{note['value']:g}",
                        f"{low:g} to {high:g}",
                        "yes" if note["used"] else "no: implausible",
                        bounds,
                    ]
                )
        return header, rows

    def write(self, output: Path, progress: Progress | None = None) -> dict[str, Any]:
        """Write the corpus as now decided to a folder of its own; returns its manifest."""
        from edgelm.corpus.build import check_kept, write_corpus

        progress = progress or Progress(silent=True)

        def work(partial: Path) -> dict[str, Any]:
            check_kept(self.after, self.recipe)
            splits = assign_splits(self.table, self.after.kept, self.recipe)
            facts = {name: self.manifest[name] for name in FACTS}
            with open_engine() as run:
                manifest = write_corpus(
                    self.table, self.after, splits, self.recipe, partial, run, progress, facts
                )
            artifacts.write_json(partial / "manifest.json", manifest)
            report.write(partial, manifest, self.recipe, self.languages)
            return {name: manifest[name] for name in ("documents", "kept", "bytes")}

        artifacts.build(
            output,
            command="corpus tune",
            config={"recipe": self.recipe.config()},
            inputs=[self.corpus],
            work=work,
        )
        return report.read_manifest(output)


@dataclass(frozen=True, slots=True)
class Change:
    """What another decision changes in one language: documents and characters kept, before and after."""

    language: str
    documents: tuple[int, int]
    characters: tuple[int, int]


def changes(table: Table, before: Decisions, after: Decisions) -> list[Change]:
    """What `after` keeps and `before` kept in each language of a table."""
    language, codes = table.codes("language")
    characters = table["characters"].astype(np.int64)
    found = []
    for kept in (before.kept, after.kept):
        documents = np.bincount(language[kept], minlength=len(codes))
        size = np.bincount(language[kept], characters[kept], len(codes)).astype(np.int64)
        found.append((documents.tolist(), size.tolist()))
    (documents_before, size_before), (documents_after, size_after) = found
    return [
        Change(code, (documents_before[at], documents_after[at]), (size_before[at], size_after[at]))
        for at, code in enumerate(codes)
    ]


def open_table(corpus: Path, manifest: dict[str, Any]) -> Table:
    """The measured columns of all documents of a corpus, kept and rejected, in memory.

    Raises:
        BadInput: a file of the corpus is missing or damaged.
    """
    files = [*sorted((corpus / "data").rglob("*.parquet")), *sorted((corpus / "rejected").glob("*.parquet"))]
    table = Table(files)
    if len(table) != manifest["documents"]:
        raise BadInput(
            f"holds {len(table)} documents, but its manifest says {manifest['documents']}",
            file=corpus,
            remedy="build the corpus again",
        )
    columns = {one["column"] for one in manifest["recipe"]["filters"]}
    names = (
        "cluster", "letters", "language_probability", "diacritics", "placeholders", "key", "bytes", "words",
        "row", "characters",
    )  # fmt: skip
    return table.keep([*sorted(columns), *names], ("language", "source", "reading", "claimed"))


def recipe_of(manifest: dict[str, Any], corpus: Path) -> Recipe:
    """The recipe that a corpus was built after, without places of its sources."""
    value = dict(manifest["recipe"])
    try:
        value["split"] = {name: value.pop(name) for name in ("validation", "test")}
        value["sources"] = [{**one, "path": None if one["hub"] else corpus} for one in value["sources"]]
        evaluation = tuple(Path(name) for name in value.pop("evaluation", ()))  # names, and not read again
    except (LookupError, TypeError) as error:
        raise BadInput(
            f"has a recipe that is damaged ({error!r})",
            file=corpus / "manifest.json",
            remedy="build the corpus again",
        ) from None
    return replace(parse_recipe(corpus / "manifest.json", value), evaluation=evaluation)


def _changed(recipe: Recipe, setting: str, languages: dict[str, Language]) -> Recipe:
    form = "write REASON.min=NUMBER or LANGUAGE:REASON.max=NUMBER; `none` for no bound"
    target, equals, text = setting.partition("=")
    language, colon, target = target.rpartition(":")
    reason, dot, side = target.strip().rpartition(".")
    if not equals or not dot or side not in ("min", "max"):
        raise BadInput(f"cannot read the setting '{setting}'", remedy=form)
    if colon and language.strip() not in languages:
        raise BadInput(f"unknown language '{language}' in '{setting}'", remedy=form)
    known = [one.reason for one in recipe.filters]
    if reason not in known:
        raise BadInput(f"no filter '{reason}'", remedy=f"there are {', '.join(dict.fromkeys(known))}")
    try:
        bound = None if text.strip().lower() == "none" else float(text)
        if bound != bound:
            raise ValueError
    except ValueError:
        raise BadInput(f"'{text}' is no number", remedy=form) from None
    return replace(
        recipe,
        filters=tuple(
            _with_bound(one, side, bound, language.strip()) if one.reason == reason else one
            for one in recipe.filters
        ),
    )


def _with_bound(rule: Filter, side: str, bound: float | None, language: str) -> Filter:
    """The filter with another bound; for all languages, conjunctive ones too, where none is named."""
    if language:
        own: dict[str, Any] = {**rule.languages.get(language, {}), side: bound}
        return replace(rule, languages={**rule.languages, language: own})
    conjunctive: dict[str, Any] = {name: value for name, value in rule.conjunctive.items() if name != side}
    others: dict[str, Any] = {
        code: {name: value for name, value in own.items() if name != side}
        for code, own in rule.languages.items()
    }
    if side == "min":
        return replace(rule, conjunctive=conjunctive, languages=others, min=bound)
    return replace(rule, conjunctive=conjunctive, languages=others, max=bound)
