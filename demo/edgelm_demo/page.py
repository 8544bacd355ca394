"""The whole page: the language it speaks, and its tabs."""

from collections.abc import Callable, Iterable
from pathlib import Path

import gradio as gr

from edgelm_demo import tasks, write
from edgelm_demo import compare, words, write
from edgelm_demo.context import Context
from edgelm_demo.interface import chooser, follow, text
from edgelm_demo.models import WAITING, find_models

TABS: dict[str, Callable[[Context], None]] = {"write": write.build, "tasks": tasks.build}
TABS: dict[str, Callable[[Context], None]] = {
    "write": write.build,
    "compare": compare.build,
    "words": words.build,
}
"""In their order; each puts its controls where it is called."""


def build(paths: Iterable[Path]) -> gr.Blocks:
    """The page of the models at or below `paths`.

    Raises:
        BadInput, MissingExtra: as `find_models`.
    """
    models = find_models(paths)
    with gr.Blocks(title="edgelm", analytics_enabled=False) as page:
        with gr.Row(elem_id="top"):
            with gr.Column(scale=3, min_width=240):
                gr.HTML("<h1>edgelm</h1>")
                gr.HTML(text("page.subtitle"), elem_id="subtitle")
            with gr.Column(scale=1, min_width=180):
                locale = chooser()
        context = Context(models, locale)
        with gr.Tabs(elem_id="tabs"):
            for name, tab in TABS.items():
                with gr.Tab(text(f"page.tabs.{name}"), id=name):
                    tab(context)
        for done in follow(page, locale):
            for event, options in context.translated:
                done.then(*event, **options)
    return page.queue(max_size=WAITING, api_open=False)
