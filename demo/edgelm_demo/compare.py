"""The tab Compare: one text to continue, several files, and what each makes of it beside what it costs."""

import importlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr

import edgelm
from edgelm.errors import BadInput
from edgelm.evaluate.bits_per_byte import bits_per_byte
from edgelm.languages import load_languages
from edgelm.machine import release_memory, resident_memory
from edgelm.runtime import Generation, LanguageModel
from edgelm.runtime.graph_file import find_graph
from edgelm.tokenizer.texts import sample_texts
from edgelm_demo.compare_view import cards, chart
from edgelm_demo.context import QUIET, Context, note, problem
from edgelm_demo.interface import say, text
from edgelm_demo.models import RUNS_WITH, Found, Shelf
from edgelm_demo.turns import Stops, busy, stoppable

FEWEST, MOST = 2, 4  # files at once
MAX_CHARACTERS = 4000
MAX_LENGTH = 200
INTERVAL = 0.1  # seconds between two updates of the page
SAMPLE_BYTES = 4000  # of text that a file is judged by: a second for a small one
STYLES = {"careful": 0.3, "balanced": 0.7, "playful": 1.0}
FIRST_LANGUAGE = "zul"

Measured = dict[str, dict[str, dict[str, Any]]]
"""By language, by name of the model: an entry as `edgelm.bench.pareto.mark_unbeaten` takes it."""


@dataclass(slots=True)
class Run:
    """One file at work, and what has come of it so far."""

    found: Found
    state: str = "queued"
    """A key of the words: queued, opening, writing, reading, done, stopped, failed."""
    text: str = ""
    report: Generation = field(default_factory=Generation)
    memory: int | None = None
    """Bytes; None where that is not known."""
    bits: float | None = None
    """Bits per byte of the sample."""
    tagged: bool = True
    """The model was told the language: it has a tag for it."""
    problem: str = ""


class Stopped(Exception):
    """The reader wants no more of it."""


class Comparing:
    """What the controls do."""

    def __init__(self, context: Context):
        self.context = context
        self.stops = Stops()
        self.memory: dict[Path, int] = {}  # bytes that the program grew by until a file had written

    def compare(
        self,
        names: list[str],
        code: str,
        given: str,
        style: str,
        length: int,
        presses: int,
        measured: Measured,
        locale: str,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Stream the cards, the status line and the chart; each press of the button draws other texts."""
        turned = (*busy(), presses + 1)
        try:
            check(names, given, locale)
            files = sorted((self.context.models[name] for name in names), key=lambda one: -one.size)
            runs = [Run(one) for one in files]
            asked: dict[str, Any] = {"max_tokens": int(length), "temperature": STYLES[style], "seed": presses}
            with self.stops.watch(request) as stopped:
                for number, run in enumerate(runs, start=1):
                    state = note(say(locale, "compare.file_number", number=number, count=len(runs)))
                    for _ in self.work(run, given, code, asked, stopped, measured, locale):
                        yield cards(runs, code, locale), state, gr.update(), *turned, measured
                    yield cards(runs, code, locale), state, chart(measured, code, locale), *turned, measured
                    if stopped.is_set():
                        for other in runs[number:]:
                            other.state = "stopped"
                        break
                end = note(say(locale, "write.stopped" if stopped.is_set() else "write.finished"))
            yield cards(runs, code, locale), end, chart(measured, code, locale), *turned, measured
        except Exception as error:
            yield gr.update(), problem(error, locale), gr.update(), *turned, measured

    def work(
        self,
        run: Run,
        given: str,
        code: str,
        asked: dict[str, Any],
        stopped: threading.Event,
        measured: Measured,
        locale: str,
    ) -> Iterator[None]:
        """Let one file write, then read the sample; yields where there is something new to show."""
        known = measured.get(code, {}).get(run.found.name, {})
        run.state = "opening"
        yield
        try:
            opened = Opening(self.context.shelf)
            with self.context.shelf.borrow(run.found.path, opened.load) as model:
                run.state = "writing"
                run.tagged = model.language_tag(code) is not None
                yield from written(run, model, given, code if run.tagged else None, asked, stopped)
                run.state = "reading"
                yield
                run.bits = known["bits_per_byte"]["mean"] if known else bits(model, code, stopped)
                if (grown := opened.grown()) is not None:
                    self.memory[run.found.path] = grown
                run.memory = self.memory.get(run.found.path)
            run.state = "done"
            measured.setdefault(code, {})[run.found.name] = entry(run)
        except Stopped:
            run.state = "stopped"
        except Exception as error:
            said = problem(error, locale, run.found)
            run.state = "failed"
            run.problem = said.replace(
                ' role="alert"', ""
            )  # drawn anew with each token, it would not be still


class Opening:
    """What the program grew by since a file was opened, as long as no other came or went."""

    def __init__(self, shelf: Shelf):
        self.shelf = shelf
        self.before: int | None = None
        """Bytes of memory; None of a file that was open already."""

    def load(self, path: Path, threads: int) -> Any:
        """As `edgelm.load`; what runs the model counts as there before."""
        backend = "llama.cpp" if path.is_file() else "onnx" if find_graph(path) else "torch"
        importlib.import_module(next(name for name in RUNS_WITH[backend] if find_spec(name)))
        release_memory()
        self.before, self.changes = resident_memory(), self.shelf.changes
        return edgelm.load(path, threads=threads)

    def grown(self) -> int | None:
        """Bytes, or None where they are not known to be this file's."""
        if self.before is None or self.shelf.changes != self.changes:
            return None
        return max(resident_memory() - self.before, 0)


def check(names: list[str], given: str, locale: str) -> None:
    """Raise `BadInput` for too few or too many files, or a text that is too long."""
    if not FEWEST <= len(names) <= MOST:
        raise BadInput(say(locale, "compare.how_many", count=len(names), fewest=FEWEST, most=MOST))
    if len(given) > MAX_CHARACTERS:
        raise BadInput(say(locale, "write.too_long", count=len(given), most=MAX_CHARACTERS))


def written(
    run: Run,
    model: LanguageModel,
    given: str,
    code: str | None,
    asked: dict[str, Any],
    stopped: threading.Event,
) -> Iterator[None]:
    """Let a model continue the text into `run`.

    Raises:
        Stopped: the reader wants no more.
    """
    shown = 0.0
    for piece in model.generate(given, language=code, report=run.report, **asked):
        run.text += piece
        if stopped.is_set():
            raise Stopped
        if time.monotonic() - shown > INTERVAL:
            shown = time.monotonic()
            yield


def bits(model: LanguageModel, code: str, stopped: threading.Event) -> float:
    """Bits per byte of the sample in a language.

    Raises:
        Stopped: the reader wants no more.
    """

    def step(done: float, note: str = "") -> None:
        if stopped.is_set():
            raise Stopped

    step(0)
    return bits_per_byte(model, {code: judged_by(code)}, step)[code]


def judged_by(code: str) -> list[str]:
    """Test documents of the embedded sample in a language, `SAMPLE_BYTES` at most."""
    chosen, size = [], 0
    for one in sample_texts("test")[code]:
        size += len(one.encode("utf-8"))
        if size > SAMPLE_BYTES:
            break
        chosen.append(one)
    return chosen


def entry(run: Run) -> dict[str, Any]:
    """The figures of a file as `edgelm bench` writes them."""
    return {
        "name": run.found.name,
        "bytes": run.found.size,
        "bits_per_byte": {"mean": run.bits},
        "tests": [{"test": "tg", "mean": run.report.tokens_per_second}],
    }


def opening(code: str, typed: str) -> Any:
    """A language's own opening, where the reader has typed none; what is typed is never touched."""
    openings = {one.code: one.prompt for one in load_languages().values()}
    return openings[code] if not typed.strip() or typed in openings.values() else gr.update()


def build(context: Context) -> None:
    """Put the tab's controls on the page."""
    names = [name for name, model in context.models.items() if model.writes]
    if len(names) < FEWEST:
        gr.HTML(text("compare.one_model"))
        return
    comparing, known = Comparing(context), load_languages()
    presses, measured = gr.State(0), gr.State({})
    languages = sorted((known[code].autonym, code) for code in sample_texts() if code in known)
    with gr.Row():
        with gr.Column(scale=3, min_width=280):
            models = gr.CheckboxGroup(
                names, value=names[:MOST], label=text("compare.models"), elem_id="compare-models"
            )
            language = gr.Dropdown(
                languages, value=FIRST_LANGUAGE, label=text("write.language"), filterable=False
            )
            given = gr.Textbox(
                known[FIRST_LANGUAGE].prompt,
                label=text("write.text"),
                lines=2,
                placeholder=text("write.hint"),
                max_length=MAX_CHARACTERS,
                elem_id="compare-given",
            )
        with gr.Column(scale=2, min_width=280):
            styles = [(text(f"write.{one}"), one) for one in STYLES]
            style = gr.Radio(styles, value="careful", label=text("write.style"))
            length = gr.Slider(
                8, MAX_LENGTH, value=48, step=8, precision=0, label=text("write.longest"), buttons=[]
            )
            with gr.Row():
                start = gr.Button(
                    text("compare.compare"), variant="primary", scale=2, min_width=100, elem_id="compare"
                )
                stop = gr.Button(
                    text("write.stop"), scale=1, min_width=80, interactive=False, elem_id="compare-stop"
                )
    status = gr.HTML(elem_id="compare-status")
    told = gr.HTML(elem_id="compared", elem_classes="compare")
    plotted = gr.HTML(elem_id="compare-chart", elem_classes="compare")
    locale = context.locale
    stoppable(
        [start.click, given.submit],
        comparing.compare,
        [models, language, given, style, length, presses, measured, locale],
        [told, status, plotted, start, stop, presses, measured],
        buttons=(start, stop),
        status=status,
        locale=locale,
        stops=comparing.stops,
    )
    language.change(opening, [language, given], given, queue=False, **QUIET)
    shown = [measured, language, locale]
    language.input(chart, shown, plotted, queue=False, **QUIET)
    context.when_translated(chart, shown, plotted, queue=False, **QUIET)
