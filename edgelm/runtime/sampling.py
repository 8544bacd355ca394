"""Choosing the next token: the one sampler behind every runtime."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import normalize

import numpy as np

from edgelm.errors import BadInput

if TYPE_CHECKING:
    from edgelm.runtime.grammar import Constraint, Grammar

MAX_TOKENS = 4096
MAX_LOGPROBS = 20
MAX_STOPS, MAX_STOP_BYTES = 16, 1000
SLICE = 1 << 20
"""Logits whose logarithms are taken at once."""
NUCLEUS = 256
"""Tokens that are sorted at first; the likeliest that together have `top_p` are seldom more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to write; `LanguageModel.generate` says what each does.

    Raises:
        BadInput: one is out of range.
    """

    max_tokens: int = 128
    temperature: float = 0.7
    top_p: float = 0.95
    seed: int = 0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    stop: Sequence[str] = ()
    choices: Sequence[str] = ()
    grammar: "Grammar | None" = None
    logprobs: int | None = None
    reuse: bool = False
    lookup: bool = True

    def __post_init__(self) -> None:
        _within("max_tokens", self.max_tokens, 1, MAX_TOKENS)
        _within("temperature", self.temperature, 0, 5)
        if not 0 < self.top_p <= 1:
            raise BadInput(f"top_p {self.top_p} is out of range", remedy="give between 0 (excluded) and 1")
        _within("frequency_penalty", self.frequency_penalty, -2, 2)
        _within("presence_penalty", self.presence_penalty, -2, 2)
        if self.seed < 0:
            raise BadInput(f"seed {self.seed} is out of range", remedy="give 0 or more")
        if self.logprobs is not None:
            _within("logprobs", self.logprobs, 0, MAX_LOGPROBS)
        if len(self.stop) > MAX_STOPS:
            raise BadInput(
                f"{len(self.stop)} stop sequences are too many", remedy=f"give {MAX_STOPS} at most"
            )
        for text in self.stop:
            if not 1 <= len(text.encode("utf-8")) <= MAX_STOP_BYTES:
                raise BadInput(
                    "a stop sequence is empty or too long",
                    remedy=f"give between 1 and {MAX_STOP_BYTES} bytes",
                )
        if self.choices and self.grammar:
            raise BadInput("choices and a grammar exclude each other", remedy="give one of them")
        if self.choices and (self.stop or self.frequency_penalty or self.presence_penalty):
            raise BadInput(
                "stop sequences and penalties do nothing where the answer is one of some choices",
                remedy="leave them out",
            )
        if not all(self.choices) or len(set(map(_composed, self.choices))) < len(self.choices):
            raise BadInput("a choice is empty or given twice", remedy="give texts that differ")


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise BadInput(f"{name} {value} is out of range", remedy=f"give between {least} and {most}")


def _composed(text: str) -> str:
    return normalize("NFC", text)


class TokenScore(NamedTuple):
    """What the model made of a token it wrote: natural logarithms, before temperature and penalties.

    Attributes:
        top: the likeliest tokens in its place and their log-probabilities.
    """

    token: int
    logprob: float
    top: list[tuple[int, float]]


class Sampler:
    """Draws the tokens of one text, which the seed decides.

    Args:
        constraint: of the text, where it has to fit a grammar.
    """

    def __init__(self, options: Options, vocab_size: int, constraint: "Constraint | None" = None):
        self.options, self.random = options, np.random.default_rng(options.seed)
        self.constraint = constraint
        penalised = options.frequency_penalty or options.presence_penalty
        self.counts = np.zeros(vocab_size, dtype=np.float32) if penalised else None
        """How often each token was drawn, where that counts."""

    @property
    def done(self) -> bool:
        """Whether nothing can follow what was drawn."""
        return self.constraint is not None and self.constraint.done

    def draw(self, logits: np.ndarray) -> int:
        """The next token, from logits [vocab_size]."""
        options = self.options
        if self.counts is not None:
            spent = options.frequency_penalty * self.counts + options.presence_penalty * (self.counts > 0)
            logits = logits - spent
        if self.constraint is not None:
            logits = self.constraint.masked(logits)
        token = sample(logits, options.temperature, options.top_p, self.random)
        if self.counts is not None:
            self.counts[token] += 1
        if self.constraint is not None:
            self.constraint.take(token)
        return token


def sample(logits: np.ndarray, temperature: float, top_p: float, random: np.random.Generator) -> int:
    """One token from logits [vocab_size] by nucleus sampling (Holtzman et al., 2019); ties: lower id.

    Raises:
        BadInput: they are no numbers.
    """
    best = int(logits.argmax())
    if not np.isfinite(logits[best]):  # one that is no number counts as the largest
        raise BadInput("the model's weights are damaged", remedy="copy or export the model again")
    if temperature == 0:
        return best
    above = logits.astype(np.float64) - logits[best]
    probability = np.exp(above / max(temperature, 1e-6))  # colder is greedy, and would overflow
    probability /= probability.sum()
    order = likeliest(probability, NUCLEUS)
    cumulative = np.cumsum(probability[order])
    if cumulative[-1] < top_p:
        order = likeliest(probability, len(probability))
        cumulative = np.cumsum(probability[order])
    kept = int(np.searchsorted(cumulative, top_p)) + 1
    draw = random.random() * cumulative[min(kept, len(order)) - 1]
    return int(order[min(int(np.searchsorted(cumulative, draw, side="right")), len(order) - 1)])


def likeliest(values: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` largest values and of all that equal the last, in order; of equals the lower."""
    places = np.arange(len(values))
    if count < len(values):
        places = np.flatnonzero(values >= np.partition(values, -count)[-count])
    return places[np.argsort(-values[places], kind="stable")]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities along the last axis, float32."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def log_likelihoods(logits: np.ndarray, tokens: Sequence[int]) -> np.ndarray:
    """Of a token after each row of logits [N, vocab_size], float32 [N]; takes memory for a few rows only."""
    rows = max(SLICE // logits.shape[1], 1)
    found = np.empty(len(logits), dtype=np.float32)
    for start in range(0, len(logits), rows):
        scores = log_softmax(logits[start : start + rows])
        found[start : start + rows] = scores[np.arange(len(scores)), list(tokens[start : start + rows])]
    return found


def token_score(logits: np.ndarray, token: int, top: int) -> TokenScore:
    """Of a token after logits [vocab_size], with the `top` likeliest beside it."""
    scores = log_softmax(logits)
    best = likeliest(scores, top)[:top].tolist() if top else []
    return TokenScore(token, float(scores[token]), [(one, float(scores[one])) for one in best])
