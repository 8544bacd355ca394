"""The tab Words: how a model's tokenizer cuts a text into tokens, and what it makes of each language."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr

from edgelm.errors import BadInput
from edgelm.languages import load_languages
from edgelm.page.markup import Html, element, foreign, table
from edgelm.runtime import LanguageModel
from edgelm.tokenizer.measure import Counts, count
from edgelm.tokenizer.report import REFERENCE
from edgelm.tokenizer.texts import sample_texts
from edgelm_demo.context import QUIET, TURNS, Context, note, problem
from edgelm_demo.interface import say, text

MAX_CHARACTERS = 4000
SHADES = 4
FIRST_LANGUAGE = "zul"
SEEN = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"}
"""How blanks are shown."""
WALK = """
const tell = token => {
  if (!token) return;
  for (const other of element.querySelectorAll('.token[tabindex="0"]')) other.tabIndex = -1;
  token.tabIndex = 0;
  element.querySelector('.told').textContent = token.dataset.said;
};
const near = event => event.target.closest?.('.token');
element.addEventListener('mouseover', event => tell(near(event)));
element.addEventListener('focusin', event => tell(near(event)));
element.addEventListener('keydown', event => {
  const every = [...element.querySelectorAll('.token')], at = every.indexOf(near(event));
  const next = {ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: every.length - 1}[event.key];
  if (at < 0 || next === undefined) return;
  event.preventDefault();
  every[Math.min(Math.max(next, 0), every.length - 1)].focus();
});
"""
"""One stop of the Tab key for all tokens; the arrow keys go from one to the next, and each is told of."""


class Cutting:
    """What the controls do."""

    def __init__(self, context: Context):
        self.context = context
        self.languages: dict[str, dict[str, Counts]] = {}  # of each model, of the embedded sample

    def cut(self, name: str, given: str, code: str, locale: str) -> Iterator[tuple[Any, ...]]:
        """The text in tokens with its counts, then the table of the languages."""
        found = self.context.models[name]
        yield note(say(locale, "write.opening")), gr.update(), gr.update()
        try:
            if not given.strip():
                raise BadInput(say(locale, "words.nothing"))
            if len(given) > MAX_CHARACTERS:
                raise BadInput(say(locale, "write.too_long", count=len(given), most=MAX_CHARACTERS))
            with self.context.shelf.borrow(found.path) as model:
                lang = load_languages()[code].bcp47 if given in sample_texts()[code] else None
                boxes = tokens(model, given, lang, locale)
                yield figures(count(model, [given]), len(given), locale), boxes, gr.update()
                if name not in self.languages:
                    every = sample_texts().items()
                    self.languages[name] = {one: count(model, texts) for one, texts in every}
            yield gr.update(), gr.update(), by_language(self.languages[name], locale)
        except Exception as error:
            yield problem(error, locale, found), gr.update(), gr.update()


def pieces(data: bytes) -> list[tuple[str, bool]]:
    """The bytes of a token as text; bytes of a letter that is split between tokens as hex, marked."""
    parts = re.split("([\udc80-\udcff]+)", data.decode("utf-8", "surrogateescape"))
    return [
        (part.encode("utf-8", "surrogateescape").hex(" ").upper(), True) if at % 2 else (part, False)
        for at, part in enumerate(parts)
        if part
    ]


def tokens(model: LanguageModel, given: str, lang: str | None, locale: str) -> str:
    """Each token of a text in a box, with what is told of it: its place, its number, its bytes."""
    ids = model.tokenize(given)
    boxes = [
        _box(place, token, model.token_bytes(token), len(ids), locale)
        for place, token in enumerate(ids, start=1)
    ]
    return element(
        "div",
        element(
            "div", *boxes, class_="tokens", role="list", lang=lang, aria_label=say(locale, "words.tokens")
        ),
        element("p", say(locale, "words.split"), class_="note") if 'class="bytes"' in "".join(boxes) else "",
        element("p", say(locale, "words.how"), class_="told note"),
    )


def _box(place: int, token: int, data: bytes, count: int, locale: str) -> Html:
    shown: list[object] = []
    for part, split in pieces(data):
        if split:
            shown.append(element("code", part, class_="bytes"))
            continue
        seen = re.sub(r"[ \n\t\r]", lambda blank: SEEN[blank[0]], part)
        if unicodedata.combining(seen[0]):
            seen = "\u25cc" + seen  # what a mark without its letter is shown on
        shown.append(seen)
    told = say(
        locale, "words.token", text="".join(_in_a_sentence(data)), place=place, count=count, id=token,
        bytes=len(data), hex=data.hex(" ").upper(),
    )  # fmt: skip
    box = element(
        "span", *shown, class_=f"token s{place % SHADES}", role="listitem", aria_label=told, data_said=told,
        tabindex="0" if place == 1 else "-1",
    )  # fmt: skip
    return Html(box + "<br>" * data.count(b"\n"))


def _in_a_sentence(data: bytes) -> Iterator[str]:
    """A token in a sentence: its text, or the bytes of a split letter in angle brackets."""
    for part, split in pieces(data):
        yield f"‹{part}›" if split else re.sub(r"[\n\t\r]", lambda blank: SEEN[blank[0]], part)


def figures(counts: Counts, characters: int, locale: str) -> str:
    """The counts of a text."""
    said = {
        "characters": f"{characters:,}",
        "bytes": f"{counts.bytes:,}",
        "words": f"{counts.words:,}",
        "tokens": f"{counts.tokens:,}",
        "fertility": f"{counts.fertility or 0:.2f}",
        "bytes_per_token": f"{counts.bytes_per_token or 0:.2f}",
    }
    pairs = (
        element("div", element("dt", say(locale, f"words.{key}")), element("dd", value))
        for key, value in said.items()
    )
    return element("dl", *pairs, class_="counts")


def by_language(found: Mapping[str, Counts], locale: str) -> str:
    """Fertility, bytes a token and tokens over those of English, in each language of the sample."""
    languages = load_languages()
    columns = {
        "fertility": {code: one.fertility or 0 for code, one in found.items()},
        "bytes_per_token": {code: one.bytes_per_token or 0 for code, one in found.items()},
        "parity": {code: one.tokens / found[REFERENCE].tokens for code, one in found.items()},
    }
    rows = [
        [
            foreign(languages[code].autonym, languages[code].bcp47),
            *(_bar(values[code], max(values.values())) for values in columns.values()),
        ]
        for code in sorted(found, key=lambda code: columns["fertility"][code])
    ]
    header = [say(locale, "words.language"), *(say(locale, f"words.{key}") for key in columns)]
    return element(
        "section",
        element("h2", say(locale, "words.languages")),
        element("p", say(locale, "words.languages_note"), class_="note"),
        table(say(locale, "words.table"), header, rows),
    )


def _bar(value: float, most: float) -> Html:
    bar = element("span", class_="bar", style=f"--share: {value / most:.1%}", aria_hidden="true")
    return element("span", f"{value:.2f}", bar, class_="measure")


def example(code: str, typed: str) -> Any:
    """A document of the sample in a language, where the reader has typed none of their own."""
    every = sample_texts()
    own = typed.strip() and not any(typed in texts for texts in every.values())
    return gr.update() if own else every[code][0]


def build(context: Context) -> None:
    """Put the tab's controls on the page."""
    names = [name for name, model in context.models.items() if model.writes]
    if not names:
        gr.HTML(text("write.no_model"))
        return
    cutting, known = Cutting(context), load_languages()
    languages = sorted((known[code].autonym, code) for code in sample_texts() if code in known)
    with gr.Row():
        model = gr.Dropdown(names, value=names[0], label=text("write.model"), filterable=False, scale=2)
        language = gr.Dropdown(languages, value=FIRST_LANGUAGE, label=text("words.example"), filterable=False)
    given = gr.Textbox(
        sample_texts()[FIRST_LANGUAGE][0],
        label=text("write.text"),
        lines=4,
        placeholder=text("words.hint"),
        max_length=MAX_CHARACTERS,
        elem_id="words-given",
    )
    start = gr.Button(text("words.cut"), variant="primary", elem_id="cut")
    status = gr.HTML(elem_id="words-status", elem_classes="words")
    boxes = gr.HTML(elem_id="tokens", elem_classes="words", js_on_load=WALK)
    languages_table = gr.HTML(elem_id="words-languages", elem_classes="words")
    outputs = [status, boxes, languages_table]
    inputs = [model, given, language, context.locale]
    gr.on([start.click, given.submit], cutting.cut, inputs, outputs, trigger_mode="always_last", **TURNS)
    language.change(example, [language, given], given, queue=False, **QUIET)  # `input` comes twice
