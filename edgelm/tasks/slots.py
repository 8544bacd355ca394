"""Slots: a text with `{entity}` where it holds the entity, to be filled in with another one.

A slot remembers the form in which the part was found, such as `{value:number}` for one without its `.0`.
Prefixes that are written together with a part stay: `i{entity}`.
"""

import re
from collections.abc import Callable, Mapping, Sequence

SLOT = re.compile(r"\{([a-z_]+)(?::([a-z]+))?\}")
WHOLE = "whole"


def _bare(text: str) -> str:
    return re.sub(r"\s*\([^)]*\)", "", text).replace("_", " ").strip() or text


FORMS: dict[str, Callable[[str], str]] = {
    WHOLE: lambda text: text,
    "bare": _bare,
    "number": lambda text: re.sub(r"(?<=\d)\.0+$", "", _bare(text)),
    "head": lambda text: _bare(text).split(",")[0].strip() or text,
}
"""How a sentence may write a part, from the most to the least of it."""


def delexicalise(sentence: str, parts: Mapping[str, str], names: Sequence[str]) -> str:
    """The sentence with a slot for each place that holds one of these parts, letters of any case.

    A sentence that has something like a slot in it stays as it is.
    """
    if SLOT.search(sentence):
        return sentence
    for name in sorted(names, key=lambda name: -len(parts[name])):
        for form, write in FORMS.items():
            words = [re.escape(word) for word in re.split(r"[\s_-]+", write(parts[name])) if word]
            if not words:
                continue
            # a number is not part of a longer one, and a name of a letter or two not part of a word
            edge = r"(?<!\d)", r"(?!\d)"
            if len("".join(words)) < 3 and not parts[name][:1].isdigit():
                edge = r"\b", r"\b"
            pattern = re.compile(edge[0] + r"[\s_-]+".join(words) + edge[1], re.IGNORECASE)
            slot = f"{{{name}}}" if form == WHOLE else f"{{{name}:{form}}}"
            changed = _outside_slots(pattern, slot, sentence)
            if changed != sentence:
                sentence = changed
                break
    return sentence


def _outside_slots(pattern: re.Pattern[str], slot: str, sentence: str) -> str:
    found, end = "", 0
    for here in SLOT.finditer(sentence):
        found += pattern.sub(slot, sentence[end : here.start()]) + here[0]
        end = here.end()
    return found + pattern.sub(slot, sentence[end:])


def fill(text: str, parts: Mapping[str, str]) -> str:
    """The text with its slots filled in; a slot of no known part or form stays."""

    def filled(slot: re.Match[str]) -> str:
        name, form = slot[1], slot[2] or WHOLE
        return FORMS[form](parts[name]) if name in parts and form in FORMS else slot[0]

    return SLOT.sub(filled, text)
