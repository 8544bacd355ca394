"""The demo page: type in a language and watch a small model write, with nothing leaving the machine.

edgelm demo my-model                       # a model, or a folder that holds some
EDGELM_MODELS=models python demo/app.py    # the same, the way a Hugging Face Space starts it
"""

import html
import os
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Gradio reads it when it is imported

import gradio as gr
import psutil
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

import edgelm
from edgelm.errors import BadInput, EdgelmError, MissingExtra
from edgelm.languages import load_languages
from edgelm.machine import usable_cores
from edgelm.runtime import Generation, LanguageModel
from edgelm.runtime.gguf_header import is_model

READERS = 2  # generations at once, and models in memory
WAITING = 16  # requests that may wait for them
MAX_CHARACTERS = 4000
MAX_LENGTH = 400
DEPTH = 4  # levels of folders searched for models
INTERVAL = 0.05  # seconds between two updates of the page: a small model writes faster than anyone reads
STYLES = {"Careful": 0.3, "Balanced": 0.7, "Playful": 1.0}
CONTINUE, ANSWER = "Continue my text", "Answer my message"
RUNS_WITH = {"llama.cpp": ("llama_cpp", "xllamacpp"), "onnx": ("onnxruntime",), "torch": ("torch",)}
FREE = "() => [true, false].map(interactive => ({__type__: 'update', interactive}))"  # Write and Stop
SUBTITLE = "A small language model, run by the machine that serves this page. It sends nothing to any other."
ANY = ("Any language", "")
PAGES = {"/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json"}
CALLS = {"info", "run/predict", "cancel", "startup-events", "app_id"}
ROUTES = PAGES | {f"/gradio_api/{call}" for call in CALLS}
FOLDERS = ("/assets/", "/static/", "/gradio_api/queue/", "/gradio_api/heartbeat/")


def find_models(paths: Iterable[Path]) -> dict[str, Path]:
    """Models at or below `paths` by the name that the page shows, smallest first.

    A model whose runtime is not installed is left out, with a line on stderr.

    Raises:
        BadInput: a path is missing, or there is no model.
        MissingExtra: there are models, and no runtime for any.
    """
    found: dict[Path, str] = {}
    for path in paths:
        if not path.exists():
            raise BadInput(
                "no such file or folder", file=path, remedy="give a model, or a folder that holds some"
            )
        for model in _models_below(path, DEPTH):
            name = path.resolve().name if model == path else model.relative_to(path).as_posix()
            found.setdefault(model.resolve(), str(model) if name in found.values() else name)
    if not found:
        remedy = (
            "give a .gguf file or a folder with model.onnx or model.safetensors, or run: edgelm quickstart"
        )
        raise BadInput("there is no model in the given folders", remedy=remedy)
    models, missing = {}, {}
    for path in sorted(found, key=lambda path: (_size(path), path)):
        backend = "llama.cpp" if path.is_file() else "onnx" if _graphs(path) else "torch"
        if any(find_spec(module) is not None for module in RUNS_WITH[backend]):
            models[f"{found[path]} ({_size(path) / 1e6:,.1f} MB)"] = path
        elif backend not in missing:
            try:
                edgelm.load(path)
            except MissingExtra as error:  # which names the command that installs it
                missing[backend] = f"{found[path]} and its kind are left out: {error}"
    if not models:
        raise MissingExtra("\n".join(missing.values()))
    for line in missing.values():
        print(line, file=sys.stderr)
    return models


def _models_below(path: Path, levels: int) -> Iterator[Path]:
    if path.suffix == ".gguf" and path.is_file():
        if is_model(path):
            yield path
    elif path.is_dir():
        if _graphs(path) or (path / "model.safetensors").is_file():
            yield path
        for child in sorted(path.iterdir()) if levels else ():
            if not child.name.startswith((".", "checkpoint")):
                yield from _models_below(child, levels - 1)


def _graphs(path: Path) -> list[Path]:
    return [*path.glob("model.onnx*"), *path.glob("model.ort")]


def _size(path: Path) -> int:
    weights = [path] if path.is_file() else _graphs(path) or [path / "model.safetensors"]
    return sum(file.stat().st_size for file in weights)


class Shelf:
    """The models in memory, `READERS` at most, each lent to one generation at a time.

    A loaded model holds one sequence (llama.cpp clears it when the next begins), so two readers of one model
    get a copy each: neither waits for the other nor can spoil the other's text. That is cheap, as copies of a
    GGUF file share its pages and these models are small. Each copy has its share of the cores, as two that
    take all of them spin against each other: on two busy cores, two readers of nano's Q8_0 got 770 tokens/s
    together with two threads each, 3 500 with one.
    """

    def __init__(self) -> None:
        self.idle: list[tuple[Path, LanguageModel]] = []  # least recently used first
        self.lent = 0
        self.places, self.lock = threading.BoundedSemaphore(READERS), threading.Lock()
        self.threads = max(1, usable_cores() // READERS)

    @contextmanager
    def borrow(self, path: Path) -> Iterator[LanguageModel]:
        with self.places:
            with self.lock:
                self.lent += 1
                place = next((n for n, (known, _) in enumerate(self.idle) if known == path), None)
                model = None if place is None else self.idle.pop(place)[1]
                while self.lent + len(self.idle) > READERS:
                    self.idle.pop(0)[1].close()
            try:
                model = model or edgelm.load(path, threads=self.threads)
                yield model
            finally:
                with self.lock:
                    self.lent -= 1
                    if model:
                        self.idle.append((path, model))


class Demo:
    """What the page's controls do. Gradio refuses a value that a control does not offer before these run."""

    def __init__(self, models: dict[str, Path]):
        self.models, self.shelf = models, Shelf()
        self.languages: dict[str, list[tuple[str, str]]] = {}  # of each model, as (autonym, code)
        self.stopped: dict[str | None, threading.Event] = {}

    def choose_model(self, name: str, code: str) -> tuple[Any, Any]:
        """The languages of a model; the status line is left alone: a reader may be faster than the load."""
        try:
            if name not in self.languages:
                with self.shelf.borrow(self.models[name]) as model:
                    every = [(one.autonym, one.code) for one in load_languages().values()]
                    tagged = [one for one in every if model.language_tag(one[1]) is not None]
                self.languages[name] = [ANY, *sorted(tagged)]
        except Exception as error:
            return gr.update(), self.sentence(error, name)
        choices = self.languages[name]
        return gr.update(
            choices=choices, value=code if code in dict(choices).values() else ANY[1]
        ), gr.update()

    def choose_language(self, code: str, text: str) -> Any:
        """A language's own opening, where the reader has typed none; what is typed is never touched."""
        openings = {one.code: one.prompt for one in load_languages().values()}
        free = not text.strip() or text in openings.values()
        return openings[code] if free and code in openings else gr.update()

    def stop(self, request: gr.Request) -> None:
        if event := self.stopped.get(request.session_hash):
            event.set()

    def write(
        self,
        name: str,
        code: str,
        text: str,
        task: str,
        style: str,
        length: int,
        presses: int,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Stream the text and the status line; each press of the button draws another text."""
        stopped = self.stopped[request.session_hash] = threading.Event()
        busy = (gr.update(interactive=False), gr.update(interactive=True), presses + 1)
        written, shown, report = "", 0.0, Generation()
        yield paper(""), note("Opening the model"), *busy
        try:
            if len(text) > MAX_CHARACTERS:
                remedy = f"give at most {MAX_CHARACTERS:,}"
                raise BadInput(f"the text has {len(text):,} characters", remedy=remedy)
            with self.shelf.borrow(self.models[name]) as model:
                options: dict[str, Any] = {"language": code or None, "chat": task == ANSWER, "seed": presses}
                options |= {"max_tokens": int(length), "temperature": STYLES[style], "report": report}
                for piece in model.generate(text, **options):
                    written += piece
                    if stopped.is_set():
                        break
                    if time.monotonic() - shown > INTERVAL:
                        shown = time.monotonic()
                        yield paper(written, text, code, task), note(figures("Writing", report)), *busy
            end = "Stopped" if stopped.is_set() else "Finished" if written else "The model had nothing to add"
            yield paper(written, text, code, task), note(figures(end, report)), *busy
        except Exception as error:
            yield gr.update(), self.sentence(error, name), *busy
        finally:
            self.stopped.pop(request.session_hash, None)

    def sentence(self, error: Exception, name: str) -> str:
        """What the page says of an error: no traceback, and not where the model lies on this machine."""
        if isinstance(error, EdgelmError):
            text = str(error).replace(str(self.models[name]), name)
        else:
            traceback.print_exception(error)
            text = "something went wrong; the terminal that the page was started from says what."
        return f'<p class="problem" role="alert">{html.escape(text[:1].upper() + text[1:])}</p>'


def paper(written: str, given: str = "", code: str = "", task: str = CONTINUE) -> str:
    """The reader's text and, set apart, the model's."""
    language = load_languages().get(code) if task == CONTINUE else None
    lang = f' lang="{html.escape(language.bcp47)}"' if language else ""
    start = f"<span>{html.escape(given)}</span>" if task == CONTINUE else ""
    label = '<p class="label">What the model writes</p>'
    return f'{label}<p class="paper"{lang}>{start}<b>{html.escape(written)}</b></p>'


def note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>'


def figures(state: str, report: Generation) -> str:
    seconds, memory = report.prompt_seconds + report.seconds, psutil.Process().memory_info().rss
    speed = f"{report.tokens_per_second:,.0f} tokens/s"
    return f"{state} · {report.tokens} tokens · {speed} · {seconds:.2f} s · {memory / 1e6:,.0f} MB of memory"


def build(models: Iterable[Path]) -> gr.Blocks:
    """The page; it starts with the smallest model.

    Raises:
        BadInput, MissingExtra: as `find_models`.
    """
    demo = Demo(find_models(models))
    names = list(demo.models)
    with gr.Blocks(title="edgelm", analytics_enabled=False) as page:
        presses = gr.State(0)
        gr.HTML(f"<h1>edgelm</h1><p>{SUBTITLE}</p>")
        with gr.Row():
            with gr.Column(scale=3, min_width=280):
                with gr.Row():
                    language = gr.Dropdown([ANY], value=ANY[1], label="Language", filterable=False)
                    model = gr.Dropdown(names, value=names[0], label="Model", filterable=False, scale=2)
                hint = "Begin a sentence, or leave this empty"
                text = gr.Textbox("", label="Your text", lines=3, placeholder=hint, max_length=MAX_CHARACTERS)
                with gr.Row():
                    write = gr.Button("Write", variant="primary", scale=2, min_width=100)
                    stop = gr.Button("Stop", scale=1, min_width=80, interactive=False)
                written = gr.HTML(paper(""), container=True, padding=True, elem_id="written")
                status = gr.HTML(elem_id="status")
            with gr.Column(scale=2, min_width=280):
                task = gr.Radio([CONTINUE, ANSWER], value=CONTINUE, label="Task")
                style = gr.Radio(list(STYLES), value="Balanced", label="Style")
                label = "Longest text, in tokens"
                length = gr.Slider(8, MAX_LENGTH, value=96, step=8, precision=0, label=label, buttons=[])
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        turns: dict[str, Any] = {"concurrency_id": "models", "concurrency_limit": READERS, **quiet}
        pressed = [write.click, text.submit]
        gr.on(pressed, None, None, status, js=f"() => `{note('Waiting for a turn')}`", **quiet)
        writing = gr.on(
            pressed,
            demo.write,
            [model, language, text, task, style, length, presses],
            [written, status, write, stop, presses],
            **turns,
        )
        # Only now: a press before Gradio has ended the last event would be lost.
        writing.then(None, None, [write, stop], js=FREE, **quiet)
        writing.failure(None, None, status, js="() => ``", **quiet)  # the queue is full, as Gradio says
        stop.click(demo.stop, queue=False, **quiet)
        language.input(demo.choose_language, [language, text], text, queue=False, **quiet)
        model.input(None, None, status, js="() => ``", **quiet)
        gr.on([page.load, model.input], demo.choose_model, [model, language], [language, status], **turns)
    return page.queue(max_size=WAITING, api_open=False)


class OnlyRoutesInUse:
    """Refuses Gradio's routes for files, uploads, proxying and its API, none of which the page uses."""

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or scope["path"] in ROUTES or scope["path"].startswith(FOLDERS):
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse("There is no such page.", 404)(scope, receive, send)


def launch(page: gr.Blocks, port: int = 0, open_browser: bool = False, host: str = "127.0.0.1") -> str:
    """Serve the page from a thread and return its address; port 0 takes a free one.

    Raises:
        BadInput: the port is taken.
    """
    warnings.filterwarnings("ignore", module="gradio")  # its own deprecations, not for a reader's terminal
    os.environ["no_proxy"] = ",".join(filter(None, [os.environ.get("no_proxy"), "127.0.0.1", "localhost"]))
    with socket.socket() as probe:
        if os.name == "posix":  # elsewhere it would let two programs share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            remedy = "give another --port, or 0 for a free one"
            raise BadInput(f"port {port} cannot be used ({error.strerror})", remedy=remedy) from None
        port = probe.getsockname()[1]
    font = ["system-ui", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]  # names alone: nothing is fetched
    theme = gr.themes.Default(primary_hue="teal", neutral_hue="slate", font=font, font_mono=["monospace"])
    dark = {
        "button_primary_background_fill": "*primary_700",
        "button_primary_background_fill_hover": "*primary_800",
    }
    _, address, _ = page.launch(
        theme=theme.set(**dark),  # white stays legible on them
        css_paths=Path(__file__).with_name("style.css"),
        server_name=host,
        server_port=port,
        inbrowser=open_browser,
        share=False,
        quiet=True,
        ssr_mode=False,
        footer_links=[],
        blocked_paths=[os.path.abspath(os.sep)],  # stronger than GRADIO_ALLOWED_PATHS
        prevent_thread_lock=True,
        app_kwargs={"middleware": [Middleware(OnlyRoutesInUse)]},
    )
    return address


def serve(models: list[Path], port: int = 7860, open_browser: bool = False, host: str = "127.0.0.1") -> None:
    """Serve the page until Ctrl-C.

    Raises:
        BadInput, MissingExtra: as `find_models`; the port is taken.
    """
    page = build(models)
    address = launch(page, port, open_browser, host)
    try:
        print(f"The page is at {address} (Ctrl-C stops it)", flush=True)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print("\rStopped.")
    page.close(verbose=False)


if __name__ == "__main__":
    try:
        folders = [Path(one) for one in os.environ.get("EDGELM_MODELS", "models").split(os.pathsep) if one]
        serve(folders, host=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    except EdgelmError as problem_at_start:
        sys.exit(str(problem_at_start))
