"""One tokenizer as every stage and runtime uses it: text never becomes a special token by accident."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from edgelm.errors import BadInput
from edgelm.tokenizer.read import read_tokenizer
from edgelm.tokenizer.special import ASSISTANT, BOS, END, EOS, NAMED, SYSTEM, USER, ChatIds, language_tag


class TextTokenizer(ChatIds):
    """A `tokenizer.json` with the ids of the special tokens at hand.

    Text is always encoded as text: a document that contains the characters `<|eos|>` gets no control token.
    Special tokens enter by id only, through `document`, `chat` and `prompt`.
    """

    def __init__(self, directory: Path):
        path = directory / "tokenizer.json"
        try:
            self.tokenizer = read_tokenizer(path)
        except FileNotFoundError:
            raise BadInput("no such file", file=path, remedy="give a tokenizer or model directory") from None
        except (OSError, ValueError) as error:
            raise BadInput(
                f"is not a tokenizer ({error})", file=path, remedy="train or copy it again"
            ) from None
        self.tokenizer.encode_special_tokens = True
        self.vocab_size: int = self.tokenizer.get_vocab_size()
        missing = [token for token in NAMED if self.tokenizer.token_to_id(token) is None]
        if missing:
            raise BadInput(
                f"lacks the special tokens {' '.join(missing)}",
                file=path,
                remedy="train it with: edgelm tokenizer train",
            )
        self.bos, self.eos, self.end = self.id(BOS), self.id(EOS), self.id(END)
        self.user, self.assistant, self.system = self.id(USER), self.id(ASSISTANT), self.id(SYSTEM)
        try:
            self.bytes_of = _bytes_of_tokens(self.tokenizer)
        except KeyError as error:
            raise BadInput(
                f"is not a byte-level tokenizer (a token has {error})", file=path, remedy="train it again"
            ) from None

    def id(self, token: str) -> int:
        """Id of a token that must be there."""
        number = self.tokenizer.token_to_id(token)
        if number is None:
            raise BadInput(f"the tokenizer has no token {token!r}", remedy="check the language code")
        return int(number)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, no special token added or recognised."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of many texts, on all cores."""
        return [one.ids for one in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; special tokens are left out, bytes that are no UTF-8 become U+FFFD."""
        return b"".join(self.bytes_of[number] for number in ids).decode("utf-8", "replace")

    def language(self, code: str) -> int | None:
        """Id of a language's tag, or None where the tokenizer has none."""
        return self.tokenizer.token_to_id(language_tag(code))

    def document(self, text: str, language: str | None = None) -> list[int]:
        """A pretraining document: BOS, the language's tag if given, the text, EOS."""
        return [*self.prompt(text, language), self.eos]

    def prompt(self, text: str, language: str | None = None) -> list[int]:
        """The beginning of a document, to be continued. No EOS."""
        tag = self.language(language) if language else None
        return [self.bos, *([tag] if tag is not None else []), *self.encode(text)]

    def chat(self, text: str) -> list[int]:
        """One user message, up to where the assistant answers."""
        return self.message(self.encode(text))


def _bytes_of_tokens(tokenizer: Tokenizer) -> list[bytes]:
    """UTF-8 bytes of every token by id; empty for special tokens. Inverts GPT-2's byte-to-character table."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}
    special = {token["id"] for token in json.loads(tokenizer.to_str())["added_tokens"] if token["special"]}
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return [
        b"" if number in special else bytes(table[char] for char in token) for token, number in vocabulary
    ]
