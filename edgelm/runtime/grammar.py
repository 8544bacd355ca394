"""Writing what fits a JSON schema, a regular expression or a grammar.

llguidance says which tokens can lead to a text that fits. No other is drawn; among these the model decides,
as ever. Labels are better given as `choices`, which weigh whole texts (`edgelm.runtime.constrained`).
"""

import json
import subprocess
import sys
import weakref
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgelm.errors import BadInput, EdgelmError
from edgelm.extras import require

if TYPE_CHECKING:
    from edgelm.runtime.base import LanguageModel

NAMES = {"json_schema": "the JSON schema", "regex": "the regular expression", "lark": "the grammar"}
LONGEST = 65_536
SECONDS = 3
"""That a grammar may take to be understood: some of a few hundred bytes would take minutes."""
STARTING = 30
"""Seconds that the process which reads it may take besides, on a busy machine."""
MEMORY = 2 << 30
"""Bytes of address space that it may take."""
TOO_LONG = f"it takes more than {SECONDS} seconds to be read"
SYMBOLS = 50_000
COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""One way to write each value, that of `json.dumps`: small models fill free space with spaces."""
CHECK = f"""
import faulthandler, sys
from llguidance import LLMatcher
try:
    import resource
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = {MEMORY} if hard == resource.RLIM_INFINITY else min({MEMORY}, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
except (ImportError, ValueError, OSError):  # not every system limits it
    pass
faulthandler.dump_traceback_later({SECONDS}, exit=True)
sys.stdout.buffer.write(LLMatcher.validate_grammar(sys.stdin.buffer.read().decode("utf-8")).encode("utf-8"))
"""


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a text has to fit.

    Attributes:
        kind: `json_schema`, `regex` (Rust's syntax, of the whole text) or `lark` (Lark's, as llguidance reads
            it: the text is a `start`).
    """

    kind: Literal["json_schema", "regex", "lark"]
    text: str

    def __post_init__(self) -> None:
        if not self.text or len(self.text.encode("utf-8")) > LONGEST:
            raise BadInput(
                f"{NAMES[self.kind]} is empty or too long", remedy=f"give between 1 and {LONGEST} bytes"
            )


class Constraint:
    """Which tokens may come next in one text.

    Raises:
        BadInput: the grammar is none, is too large, or nothing fits it.
        MissingExtra: llguidance is not installed.
    """

    def __init__(self, model: "LanguageModel", grammar: Grammar):
        llguidance = require("llguidance", "grammar")
        self.name, self.size = NAMES[grammar.kind], model.vocab_size
        compiled = _compiled(grammar)
        if model.spelling is None:
            model.spelling = _spelling(llguidance, model)
        limits = llguidance.LLParserLimits(max_grammar_size=SYMBOLS, verbose_errors=False)
        self.matcher = llguidance.LLMatcher(model.spelling, compiled, log_level=0, limits=limits)
        self._check()
        self.masked(np.zeros(self.size, dtype=np.float32))  # what nothing fits shows now

    @property
    def done(self) -> bool:
        """Whether the text fits and nothing can follow."""
        return bool(self.matcher.is_stopped())

    def masked(self, logits: np.ndarray) -> np.ndarray:
        """Logits [vocab_size] with -inf for the tokens that may not come next.

        Raises:
            BadInput: the grammar is too large to say.
        """
        bits = np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8)
        self._check()
        allowed = np.unpackbits(bits, count=self.size, bitorder="little")
        return np.where(allowed, logits, np.float32(-np.inf))

    def take(self, token: int) -> None:
        """Go on after a token that was drawn."""
        self.matcher.consume_token(token)
        self._check()

    def _check(self) -> None:
        if self.matcher.is_error():
            raise _unusable(self.name, self.matcher.get_error())


def _compiled(grammar: Grammar) -> str:
    """As llguidance takes it.

    Raises:
        BadInput: it cannot be used.
    """
    compiled, problem = _read(grammar)
    if problem:
        raise _unusable(NAMES[grammar.kind], problem)
    return compiled


@lru_cache(maxsize=64)
def _read(grammar: Grammar) -> tuple[str, str]:
    """As llguidance takes it, and why it cannot, found out in a process of its own: nothing else ends what
    takes too long."""
    matcher = require("llguidance", "grammar").LLMatcher
    try:
        if grammar.kind == "json_schema":
            compiled = matcher.grammar_from_json_schema(_schema(grammar.text), overrides=COMPACT)
        else:
            compiled = getattr(matcher, f"grammar_from_{grammar.kind}")(grammar.text)
    except ValueError as error:  # such as NaN, which only Python takes for JSON
        return "", str(error)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", CHECK],  # -P: no module of the folder one happens to be in
            input=compiled.encode("utf-8"),
            capture_output=True,
            timeout=SECONDS + STARTING,
        )
    except subprocess.TimeoutExpired:
        return compiled, TOO_LONG
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode and "Timeout (" in said:
        return compiled, TOO_LONG
    if done.returncode < 0 or "MemoryError" in said or "memory allocation" in said:
        return compiled, "it is too large"
    if done.returncode:
        raise EdgelmError(f"llguidance failed: {said.splitlines()[-1] if said else done.returncode}.")
    return compiled, done.stdout.decode("utf-8")


def _schema(text: str) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unusable(NAMES["json_schema"], f"it is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise _unusable(NAMES["json_schema"], "it is no object")
    return text


def _unusable(name: str, said: str) -> BadInput:
    if said.startswith("NoExtension"):
        said = "nothing can be written that fits it"
    return BadInput(
        f"{name} cannot be used ({' '.join(said.split())[:200]})", remedy="correct or simplify it"
    )


def _spelling(llguidance: Any, model: "LanguageModel") -> Any:
    """How a model spells, as llguidance has it."""
    ends = list(dict.fromkeys(model.ends))
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(_Spelling(model)), eos_token=ends)


class _Spelling:
    """What llguidance asks of a tokenizer."""

    def __init__(self, model: "LanguageModel"):
        self.eos_token_id, self.bos_token_id = model.eos, model.bos
        self.tokens = [model.token_bytes(token) for token in range(model.vocab_size)]
        self.special_token_ids = [token for token, data in enumerate(self.tokens) if not data]
        self.single = {data: token for token, data in enumerate(self.tokens) if len(data) == 1}
        self.model = weakref.ref(model)  # llguidance keeps this, where no collector looks

    def __call__(self, data: bytes) -> list[int]:
        """Tokens of what has to be written next."""
        model = self.model()
        assert model is not None
        ids = model.tokenize(data.decode("utf-8", "replace"))
        if b"".join(self.tokens[one] for one in ids) == data:
            return ids
        return [self.single[bytes([one])] for one in data]  # the tokenizer composes what must not be
