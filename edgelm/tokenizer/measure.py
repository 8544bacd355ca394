"""What a tokenizer makes of text: tokens a word, bytes a token, single bytes, and whether it comes back.

Any `tokenizers.Tokenizer` can be measured, edgelm's or not. Text is encoded as text, without special tokens.
"""

import re
import time
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer

from edgelm.errors import BadInput
from edgelm.tokenizer.read import read_tokenizer

FILE = "tokenizer.json"
BATCH = 1000  # documents encoded at a time
SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model")
REMEDY = f"give a {FILE}, or a directory that has one"


@dataclass(slots=True)
class Counts:
    """Sums over documents, and the figures that follow; None where there is nothing to divide by."""

    documents: int = 0
    words: int = 0
    """Stretches without white space."""
    bytes: int = 0
    tokens: int = 0
    single: int = 0
    """Tokens that stand for a single byte of UTF-8: letters alone, digits, pieces of rarer letters."""
    changed: int = 0
    """Documents that do not come back; a composed letter and a decomposed one are the same."""
    seconds: float = 0.0
    """Spent on encoding, on as many cores as `tokenizers` uses."""

    @property
    def fertility(self) -> float | None:
        """Tokens a word."""
        return self.tokens / self.words if self.words else None

    @property
    def bytes_per_token(self) -> float | None:
        return self.bytes / self.tokens if self.tokens else None

    @property
    def single_byte_share(self) -> float | None:
        return self.single / self.tokens if self.tokens else None

    def add(self, other: "Counts") -> None:
        """Count the documents of `other` too."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class Cuts(Protocol):
    """What cuts text into tokens and tells their bytes, as a loaded model does whatever runs it."""

    def tokenize(self, text: str) -> list[int]: ...

    def token_bytes(self, token: int) -> bytes: ...


def count(cuts: Cuts, texts: Iterable[str]) -> Counts:
    """The sums over `texts` with the tokenizer of a loaded model, a GGUF file's own for instance."""
    counts = Counts()
    for text in texts:
        started = time.perf_counter()
        ids = cuts.tokenize(text)
        counts.seconds += time.perf_counter() - started
        pieces = [cuts.token_bytes(token) for token in ids]
        counts.documents += 1
        counts.words += len(text.split())
        counts.bytes += len(text.encode("utf-8"))
        counts.tokens += len(ids)
        counts.single += sum(len(piece) == 1 for piece in pieces)
        counts.changed += not _same(text, b"".join(pieces).decode("utf-8", "replace"))
    return counts


class Measured:
    """A tokenizer made ready to be measured, and the name to show it by."""

    def __init__(self, tokenizer: Tokenizer, name: str = ""):
        self.tokenizer, self.name = tokenizer, name
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        self.vocab_size: int = tokenizer.get_vocab_size()
        self._single = _single_bytes(tokenizer)

    def count(self, texts: Iterable[str]) -> Counts:
        """The sums over `texts`."""
        counts, rest = Counts(), iter(texts)
        while batch := list(islice(rest, BATCH)):
            started = time.perf_counter()
            ids = [one.ids for one in self.tokenizer.encode_batch_fast(batch, add_special_tokens=False)]
            counts.seconds += time.perf_counter() - started
            back = self.tokenizer.decode_batch(ids, skip_special_tokens=False)
            counts.documents += len(batch)
            counts.words += sum(len(text.split()) for text in batch)
            counts.bytes += sum(len(text.encode("utf-8")) for text in batch)
            counts.tokens += sum(map(len, ids))
            counts.single += sum(number in self._single for one in ids for number in one)
            counts.changed += sum(not _same(*pair) for pair in zip(batch, back, strict=True))
        return counts


def open_tokenizer(path: Path) -> Measured:
    """The tokenizer in a file `tokenizer.json` or a directory that has one, of any kind.

    Raises:
        BadInput: there is none, it is damaged, or it has another format, such as SentencePiece's.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        if found := next((name for name in SENTENCEPIECE if (path / name).is_file()), None):
            raise BadInput(
                f"holds a SentencePiece model ({found}) but no {FILE}",
                file=path,
                remedy="convert it with transformers: AutoTokenizer.from_pretrained(A).save_pretrained(B)",
            )
        raise BadInput(f"no {FILE} there" if path.is_dir() else "no such file", file=path, remedy=REMEDY)
    try:
        tokenizer = read_tokenizer(file)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInput(f"is not a tokenizer ({reason})", file=file, remedy=REMEDY) from None
    named = file.absolute()
    return Measured(tokenizer, named.parent.name if named.name == FILE else named.stem)


def open_tokenizers(paths: Sequence[Path]) -> list[Measured]:
    """Several; those that would have the same name are called by their paths."""
    opened = [open_tokenizer(path) for path in paths]
    names = [one.name for one in opened]
    for one, path in zip(opened, paths, strict=True):
        if names.count(one.name) > 1:
            one.name = str(path)
    return opened


def _same(text: str, back: str) -> bool:
    return text == back or unicodedata.normalize("NFC", text) == unicodedata.normalize("NFC", back)


def _single_bytes(tokenizer: Tokenizer) -> set[int]:
    """Ids of the tokens that stand for one byte of UTF-8."""
    of_bytes = "ByteLevel" in f"{tokenizer.pre_tokenizer} {tokenizer.decoder}"
    found = set()
    for token, number in tokenizer.get_vocab().items():
        if of_bytes:  # every character of a token stands for a byte
            size = len(token)
        elif re.fullmatch("<0x[0-9A-F]{2}>", token):
            size = 1
        else:
            size = len(token.removeprefix("##").replace("▁", " ").replace("</w>", " ").encode("utf-8"))
        if size == 1:
            found.add(number)
    return found
