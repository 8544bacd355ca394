"""What the runtimes share that tokenise with a `tokenizer.json` (all but llama.cpp, which has its own)."""

from pathlib import Path

from edgelm.errors import BadInput
from edgelm.runtime.base import LanguageModel
from edgelm.tokenizer.text import TextTokenizer


def check_rows(tokenizer: TextTokenizer, rows: int, directory: Path) -> None:
    """See that a model has a row of its embedding for every token.

    Raises:
        BadInput: it has not.
    """
    largest = max(tokenizer.tokenizer.get_vocab().values())
    if largest >= rows:
        raise BadInput(
            f"has a token {largest}, the model only {rows}",
            file=directory / "tokenizer.json",
            remedy="give the tokenizer that the model was trained with",
        )


class TokenizedModel(LanguageModel):
    def __init__(self, tokenizer: TextTokenizer, name: str, context: int):
        self.tokenizer, self.name, self.context = tokenizer, name, context
        self.bos, self.eos, self.end = tokenizer.bos, tokenizer.eos, tokenizer.end
        self.user, self.assistant, self.system = tokenizer.user, tokenizer.assistant, tokenizer.system

    def tokenize(self, text: str) -> list[int]:
        return self.tokenizer.encode(text)

    def token_bytes(self, token: int) -> bytes:
        return self.tokenizer.bytes_of[token]

    def language_tag(self, code: str) -> int | None:
        return self.tokenizer.language(code)
