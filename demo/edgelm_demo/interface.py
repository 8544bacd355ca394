"""The words of the page, in every language that texts.yaml has.

A component takes `text(key)` where it shows words; `follow` finds those and gives them in the language that
the reader chooses. What an event shows takes `say(locale, key)`, with the chooser among the event's inputs.
"""

import functools
import json
from pathlib import Path
from typing import Any

import gradio as gr
import yaml

from edgelm.languages import load_languages

FIRST = "eng"
STORED = "edgelm-language"
"""Where the browser keeps the reader's choice."""


class Text(str):
    """Words in English, and the key that says them in other languages."""

    key: str


@functools.cache
def texts() -> dict[str, dict[str, str]]:
    """Words by key, by the code of the language; English is complete, and the first."""
    file = Path(__file__).with_name("texts.yaml")
    read = yaml.load(  # both loaders are safe # nosec B506
        file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    return {code: dict(_flat(words)) for code, words in read.items()}


def _flat(words: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in words.items():
        found += _flat(value, f"{above}{key}.") if isinstance(value, dict) else [(above + key, value)]
    return found


def say(locale: str, key: str, **values: Any) -> str:
    """The words of a key in a language, or in English where it has none; `values` fill its braces."""
    every = texts()
    words = every.get(locale, {}).get(key) or every[FIRST][key]
    return words.format(**values) if values else words


def text(key: str) -> Text:
    """The words of a key for a component of the page; they change with its language."""
    found = Text(texts()[FIRST][key])
    found.key = key
    return found


def chooser() -> gr.Dropdown:
    """The language of the page; its value is the `locale` of everything else."""
    names = {one.code: one.autonym for one in load_languages().values()}
    choices = [(names[code], code) for code in texts()]
    return gr.Dropdown(choices, value=FIRST, label=text("page.language"), filterable=False, elem_id="locale")


def follow(page: gr.Blocks, locale: gr.Dropdown) -> tuple[Any, Any]:
    """Give every `Text` of the page in the language of the chooser: when the page opens, which is the first
    event that comes back, and when the reader chooses another, the second."""
    changing = {block: found for block in page.blocks.values() if (found := _texts_of(block))}

    def translate(code: str) -> list[Any]:
        return [code, *(gr.update(**_in(code, found)) for found in changing.values())]

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
    outputs = [locale, *changing]
    opened = page.load(translate, locale, outputs, js=FIRST_CHOICE % _tags(by_tag=True), **quiet)
    chosen = locale.input(translate, locale, outputs, js=CHOICE % _tags(by_tag=False), **quiet)
    return opened, chosen


def _texts_of(block: Any) -> dict[str, Any]:
    """The arguments of a component that have words in them."""
    given = getattr(block, "constructor_args", {})
    return {name: value for name, value in given.items() if isinstance(value, Text) or _choices(value)}


def _choices(value: Any) -> bool:
    return isinstance(value, list) and any(
        isinstance(one, tuple) and isinstance(one[0], Text) for one in value
    )


def _in(code: str, arguments: dict[str, Any]) -> dict[str, Any]:
    def put(value: Any) -> Any:
        return say(code, value.key) if isinstance(value, Text) else value

    return {
        name: [(put(label), value) for label, value in given] if isinstance(given, list) else put(given)
        for name, given in arguments.items()
    }


def _tags(by_tag: bool) -> str:
    """Languages of the page as JSON: code by BCP 47 tag, or the other way round."""
    languages = load_languages()
    pairs = [(languages[code].bcp47, code) for code in texts()]
    return json.dumps(dict(pairs) if by_tag else {code: tag for tag, code in pairs})


FIRST_CHOICE = f"""() => {{
  const codes = %s, own = navigator.languages.map(tag => tag.split('-')[0]);
  const tag = [localStorage.getItem('{STORED}'), ...own].find(tag => tag in codes) || 'en';
  document.documentElement.lang = tag;
  return codes[tag];
}}"""
"""The language that was chosen before, or else the browser's."""
CHOICE = f"""code => {{
  const tag = (%s)[code];
  localStorage.setItem('{STORED}', tag);
  document.documentElement.lang = tag;
  return code;
}}"""
