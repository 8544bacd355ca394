"""The language registry: one YAML file a language, read from `corpus/languages/`.

To add a language, copy one of those files, name it after the ISO 639-3 code (`sna.yaml`), put it in a folder
of your own and name that folder in the environment:

    export EDGELM_LANGUAGES=~/my-languages
    python -c "from edgelm.languages import get_language; print(get_language('sna'))"

Files there are read after the ones that ship with edgelm; one for the same code takes its place.
"""

import functools
import itertools
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from edgelm import resources
from edgelm.errors import BadInput

VARIABLE = "EDGELM_LANGUAGES"
WRITINGS = ("conjunctive", "disjunctive", "none")
COMPRESSIONS = (".bz2", ".gz", ".xz", ".zip", ".zst")


@dataclass(frozen=True, slots=True)
class Language:
    """One language, as its YAML file describes it."""

    code: str
    """ISO 639-3 code, three lower-case letters; also the name of the file."""
    bcp47: str
    """Shortest BCP 47 tag: the ISO 639-1 code where there is one."""
    name: str
    """English name."""
    autonym: str
    """Name of the language in the language."""
    family: str
    """Group of close relatives, the neighbours that a language identifier confuses."""
    writing: str
    """How words are divided: `conjunctive`, `disjunctive`, or `none` where the contrast does not apply."""
    alphabet: str
    """Every lower-case letter of correct orthography, NFC, as one string."""
    aliases: tuple[str, ...]
    """Other names that a folder, file or field may use."""
    prompt: str
    """The opening of a sentence, to start a text continuation."""


def load_languages(*extra_folders: Path) -> dict[str, Language]:
    """Every known language by ISO 639-3 code, in order of code.

    Reads the files that ship with edgelm, then the folder in EDGELM_LANGUAGES, then `extra_folders`; a later
    file replaces an earlier one of the same code. A folder is read once a process. Raises `BadInput` for a
    folder that is missing or a file that is not a valid description.
    """
    folders = [resources.path("corpus", "languages")]
    if os.environ.get(VARIABLE):
        folders.append(Path(os.environ[VARIABLE]))
    folders += extra_folders
    return dict(_read_folders(tuple(folder.expanduser().absolute() for folder in folders)))


def find_language(name: str, languages: Mapping[str, Language] | None = None) -> Language | None:
    """The language that has `name` as code, BCP 47 tag, name, autonym or alias, or None.

    Case does not matter, and `-`, `_` and space are alike.
    """
    languages = load_languages() if languages is None else languages
    return _by_name(tuple(languages.values())).get(_fold(name))


def get_language(name: str, languages: Mapping[str, Language] | None = None) -> Language:
    """As `find_language`, but raises `BadInput` where no language has that name."""
    languages = load_languages() if languages is None else languages
    language = find_language(name, languages)
    if language is None:
        raise BadInput(
            f"unknown language {name!r}, known: {', '.join(languages)}",
            remedy=f"to add it, add one YAML file to the folder that {VARIABLE} names, written after "
            f"{resources.path('corpus', 'languages', 'zul.yaml')}",
        )
    return language


def language_of_path(path: str | Path, languages: Mapping[str, Language] | None = None) -> Language | None:
    """The language that a file's name says, or else the nearest parent folder that says one, or None.

    As the whole name, any name of a language counts: `zu.txt`, `Northern Sotho/part-1.txt`. As a part of a
    longer name, only an ISO 639-3 code or a tag with a script or region does: `train.zul.txt`,
    `news-zu_Latn.txt`; a two-letter code there may be a word (`st-john.txt`), a name the subject. A name that
    says two languages (`eng-zul.txt`) gives None.
    """
    languages = load_languages() if languages is None else languages
    path = Path(path)
    named = [(path.name, _stem(path.name)), *((folder.name, folder.name) for folder in path.parents)]
    for name, whole in named:
        found = _languages_in(name, whole, tuple(languages.values()))
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _languages_in(name: str, whole: str, languages: tuple[Language, ...]) -> set[Language]:
    """The languages that parts of `name` say or, failing that, the one that `whole` is a name of."""
    tags = _by_tag(languages)
    tokens = [token for token in re.split(r"[._\s-]+", _fold(name)) if token]
    pairs = [f"{a}_{b}" for a, b in itertools.pairwise(tokens)]
    found = {tags[part] for part in tokens + pairs if part in tags}
    named = _by_name(languages).get(_fold(whole))
    return found or ({named} if named else set())


def _stem(name: str) -> str:
    """`name` without its extension and that of its compression; `.12` in `nr.12` is no extension."""
    path = Path(name)
    if path.suffix.lower() in COMPRESSIONS:
        path = Path(path.stem)
    return path.name if path.suffix[1:].isdigit() else path.stem


def _fold(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", unicodedata.normalize("NFC", name).strip().casefold())


def _names(language: Language) -> set[str]:
    every = (language.code, language.bcp47, language.name, language.autonym, *language.aliases)
    return {_fold(name) for name in every}


@functools.lru_cache(maxsize=16)
def _by_name(languages: tuple[Language, ...]) -> dict[str, Language]:
    return {name: language for language in languages for name in _names(language)}


@functools.lru_cache(maxsize=16)
def _by_tag(languages: tuple[Language, ...]) -> dict[str, Language]:
    """The names safe to find inside a longer one: `zul`, `zul_latn`, `zu_latn`, `zu_za`."""
    tags = {}
    for language in languages:
        codes = {language.code, _fold(language.bcp47).split("_")[0]}
        tags[language.code] = language
        tags |= {name: language for name in _names(language) if "_" in name and name.split("_")[0] in codes}
    return tags


@functools.cache
def _read_folders(folders: tuple[Path, ...]) -> dict[str, Language]:
    languages: dict[str, Language] = {}
    files: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise BadInput(
                "no such folder of languages",
                file=folder,
                remedy=f"correct or unset {VARIABLE}, or create the folder",
            )
        for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
            language = _read_language(file)
            languages[language.code], files[language.code] = language, file
    _check_names(languages.values(), files)
    return dict(sorted(languages.items()))


def _check_names(languages: Iterable[Language], files: Mapping[str, Path]) -> None:
    """Raise `BadInput` where two languages answer to one name."""
    owner: dict[str, Language] = {}
    for language in languages:
        for name in sorted(_names(language)):
            other = owner.setdefault(name, language)
            if other is not language:
                raise BadInput(
                    f"the name {name!r} already belongs to {other.code} ({files[other.code]})",
                    file=files[language.code],
                    remedy="remove it from one of the two files",
                )


def _read_language(file: Path) -> Language:
    record = resources.read_yaml(file)
    keys = [field.name for field in fields(Language)]
    if not isinstance(record, dict):
        raise BadInput(
            "not a mapping of keys to values", file=file, remedy=f"give the keys {', '.join(keys)}"
        )
    if unknown := [key for key in record if key not in keys]:
        raise BadInput(
            f"unknown key {unknown[0]!r}", file=file, remedy=f"remove it; the keys are {', '.join(keys)}"
        )
    if missing := [key for key in keys if key not in record]:
        raise BadInput(f"missing key {missing[0]!r}", file=file, remedy=f"add a line '{missing[0]}: ...'")
    aliases = record.pop("aliases")
    if not isinstance(aliases, list):
        raise BadInput(
            f"'aliases' is {_kind(aliases)}", file=file, remedy="write a list: [name, another name]"
        )
    for key, value in [*record.items(), *(("aliases", alias) for alias in aliases)]:
        if not isinstance(value, str) or not value.strip():
            raise BadInput(
                f"{key!r} holds {_kind(value)}, not text", file=file, remedy="write text, in quotes"
            )
    language = Language(**record, aliases=tuple(aliases))
    _check_values(language, file)
    return language


def _check_values(language: Language, file: Path) -> None:
    if not re.fullmatch("[a-z]{3}", language.code):
        raise BadInput(
            f"code {language.code!r} is not an ISO 639-3 code",
            file=file,
            remedy="give three lower-case letters; qaa to qtz are free for private use",
        )
    if language.code != file.stem:
        raise BadInput(
            f"code {language.code!r} is not the name of the file", file=file, remedy="make the two agree"
        )
    if language.writing not in WRITINGS:
        raise BadInput(
            f"writing {language.writing!r}", file=file, remedy=f"give one of {', '.join(WRITINGS)}"
        )
    if language.alphabet != unicodedata.normalize("NFC", language.alphabet.lower()):
        raise BadInput(
            "alphabet is not lower-case NFC", file=file, remedy="write composed, lower-case letters"
        )


def _kind(value: object) -> str:
    """What YAML made of a value, in words: an unquoted `no` is a truth value, an empty one nothing."""
    names = {
        str: "text",
        bool: "a truth value",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a mapping",
    }
    return "nothing" if value is None or value == "" else names.get(type(value), type(value).__name__)
