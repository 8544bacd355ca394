"""Recipes: where documents come from, what is done to them, which are kept, how they are split.

YAML in `corpus/recipes/`. A recipe that `extends` another takes over every key that it does not set itself.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from edgelm import resources
from edgelm.corpus.near_duplicates import BoilerplateLines, NearDuplicates
from edgelm.errors import BadInput
from edgelm.languages import Language, get_language

REPAIRS = ("mojibake", "entities", "markup", "hyphens", "joins")
REDACTIONS = ("off", "count", "tags")
DOCUMENTS = ("lines", "paragraphs", "files")
OPTIONS = (
    "repair", "identify", "c4_lines", "redact", "text_field", "evaluation_ngram", "exact_duplicates",
)  # fmt: skip
EXAMPLE = "start from corpus/recipes/default.yaml"


@dataclass(frozen=True, slots=True)
class Source:
    """A folder or file of documents, or a dataset of the Hugging Face hub, with the terms it comes under."""

    path: Path | None = None
    """Folder or file; `$VARIABLES` of the environment are filled in."""
    hub: str | None = None
    """Instead of a path: a dataset's name on the hub, or the folder of one, read as a stream."""
    config: str | None = None
    """The hub dataset's configuration."""
    split: str = "train"
    """The hub dataset's split."""
    revision: str | None = None
    """The hub dataset's commit or tag, without which next month's text may be another."""
    name: str | None = None
    """What documents say their source is; else the folder's name."""
    licence: str = "not stated"
    attribution: str = "not stated"
    genre: str = "not stated"
    """Kind of text, for the report: news, government, bible, wiki, stories, web ..."""
    language: str | None = None
    """Language of all its documents, where neither records nor names say it."""
    documents: str = "lines"
    """What a document is in a text file: each of its `lines` or `paragraphs`, or the whole of the `files`."""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.hub is None):
            raise ValueError("a source has either a 'path' or a 'hub'")
        if self.documents not in DOCUMENTS:
            raise ValueError(f"documents '{self.documents}' is none of {', '.join(DOCUMENTS)}")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A bound that each language's own distribution proposes, used only if it is plausible."""

    quantile: float
    """Of the column over the language's documents that passed the filters before."""
    between: tuple[float, float]
    """The plausible range; a proposed value outside it is reported and not used."""
    otherwise: float
    """The bound then, and where a language has too few documents to propose one."""

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise ValueError(f"quantile {self.quantile} is not between 0 and 1")
        low, high = self.between
        if not low <= self.otherwise <= high:
            raise ValueError(f"otherwise {self.otherwise} lies outside between [{low}, {high}]")


Bound = float | Proposal


@dataclass(frozen=True, slots=True)
class Filter:
    """Keep a document whose `column` lies within `min` and `max`, both included.

    `conjunctive` has other bounds for conjunctive writing, `languages` for single languages by code.
    """

    reason: str
    column: str
    min: Bound | None = None
    max: Bound | None = None
    conjunctive: Mapping[str, Bound] = field(default_factory=dict)
    languages: Mapping[str, Mapping[str, Bound]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.reason, str):
            raise ValueError(f"reason {self.reason!r} is not text; put it in quotes")
        own = {"conjunctive": self.conjunctive, **self.languages}
        for name, bounds in own.items():
            if unknown := set(bounds) - {"min", "max"}:
                raise ValueError(f"{self.reason}: {name} has no '{sorted(unknown)[0]}', only min and max")
        for side in ("min", "max"):
            object.__setattr__(self, side, self._bound(getattr(self, side)))
        object.__setattr__(self, "conjunctive", self._bounds(self.conjunctive))
        object.__setattr__(
            self, "languages", {code: self._bounds(one) for code, one in self.languages.items()}
        )

    def _bounds(self, bounds: Mapping[str, Any]) -> dict[str, Bound | None]:
        return {side: self._bound(value) for side, value in bounds.items()}

    def _bound(self, value: Any) -> Bound | None:
        if isinstance(value, Mapping):
            return Proposal(**{**value, "between": tuple(value["between"])})
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not number and not isinstance(value, Proposal):
            raise ValueError(f"{self.reason}: the bound {value!r} is not a number")
        return value

    def bounds(self, language: Language | None) -> tuple[Bound, Bound]:
        """Lower and upper bound for a language, infinite where there is none."""
        own: dict[str, Any] = {"min": self.min, "max": self.max}
        if language is not None:
            own |= self.conjunctive if language.writing == "conjunctive" else {}
            own |= self.languages.get(language.code, {})
        return (
            float("-inf") if own["min"] is None else own["min"],
            float("inf") if own["max"] is None else own["max"],
        )


@dataclass(frozen=True, slots=True)
class SplitRule:
    """A share of the documents by hash, at most `max_bytes` of text a language."""

    share: float
    max_bytes: int

    def __post_init__(self) -> None:
        if not 0 <= self.share < 0.5:
            raise ValueError(f"share {self.share} is not between 0 and 0.5")
        if self.max_bytes < 0:
            raise ValueError(f"max_bytes {self.max_bytes} is below 0")


@dataclass(frozen=True, slots=True)
class Mix:
    """How often each language is seen: by temperature, or evenly up to a number of epochs (UniMax)."""

    temperature: float | None = None
    """p ~ bytes^(1/temperature): 1 is in proportion, large is even (Conneau et al., 2020)."""
    unimax_epochs: float | None = None
    """An even share for each language, but none repeated more often than this (Chung et al., 2023)."""

    def __post_init__(self) -> None:
        if (self.temperature is None) == (self.unimax_epochs is None):
            raise ValueError("mix has either a 'temperature' or 'unimax_epochs'")
        for name, least in (("temperature", 1), ("unimax_epochs", 1)):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"{name} {value} is below {least}")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole recipe, resolved: what `corpus build` does is determined by it and by the source bytes."""

    name: str
    sources: tuple[Source, ...]
    filters: tuple[Filter, ...]
    validation: SplitRule
    test: SplitRule
    text_field: str = "text"
    repair: tuple[str, ...] | None = REPAIRS
    """What is mended besides composition (NFC), control characters and blanks; None mends nothing."""
    identify: bool = True
    boilerplate: BoilerplateLines | None = None
    c4_lines: bool = False
    """Remove the lines that C4's rules remove, before the FineWeb columns are measured."""
    redact: str = "off"
    evaluation: tuple[Path, ...] = ()
    """Files whose text must not be in the corpus."""
    evaluation_ngram: int = 13
    exact_duplicates: bool = True
    """Remove documents equal but for case, digits, punctuation and spacing."""
    near_duplicates: NearDuplicates | None = None
    mix: Mix = Mix(temperature=1)

    def __post_init__(self) -> None:
        if unknown := set(self.repair or ()) - set(REPAIRS):
            raise ValueError(f"no repair '{sorted(unknown)[0]}'; there are {', '.join(REPAIRS)}")
        for start, undone in (("repaired_", self.repair is None), ("redacted_", self.redact == "off")):
            for rule in self.filters:
                if undone and rule.column.startswith(start):
                    raise ValueError(f"{rule.reason}: {rule.column} is not measured by this recipe")
        if len(self.filters) > 64:
            raise ValueError(f"{len(self.filters)} filters, more than 64")
        if not 5 <= self.evaluation_ngram <= 100:
            raise ValueError(f"evaluation_ngram {self.evaluation_ngram} is not between 5 and 100")
        if self.redact not in REDACTIONS:
            raise ValueError(f"redact '{self.redact}' is none of {', '.join(REDACTIONS)}")
        for name, kind in (
            ("identify", bool),
            ("c4_lines", bool),
            ("text_field", str),
            ("evaluation_ngram", int),
        ):
            if type(getattr(self, name)) is not kind:
                raise ValueError(f"{name} is {getattr(self, name)!r}, not of the type {kind.__name__}")

    def config(self) -> dict[str, Any]:
        """The recipe as JSON-serialisable values, without the places where files lie."""
        config = asdict(self)
        for source in config["sources"]:
            del source["path"]
        config["evaluation"] = [path.name for path in self.evaluation]
        return config


def load_recipe(name: str | Path, over: str | None = None) -> Recipe:
    """A recipe by name, by YAML file, or the default recipe over a folder or file of documents.

    Args:
        over: another recipe than the default, by name or YAML file, whose sources `name` takes the place of.

    Raises:
        BadInput: no such recipe or path, or the YAML is not a recipe; the message names the key.
    """
    path = Path(name)
    documents = path.exists() and not _is_yaml(path)
    if over is not None and not documents:
        raise BadInput("is no folder or file of documents", file=name, remedy="--recipe is for those")
    if documents:
        return replace(_recipe(over or "default"), sources=(Source(path=path.resolve()),))
    return _recipe(name)


def _recipe(name: str | Path) -> Recipe:
    """A recipe that ships with edgelm, by name, or one in a YAML file."""
    path = Path(name)
    if _is_yaml(path):
        return parse_recipe(path, _read(path))
    shipped = resources.path("corpus", "recipes", f"{name}.yaml")
    if shipped.is_file() and len(path.parts) == 1:
        return parse_recipe(shipped, _read(shipped))
    known = ", ".join(sorted(file.stem for file in resources.path("corpus", "recipes").glob("*.yaml")))
    raise BadInput(
        "no such folder, file or recipe",
        file=name,
        remedy=f"give a folder of text, a recipe's YAML file, or one of: {known}",
    )


def known_columns() -> dict[str, str]:
    """Every column a filter may name, with what it holds."""
    return resources.read_yaml(resources.path("corpus", "columns.yaml"))


def _is_yaml(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml")


def _read(path: Path) -> dict[str, Any]:
    value = resources.read_yaml(path)
    if not isinstance(value, dict):
        raise BadInput("is not a recipe", file=path, remedy=EXAMPLE)
    if "extends" in value:
        base = value.pop("extends")
        value = {**_read(resources.path("corpus", "recipes", f"{base}.yaml")), **value}
    return value


def parse_recipe(path: Path, value: dict[str, Any]) -> Recipe:
    """The recipe that the values of a YAML file at `path` describe; paths in them are relative to that file.

    Raises:
        BadInput: a key is missing or wrong; the message names it.
    """
    columns = known_columns()
    try:
        own = [one.name for one in fields(Recipe) if one.name not in ("validation", "test")]
        known = ["extends", "split", *own]
        for key in value:
            if key not in known:
                raise ValueError(f"there are {', '.join(known)}")
        key = "name"
        options: dict[str, Any] = {"name": str(value["name"])}
        key = "sources"
        options[key] = tuple(_source(path, one) for one in value[key])
        key = "filters"
        options[key] = tuple(Filter(**one) for one in value[key])
        for one in options[key]:
            if one.column not in columns:
                raise ValueError(f"no column '{one.column}'; there are {', '.join(sorted(columns))}")
        key = "split"
        options |= {split: SplitRule(**value[key][split]) for split in ("validation", "test")}
        for key, kind in (
            ("boilerplate", BoilerplateLines),
            ("near_duplicates", NearDuplicates),
            ("mix", Mix),
        ):
            if value.get(key) is not None:
                options[key] = kind(**value[key])
        key = "evaluation"
        if isinstance(value.get(key), str):
            raise ValueError("a list of files is needed")
        options[key] = tuple(_path(path, one) for one in value.get(key) or ())
        for key in OPTIONS:
            if key in value:
                options[key] = tuple(value[key]) if isinstance(value[key], list) else value[key]
        if options.get("redact") is False:  # what YAML makes of a bare off
            options["redact"] = "off"
        key = ", ".join(OPTIONS)
        return Recipe(**options)
    except (KeyError, TypeError, ValueError, BadInput) as error:
        raise BadInput(f"the key '{key}' is missing or wrong ({error})", file=path, remedy=EXAMPLE) from None


def _source(file: Path, value: dict[str, Any]) -> Source:
    if isinstance(value, dict) and value.get("path") is not None:
        value = {**value, "path": _path(file, value["path"])}
    source = Source(**value)
    if source.language:
        source = replace(source, language=get_language(source.language).code)
    if source.hub and (file.parent / source.hub).is_dir():
        source = replace(source, hub=str((file.parent / source.hub).resolve()))
    return source


def _path(file: Path, value: str | Path) -> Path:
    """A path in a recipe, relative to the recipe's own folder; a `Path` is taken as it is."""
    if isinstance(value, Path):
        return value
    filled = os.path.expandvars(value)
    if "$" in filled:
        raise ValueError(f"the environment has no such variable: {value}")
    return (file.parent / Path(filled).expanduser()).resolve()
