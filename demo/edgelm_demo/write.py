"""The tab Write: begin a sentence and watch a model go on."""

import html
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
import psutil

from edgelm.errors import BadInput
from edgelm.languages import load_languages
from edgelm.runtime import Generation
from edgelm.runtime.conversation import ONLY_PRETRAINED, only_pretrained
from edgelm_demo.context import QUIET, TURNS, Context, note, problem
from edgelm_demo.interface import FIRST, say, text
from edgelm_demo.turns import Stops, busy, stoppable

MAX_CHARACTERS = 4000
MAX_LENGTH = 400
INTERVAL = 0.05  # seconds between two updates of the page: a small model writes faster than anyone reads
STYLES = {"careful": 0.3, "balanced": 0.7, "playful": 1.0}
CONTINUE, ANSWER = "continue", "answer"
ANY = ""


class Writing:
    """What the controls do. Gradio refuses a value that a control does not offer before these run."""

    def __init__(self, context: Context):
        self.context = context
        self.languages: dict[str, list[tuple[str, str]]] = {}  # of each model, as (autonym, code)
        self.stops = Stops()

    def choose_model(self, name: str, code: str, locale: str) -> tuple[Any, Any]:
        """The languages of a model; the status line is left alone: a reader may be faster than the load."""
        found = self.context.models[name]
        try:
            if name not in self.languages:
                with self.context.shelf.borrow(found.path) as model:
                    every = [(one.autonym, one.code) for one in load_languages().values()]
                    self.languages[name] = sorted(
                        one for one in every if model.language_tag(one[1]) is not None
                    )
        except Exception as error:
            return gr.update(), problem(error, locale, found)
        choices = [(say(locale, "write.any"), ANY), *self.languages[name]]
        value = code if code in dict(choices).values() else ANY
        return gr.update(choices=choices, value=value), gr.update()

    def choose_language(self, code: str, typed: str) -> Any:
        """A language's own opening, where the reader has typed none; what is typed is never touched."""
        openings = {one.code: one.prompt for one in load_languages().values()}
        free = not typed.strip() or typed in openings.values()
        return openings[code] if free and code in openings else gr.update()

    def write(
        self,
        name: str,
        code: str,
        given: str,
        task: str,
        style: str,
        length: int,
        presses: int,
        locale: str,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Stream the text and the status line; each press of the button draws another text."""
        found, report = self.context.models[name], Generation()
        turned = (*busy(), presses + 1)
        try:
            with self.stops.watch(request) as stopped:
                yield paper(""), note(say(locale, "write.opening")), *turned
                if len(given) > MAX_CHARACTERS:
                    raise BadInput(say(locale, "write.too_long", count=len(given), most=MAX_CHARACTERS))
                with self.context.shelf.borrow(found.path) as model:
                    if task == ANSWER and only_pretrained(model, found.path):
                        raise BadInput(ONLY_PRETRAINED)
                    options: dict[str, Any] = {
                        "language": code or None,
                        "chat": task == ANSWER,
                        "seed": presses,
                    }
                    options |= {"max_tokens": int(length), "temperature": STYLES[style], "report": report}
                    written, shown = "", 0.0
                    for piece in model.generate(given, **options):
                        written += piece
                        if stopped.is_set():
                            break
                        if time.monotonic() - shown > INTERVAL:
                            shown = time.monotonic()
                            state = figures(locale, "write.writing", report)
                            yield paper(written, given, code, task), note(state), *turned
                    end = "stopped" if stopped.is_set() else "finished" if written else "nothing"
            yield paper(written, given, code, task), note(figures(locale, f"write.{end}", report)), *turned
        except Exception as error:
            yield gr.update(), problem(error, locale, found), *turned


def paper(written: str, given: str = "", code: str = "", task: str = CONTINUE) -> str:
    """The reader's text and, set apart, the model's."""
    language = load_languages().get(code) if task == CONTINUE else None
    lang = f' lang="{html.escape(language.bcp47)}"' if language else ""
    start = f"<span>{html.escape(given)}</span>" if task == CONTINUE else ""
    return f'<p class="paper"{lang}>{start}<b>{html.escape(written)}</b></p>'


def figures(locale: str, state: str, report: Generation) -> str:
    """State, tokens, tokens/s, seconds, memory of the whole program."""
    seconds, memory = report.prompt_seconds + report.seconds, psutil.Process().memory_info().rss
    return " · ".join(
        [
            say(locale, state),
            say(locale, "write.tokens", count=report.tokens),
            say(locale, "write.speed", speed=report.tokens_per_second),
            f"{seconds:.2f} s",
            say(locale, "write.memory", megabytes=memory / 1e6),
        ]
    )


def build(context: Context) -> None:
    """Put the tab's controls on the page; it starts with the smallest model."""
    writing = Writing(context)
    names = [name for name, model in context.models.items() if model.writes]
    if not names:
        gr.HTML(text("write.no_model"))
        return
    presses = gr.State(0)
    with gr.Row():
        with gr.Column(scale=3, min_width=280):
            with gr.Row():
                language = gr.Dropdown(
                    [(say(FIRST, "write.any"), ANY)],
                    value=ANY,
                    label=text("write.language"),
                    filterable=False,
                )
                model = gr.Dropdown(
                    names, value=names[0], label=text("write.model"), filterable=False, scale=2
                )
            given = gr.Textbox(
                "",
                label=text("write.text"),
                lines=3,
                placeholder=text("write.hint"),
                max_length=MAX_CHARACTERS,
                elem_id="given",
            )
            with gr.Row():
                write = gr.Button(
                    text("write.write"), variant="primary", scale=2, min_width=100, elem_id="write"
                )
                stop = gr.Button(text("write.stop"), scale=1, min_width=80, interactive=False, elem_id="stop")
            with gr.Group(elem_classes="sheet"):
                gr.HTML(text("write.written"), elem_classes="label")
                written = gr.HTML(paper(""), padding=True, elem_id="written")
            status = gr.HTML(elem_id="status")
        with gr.Column(scale=2, min_width=280):
            tasks = [(text(f"write.{one}"), one) for one in (CONTINUE, ANSWER)]
            task = gr.Radio(tasks, value=CONTINUE, label=text("write.task"))
            styles = [(text(f"write.{one}"), one) for one in STYLES]
            style = gr.Radio(styles, value="balanced", label=text("write.style"))
            length = gr.Slider(
                8, MAX_LENGTH, value=96, step=8, precision=0, label=text("write.longest"), buttons=[]
            )
    locale = context.locale
    stoppable(
        [write.click, given.submit],
        writing.write,
        [model, language, given, task, style, length, presses, locale],
        [written, status, write, stop, presses],
        buttons=(write, stop),
        status=status,
        locale=locale,
        stops=writing.stops,
    )
    language.change(writing.choose_language, [language, given], given, queue=False, **QUIET)
    model.input(None, None, status, js="() => ``", **QUIET)
    languages: tuple[Any, ...] = (writing.choose_model, [model, language, locale], [language, status])
    model.input(*languages, **TURNS)
    context.when_translated(*languages, **TURNS)
