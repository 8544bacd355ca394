"""`tokenizer.json` files, which may come from anywhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokenizers import Tokenizer

from edgelm.files import read_text

SPARE = 4096
"""Ids without a token that a vocabulary may have, at most: tables are made by id."""


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a file.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is damaged.
    """
    text = read_text(path)
    with panics():
        found = Tokenizer.from_str(text)
        largest = max(found.get_vocab().values(), default=0)
    if largest >= found.get_vocab_size() + SPARE:
        raise ValueError(f"a token has the id {largest}")
    return found


@contextmanager
def panics() -> Iterator[None]:
    """Raise `ValueError` for what `tokenizers` does not bear: it raises a bare Exception, or a panic of Rust,
    which is none and would pass every `except Exception`."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError, GeneratorExit)):
            raise
        raise ValueError(str(error)) from None
