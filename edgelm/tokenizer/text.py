"""One tokenizer as every stage and runtime uses it: text never becomes a special token by accident."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

from edgelm.errors import BadInput
from edgelm.files import read_json, read_text
from edgelm.tokenizer.read import panics, read_tokenizer
from edgelm.tokenizer.special import BOS, CHAT_TEMPLATE, EOS, NAMED, PAD, ChatIds, language_tag

OTHERS = ("tokenizer_config.json", "special_tokens_map.json", "config.json")
"""Where a model made elsewhere may say which tokens do what."""
OTHER_KINDS = "edgelm reads no other kind, such as sentencepiece's; a .gguf file of the model runs"


class TextTokenizer(ChatIds):
    """A `tokenizer.json` with the ids of the special tokens at hand.

    Text is always encoded as text: a document that contains the characters `<|eos|>` gets no control token.
    Special tokens enter by id only, through `document`, `chat` and `prompt`.

    Attributes:
        pad: fills up what is shorter than others.
        template: of chat, in Jinja; empty where there is none.
        added: what stands for one token wherever it is met or named, special or not.
        special: ids of those that are.
        bytes_of: UTF-8 of each token by id, empty for special tokens.
    """

    def __init__(self, directory: Path):
        path = directory / "tokenizer.json"
        try:
            self.tokenizer = read_tokenizer(path)
        except FileNotFoundError:
            raise BadInput("no such file", file=path, remedy=_without(directory)) from None
        except (OSError, ValueError) as error:
            raise BadInput(
                f"is not a tokenizer ({error})", file=path, remedy="train or copy it again"
            ) from None
        self.tokenizer.encode_special_tokens = True
        self.vocab_size: int = self.tokenizer.get_vocab_size()
        content = json.loads(self.tokenizer.to_str())
        if unlike := _unlike_bytes(content):
            raise BadInput(
                f"is no byte-level BPE ({unlike})",
                file=path,
                remedy=OTHER_KINDS,
            )
        self.added = [one["content"] for one in content["added_tokens"]]
        self.special = {one["content"]: one["id"] for one in content["added_tokens"] if one["special"]}
        missing = [token for token in NAMED if token not in self.special]
        if missing:
            try:
                self._read_names(directory, missing)
            except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
                raise BadInput(
                    f"has beside it what names no special tokens ({error})",
                    file=path,
                    remedy="copy tokenizer_config.json and the chat template again",
                ) from None
        else:
            self.template = CHAT_TEMPLATE
            self.pad = self.special[PAD]
            self.name_tokens(
                self.special.get, self.encode, self.special[BOS], self.special[EOS], self.template
            )
        try:
            self.bytes_of = _bytes_of_tokens(content)
        except KeyError as error:
            raise BadInput(
                f"is no byte-level BPE (a token has {error} in it)", file=path, remedy=OTHER_KINDS
            ) from None

    def check_fits(self, rows: int, directory: Path) -> None:
        """Raise `BadInput` where a model has fewer rows in its embedding than there are tokens."""
        if len(self.bytes_of) > rows:
            raise BadInput(
                f"has {len(self.bytes_of)} tokens, the model only {rows}",
                file=directory / "tokenizer.json",
                remedy="give the tokenizer that the model was trained with",
            )

    def _read_names(self, directory: Path, missing: Sequence[str]) -> None:
        """Take the special tokens from what is beside the tokenizer of a model made elsewhere."""
        said: dict[str, Any] = {}
        for name in reversed(OTHERS):
            said |= {key: value for key, value in _read_json(directory / name).items() if value is not None}
        eos = self._named(said, "eos")
        if eos is None:
            raise BadInput(
                f"lacks the special tokens {' '.join(missing)}",
                file=directory / "tokenizer.json",
                remedy="train it with edgelm tokenizer train, or put its tokenizer_config.json beside it",
            )
        pad = self._named(said, "pad")
        self.pad = eos if pad is None else pad
        self.template = _template(directory, said.get("chat_template"))
        with panics():
            framed = self.tokenizer.encode("a")
        marks = zip(framed.ids, framed.special_tokens_mask, strict=True)
        first = [number for number, _ in takewhile(lambda one: one[1], marks)]
        self.name_tokens(self.special.get, self.encode, first[0] if first else None, eos, self.template)

    def _named(self, said: dict[str, Any], kind: str) -> int | None:
        token, number = said.get(f"{kind}_token"), said.get(f"{kind}_token_id")
        found = self.special.get(token["content"] if isinstance(token, dict) else str(token))
        if found is None and number not in (None, []):
            found = number[0] if isinstance(number, list) else number
        known = isinstance(found, int) and found >= 0 and self.tokenizer.id_to_token(found) is not None
        if found is not None and not known:
            raise ValueError(f"{kind}_token_id {str(number)[:40]}")
        return found

    def id(self, token: str) -> int:
        """Id of a token that must be there."""
        number = self.tokenizer.token_to_id(token)
        if number is None:
            raise BadInput(f"the tokenizer has no token {token!r}", remedy="check the language code")
        return int(number)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, no special token added or recognised."""
        with _cutting():
            return self.tokenizer.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of many texts, on all cores."""
        with _cutting():
            return [one.ids for one in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; special tokens are left out, bytes that are no UTF-8 become U+FFFD."""
        return b"".join(self.bytes_of[number] for number in ids).decode("utf-8", "replace")

    def language(self, code: str) -> int | None:
        """Id of a language's tag, or None where the tokenizer has none."""
        return self.special.get(language_tag(code))

    def document(self, text: str, language: str | None = None) -> list[int]:
        """A pretraining document: BOS, the language's tag if given, the text, EOS."""
        return [*self.prompt(text, language), self.eos]

    def prompt(self, text: str, language: str | None = None) -> list[int]:
        """The beginning of a document, to be continued. No EOS."""
        tag = self.language(language) if language else None
        begin = [self.bos] if self.adds_bos else []
        return [*begin, *([tag] if tag is not None else []), *self.encode(text)]

    def framing(self) -> list[int]:
        """The special tokens of the chat format and BOS."""
        frames = self.chat_format.ids if self.chat_format else set()
        return sorted({self.bos} | (frames & {*self.special.values()}))

    def chat(self, text: str) -> list[int]:
        """One user message, up to where the assistant answers."""
        return self.message(self.encode(text))


@contextmanager
def _cutting() -> Iterator[None]:
    """A pattern that tokenizers cut text by may take too long for a text, and then ends in a panic."""
    try:
        with panics():
            yield
    except ValueError as error:
        raise BadInput(
            f"the tokenizer cannot cut this text ({error})",
            remedy="shorten it, or train or copy the model again",
        ) from None


def _read_json(path: Path) -> dict[str, Any]:
    """What a file says; nothing where there is none."""
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _template(directory: Path, said: Any) -> str:
    """The chat template: a file, a string, or the one of several that is called default."""
    file = directory / "chat_template.jinja"
    if file.is_file():
        return read_text(file)
    if isinstance(said, list):
        said = next((one.get("template") for one in said if one.get("name") == "default"), "")
    return said if isinstance(said, str) else ""


def _without(directory: Path) -> str:
    if (directory / "tokenizer.model").exists():
        return f"its tokenizer.model is another kind; {OTHER_KINDS}"
    return "give a tokenizer or model directory"


def _unlike_bytes(content: dict[str, Any]) -> str:
    """What keeps a tokenizer from being a byte-level BPE; empty for nothing."""
    model, decoder = content["model"], content["decoder"] or {}
    if model["type"] != "BPE":
        return f"its model is {model['type']}"
    if model.get("byte_fallback"):
        return "it falls back to bytes"
    if "ByteLevel" not in [decoder.get("type"), *(one["type"] for one in decoder.get("decoders", ()))]:
        return f"its decoder is {decoder.get('type')}"
    return ""


def _bytes_of_tokens(content: dict[str, Any]) -> list[bytes]:
    """UTF-8 bytes of every token by id; empty for special tokens. Inverts GPT-2's byte-to-character table."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}
    added = {one["id"]: one for one in content["added_tokens"]}
    vocabulary = content["model"]["vocab"]
    found = [b""] * (max((*vocabulary.values(), *added)) + 1)
    for token, number in vocabulary.items():
        if number not in added:
            found[number] = bytes(table[char] for char in token)
    for number, one in added.items():
        found[number] = b"" if one["special"] else one["content"].encode("utf-8")
    return found
