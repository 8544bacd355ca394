"""The tab Model: what a model is, what it learnt from and under which licences, its curve, its limits."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import gradio as gr

from edgelm.artifacts import read_provenance
from edgelm.languages import load_languages
from edgelm.model.card import read_card
from edgelm.page.markup import Html, details, element, foreign, join, listed, number, size, table
from edgelm.pretrain.curve import plots
from edgelm.pretrain.metrics import read_lines
from edgelm.runtime.gguf_header import read_header
from edgelm_demo.context import QUIET, Context, problem
from edgelm_demo.corpora import Corpus
from edgelm_demo.interface import say, text
from edgelm_demo.markdown import render
from edgelm_demo.models import Found

CARD = 100_000  # characters of a card that are read
VALUE = 200  # characters of a value in a header that are shown
UP = 3  # folders above a file of weights that may say what it was made from
VERIFICATION = "verification.json"
Row = tuple[str, object]


@dataclass(slots=True)
class About:
    """What is known of a model.

    Attributes:
        origin: the model it was exported from, where that is among those of the page; else itself.
        values: a GGUF file's own words, without its tokens and weights.
        provenance: the `edgelm.json` of `origin`.
        bits: bits per byte that an export measured of its own file, mean over languages.
    """

    model: Found
    origin: Found
    values: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    card: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)
    bits: float | None = None


def look(model: Found, models: Iterable[Found]) -> About:
    """Read what lies beside a model, or beside the one it was exported from.

    Raises:
        BadInput: it is a GGUF file with a damaged header.
    """
    about = About(model, _origin(model, models))
    if about.origin is not model:
        about.bits = _measured(model.path)
    if model.path.suffix == ".gguf":
        about.values = {key: _plain(value) for key, value in read_header(model.path).values.items()}
    if folder := _described(about.origin.path):
        about.provenance = read_provenance(folder) or {}
        about.metadata = read_card(folder)[1]
        if (folder / "README.md").is_file():
            with (folder / "README.md").open(encoding="utf-8", errors="replace") as stream:
                about.card = stream.read(CARD)
        about.lines = read_lines(folder)
    return about


def _described(path: Path) -> Path | None:
    """The folder with what is said of a model: its own or, of a GGUF or ONNX, the one above it that has a
    model's card and no weights of a model directory."""
    if path.is_dir() and ((path / "README.md").is_file() or not list(path.glob("model.onnx*"))):
        return path
    above = path.parent
    described = "pipeline_tag" in read_card(above)[1] and not (above / "model.safetensors").exists()
    return above if described else path if path.is_dir() else None


def _origin(model: Found, models: Iterable[Found]) -> Found:
    """The model that an export's record names, if the page has it."""
    known = {one.path.resolve(): one for one in models}
    for folder in list(model.path.resolve().parents)[:UP]:
        found = read_provenance(folder)
        if found and str(found.get("command", "")).startswith("export"):
            return next((known[Path(one)] for one in found.get("inputs", {}) if Path(one) in known), model)
    return model


def _measured(path: Path) -> float | None:
    """Bits per byte of an exported file in its export's `verification.json`, mean over languages."""
    name = f"gguf:{path.stem.removeprefix('model-')}" if path.is_file() else f"{path.parent.name}:{path.name}"
    for folder in list(path.parents)[:UP]:
        try:
            figures = json.loads((folder / VERIFICATION).read_text(encoding="utf-8"))
            return fmean(one["bits_per_byte"] for one in figures[name]["languages"].values())
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue  # none here, or not of this file
    return None


def _plain(value: Any) -> Any:
    """A value of a header as text or a number; of a long list only how long it is."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value] if len(value) <= 20 else f"[{len(value):,}]"
    return value


class Showing:
    """What the controls do."""

    def __init__(self, context: Context):
        self.models, self.corpora = context.models, context.corpora

    def show(self, name: str, locale: str) -> str:
        """All that the tab says of a model."""
        model = self.models[name]
        try:
            about = look(model, self.models.values())
            return page(about, self._corpora(about), locale)
        except Exception as error:
            return problem(error, locale, *self._named(model))

    def _named(self, model: Found) -> list[Found | Corpus]:
        """What an error may name, the longest path first: models, corpora, folders that a model lies in."""
        above = [Corpus(one.name, one) for one in list(model.path.parents)[:UP] if one.name]
        every: list[Found | Corpus] = [*self.models.values(), *self.corpora.values(), *above]
        return sorted(every, key=lambda one: -len(str(one.path)))

    def _corpora(self, about: About) -> list[Corpus]:
        """Corpora of the page that the model learnt from."""
        inputs = {Path(one) for one in about.provenance.get("inputs", {})}
        return [one for one in self.corpora.values() if one.path in inputs]


def page(about: About, corpora: Iterable[Corpus], locale: str) -> Html:
    """What is known of a model, its limits, its licences, its curve, its card and its header."""
    parts = [
        element("dl", *(_fact(*one) for one in facts(about, locale)), class_="facts"),
        element("h3", say(locale, "model.limits")),
        element("p", say(locale, "model.limits_writes" if about.model.writes else "model.limits_labels")),
        element("h3", say(locale, "model.licences")),
        _licences(about, corpora, locale),
    ]
    if about.origin is not about.model:
        made = say(locale, "model.made_from", name=about.origin.name)
        parts.insert(1, element("p", made, class_="note"))
    if about.lines and (curves := plots(about.lines)):
        parts += [element("h3", say(locale, "model.curve")), element("div", *curves, class_="plots")]
    if about.card:
        name = say(locale, "model.card")
        parts.append(details(name, element("div", render(about.card, name), lang="en"), class_="card"))
    if about.values:
        rows = [[key, _shown(value)] for key, value in about.values.items()]
        header = [say(locale, "model.key"), say(locale, "model.value")]
        name = say(locale, "model.header")
        parts.append(details(name, table("", header, rows, words=(1,), name=name, role="region")))
    return element("section", *parts)


def _fact(name: str, value: object) -> Html:
    return element("div", element("dt", name), element("dd", value))


def _shown(value: Any) -> str:
    words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return words[:VALUE] + ("…" if len(words) > VALUE else "")


def facts(about: About, locale: str) -> Iterator[Row]:
    """Name and value of what is known."""
    path, results = about.model.path, about.provenance.get("results", {})
    kind = (
        "GGUF" if path.is_file() else "ONNX" if [*path.glob("*.onnx"), *path.glob("*.ort")] else "safetensors"
    )
    yield say(locale, "model.kind"), kind
    yield say(locale, "model.size"), size(about.model.size)
    if parameters := results.get("parameters"):
        yield say(locale, "model.parameters"), number(int(parameters))
    elif label := about.values.get("general.size_label"):
        yield say(locale, "model.parameters"), str(label)
    shape = about.provenance.get("config", {}).get("shape") or {}
    architecture = about.values.get("general.architecture", "")
    if context := about.values.get(f"{architecture}.context_length") or shape.get("context"):
        yield say(locale, "model.context"), say(locale, "model.tokens", count=int(context))
    if tokens := max((one.get("tokens") or 0 for one in about.lines), default=0):
        yield say(locale, "model.trained_on"), say(locale, "model.tokens", count=tokens)
    if about.origin is about.model:
        mean = (results.get("validation_bits_per_byte") or {}).get("mean")
        if isinstance(mean, int | float):
            yield say(locale, "model.bits"), f"{mean:.3f}"
    elif about.bits is not None:  # of edgelm's sample, which the model may have been trained on
        yield say(locale, "compare.bits"), f"{about.bits:.3f}"
    if languages := _languages(about):
        yield say(locale, "model.languages"), languages


def _languages(about: About) -> Html | None:
    """Its languages by their own names."""
    codes = about.metadata.get("language") or about.values.get("general.languages") or []
    known = {one.bcp47: one for one in load_languages().values()}
    names = [foreign(known[one].autonym if one in known else one, str(one)) for one in map(str, codes)]
    return listed(names) if names else None


def _licences(about: About, corpora: Iterable[Corpus], locale: str) -> Html:
    """The licence the model states, and the terms of the data that it is known to have learnt from."""
    stated = [
        about.metadata.get(key) or about.values.get(f"general.{key.replace('_', '.')}")
        for key in ("license", "license_name")
    ]
    own = " · ".join(dict.fromkeys(str(one) for one in stated if one))
    parts = [
        element("p", say(locale, "model.licence", licence=own) if own else say(locale, "model.no_licence"))
    ]
    rows: list[list[object]] = [
        [foreign(one.get("name", "")), foreign(one.get("licence", "")), foreign(one.get("attribution", ""))]
        for one in about.provenance.get("config", {}).get("tasks") or ()
        if isinstance(one, dict)
    ]
    for corpus in corpora:
        from edgelm.corpus.report import read_manifest

        for name, terms in read_manifest(corpus.path)["terms"].items():
            rows.append([foreign(name), foreign(terms["licence"]), foreign(terms["attribution"])])
    if rows:
        header = [say(locale, f"model.{one}") for one in ("data", "licence_of", "attribution")]
        caption = say(locale, "model.learnt_from")
        parts.append(table(caption, header, rows, words=(1, 2), role="region"))
    return join(parts)


def build(context: Context) -> None:
    """Put the tab's controls on the page; it starts with the smallest that writes."""
    if not context.models:
        gr.HTML(text("model.none"))
        return
    showing, names = Showing(context), list(context.models)
    first = next((name for name, model in context.models.items() if model.writes), names[0])
    with gr.Column(elem_classes=["corpus", "model"]):
        model = gr.Dropdown(
            names, value=first, label=text("model.model"), filterable=False, elem_id="about-model"
        )
        shown = gr.HTML(elem_id="about")
    event: tuple[Any, ...] = (showing.show, [model, context.locale], shown)
    model.input(*event, **QUIET)
    context.when_translated(*event, **QUIET)
