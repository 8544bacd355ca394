"""`tokenizer.json` files, which may come from anywhere."""

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
    try:
        found = Tokenizer.from_str(text)
        largest = max(found.get_vocab().values(), default=0)
    except BaseException as error:  # a bare Exception, or a panic of Rust, which is none
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise ValueError(str(error)) from None
    if largest >= found.get_vocab_size() + SPARE:
        raise ValueError(f"a token has the id {largest}")
    return found
