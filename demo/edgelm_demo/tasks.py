"""The tab Tasks: what finetuned models say of a text."""

import html
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unicodedata import normalize

import gradio as gr
import psutil

from edgelm.errors import BadInput
from edgelm.evaluate.ask import ask
from edgelm.languages import load_languages
from edgelm.runtime import Generation, load_labeller
from edgelm.runtime.answers import answer
from edgelm_demo.answered import answered
from edgelm_demo.context import QUIET, Context, note, problem
from edgelm_demo.interface import say, text
from edgelm_demo.offers import (
    EXAMPLES,
    INTO,
    OTHERS,
    Offer,
    bcp47,
    examples,
    find_offers,
    kinds,
    language_name,
)
from edgelm_demo.turns import Stops, busy, stoppable
from edgelm_demo.write import INTERVAL, MAX_CHARACTERS, figures

AT_ONCE: dict[str, Any] = {"queue": False, **QUIET}
TRIPLES = "triples"
TITLE = 64  # characters of an example that its button shows
LANGUAGE = """(kind, code) => {
  const box = document.querySelector('#tasks-text textarea');
  if (box) box.lang = kind === '%s' ? '' : (%s)[(code || '').split('%s')[0]] || '';
}"""


class Tasks:
    """What the controls do. Gradio refuses a value that a control does not offer before these run."""

    def __init__(self, context: Context):
        self.context = context
        self.offers = find_offers(context.models.values())
        self.stops = Stops()

    def kinds(self) -> list[str]:
        """Those with a model, and those that there is a command for."""
        return [kind for kind in kinds() if self.of_kind(kind) or kind not in OTHERS]

    def of_kind(self, kind: str) -> list[Offer]:
        return [offer for offer in self.offers.values() if offer.kind == kind]

    def first_kind(self) -> str:
        return next((kind for kind in self.kinds() if self.of_kind(kind)), self.kinds()[0])

    def choose_kind(self, kind: str, locale: str) -> tuple[Any, ...]:
        """Models that do it, or how to make one."""
        offers = self.of_kind(kind)
        keys = [offer.key for offer in offers]
        model = gr.update(choices=keys, value=keys[0]) if keys else gr.update()
        return gr.update(visible=bool(offers)), model, *self.tell(kind, locale)

    def tell(self, kind: str, locale: str) -> list[str]:
        """The command that makes a model, where there is none, and how to write a text."""
        command = "" if self.of_kind(kind) else missing(kind, locale)
        return [command, note(say(locale, f"tasks.{TRIPLES}")) if kind == TRIPLES else ""]

    def choose_model(self, key: str | None, code: str | None, locale: str) -> list[Any]:
        """Languages of a model and examples; the language is the reader's, or the page's, where the model has
        it."""
        offer = self.offers.get(key or "")
        if offer is None:
            return [gr.update()] * (1 + EXAMPLES)
        choices = [(language_name(one), one) for one in offer.languages]
        wanted = [one for one in (code, locale) if one in offer.languages]
        value = (wanted or offer.languages)[0]
        language = gr.update(choices=choices, value=value)
        return [language, *self.choose_language(offer.key, value)]

    def choose_language(self, key: str, code: str | None) -> list[Any]:
        """The buttons with examples."""
        found = examples(self.offers[key], code or "") if key in self.offers else []
        titles = [one if len(one) <= TITLE else f"{one[:TITLE].rstrip()}…" for one in found]
        blank = [gr.update(visible=False)] * (EXAMPLES - len(found))
        return [*(gr.update(value=one, visible=True) for one in titles), *blank]

    def speak(self, key: str, code: str) -> list[Any]:
        """A language that the reader chose, to be kept where another model has it too; then its examples."""
        return [code, *self.choose_language(key, code)]

    def give(self, number: int, key: str, code: str | None) -> Any:
        found = examples(self.offers[key], code or "")
        return found[number] if number < len(found) else gr.update()

    def ask(
        self, key: str, code: str, given: str, locale: str, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Stream the answer and the status line."""
        offer, report, turned = self.offers[key], Generation(), busy()
        try:
            with self.stops.watch(request) as stopped:
                yield "", note(say(locale, "write.opening")), *turned
                given = normalize("NFC", given)
                check(given, locale)
                read = None if offer.model.writes else load
                with self.context.shelf.borrow(offer.model.path, read) as model:
                    begin, shown, page = time.perf_counter(), 0.0, ""
                    tag = bcp47(code.split(INTO)[-1])
                    for found in says(model, offer, given, code, report):
                        page = answered(found, given, tag, locale, offer.task)
                        if stopped.is_set():
                            break
                        if time.monotonic() - shown > INTERVAL:
                            shown = time.monotonic()
                            yield page, note(say(locale, "write.writing")), *turned
                    seconds = time.perf_counter() - begin
                state = "write.stopped" if stopped.is_set() else "write.finished"
            yield page, note(took(locale, state, seconds, report)), *turned
        except Exception as error:
            yield "", problem(error, locale, offer.model), *turned


def check(given: str, locale: str) -> None:
    """Raise `BadInput` for no text, or one that is too long."""
    if not given.strip():
        raise BadInput(say(locale, "tasks.empty"))
    if len(given) > MAX_CHARACTERS:
        raise BadInput(say(locale, "write.too_long", count=len(given), most=MAX_CHARACTERS))


def load(path: Path, threads: int) -> Any:
    return load_labeller(path, threads=threads)


def says(model: Any, offer: Offer, given: str, code: str, report: Generation) -> Iterator[dict[str, Any]]:
    """What a model says, growing where it writes."""
    if not offer.model.writes:
        yield answer(model, given)
    elif offer.task:
        source, _, target = code.rpartition(INTO)
        options: dict[str, Any] = {"source": source or None, "native": offer.native, "report": report}
        yield from ask(model, offer.task, given, target, **options)


def took(locale: str, state: str, seconds: float, report: Generation) -> str:
    """State and seconds; of a text that was written its tokens too."""
    if report.tokens:
        return figures(locale, state, report)
    memory = say(locale, "write.memory", megabytes=psutil.Process().memory_info().rss / 1e6)
    return f"{say(locale, state)} · {1000 * seconds:,.0f} ms · {memory}"


def missing(kind: str, locale: str) -> str:
    """That no model does it, and the command that makes one."""
    words, command = html.escape(say(locale, "tasks.missing")), html.escape(kinds()[kind]["command"])
    return f"<p>{words}</p><pre><code>{command}</code></pre>"


def build(context: Context) -> None:
    """Put the tab's controls on the page."""
    tasks = Tasks(context)
    chosen = tasks.first_kind()
    offers = tasks.of_kind(chosen)
    key = offers[0].key if offers else None
    code = offers[0].languages[0] if offers else None
    languages = [(language_name(one), one) for one in offers[0].languages] if offers else []
    locale = context.locale
    # What the reader chose, apart from `language`, which may no longer offer it when the next event begins.
    spoken = gr.State()
    with gr.Column(elem_classes="tasks"):
        choices = [(text(f"tasks.kinds.{one}"), one) for one in tasks.kinds()]
        kind = gr.Dropdown(choices, value=chosen, label=text("tasks.kind"), filterable=False)
        none = gr.HTML(elem_id="tasks-missing", elem_classes="told")
        with gr.Column(visible=bool(offers)) as body:
            with gr.Row():
                model = gr.Dropdown(
                    [one.key for one in offers],
                    value=key,
                    label=text("tasks.model"),
                    filterable=False,
                    scale=2,
                    min_width=180,
                )
                language = gr.Dropdown(
                    languages, value=code, label=text("tasks.language"), filterable=False, min_width=140
                )
            given = gr.Textbox(
                "", label=text("tasks.text"), lines=3, max_length=MAX_CHARACTERS, elem_id="tasks-text"
            )
            hint = gr.HTML(elem_classes="told")
            with gr.Row(elem_classes="samples"):
                gr.HTML(text("tasks.examples"), elem_classes="label")
                samples = [gr.Button("", size="sm", visible=False, min_width=120) for _ in range(EXAMPLES)]
            with gr.Row():
                go = gr.Button(
                    text("tasks.go"), variant="primary", scale=2, min_width=100, elem_id="tasks-go"
                )
                stop = gr.Button(
                    text("tasks.stop"),
                    scale=1,
                    min_width=80,
                    interactive=False,
                    elem_id="tasks-stop",
                )
            with gr.Group(elem_classes="sheet"):
                gr.HTML(text("tasks.result"), elem_classes="label")
                result = gr.HTML(padding=True, elem_id="tasks-result")
            status = gr.HTML(elem_id="tasks-status")
    stoppable(
        [go.click, given.submit],
        tasks.ask,
        [model, language, given, locale],
        [result, status, go, stop],
        buttons=(go, stop),
        status=status,
        locale=locale,
        stops=tasks.stops,
    )
    kind.change(tasks.choose_kind, [kind, locale], [body, model, none, hint], **AT_ONCE)
    languages_of: tuple[Any, ...] = (tasks.choose_model, [model, spoken, locale], [language, *samples])
    model.change(*languages_of, **AT_ONCE)
    language.input(tasks.speak, [model, language], [spoken, *samples], **AT_ONCE)
    gr.on([kind.change, model.change], None, None, [result, status], js="() => [``, ``]", **QUIET)
    tags = json.dumps({one.code: one.bcp47 for one in load_languages().values()})
    gr.on(
        [language.change, given.change, given.focus],
        None,
        [kind, language],
        None,
        js=LANGUAGE % (TRIPLES, tags, INTO),
        **QUIET,
    )
    for number, sample in enumerate(samples):
        sample.click(partial(tasks.give, number), [model, language], given, **AT_ONCE)
    context.when_translated(tasks.tell, [kind, locale], [none, hint], **AT_ONCE)
    context.when_translated(*languages_of, **AT_ONCE)
