"""What a loaded model can do, whatever runs it.

A backend says how text becomes tokens and opens sessions; a session is fed tokens and answers with logits.
All else is here and in `generation` once: scoring, sampling, streaming.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edgelm.errors import BadInput, EdgelmError
from edgelm.progress import Step
from edgelm.runtime.choices import Ranked, check_choices, check_prompt
from edgelm.runtime.generation import Generation, Held, common_length, write
from edgelm.runtime.grammar import Constraint, Grammar
from edgelm.runtime.sampling import Options, log_likelihoods, log_softmax
from edgelm.tokenizer.special import ChatIds

if TYPE_CHECKING:
    from edgelm.runtime.lookup import Pace

LOGITS = 1 << 24
"""Most logits of a text held at once: 64 MB."""
PORTION = 1024
"""Most of its tokens read at once, as attention may take memory for each of them with all before it."""


class Session(Protocol):
    """One sequence in progress, with its key-value cache."""

    def feed(self, ids: Sequence[int], last_only: bool = False) -> np.ndarray:
        """Append tokens; float32 logits [len(ids), vocab_size], or [1, vocab_size] of the last one."""
        ...

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        ...


class Branches(Protocol):
    """Several sequences in progress that begin alike, as a beam search wants them."""

    def start(self, ids: Sequence[int]) -> np.ndarray:
        """Begin with one; float32 logits [1, vocab_size] of what follows."""
        ...

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> np.ndarray:
        """Go on with copies of some of the sequences, one token each; float32 logits [tokens, vocab_size]."""
        ...


class LanguageModel(ChatIds, ABC):
    """A decoder ready to use.

    Attributes:
        name: what to call it in a table.
        backend: `torch`, `onnx` or `llama.cpp`.
        context: longest sequence in tokens, prompt included.
        bos, eos, end and the like: see `ChatIds`.
        held: what the last text that was written with `reuse` left in the key-value cache.
        pace: what reading costs, once it was measured.
        spelling: the tokens as llguidance has them, once a grammar was given.
    """

    name: str
    backend: str
    context: int
    vocab_size: int
    closed: bool = False
    held: Held | None = None
    pace: "Pace | None" = None
    spelling: Any = None

    @property
    def ends(self) -> tuple[int, ...]:
        """Tokens that end a text."""
        return self.eos, self.end, *self.endings

    @abstractmethod
    def session(self) -> Session:
        """A new, empty sequence. Opening another ends the one before."""

    def branches(self) -> Branches:
        """For sequences that begin alike. A session or other branches end these."""
        return SessionBranches(self)

    @abstractmethod
    def tokenize(self, text: str) -> list[int]:
        """Ids of plain text; no special token is added or recognised."""

    @abstractmethod
    def token_bytes(self, token: int) -> bytes:
        """UTF-8 bytes of a token, empty for special tokens."""

    def token_name(self, token: int) -> str:
        """What a special token is called, as `<|im_end|>`; its number where it has no name."""
        return f"<|{token}|>"

    @abstractmethod
    def language_tag(self, code: str) -> int | None:
        """Id of a language's tag, or None."""

    @abstractmethod
    def close(self) -> None:
        """Free the memory. The model cannot be used afterwards; closing it twice does no harm."""

    def check_open(self) -> None:
        if self.closed:
            raise EdgelmError(f"{self.name} was closed. Load it again.")

    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def prompt(self, text: str, language: str | None = None, chat: bool = False) -> list[int]:
        """Ids to start from: a text to continue, in a language if given, or a message to answer.

        Raises:
            BadInput: the model has no tag for the language.
        """
        if chat:
            return self.message(self.tokenize(text))
        if language is None:
            ids = self.tokenize(text)
            return [self.bos, *ids] if self.adds_bos or not ids else ids
        tag = self.language_tag(language)
        if tag is None:
            raise BadInput(f"this model has no language '{language}'", remedy="leave the language out")
        return [self.bos, tag, *self.tokenize(text)]

    def score(self, prompt: Sequence[int], continuation: Sequence[int]) -> np.ndarray:
        """Log-likelihood in nats of each token of `continuation` after `prompt`, float32.

        Raises:
            BadInput: the prompt is empty, or together they do not fit the context.
        """
        check_prompt(prompt)
        if not len(continuation):
            return np.zeros(0, dtype=np.float32)
        ids = [*prompt, *continuation]
        if len(ids) > self.context + 1:
            raise BadInput(
                f"{len(ids)} tokens do not fit the context of {self.context}", remedy="shorten the text"
            )
        found, known = [], 0
        for logits in self.logits(ids[:-1], len(prompt) - 1):
            found.append(log_likelihoods(logits, continuation[known : known + len(logits)]))
            known += len(logits)
        return np.concatenate(found)

    def logits(self, ids: Sequence[int], start: int = 0) -> Iterator[np.ndarray]:
        """Of what follows each of `ids[start:]`, float32 [some, vocab_size]: at most `LOGITS` at once."""
        session, rows = self.session(), max(min(LOGITS // self.vocab_size, PORTION), 1)
        if len(ids) <= rows:
            yield session.feed(ids)[start:]
            return
        if start:
            session.feed(ids[:start], last_only=True)
        for begin in range(start, len(ids), rows):
            yield session.feed(ids[begin : begin + rows])

    def score_choices(self, prompt: Sequence[int], choices: Sequence[Sequence[int]]) -> np.ndarray:
        """Summed log-likelihood in nats of each choice after one prompt, read once: float64 [len(choices)].

        Raises:
            BadInput: the prompt or a choice is empty, or both together do not fit the context.
        """
        check_choices(prompt, choices, self.context)
        return self._rank(prompt, choices).sums

    def _rank(self, prompt: Sequence[int], choices: Sequence[Sequence[int]]) -> Ranked:
        session = self.session()
        first = session.feed(prompt, last_only=True)
        sums, greedy = np.zeros(len(choices)), np.zeros(len(choices), dtype=bool)
        for number, choice in enumerate(choices):
            logits = np.concatenate((first, session.feed(choice[:-1]))) if len(choice) > 1 else first
            said = np.arange(len(choice)), list(choice)
            sums[number] = log_softmax(logits)[said].sum(dtype="float64")
            greedy[number] = (logits[said] == logits.max(axis=-1)).all()
            if len(choice) > 1:
                session.rewind(len(prompt))
        return Ranked(sums, greedy)

    def score_choices_many(
        self,
        prompts: Sequence[Sequence[int]],
        choices: Sequence[Sequence[Sequence[int]]],
        step: Step | None = None,
    ) -> list[Ranked]:
        """Each prompt's own choices, scored as `score_choices` does, in the order given.

        A runtime that can reads several at once; the scores are the same but for rounding.

        Args:
            step: told of every prompt that is done.

        Raises:
            BadInput: as `score_choices` does.
        """
        self.check_open()
        for prompt, own in zip(prompts, choices, strict=True):
            check_choices(prompt, own, self.context)
        found: dict[int, Ranked] = {}
        for batch in self._batches(prompts, choices):
            ranked = self._rank_together([prompts[one] for one in batch], [choices[one] for one in batch])
            for place, one in zip(batch, ranked, strict=True):
                found[place] = one
                if step:
                    step(1)
        return [found[place] for place in range(len(prompts))]

    def _batches(
        self, prompts: Sequence[Sequence[int]], choices: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[int]]:
        """Places of the prompts that are read together."""
        return [[place] for place in range(len(prompts))]

    def _rank_together(
        self, prompts: Sequence[Sequence[int]], choices: Sequence[Sequence[Sequence[int]]]
    ) -> list[Ranked]:
        """The choices of a batch, which have been checked."""
        return [self._rank(prompt, own) for prompt, own in zip(prompts, choices, strict=True)]

    def generate(
        self,
        prompt: str | Sequence[int],
        *,
        max_tokens: int = 128,
        temperature: float = 0.7,
        top_p: float = 0.95,
        seed: int = 0,
        language: str | None = None,
        chat: bool = False,
        stop: Sequence[str] = (),
        choices: Sequence[str] = (),
        grammar: Grammar | None = None,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        logprobs: int | None = None,
        reuse: bool = False,
        lookup: bool = True,
        report: Generation | None = None,
    ) -> Iterator[str]:
        """Stream the text that follows a prompt, in pieces of whole characters.

        Args:
            prompt: text, or ids from `prompt`.
            temperature: 0 always takes the likeliest token.
            top_p: sample from the likeliest tokens that together have this probability.
            seed: the same seed gives the same text.
            stop: the text ends before the first of these; no part of one is streamed.
            choices: the text is one of these, drawn by how likely each is with its end.
            grammar: what the text has to fit; where `max_tokens` cuts it short it need not.
            frequency_penalty: taken from a token's logit for each time it was drawn.
            presence_penalty: taken from it once it was drawn at all.
            logprobs: score every token, with so many of the likeliest in its place, in `report.scores`.
            reuse: begin with what the last text left in the key-value cache, and leave it there. Tokens that
                are read in other portions round otherwise: with some quantised models the same seed may then
                give another text.
            lookup: try what followed the last tokens before, where that is faster and, unless `reuse` is
                given, changes no figure but by rounding.
            report: filled in as the text streams.

        Raises:
            BadInput: an option is out of range, the prompt is empty or leaves no room in the context, a
                choice is longer than the text may be, or the grammar is none.
            MissingExtra: a grammar is given, and llguidance is not installed.
        """
        options = Options(
            max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed, stop=stop,
            choices=choices, grammar=grammar, frequency_penalty=frequency_penalty,
            presence_penalty=presence_penalty, logprobs=logprobs, reuse=reuse, lookup=lookup,
        )  # fmt: skip
        ids = self.prompt(prompt, language, chat) if isinstance(prompt, str) else list(prompt)
        check_prompt(ids)
        if len(ids) >= self.context:
            raise BadInput(
                f"the prompt has {len(ids)} tokens; the model's context holds {self.context} in all",
                remedy="shorten it",
            )
        room = min(max_tokens, self.context - len(ids))
        spelt = [tuple(self.tokenize(choice)) for choice in choices]
        if spelt and max(map(len, spelt)) > room:
            raise BadInput(
                f"a choice has {max(map(len, spelt))} tokens; there is room for {room}",
                remedy="allow more tokens, or shorten it or the prompt",
            )
        constraint = None if grammar is None else Constraint(self, grammar)
        return write(self, ids, room, options, report or Generation(), spelt, constraint)


class SessionBranches:
    """`Branches` in one session, which goes back to where two sequences part."""

    def __init__(self, model: LanguageModel):
        self.session = model.session()

    def start(self, ids: Sequence[int]) -> np.ndarray:
        self.begin = len(ids)
        self.paths: list[list[int]] = [[]]
        self.read: list[int] = []
        return self.session.feed(ids, last_only=True)

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> np.ndarray:
        self.paths = [[*self.paths[parent], token] for parent, token in zip(parents, tokens, strict=True)]
        rows = {}
        for number in sorted(range(len(self.paths)), key=lambda one: self.paths[one]):  # like beside like
            path = self.paths[number]
            known = common_length(path[:-1], self.read)
            self.session.rewind(self.begin + known)
            rows[number] = self.session.feed(path[known:], last_only=True)[-1]
            self.read = path
        return np.stack([rows[number] for number in range(len(rows))])
