"""What a model says of a text, as HTML: labels as bars, names highlighted, words with their tags."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

from edgelm.tasks.classification import Classification
from edgelm.tasks.task import Task
from edgelm_demo.context import note
from edgelm_demo.interface import FIRST, say, texts
from edgelm_demo.offers import hues

SHOWN = 5
"""Labels of a text that are seen at once."""
SURE = 0.5
"""From which probability on no doubt is shown."""
GOLDEN = 137.508  # degrees, the golden angle: hues are never alike, however many there are


def answered(
    found: dict[str, Any], text: str, language: str, locale: str, task: Task[Any] | None = None
) -> str:
    """HTML of an answer in the form of `edgelm.runtime.answers.answer` or `edgelm.evaluate.ask`.

    Args:
        text: what was asked about, in NFC.
        language: BCP 47 tag of the text that is shown, or nothing.
        task: says labels in the reader's language, where it has words for them.
    """
    if "text" in found:
        return f'<p class="paper"{_lang(language)}><b>{html.escape(found["text"])}</b></p>'
    if "labels" in found:
        return _ranking(found["labels"], found["measure"] == "probability", locale, task)
    if any("spans" in one for one in found["sentences"]):
        return _names(found["sentences"], text, language, locale)
    return _words(found["sentences"], language, locale)


def _ranking(labels: dict[str, float], probable: bool, locale: str, task: Task[Any] | None) -> str:
    """The labels in their order, with bars and shares where the scores are probabilities."""
    lines = []
    for label, score in labels.items():
        name = task.verbalise(label, locale) if isinstance(task, Classification) else label.replace("_", " ")
        lines.append(f"<li>{_share(name, score) if probable else html.escape(name)}</li>")
    kind = "bars" if probable else "order"
    found = f'<ol class="{kind}">{"".join(lines[:SHOWN])}</ol>'
    if rest := lines[SHOWN:]:
        more = html.escape(say(locale, "tasks.more", count=len(rest)))
        inner = f'<ol class="{kind}" start="{SHOWN + 1}">{"".join(rest)}</ol>'
        found += f"<details><summary>{more}</summary>{inner}</details>"
    if not probable:
        found += note(say(locale, "tasks.margin"))
    elif max(labels.values()) < SURE:
        found += note(say(locale, "tasks.unsure"))
    return found


def _share(name: str, score: float) -> str:
    share = f"{score:.0%}".replace("%", " %") if score >= 0.005 or not score else "&lt; 1 %"
    bar = f'<span class="bar" aria-hidden="true"><i style="width:{100 * score:.1f}%"></i></span>'
    return f'<span class="name">{html.escape(name)}</span>{bar}<span class="share">{share}</span>'


def _names(sentences: Sequence[dict[str, Any]], text: str, language: str, locale: str) -> str:
    """The text as it was given, each name in it marked with its kind; what has not been read is plain."""
    hue = _hues(span["kind"] for one in sentences for span in one["spans"])
    place, found, doubts = 0, "", False
    for one in sentences:
        words, number = one["words"], 0
        begins = {span["start"]: span for span in one["spans"]}
        while number < len(words):
            span = begins.get(number)
            end = span["end"] if span else number + 1
            start = stop = text.index(words[number], place)
            for word in words[number:end]:
                stop = text.index(word, stop) + len(word)
            found += html.escape(text[place:start])
            if span:
                doubt = min(one.get("scores", [1.0] * end)[number:end]) < SURE
                doubts |= doubt
                found += _mark(text[start:stop], _kind(span["kind"], locale), hue[span["kind"]], doubt)
            else:
                found += html.escape(text[start:stop])
            place, number = stop, end
    found = f'<p class="paper"{_lang(language)}>{found}{html.escape(text[place:])}</p>'
    if not hue:
        return found + note(say(locale, "tasks.no_names"))
    return found + _legend(hue, locale, doubts)


def _words(sentences: Sequence[dict[str, Any]], language: str, locale: str) -> str:
    """Each word with its tag below it."""
    hue = _hues(tag for one in sentences for tag in one["tags"])
    found, doubts = "", False
    for one in sentences:
        found += f'<p class="words"{_lang(language)}>'
        scores = one.get("scores", [1.0] * len(one["words"]))
        for word, tag, score in zip(one["words"], one["tags"], scores, strict=True):
            doubt = score < SURE
            doubts |= doubt
            found += _mark(word, tag, hue[tag], doubt) + " "
        found += "</p>"
    return found + _legend(hue, locale, doubts)


def _mark(words: str, kind: str, hue: float, doubt: bool = False) -> str:
    """Words and, set apart, their kind."""
    unsure, mark = (' class="unsure"', " ?") if doubt else ("", "")
    return (
        f'<mark{unsure} style="--hue:{hue:.0f}">{html.escape(words)}<b> {html.escape(kind)}{mark}</b></mark>'
    )


def _legend(hue: dict[str, float], locale: str, doubts: bool) -> str:
    """What the tags mean, in plain words, of those that are known."""
    lines = ""
    for kind, one in hue.items():
        meant = f" {html.escape(_kind(kind, locale))}" if _known(kind) else ""
        lines += f'<li><i style="--hue:{one:.0f}">{html.escape(kind)}</i>{meant}</li>'
    return f'<ul class="legend">{lines}</ul>' + (note(say(locale, "tasks.doubt")) if doubts else "")


def _hues(kinds: Iterable[str]) -> dict[str, float]:
    """A hue for each kind: that of tasks.yaml, or one of its own."""
    known = hues()
    return {kind: known.get(kind, place * GOLDEN % 360) for place, kind in enumerate(dict.fromkeys(kinds))}


TAGS = "tasks.tags."


def _known(kind: str) -> bool:
    return TAGS + kind in texts()[FIRST]


def _kind(kind: str, locale: str) -> str:
    """A tag in plain words, or itself."""
    return say(locale, TAGS + kind) if _known(kind) else kind


def _lang(tag: str) -> str:
    return f' lang="{html.escape(tag)}"' if tag else ""
