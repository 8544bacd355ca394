"""The whole page: the language it speaks, and its tabs."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import gradio as gr

from edgelm.errors import EdgelmError
from edgelm_demo import compare, corpus, model, tasks, words, write
from edgelm_demo.context import Context
from edgelm_demo.corpora import find_corpora
from edgelm_demo.interface import chooser, follow, text
from edgelm_demo.models import WAITING, Found, find_models

TABS: dict[str, Callable[[Context], None]] = {
    "write": write.build,
    "tasks": tasks.build,
    "compare": compare.build,
    "words": words.build,
    "corpus": corpus.build,
    "model": model.build,
}
"""In their order; each puts its controls where it is called."""


def build(paths: Iterable[Path]) -> gr.Blocks:
    """The page of the models and corpora at or below `paths`.

    Raises:
        BadInput, MissingExtra: as `find_models`, where there is no corpus either.
    """
    paths = list(paths)
    corpora = find_corpora(paths)
    models = _models(paths, needed=not corpora)
    with gr.Blocks(title="edgelm", analytics_enabled=False) as page:
        with gr.Row(elem_id="top"):
            with gr.Column(scale=3, min_width=240):
                gr.HTML("<h1>edgelm</h1>")
                gr.HTML(text("page.subtitle"), elem_id="subtitle")
            with gr.Column(scale=1, min_width=180):
                locale = chooser()
        context = Context(models, locale, corpora=corpora)
        with gr.Tabs(elem_id="tabs"):
            for name, tab in TABS.items():
                with gr.Tab(text(f"page.tabs.{name}"), id=name):
                    tab(context)
        for done in follow(page, locale):
            for event, options in context.translated:
                done.then(*event, **options)
    return page.queue(max_size=WAITING, api_open=False)


def _models(paths: Iterable[Path], needed: bool) -> dict[str, Found]:
    """The models, or none and a line on stderr that says why."""
    try:
        return find_models(paths)
    except EdgelmError as error:
        if needed:
            raise
        print(error, file=sys.stderr)
        return {}
