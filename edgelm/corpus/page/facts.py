"""What every section of the report asks of a manifest: names of languages, reasons in their order, totals."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgelm.languages import Language
from edgelm.page.markup import Html, element, foreign, words_of

DUPLICATES = {"duplicate": "dup", "near_duplicate": "near"}
COLOURS = 10  # of filters, one after the other; the number beside each tells two of one colour apart
NOT_STATED = "not stated"
ALIKE = 20  # reasons that differ only behind a colon, such as names of unknown languages, shown one by one
DOCUMENTS = ("document", "documents")


@dataclass(frozen=True, slots=True)
class Group:
    """One part of the bars: a reason, or reasons of reading that differ only behind their colon.

    Attributes:
        key: number written in the bars.
        style: class that colours it.
        members: the reasons, commonest first.
    """

    key: str
    style: str
    name: str
    members: tuple[str, ...]


@dataclass(slots=True)
class Facts:
    """A manifest with what follows from it.

    Attributes:
        rejected: documents by first reason, over all languages.
        groups: the reasons that occur, in the order in which they are looked for.
    """

    manifest: Mapping[str, Any]
    registry: Mapping[str, Language]
    codes: list[str] = field(init=False)
    own: dict[str, dict[str, Any]] = field(init=False)
    rejected: Counter[str] = field(init=False)
    groups: list[Group] = field(init=False)

    def __post_init__(self) -> None:
        self.own = dict(self.manifest["languages"])
        self.codes = list(self.own)
        self.rejected = Counter()
        for one in self.own.values():
            self.rejected.update(one["rejected"])
        self.groups = self._groups()

    def _groups(self) -> list[Group]:
        filters = list(dict.fromkeys(rule["reason"] for rule in self.rules))
        read: dict[str, list[str]] = {}
        for reason, _ in self.rejected.most_common():
            if reason not in filters and reason not in DUPLICATES:
                read.setdefault(reason.partition(":")[0], []).append(reason)
        found = [
            (f"read{min(at, 1)}", name, members) for at, (name, members) in enumerate(sorted(read.items()))
        ]
        found += [(f"r{at % COLOURS}", name, [name]) for at, name in enumerate(filters)]
        found += [(style, name, [name]) for name, style in DUPLICATES.items() if name not in filters]
        present = [one for one in found if any(self.rejected[reason] for reason in one[2])]
        return [
            Group(str(key), style, words_of(name), tuple(members))
            for key, (style, name, members) in enumerate(present, 1)
        ]

    @property
    def rules(self) -> list[dict[str, Any]]:
        """The filters of the recipe, in order."""
        return list(self.manifest["recipe"].get("filters") or ())

    def label(self, code: str) -> str:
        """A language's own name, for labels."""
        return self.registry[code].autonym if code in self.registry else code

    def name(self, code: str) -> Html:
        """A language's own name as markup, with its code."""
        if code not in self.registry:
            return foreign(code)
        return element(
            "span", foreign(self.registry[code].autonym, self.tag(code)), f" ({code})", class_="name"
        )

    def tag(self, code: str) -> str | None:
        """BCP 47 tag for a `lang` attribute."""
        return self.registry[code].bcp47 if code in self.registry else None

    def total(self, *path: str) -> int:
        """Sum over languages of the number at a path, as `total("read", "bytes")`."""
        numbers = []
        for one in self.own.values():
            value: Any = one
            for key in path:
                value = value[key]
            numbers.append(int(value))
        return sum(numbers)

    def count(self, code: str, group: Group) -> int:
        """Documents of a language rejected for a group of reasons."""
        return sum(self.own[code]["rejected"].get(reason, 0) for reason in group.members)

    def terms(self, source: str) -> dict[str, str]:
        """Licence, attribution and genre of a source, as far as the recipe states them."""
        stated = self.manifest.get("terms", {}).get(source, {})
        return {name: stated.get(name) or NOT_STATED for name in ("licence", "attribution", "genre")}


def counted(count: int, what: tuple[str, str] = DOCUMENTS) -> str:
    """`1 document`, `2 documents`."""
    return f"{count:,} {what[0] if count == 1 else what[1]}"
