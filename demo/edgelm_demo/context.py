"""What the tabs share: the models, the language of the page, and how they speak."""

import html
import traceback
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from edgelm.errors import EdgelmError
from edgelm_demo.corpora import Corpus
from edgelm_demo.interface import say
from edgelm_demo.models import READERS, Found, Shelf

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
"""Of every event: nothing for programs to call, and no spinner over what is being read."""
TURNS: dict[str, Any] = {"concurrency_id": "models", "concurrency_limit": READERS, **QUIET}
"""Of events that use a model: they wait for one of `READERS` places."""


@dataclass
class Context:
    """Attributes: `models` by name; `locale`, the chooser of the page's language, an input of every event
    that says something; `translated`, see `when_translated`; `corpora` by name."""

    models: dict[str, Found]
    locale: gr.Dropdown
    shelf: Shelf = field(default_factory=Shelf)
    translated: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    corpora: dict[str, Corpus] = field(default_factory=dict)

    def when_translated(self, *event: Any, **options: Any) -> None:
        """An event (function, inputs, outputs) for when the page opens and when its language changes: for
        what a component shows that is not there from the start."""
        self.translated.append((event, options))


def note(words: str) -> str:
    """A quiet line."""
    return f'<p class="note">{html.escape(words)}</p>'


def problem(error: Exception, locale: str, *models: Found | Corpus) -> str:
    """What the page says of an error: no traceback, and not where a model or corpus lies on this machine."""
    if isinstance(error, EdgelmError):
        words = str(error)
        for model in models:
            words = words.replace(str(model.path), model.name)
    else:
        traceback.print_exception(error)
        words = say(locale, "page.wrong")
    return f'<p class="problem" role="alert">{html.escape(words[:1].upper() + words[1:])}</p>'
