"""The one thread that writes: a model holds one sequence at a time, and requests are served as they came."""

import asyncio
import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from edgelm.errors import BadInput, MissingExtra, out_of_memory
from edgelm.runtime import Generation, LanguageModel
from edgelm.runtime.sampling import TokenScore
from edgelm.serve.errors import Refused
from edgelm.serve.requests import Request

INTERVAL = 0.02
"""Seconds between two pieces of a stream: a small model writes faster than anyone reads."""
RETRY = 1
GONE, LATE, CLOSING = "gone", "late", "closing"


class Token(NamedTuple):
    """A token as a client sees it: its text, its bytes (None for a special token) and its log-probability."""

    text: str
    data: bytes | None
    logprob: float


@dataclass(slots=True)
class Usage:
    """Tokens of a request's prompts and answers."""

    prompt: int = 0
    reused: int = 0
    written: int = 0


@dataclass(slots=True)
class Piece:
    """Text of one answer, with the scores of its tokens where they were asked for."""

    index: int
    text: str = ""
    scores: list[tuple[Token, list[Token]]] = field(default_factory=list)
    ended: str = ""
    """Why the answer ends with this piece, if it does."""


class Job:
    """A request on its way through the worker. The event loop reads what the worker's thread writes."""

    def __init__(self, request: Request, loop: asyncio.AbstractEventLoop):
        self.request, self.loop, self.usage = request, loop, Usage()
        self.pieces: deque[Piece] = deque()
        self.error: Refused | None = None
        self.begun = self.done = False
        self.stopped = ""
        self.report = Generation()
        self.news = asyncio.Event()

    def stop(self, why: str) -> None:
        """End the job at the next token."""
        self.stopped = self.stopped or why
        self.report.cancel()

    def watch(self, report: Generation) -> Generation:
        """The answer that is being written now."""
        self.report = report
        if self.stopped:
            report.cancel()
        return report

    def tell(self) -> None:
        """Wake the reader."""
        with suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(self.news.set)

    async def begin(self) -> None:
        """Wait for the job's turn.

        Raises:
            Refused: it cannot be done.
        """
        while not self.begun and self.error is None:
            await self._wait()
        if self.error:
            raise self.error

    async def read(self) -> AsyncIterator[Piece]:
        """What is written, some at a time.

        Raises:
            Refused: it could not be done to the end.
        """
        while True:
            finished, begin = self.done, self.loop.time()
            while self.pieces:
                yield self._merged()
            if self.error:
                raise self.error
            if finished:
                return
            await self._wait()
            await asyncio.sleep(begin + INTERVAL - self.loop.time())

    async def _wait(self) -> None:
        await self.news.wait()
        self.news.clear()

    def _merged(self) -> Piece:
        """All that is there of one answer."""
        piece = self.pieces.popleft()
        while self.pieces and not piece.ended and self.pieces[0].index == piece.index:
            following = self.pieces.popleft()
            piece = Piece(
                piece.index, piece.text + following.text, piece.scores + following.scores, following.ended
            )
        return piece


class Worker:
    """Writes the answers.

    Args:
        waiting: jobs that may wait for their turn.
        seconds: that a job may take from its turn on.
    """

    def __init__(self, model: LanguageModel, waiting: int, seconds: float):
        self.model, self.waiting, self.seconds = model, waiting, seconds
        self.jobs: deque[Job] = deque()
        self.current: Job | None = None
        self.closing = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self.thread.start()

    def submit(self, job: Job) -> None:
        """Put a job at the end of the queue.

        Raises:
            Refused: the queue is full, or the server is about to end.
        """
        with self.changed:
            if self.closing:
                raise shutting_down()
            if len(self.jobs) >= self.waiting:
                raise Refused(
                    503, f"{self.waiting} requests are waiting already. Try again later.",
                    code="queue_full", retry=RETRY,
                )  # fmt: skip
            self.jobs.append(job)
            self.changed.notify()

    def leave(self, job: Job) -> None:
        """Nobody wants a job's answer any more."""
        job.stop(GONE)
        with self.changed:
            if job in self.jobs:
                self.jobs.remove(job)
                job.error = Refused(400, "the client has left.")
                job.tell()

    def close(self) -> None:
        """Take no more jobs, and refuse those that wait. The one that is being done goes on."""
        with self.changed:
            self.closing = True
            for job in self.jobs:
                job.error = shutting_down()
                job.tell()
            self.jobs.clear()
            self.changed.notify()

    def stop(self) -> None:
        """End the job that is being done."""
        if job := self.current:
            job.stop(CLOSING)

    @property
    def idle(self) -> bool:
        return self.current is None and not self.jobs

    def _run(self) -> None:
        while True:
            with self.changed:
                self.current = None
                while not self.jobs:
                    if self.closing:
                        return
                    self.changed.wait()
                job = self.current = self.jobs.popleft()
            timer = threading.Timer(self.seconds, job.stop, (LATE,))
            timer.start()
            try:
                self._answer(job)
            except Refused as error:
                job.error = error
            except BadInput as error:
                job.error = Refused(400, str(error))
            except MissingExtra as error:
                job.error = Refused(501, str(error))
            except BaseException as error:  # the server must outlive any request, and a panic of Rust too
                traceback.print_exc(file=sys.stderr)
                what = "out of memory." if out_of_memory(error) else "the model failed; see the server's log."
                job.error = Refused(500, what)
            finally:
                timer.cancel()
                job.done = True
                job.tell()

    def _answer(self, job: Job) -> None:
        request, answers = job.request, list[tuple[Generation, Iterator[str]]]()
        for ids in self._prompts(request):
            for number in range(request.answers):
                answers.append(self._writing(request, ids, number))
            job.usage.prompt += len(ids)
        job.begun = True
        job.tell()
        for index, (report, pieces) in enumerate(answers):
            job.watch(report)
            shown = 0
            for text in pieces:
                scores = [self._score(one) for one in report.scores[shown:]]
                shown = len(report.scores)
                job.pieces.append(Piece(index, request.contents.get(text, text), scores))
                job.tell()
            job.usage.reused += report.reused if index % request.answers == 0 else 0
            job.usage.written += report.tokens
            if report.ended == "cancelled":
                self._refuse_stopped(job, index, report)
            scores = [self._score(one) for one in report.scores[shown:]]
            ended = "stop" if report.ended == "stop" else "length"
            job.pieces.append(Piece(index, "", scores, ended))
            if job.stopped in (GONE, CLOSING):
                return

    def _prompts(self, request: Request) -> list[list[int]]:
        """Ids to start from.

        Raises:
            BadInput: the model has no tag for the language.
            Refused: a prompt leaves no room in the context, or has an id that the model does not.
        """
        model = self.model
        if request.chat:
            turns = [(role, model.tokenize(text)) for role, text in request.turns]
            found = [model.conversation(turns)]
        else:
            found = [
                model.prompt(prompt, request.language) if isinstance(prompt, str) else prompt
                for prompt in request.prompts
            ]
        name = "messages" if request.chat else "prompt"
        for ids in found:
            if len(ids) >= model.context:
                raise Refused(
                    400,
                    f"the prompt has {len(ids)} tokens; the model's context holds {model.context} in all. "
                    "Shorten it.",
                    param=name,
                    code="context_length_exceeded",
                )
            if max(ids) >= model.vocab_size:
                raise Refused(400, f"the model has no token {max(ids)}.", param=name)
        return found

    def _writing(self, request: Request, ids: list[int], number: int) -> tuple[Generation, Iterator[str]]:
        """An answer to be written. One with a seed does not depend on what the cache holds."""
        report = Generation()
        seed = int.from_bytes(os.urandom(6), "big") if request.seed is None else request.seed
        reuse = request.seed is None
        pieces = self.model.generate(ids, **request.options, seed=seed + number, reuse=reuse, report=report)
        return report, pieces

    def _refuse_stopped(self, job: Job, index: int, report: Generation) -> None:
        """Raise `Refused` where a job was ended from outside without an answer: half a choice is none."""
        if job.stopped == CLOSING:
            raise shutting_down()
        if job.stopped == LATE and index == 0 and (not report.tokens or job.request.options["choices"]):
            raise Refused(
                503, f"the answer took longer than {self.seconds:g} seconds. Shorten the request.",
                code="time_limit",
            )  # fmt: skip

    def _score(self, score: TokenScore) -> tuple[Token, list[Token]]:
        top = [self._token(token, logprob) for token, logprob in score.top]
        return self._token(score.token, score.logprob), top

    def _token(self, token: int, logprob: float) -> Token:
        data = self.model.token_bytes(token)
        if not data:
            return Token(self.model.token_name(token), None, logprob)
        return Token(data.decode("utf-8", "replace"), data, logprob)


def shutting_down() -> Refused:
    """What is said to requests that come too late."""
    return Refused(503, "the server is shutting down. Try another.", code="shutting_down", retry=RETRY)
