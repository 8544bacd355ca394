"""The loop that writes a text: read, draw, show; the same whatever runs the model."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from edgelm.errors import EdgelmError
from edgelm.runtime.constrained import Tokens, draw_text
from edgelm.runtime.grammar import Constraint
from edgelm.runtime.lookup import DRAFT, Drafts, Lookup, Pace
from edgelm.runtime.output import Output
from edgelm.runtime.sampling import Options, Sampler, TokenScore, token_score

if TYPE_CHECKING:
    from edgelm.runtime.base import LanguageModel, Session

PORTION = 512
"""Tokens of a prompt that are read at once: between two portions a text can be cancelled."""


@dataclass(slots=True)
class Generation:
    """How a generation went; filled in while it streams."""

    prompt_tokens: int = 0
    reused: int = 0
    """Tokens of the prompt that were still in the key-value cache and were not read again."""
    tokens: int = 0
    drafted: int = 0
    """Tokens that prompt lookup proposed."""
    accepted: int = 0
    """Those of them that were drawn."""
    prompt_seconds: float = 0.0
    """Seconds until the first new token was there."""
    seconds: float = 0.0
    """Seconds spent on what followed, the token that ended the text included."""
    ended: str = ""
    """`stop` where the model or a stop sequence ended the text, `length` where `max_tokens` or the context
    did, `cancelled` where `cancel` did."""
    ids: list[int] = field(default_factory=list)
    """The tokens that were drawn."""
    scores: list[TokenScore] = field(default_factory=list)
    """With `logprobs`: of the tokens of the text streamed so far."""
    cancelled: bool = False

    @property
    def tokens_per_second(self) -> float:
        timed = self.tokens if self.ended == "stop" else self.tokens - 1
        return timed / self.seconds if self.seconds else 0.0

    def cancel(self) -> None:
        """End the text at the next token. May be called from another thread or a signal's handler."""
        self.cancelled = True


class Cancelled(Exception):
    """The text is not wanted any more."""


class Held:
    """A session and the tokens in its cache."""

    def __init__(self, session: "Session", report: Generation):
        self.session, self.report = session, report
        self.ids: list[int] = []
        self.whole = True

    @classmethod
    def begin(cls, model: "LanguageModel", ids: Sequence[int], reuse: bool, report: Generation) -> "Held":
        """A session that holds what it can of `ids`, all but the last at most."""
        held, model.held = model.held, None  # two texts in progress share no session
        if held is not None and reuse:
            common = common_length(held.ids, ids[:-1])
            try:
                if common:
                    held.session.rewind(common)  # also where nothing is to go: an ended session says so
                    del held.ids[common:]
                    held.report = report
                    return held
            except EdgelmError:  # another session has ended it
                pass
        return cls(model.session(), report)

    def feed(self, ids: Sequence[int], last_only: bool = False) -> np.ndarray:
        """As `Session.feed`.

        Raises:
            Cancelled: the text is not wanted any more.
        """
        if self.report.cancelled:
            raise Cancelled
        self.whole = False  # until it is done
        logits = self.session.feed(ids, last_only)
        self.ids += ids
        self.whole = True
        return logits

    def rewind(self, length: int) -> None:
        if length < len(self.ids):
            self.session.rewind(length)
            del self.ids[length:]


class Text:
    """A text being written: the tokens drawn so far, and how much of them was shown."""

    def __init__(self, model: "LanguageModel", options: Options, report: Generation):
        self.model, self.options, self.report = model, options, report
        self.output = Output(options.stop)
        self.bytes = 0
        self.hidden: list[tuple[int, TokenScore]] = []  # scores by where their token begins

    def add(self, token: int, logits: np.ndarray) -> str:
        """Text that is clear with this token, drawn from `logits` [vocab_size]."""
        data = self.model.token_bytes(token)
        self.report.tokens += 1
        self.report.ids.append(token)
        if self.options.logprobs is not None:
            self.hidden.append((self.bytes, token_score(logits, token, self.options.logprobs)))
        self.bytes += len(data)
        piece = self.output.add(data)
        self._show_scores(self.output.shown)
        return piece

    def end(self) -> str:
        """What was held back."""
        piece = self.output.end()
        if not self.output.stopped:
            self._show_scores(self.bytes + 1)
        return piece

    def _show_scores(self, shown: int) -> None:
        while self.hidden and self.hidden[0][0] < shown:
            self.report.scores.append(self.hidden.pop(0)[1])


def write(
    model: "LanguageModel", ids: list[int], room: int, options: Options, report: Generation,
    choices: Sequence[Tokens] = (), constraint: Constraint | None = None,
) -> Iterator[str]:  # fmt: skip
    """The text after `ids`, of `room` tokens at most, or one of `options.choices`, whose tokens are given.

    With a `constraint`, which has seen nothing yet, it fits `options.grammar`.

    What the session holds in the end stays with the model where `options.reuse` says so.
    """
    begin = time.perf_counter()
    held, text = Held.begin(model, ids, options.reuse, report), Text(model, options, report)
    report.prompt_tokens, report.reused = len(ids), len(held.ids)
    try:
        for start in range(report.reused, len(ids), PORTION):
            logits = held.feed(ids[start : min(start + PORTION, len(ids))], last_only=True)
        if choices:
            yield _choose(held, logits, choices, text, begin)
        else:
            yield from _continue(held, logits, room, text, begin, constraint)
    except Cancelled:
        report.ended = "cancelled"
    finally:
        if options.reuse and held.whole and not model.closed:
            model.held = held
    if tail := text.end():
        yield tail


def _continue(
    held: Held, logits: np.ndarray, room: int, text: Text, begin: float, constraint: Constraint | None
) -> Iterator[str]:
    """Draw tokens from `logits` [1, vocab_size] on; `begin` is when the prompt began."""
    model, options, report = text.model, text.options, text.report
    sampler, drafts = Sampler(options, model.vocab_size, constraint), Drafts()
    lookup = Lookup(held.ids) if options.lookup else None
    draft: list[int] = []
    known = len(held.ids)  # tokens that are certain; a draft follows
    while True:
        accepted = -1
        for row, proposed in zip(logits, [*draft, None], strict=True):
            token, accepted = sampler.draw(row), accepted + 1
            if report.tokens:
                report.seconds += time.perf_counter() - begin
            else:
                report.prompt_seconds = time.perf_counter() - begin
            if token in model.ends:
                report.ended = "stop"
            elif piece := text.add(token, row):
                yield piece
            if text.output.stopped or sampler.done:
                report.ended = "stop"
            elif report.tokens == room and not report.ended:
                report.ended = "length"
            begin = time.perf_counter()
            if report.ended:
                break
            if lookup:
                lookup.add(token)
                drafts.see(token)
            if token != proposed:
                break
        held.rewind(known + accepted)
        if draft:
            report.drafted, report.accepted = report.drafted + len(draft), report.accepted + accepted
            drafts.came_true(accepted)
        if report.ended:
            return
        draft = []
        if lookup and room - report.tokens > DRAFT:
            draft = _draft(held, token, lookup, drafts, text)
        known = len(held.ids) + 1
        logits = held.feed([token, *draft], last_only=not draft)


def _draft(held: Held, token: int, lookup: Lookup, drafts: Drafts, text: Text) -> list[int]:
    """Tokens to try after `token`, which is about to be read; none where they would not pay."""
    draft, model = lookup.draft(), text.model
    if draft and drafts.promising and model.pace is None:
        model.pace = Pace(held.session, len(held.ids), [token, *draft])
    pace = model.pace
    if pace and (pace.alike or text.options.reuse) and drafts.promising and drafts.wanted(pace):
        return draft
    drafts.watch(draft)
    return []


def _choose(held: Held, logits: np.ndarray, choices: Sequence[Tokens], text: Text, begin: float) -> str:
    """One of the choices, drawn by how likely each is as the whole text: with its end."""
    model, report, known = text.model, text.report, len(held.ids)
    sampler = Sampler(text.options, model.vocab_size)
    number = draw_text(held, known, logits[-1], choices, sorted(model.ends), sampler)
    report.prompt_seconds = time.perf_counter() - begin
    held.rewind(known)
    following = held.feed(choices[number])
    for token, row in zip(choices[number], [*logits, *following], strict=False):
        text.add(token, row)
    report.seconds = time.perf_counter() - begin - report.prompt_seconds
    report.ended = "stop"
    return text.options.choices[number]


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
