"""What the runtimes share that tokenise with a `tokenizer.json` (all but llama.cpp, which has its own)."""

from edgelm.runtime.base import LanguageModel
from edgelm.tokenizer.text import TextTokenizer


class TokenizedModel(LanguageModel):
    def __init__(self, tokenizer: TextTokenizer, name: str, context: int):
        self.tokenizer, self.name, self.context = tokenizer, name, context
        self.bos, self.eos, self.end = tokenizer.bos, tokenizer.eos, tokenizer.end
        self.adds_bos, self.endings = tokenizer.adds_bos, tokenizer.endings
        self.chat_format = tokenizer.chat_format

    def tokenize(self, text: str) -> list[int]:
        return self.tokenizer.encode(text)

    def token_bytes(self, token: int) -> bytes:
        known = self.tokenizer.bytes_of
        return known[token] if token < len(known) else b""  # a model may have more rows than tokens

    def token_name(self, token: int) -> str:
        names = {number: name for name, number in self.tokenizer.special.items()}
        return names.get(token) or super().token_name(token)

    def language_tag(self, code: str) -> int | None:
        return self.tokenizer.language(code)
