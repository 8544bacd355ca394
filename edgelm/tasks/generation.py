"""Generation: a text in, another text out, to be compared with one or more references.

Three ways to keep such data: columns of a table (headlines), two files whose lines belong together (data to
text), and sentence pairs in two languages, read in both directions (translation).
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from edgelm.corpus.repair import normalise
from edgelm.errors import BadInput
from edgelm.languages import load_languages
from edgelm.tasks.description import Description
from edgelm.tasks.examples import Pair
from edgelm.tasks.pairs import Key, SentencePair, read_pairs, split_pairs
from edgelm.tasks.records import Report, read_lines, refuse
from edgelm.tasks.slots import delexicalise, fill
from edgelm.tasks.task import SPLITS, Task

HELD_OUT = {"validation": 0.1, "test": 0.1}


@dataclass(frozen=True, kw_only=True)
class Generation(Task[Pair]):
    """A text and what is to be written for it.

    References are kept as published but for NFC: what is scored against must not be mended.

    Attributes:
        references: files whose lines are the references to the lines of `files`; where they are no columns.
        separator: parts the references that one cell or line holds.
        pattern: how a text is put together, as `<{entity}> <{value}>`; its parts are kept, and the text is
            those, with ` | ` between.
        slots: parts that a model writes as `{name}`, to be filled in when it has: a small one copies badly.
        pairs: languages that the files pair, by the publisher's names, as `eng-zul`; `{pair}` in `files`.
        held_out: shares of validation and test where the publisher has no splits, by content (see
            `edgelm.tasks.pairs`).
        minimum_score: pairs with less in the field `score` are left out.
    """

    family = "generation"
    METRICS = ("chrf", "bleu", "rougeL")
    FIELDS = ("text", "references")
    OPTIONAL = ("score",)

    references: dict[str, str] = field(default_factory=dict)
    separator: str = ""
    pattern: str = ""
    slots: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    held_out: dict[str, float] = field(default_factory=dict)
    minimum_score: float | None = None

    def read(self, split: str, language: str, report: Report = refuse) -> Iterator[tuple[Path, Pair]]:
        if self.pairs:
            yield from self._read_pairs(split, language, report)
            return
        path = self.path(split, language)
        parts = self._regex
        for line, text, cells in (
            self._lines(split, language, report)
            if self.references
            else self._columns(split, language, report)
        ):
            references = tuple(one.strip() for cell in cells for one in self._parted(cell) if one.strip())
            if not references:
                report(
                    BadInput(
                        "no reference",
                        file=path,
                        line=line,
                        remedy="write what is to be answered",
                    )
                )
                continue
            found: dict[str, str] = {}
            if parts:
                match = parts.fullmatch(text.strip())
                if match is None:
                    report(
                        BadInput(
                            f"is not put together as {self.pattern}",
                            file=path,
                            line=line,
                            remedy="correct it",
                        )
                    )
                    continue
                found = {name: as_published(part) for name, part in match.groupdict().items()}
                text = " | ".join(found.values())
            yield path, Pair(text, references, language, None, found, line)

    def answer(self, example: Pair, native: bool = False) -> str:
        first = example.references[0]
        return delexicalise(first, example.parts, self.slots) if self.slots else first

    def finish(self, text: str, example: Pair) -> str:
        return fill(text, {name: example.parts[name] for name in self.slots})

    def values(self, example: Pair, native: bool = False) -> dict[str, str]:
        names = {
            "language": _autonym(example.language),
            "source": _autonym(example.source or example.language),
        }
        return {**example.parts, **names, "text": example.text}

    def sources(self, split: str, language: str) -> list[Path]:
        if self.pairs:
            return [self._pair_path(split, pair) for pair in self.pairs if language in self._codes(pair)]
        if self.references:
            named = self.references[split].format(language=self.languages[language])
            return [self.path(split, language), self.root / named]
        return [self.path(split, language)]

    def _columns(self, split: str, language: str, report: Report) -> Iterator[tuple[int, str, list[str]]]:
        path = self.path(split, language)
        names = self.fields["references"]
        names = [names] if isinstance(names, str) else names
        for line, record in self.rows(split, language, report):
            text = self.text_of(record, path, line, report)
            if text is None:
                continue
            cells: list[Any] = []
            for name in names:
                value = record.get(name)
                cells += value if isinstance(value, list) else [value]
            yield line, text, [as_published(one) for one in cells if isinstance(one, str)]

    def _lines(self, split: str, language: str, report: Report) -> Iterator[tuple[int, str, list[str]]]:
        path, other = self.sources(split, language)
        texts, cells = list(read_lines(path, report)), list(read_lines(other, report))
        if len(texts) != len(cells):
            report(
                BadInput(
                    f"has {len(texts)} lines, {other.name} has {len(cells)}",
                    file=path,
                    remedy="the lines of both have to belong together",
                )
            )
            return
        for (line, text), (_, cell) in zip(texts, cells, strict=True):
            if text.strip():
                yield (
                    line,
                    as_published(text) if self.pattern else normalise(text),
                    [as_published(cell)],
                )
            elif cell.strip():
                report(BadInput("no text", file=path, line=line, remedy="correct that line"))

    def _parted(self, cell: str) -> list[str]:
        return cell.split(self.separator) if self.separator else [cell]

    @cached_property
    def _regex(self) -> re.Pattern[str] | None:
        if not self.pattern:
            return None
        pieces = re.split(r"\{(\w+)\}", self.pattern)
        named = [f"(?P<{one}>.*?)" if at % 2 else re.escape(one) for at, one in enumerate(pieces)]
        return re.compile("".join(named))

    # translation

    def _read_pairs(self, split: str, language: str, report: Report) -> Iterator[tuple[Path, Pair]]:
        for pair in self.pairs:
            codes = self._codes(pair)
            if language not in codes:
                continue
            path, there = self._pair_path(split, pair), codes.index(language)
            found, errors = self._pairs_in(path, pair)
            for error in errors:
                report(error)
            for one in found:
                if self.held_out and self._assigned[one.key(codes)] != split:
                    continue
                if self.minimum_score is not None and one.score < self.minimum_score:
                    continue
                text, reference = one.texts[1 - there], one.texts[there]
                yield path, Pair(text, (reference,), language, codes[1 - there], line=one.line)

    def _pairs_in(self, path: Path, pair: str) -> tuple[list[SentencePair], list[BadInput]]:
        """Pairs of a file and what is wrong with it; read once, though both languages and all splits ask."""
        if path not in self._files_read:
            errors: list[BadInput] = []
            found = list(read_pairs(path, self._names(pair), self.fields.get("score"), errors.append))
            self._files_read[path] = found, errors
        return self._files_read[path]

    @cached_property
    def _files_read(self) -> dict[Path, tuple[list[SentencePair], list[BadInput]]]:
        return {}

    @cached_property
    def _assigned(self) -> dict[Key, str]:
        """Split of each pair, where the publisher has none."""
        found: list[Key] = []
        for pair in self.pairs:
            path, codes = self._pair_path(SPLITS[0], pair), self._codes(pair)
            found += [one.key(codes) for one in self._pairs_in(path, pair)[0]]
        return split_pairs(found, self.held_out)

    def partners(self, language: str) -> list[str]:
        """Codes of the languages that are translated into this one; none where the task has no pairs."""
        pairs = [self._codes(pair) for pair in self.pairs]
        return sorted(codes[1 - codes.index(language)] for codes in pairs if language in codes)

    def _names(self, pair: str) -> tuple[str, str]:
        first, second = pair.split("-")
        return first, second

    def _codes(self, pair: str) -> tuple[str, str]:
        by_name = {name: code for code, name in self.languages.items()}
        first, second = self._names(pair)
        return by_name[first], by_name[second]

    def _pair_path(self, split: str, pair: str) -> Path:
        return self.root / self.files[split].format(pair=pair)

    @classmethod
    def own(cls, description: Description) -> dict[str, Any]:
        pairs = description.texts("pairs")
        names = description.text_mapping("languages")
        for pair in pairs:
            both = pair.split("-")
            if len(both) != 2 or both[0] == both[1]:
                raise description.error("pairs", f"'{pair}' is no pair of languages", "write it as eng-zul")
            description.known_names("pairs", both, list(names.values()))
        references = description.text_mapping("references")
        files = description.value["files"]
        if references and (not isinstance(files, dict) or set(references) != set(files)):
            raise description.error("references", "are not of the splits of 'files'", "name one file a split")
        for name in references.values():
            description.template("references", name, ("language",))
        pattern = description.optional("pattern")
        parts = re.findall(r"\{([a-z_]+)\}", pattern)
        description.template("pattern", pattern, parts)
        slots = description.texts("slots")
        if slots and (pairs or not parts):
            raise description.error("slots", "are parts of a 'pattern'", "write one, or leave them out")
        description.known_names("slots", slots, parts)
        found: dict[str, Any] = {
            "pairs": pairs,
            "references": references,
            "separator": description.optional("separator"),
            "pattern": pattern,
            "slots": slots,
            "held_out": cls._held_out(description, pairs),
            "minimum_score": description.number("minimum_score"),
        }
        if pairs or references:
            found["fields"] = description.mapping("fields")
            description.known_names("fields", list(found["fields"]), ("score",) if pairs else ())
        if found["minimum_score"] is not None and "score" not in found.get("fields", {}):
            raise description.error(
                "minimum_score", "no field holds a score", "name it, as fields: {score: score}"
            )
        return found

    @classmethod
    def _held_out(cls, description: Description, pairs: tuple[str, ...]) -> dict[str, float]:
        shares = description.mapping("held_out")
        description.known_names("held_out", list(shares), SPLITS[1:])
        one_file = not isinstance(description.value["files"], dict)
        if shares and not (pairs and one_file):
            raise description.error("held_out", "is only for pairs in one file", "leave it out")
        if pairs and one_file:
            shares = shares or HELD_OUT
        for name, share in shares.items():
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 0.5:
                raise description.error("held_out", f"{name}: {share!r} is no share", "write one below 0.5")
        return shares

    @classmethod
    def file_placeholders(cls, description: Description) -> tuple[str, ...]:
        return ("pair",) if description.value.get("pairs") else ("language",)

    @classmethod
    def placeholders(cls, description: Description) -> tuple[str, ...]:
        parts = re.findall(r"\{([a-z_]+)\}", str(description.value.get("pattern") or ""))
        return ("text", "language", "source", *parts)


def as_published(text: str) -> str:
    """NFC without the blanks around it, and nothing else changed."""
    return unicodedata.normalize("NFC", text).strip()


def _autonym(code: str) -> str:
    """A language's own name, or its code where the registry does not have it."""
    known = load_languages()
    return known[code].autonym if code in known else code
