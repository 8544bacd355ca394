"""Work, mostly with a model, that a reader asks for: it waits for a turn, says so, and can be stopped."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gradio as gr

from edgelm_demo.context import QUIET, TURNS, note
from edgelm_demo.interface import say, texts

FREE = "() => [true, false].map(interactive => ({__type__: 'update', interactive}))"  # the button and Stop


class Stops:
    """Which readers at work want no more of it."""

    def __init__(self) -> None:
        self.asked: dict[str | None, threading.Event] = {}

    @contextmanager
    def watch(self, request: gr.Request) -> Iterator[threading.Event]:
        """An event that is set when the reader presses Stop."""
        asked = self.asked[request.session_hash] = threading.Event()
        try:
            yield asked
        finally:
            if self.asked.get(request.session_hash) is asked:
                del self.asked[request.session_hash]

    def press(self, request: gr.Request) -> None:
        if asked := self.asked.get(request.session_hash):
            asked.set()


def stoppable(
    pressed: list[Any],
    work: Callable[..., Any],
    inputs: list[Any],
    outputs: list[Any],
    *,
    buttons: tuple[gr.Button, gr.Button],
    status: gr.HTML,
    locale: gr.Dropdown,
    stops: Stops,
    turns: Mapping[str, Any] = TURNS,
) -> None:
    """Let `pressed` start `work`, a generator, and the second button stop it.

    Args:
        buttons: that which starts it and that which stops it; `work` gives them `busy()`.
        status: where it says that it waits.
        turns: the places that it waits for, those of models unless said otherwise.
    """
    waiting = json.dumps({code: note(say(code, "write.waiting")) for code in texts()})
    gr.on(pressed, None, locale, status, js=f"code => ({waiting})[code]", **QUIET)
    worker = gr.on(pressed, work, inputs, outputs, **turns)
    # Only now: a press before Gradio has ended the last event would be lost.
    worker.then(None, None, list(buttons), js=FREE, **QUIET)
    worker.failure(None, None, status, js="() => ``", **QUIET)  # the queue is full, as Gradio says
    buttons[1].click(stops.press, queue=False, **QUIET)


def busy() -> tuple[Any, Any]:
    """What both buttons are while there is work."""
    return gr.update(interactive=False), gr.update(interactive=True)
