"""How many tokens a language costs."""

from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer


def fertility(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, Any]:
    """Fertility (tokens a whitespace word) and bytes a token over `texts`; None where there is no text."""
    words = size = tokens = 0
    for text in texts:
        words += len(text.split())
        size += len(text.encode("utf-8"))
        tokens += len(tokenizer.encode(text, add_special_tokens=False).ids)
    return {
        "fertility": round(tokens / words, 3) if words else None,
        "bytes_per_token": round(size / tokens, 3) if tokens else None,
    }
