"""What `manifest.json` says of a corpus, as far as others rely on it."""

from typing import Any, NotRequired, TypedDict


class Size(TypedDict):
    documents: int
    bytes: int


class Kept(Size):
    kept: int


class Read(TypedDict):
    words: int
    bytes: int


class Splits(TypedDict):
    train: Size
    validation: Size
    test: Size


class OfLanguage(Kept):
    words: int
    read: Read
    splits: Splits
    rejected: dict[str, int]
    failed: NotRequired[dict[str, int]]
    repaired: NotRequired[dict[str, int]]
    redacted: NotRequired[dict[str, int]]


class OfSource(Kept):
    languages: dict[str, tuple[int, int, int]]
    """Documents, those kept, and bytes."""


class Proposed(TypedDict):
    value: float
    used: bool


class Threshold(TypedDict):
    reason: str
    column: str
    language: str
    min: NotRequired[float]
    max: NotRequired[float]
    proposed: NotRequired[list[Proposed]]


class Share(TypedDict):
    bytes: int
    share: float
    epochs: float


class Rule(TypedDict):
    reason: str
    column: str


class OfRecipe(TypedDict):
    name: str
    filters: NotRequired[list[Rule]]


class Skipped(TypedDict):
    file: str
    reason: str


class Manifest(Kept):
    recipe: OfRecipe
    languages: dict[str, OfLanguage]
    sources: dict[str, OfSource]
    terms: dict[str, dict[str, str]]
    thresholds: list[Threshold]
    mix: dict[str, Share]
    guessed: NotRequired[int]
    skipped: NotRequired[list[Skipped]]
    contamination: list[dict[str, Any]]
