"""Recipes: where documents come from, which are kept, how they are split. YAML in `corpus/recipes/`."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from edgelm import resources
from edgelm.corpus.statistics import Statistics
from edgelm.errors import BadInput
from edgelm.languages import Language


@dataclass(frozen=True, slots=True)
class Source:
    """A folder or file of documents with the terms it comes under."""

    path: Path
    licence: str = "not stated"
    attribution: str = "not stated"


@dataclass(frozen=True, slots=True)
class Filter:
    """Keep a document whose `column` lies within `min` and `max`; other bounds for conjunctive writing."""

    reason: str
    column: str
    min: float | None = None
    max: float | None = None
    conjunctive: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.reason, str):
            raise ValueError(f"reason {self.reason!r} is not text; put it in quotes")
        if unknown := set(self.conjunctive) - {"min", "max"}:
            raise ValueError(f"{self.reason}: conjunctive has no '{sorted(unknown)[0]}', only min and max")
        for bound in (self.min, self.max, *self.conjunctive.values()):
            if bound is not None and (isinstance(bound, bool) or not isinstance(bound, int | float)):
                raise ValueError(f"{self.reason}: the bound {bound!r} is not a number")

    def bounds(self, language: Language | None) -> tuple[float, float]:
        own = self.conjunctive if language is not None and language.writing == "conjunctive" else {}
        low, high = own.get("min", self.min), own.get("max", self.max)
        return (float("-inf") if low is None else low), (float("inf") if high is None else high)


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
class Recipe:
    """A whole recipe, resolved: what `corpus build` does is determined by it and by the source bytes."""

    name: str
    sources: tuple[Source, ...]
    filters: tuple[Filter, ...]
    validation: SplitRule
    test: SplitRule
    text_field: str = "text"

    def config(self) -> dict[str, Any]:
        """The recipe as JSON-serialisable values, without the places where sources lie."""
        config = asdict(self)
        config["sources"] = [
            {key: value for key, value in s.items() if key != "path"} for s in config["sources"]
        ]
        return config


def load_recipe(name: str | Path) -> Recipe:
    """A recipe by name, by YAML file, or the default recipe over a folder or file of documents.

    Raises:
        BadInput: no such recipe or path, or the YAML is not a recipe; the message names the key.
    """
    path = Path(name)
    shipped = resources.path("corpus", "recipes", f"{name}.yaml")
    if path.suffix in (".yaml", ".yml"):
        return _parse(path, _read(path))
    if path.exists():
        default = resources.path("corpus", "recipes", "default.yaml")
        return _parse(default, {**_read(default), "sources": [{"path": str(path.resolve())}]})
    if shipped.is_file() and len(path.parts) == 1:
        return _parse(shipped, _read(shipped))
    known = ", ".join(sorted(file.stem for file in shipped.parent.glob("*.yaml")))
    raise BadInput(
        "no such folder, file or recipe",
        file=name,
        remedy=f"give a folder of text, a recipe's YAML file, or one of: {known}",
    )


def _read(path: Path) -> dict[str, Any]:
    value = resources.read_yaml(path)
    if not isinstance(value, dict):
        raise BadInput("is not a recipe", file=path, remedy="start from corpus/recipes/default.yaml")
    if "extends" in value:
        base = value.pop("extends")
        value = {**_read(resources.path("corpus", "recipes", f"{base}.yaml")), **value}
    return value


def _parse(path: Path, value: dict[str, Any]) -> Recipe:
    columns = {column.name for column in fields(Statistics)}
    key = "name"
    try:
        name = str(value["name"])
        key = "sources"
        sources = tuple(
            Source(**{**one, "path": (path.parent / one["path"]).resolve()}) for one in value[key]
        )
        key = "filters"
        filters = tuple(Filter(**one) for one in value[key])
        for one in filters:
            if one.column not in columns:
                raise ValueError(f"no column '{one.column}'; there are {', '.join(sorted(columns))}")
        key = "split"
        splits = {split: SplitRule(**value[key][split]) for split in ("validation", "test")}
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"the key '{key}' is missing or wrong ({error})",
            file=path,
            remedy="start from corpus/recipes/default.yaml",
        ) from None
    return Recipe(
        name, sources, filters, splits["validation"], splits["test"], str(value.get("text_field", "text"))
    )
