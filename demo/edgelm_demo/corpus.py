"""The tab Corpus: what became of the documents, and what its filters say of a text."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import gradio as gr
import numpy as np

from edgelm.corpus.page.facts import Facts
from edgelm.errors import BadInput
from edgelm_demo import corpus_views as views
from edgelm_demo.context import QUIET, Context, note, problem
from edgelm_demo.corpora import WORKERS, Library, Opened, commonest, slider_range
from edgelm_demo.interface import FIRST, say, text
from edgelm_demo.turns import Stops, busy, stoppable

MAX_CHARACTERS = 20_000
EXAMPLES = 4  # documents shown of those that another bound keeps, and of those that it rejects
MOST_SOURCES = 200  # to choose from
VIEWS = ("funnel", "measures", "browse", "check", "bounds")
# Radios and not tabs, of which a phone shows the first and hides the others in a menu.
SWITCH = "view => { document.querySelector('.corpus').dataset.view = view; }"
ANY = ""
KEPT, REJECTED = "kept", "rejected"
LANGUAGE, SOURCE = "by_language", "by_source"
Choices = list[tuple[str, str]]
WORK: dict[str, Any] = {"concurrency_id": "corpora", "concurrency_limit": WORKERS, **QUIET}
"""Of events that may open a corpus: they wait for one of the places of `Library`, and for no model."""
LAST: dict[str, Any] = {"trigger_mode": "always_last", **WORK}
QUICK: dict[str, Any] = {"queue": False, **QUIET}
"""Of events that need no more than a manifest: opening the page takes no place in the queue."""


class Reading:
    """What the controls do. Gradio refuses a value that a control does not offer before these run."""

    def __init__(self, context: Context):
        self.corpora = context.corpora
        self.library = Library(context.corpora)
        self.stops = Stops()

    def choices(self, name: str, fate: str, locale: str) -> dict[str, Choices]:
        """What the controls offer of a corpus, in the order in which `fill` gives it."""
        facts = self.library.facts(name)
        languages = [(facts.label(code), code) for code in facts.codes if code in facts.registry]
        others = [(views.named(locale, "languages", code, code), code) for code in facts.codes]
        every = languages + [one for one in others if one[1] not in facts.registry]
        reasons = [(views.reason_words(locale, reason), reason) for reason, _ in facts.rejected.most_common()]
        sources = sorted(facts.manifest["sources"].items(), key=lambda item: -item[1]["documents"])
        anything = (say(locale, "corpus.any"), ANY)
        return {
            "language": [anything, *every],
            "reason": [anything, *(reasons if fate == REJECTED else [])],
            "source": [anything, *((source, source) for source, _ in sources[:MOST_SOURCES])],
            "column": [
                (views.measure_words(locale, column), column) for column in facts.manifest["distributions"]
            ],
            "rule": self._rules(facts, locale),
            "scope": [(say(locale, "corpus.all_languages"), ANY), *languages],
            "said": [(say(locale, "corpus.identify"), ANY), *languages],
        }

    def _rules(self, facts: Facts, locale: str) -> Choices:
        """The bounds there are, as `reason.side`; none of reasons that several filters give."""
        names = [rule["reason"] for rule in facts.rules]
        found = []
        for reason in dict.fromkeys(names):
            own = [one for one in facts.manifest["thresholds"] if one["reason"] == reason]
            for side in ("min", "max") if names.count(reason) == 1 else ():
                if any(side in one for one in own):
                    words = f"{views.reason_words(locale, reason)} · {say(locale, f'corpus.side_{side}')}"
                    found.append((words, f"{reason}.{side}"))
        return found

    def fill(self, name: str, fate: str, *values: str) -> list[Any]:
        """The choices of every control, each with its value if that is still offered; the locale is last."""
        offered = self.choices(name, fate, values[-1])
        updates = []
        for choices, value in zip(offered.values(), values[:-1], strict=True):
            known = [one for _, one in choices]
            default = known[0] if known else None
            updates.append(gr.update(choices=choices, value=value if value in known else default))
        return [views.headline(self.library.facts(name), values[-1]), *updates]

    def funnel_at_once(self, name: str, by: str, locale: str) -> Any:
        """The funnel by language, of the manifest; by source it is for `funnel`."""
        return views.funnel(self.library.facts(name), locale) if by == LANGUAGE else gr.skip()

    def funnel(self, name: str, by: str, locale: str) -> Iterator[str]:
        """The funnel by language, which the manifest has, or by source, for which columns are read."""
        facts = self.library.facts(name)
        if by == LANGUAGE:
            yield views.funnel(facts, locale)
        else:
            yield from self._shown(
                name, locale, lambda opened: views.funnel(facts, locale, opened.by_source())
            )

    def distribution(self, name: str, column: str | None, locale: str) -> str:
        return views.distribution(self.library.facts(name), locale, column or "")

    def show(
        self,
        step: int | None,
        name: str,
        fate: str,
        language: str,
        reason: str,
        source: str,
        seed: int,
        place: int,
        locale: str,
    ) -> Iterator[tuple[Any, Any]]:
        """The document at `place` and `step` of those chosen; the first where `step` is None.

        A `place` below 0 says that the reader has not asked for documents yet: nothing is read then.
        """
        if place < 0 and step is not None:
            yield gr.update(), gr.update()
            return
        at = 0 if step is None else max(place, 0) + step

        def document(opened: Opened) -> tuple[str, int]:
            from edgelm.corpus.browse import choose, read

            rows = choose(
                opened.table, opened.before, kept=fate == KEPT, language=language or None,
                reason=reason or None, source=source or None, seed=seed,
            )  # fmt: skip
            if not len(rows):
                return note(say(locale, "corpus.none")), 0
            row = int(rows[at % len(rows)])
            one = read(opened.table, row, opened.recipe)
            where = say(locale, "corpus.place", place=at % len(rows) + 1, count=len(rows))
            facts = self.library.facts(name)
            return views.document(facts, locale, one, opened.verdicts(row), where), at % len(rows)

        for shown in self._shown(name, locale, document):
            yield shown if isinstance(shown, tuple) else (shown, gr.update())

    def shuffle(self, seed: int) -> int:
        return seed + 1

    def check(
        self, given: str, code: str, name: str, locale: str, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """What the filters and the identifier say of a text; the status line; Check, Stop.

        The next check of the same reader begins when this one has ended, stopped or not.
        """

        def work() -> str:
            whole, lines, copies = self.library.open(name).check(given, code or None)
            return views.judgement(self.library.facts(name), locale, whole, lines, copies, given)

        try:
            with self.stops.watch(request) as stopped:
                yield "", note(say(locale, "corpus.opening", seconds=0)), *busy()
                if len(given) > MAX_CHARACTERS:
                    raise BadInput(say(locale, "corpus.too_long", count=len(given), most=MAX_CHARACTERS))
                if not given.strip():
                    raise BadInput(say(locale, "corpus.nothing"))
                with closing(self.library.working(work, request.session_hash)) as working:
                    for done in working:
                        if stopped.is_set():
                            yield "", note(say(locale, "corpus.stopped")), *busy()
                            return
                        if isinstance(done, tuple):
                            yield done[0], "", *busy()
                        else:
                            yield "", note(say(locale, "corpus.preparing", seconds=done)), *busy()
        except Exception as error:
            yield "", problem(error, locale, self.corpora[name]), *busy()

    def choose_rule(self, name: str, rule: str | None, scope: str, locale: str) -> Iterator[tuple[Any, Any]]:
        """The slider for a bound, at its value, and what it does there: nothing."""
        if not rule:
            yield gr.update(), note(say(locale, "corpus.no_filter"))
            return

        def slider(opened: Opened) -> tuple[Any, str]:
            reason, _, side = rule.rpartition(".")
            own = [one for one in opened.before.thresholds if one["reason"] == reason]
            values = {
                one["language"]: one[side] for one in own if side in one and scope in (ANY, one["language"])
            }
            column = opened.columns[own[0]["column"]]
            now = commonest(list(values.values()))
            low, high, step = slider_range(column, side, now)
            bounds = views.bounds_now(self.library.facts(name), locale, side, values)
            nothing = low if side == "min" else high  # where a bound asks for nothing
            value = nothing if now is None else min(max(now, low), high)
            return gr.update(minimum=low, maximum=high, step=step, value=value), bounds

        for shown in self._shown(name, locale, slider):
            yield shown if isinstance(shown, tuple) else (gr.update(), shown)

    def move(self, name: str, rule: str | None, scope: str, value: float, locale: str) -> Iterator[str]:
        """What another bound changes, and examples of what it changes."""
        if not rule:
            yield note(say(locale, "corpus.no_filter"))
            return

        def changed(opened: Opened) -> str:
            from edgelm.corpus.browse import read
            from edgelm.corpus.tune import changes

            setting = f"{scope}:{rule}={value!r}" if scope else f"{rule}={value!r}"
            _, after = opened.tuning.decided(setting)
            facts = self.library.facts(name)
            found = [views.effect(facts, locale, changes(opened.table, opened.before, after))]
            before, now = opened.before.kept, after.kept
            for key, rows, decided in (
                ("corpus.now_kept", now & ~before, opened.before),
                ("corpus.now_rejected", before & ~now, after),
            ):
                drawn = np.random.default_rng(0).permutation(np.flatnonzero(rows))[:EXAMPLES].tolist()
                shown = [
                    (
                        read(opened.table, row, opened.recipe),
                        views.reason_words(locale, decided.names[decided.first[row]]),
                    )
                    for row in drawn
                ]
                found.append(views.examples(facts, locale, key, shown))
            return "".join(found)

        yield from self._shown(name, locale, changed)

    def _shown(self, name: str, locale: str, view: Callable[[Opened], Any]) -> Iterator[Any]:
        """What `view` makes of a corpus; before that, where it takes long, a line that says so."""
        try:
            with closing(self.library.working(lambda: view(self.library.open(name)))) as working:
                for done in working:
                    seen = isinstance(done, tuple)
                    yield done[0] if seen else note(say(locale, "corpus.opening", seconds=done))
        except Exception as error:
            yield problem(error, locale, self.corpora[name])


def build(context: Context) -> None:
    """Put the tab's controls on the page; it starts with the first corpus."""
    if not context.corpora:
        gr.HTML(text("corpus.no_corpus"))
        return
    reading = Reading(context)
    locale, names = context.locale, list(context.corpora)
    first = reading.choices(names[0], KEPT, FIRST)
    with gr.Column(elem_classes="corpus"):
        corpus = gr.Dropdown(
            names, value=names[0], label=text("corpus.corpus"), filterable=False, elem_id="corpus"
        )
        headline = gr.HTML(elem_id="headline")
        view = gr.Radio(
            [(text(f"corpus.views.{one}"), one) for one in VIEWS],
            value=VIEWS[0],
            label=text("corpus.view"),
            elem_id="view",
        )
        view.input(None, view, None, js=SWITCH, **QUIET)  # first: it waits for no reading
        with gr.Column(elem_classes="view funnel"):
            funnel = _funnel(context, reading, corpus)
        with gr.Column(elem_classes="view measures"):
            column, distribution = _measures(context, reading, corpus, first)
        with gr.Column(elem_classes="view browse"):
            fate, chosen, show = _browse(context, reading, corpus, first, view)
        with gr.Column(elem_classes="view check"):
            said = _check(context, reading, corpus, first)
        with gr.Column(elem_classes="view bounds"):
            rule, scope, choose_rule = _bounds(context, reading, corpus, first, view)
    controls = [*chosen, column, rule, scope, said]
    fill: tuple[Any, ...] = (reading.fill, [corpus, fate, *controls, locale], [headline, *controls])
    context.when_translated(*fill, **QUICK)
    fate.input(*fill, **QUICK).then(*show, **WORK)
    filled = corpus.input(*fill, **QUICK)
    filled.then(*distribution, **QUICK)
    for event in (funnel, show, choose_rule):
        filled.then(*event, **WORK)


Event = tuple[Any, ...]


def _funnel(context: Context, reading: Reading, corpus: gr.Dropdown) -> Event:
    gr.HTML(text("corpus.funnel_said"), elem_classes="note")
    choices = [(text(f"corpus.{one}"), one) for one in (LANGUAGE, SOURCE)]
    by = gr.Radio(choices, value=LANGUAGE, label=text("corpus.by"))
    shown = gr.HTML(elem_id="funnel")
    controls = [corpus, by, context.locale], shown
    event: Event = (reading.funnel, *controls)
    gr.on([by.input, context.locale.input], *event, **LAST)
    context.when_translated(reading.funnel_at_once, *controls, **QUICK)
    return event


def _measures(
    context: Context, reading: Reading, corpus: gr.Dropdown, first: dict[str, Choices]
) -> tuple[gr.Dropdown, Event]:
    column = _dropdown(first, "column", "corpus.measured", elem_id="column")
    gr.HTML(text("corpus.distribution_said"), elem_classes="note")
    shown = gr.HTML(elem_id="distribution")
    event: Event = (reading.distribution, [corpus, column, context.locale], shown)
    column.input(*event, **QUICK)
    context.when_translated(*event, **QUICK)
    return column, event


def _browse(
    context: Context, reading: Reading, corpus: gr.Dropdown, first: dict[str, Choices], view: gr.Radio
) -> tuple[gr.Radio, list[gr.Dropdown], Event]:
    seed, place = gr.State(0), gr.State(-1)
    fates = [(text(f"corpus.{one}"), one) for one in (KEPT, REJECTED)]
    fate = gr.Radio(fates, value=KEPT, label=text("corpus.fate"))
    with gr.Row():
        chosen = [
            _dropdown(first, one, f"corpus.{one}", min_width=150) for one in ("language", "reason", "source")
        ]
    with gr.Row():
        previous = gr.Button(text("corpus.previous"), min_width=90)
        following = gr.Button(text("corpus.next"), variant="primary", min_width=90, elem_id="next")
        other = gr.Button(text("corpus.shuffle"), min_width=90)
    shown = gr.HTML(elem_id="document")
    inputs, outputs = [corpus, fate, *chosen, seed, place, context.locale], [shown, place]

    def event(step: int | None) -> Event:
        def show(*values: Any) -> Iterator[tuple[Any, Any]]:
            yield from reading.show(step, *values)

        return show, inputs, outputs

    for control in chosen:
        control.input(*event(None), **WORK)
    _when_opened(view, "browse", event(None))
    previous.click(*event(-1), **WORK)
    following.click(*event(1), **WORK)
    other.click(reading.shuffle, seed, seed, **QUICK).then(*event(None), **WORK)
    context.locale.input(*event(0), **WORK)  # when the page opens there is no document yet
    return fate, chosen, event(None)


def _check(context: Context, reading: Reading, corpus: gr.Dropdown, first: dict[str, Choices]) -> gr.Dropdown:
    given = gr.Textbox(
        label=text("corpus.text"),
        lines=5,
        max_lines=12,
        placeholder=text("corpus.hint"),
        max_length=MAX_CHARACTERS,
        elem_id="pasted",
    )
    said = _dropdown(first, "said", "corpus.said")
    with gr.Row():
        check = gr.Button(text("corpus.check"), variant="primary", scale=2, min_width=100, elem_id="check")
        stop = gr.Button(text("corpus.stop"), min_width=80, interactive=False)
    status, shown = gr.HTML(elem_id="checking"), gr.HTML(elem_id="judgement")
    outputs = [shown, status, check, stop]
    stoppable(
        [check.click], reading.check, [given, said, corpus, context.locale], outputs, buttons=(check, stop),
        status=status, locale=context.locale, stops=reading.stops, turns=WORK,
    )  # fmt: skip
    return said


def _bounds(
    context: Context, reading: Reading, corpus: gr.Dropdown, first: dict[str, Choices], view: gr.Radio
) -> tuple[gr.Dropdown, gr.Dropdown, Event]:
    gr.HTML(text("corpus.threshold_said"), elem_classes="note")
    with gr.Row():
        rule = _dropdown(first, "rule", "corpus.filter", min_width=200, elem_id="rule")
        scope = _dropdown(first, "scope", "corpus.language", min_width=150)
    bound = gr.Slider(0, 1, value=0, label=text("corpus.bound"), buttons=[], elem_id="bound")
    shown = gr.HTML(elem_id="effect")
    locale = context.locale
    event: Event = (reading.choose_rule, [corpus, rule, scope, locale], [bound, shown])
    rule.input(*event, **WORK)
    scope.input(*event, **WORK)
    _when_opened(view, "bounds", event)
    # a reader drags on while it is worked out: of all the places in between only the last counts
    bound.input(reading.move, [corpus, rule, scope, bound, locale], shown, **LAST)
    return rule, scope, event


def _when_opened(view: gr.Radio, own: str, event: Event) -> None:
    """Let an event happen when the reader comes to a view."""
    happens, inputs, outputs = event

    def come(view: str, *values: Any) -> Iterator[Any]:
        if view == own:
            yield from happens(*values)
        else:
            yield gr.skip()

    view.input(come, [view, *inputs], outputs, **WORK)


def _dropdown(choices: dict[str, Choices], name: str, label: str, **options: Any) -> gr.Dropdown:
    offered = choices[name]
    value = offered[0][1] if offered else None
    return gr.Dropdown(offered, value=value, label=text(label), filterable=False, **options)
