"""The special tokens every edgelm tokenizer reserves, and the chat formats made of these and of others'.

Ids are fixed by order: the named tokens first, then one tag a language, then spares for tokens yet unknown.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import yaml

from edgelm.errors import BadInput

BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"
USER, ASSISTANT, SYSTEM, END = "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"
NAMED = (BOS, EOS, PAD, USER, ASSISTANT, SYSTEM, END)
SPARES = 14

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


BETWEEN = "<|endoftext|>"
"""What stands between documents in the training text of GPT-2 and many since."""
ENDINGS = (BETWEEN, "<|end_of_text|>", "<|eot_id|>", "<|im_end|>", "</s>")
"""Special tokens of models made elsewhere that end a text, whichever of them a file names."""
SPECIAL = re.compile(r"(<\|[^|]*\|>)")
SAYS = re.compile(r"<\|im_start\|>system(?:\\n|\n)([^'\"{<]+)<\|im_end\|>")
"""A system message that a template has where none is given."""

Find = Callable[[str], int | None]
Encode = Callable[[str], list[int]]
Turn = tuple[str, list[int]]
"""A role (`system`, `user` or `assistant`) and the ids of what it says."""


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """Ids that frame messages.

    Attributes:
        begin: before the first message.
        open: before what each role says.
        close: after it; the first of them ends an answer.
        system: what the system says where it is not given; empty for nothing.
    """

    begin: tuple[int, ...]
    open: Mapping[str, tuple[int, ...]]
    close: tuple[int, ...]
    system: tuple[int, ...] = ()

    @property
    def ids(self) -> set[int]:
        """All of them."""
        return {*self.begin, *chain(*self.open.values()), *self.close, *self.system}


class ChatIds:
    """Ids of the special tokens, and the one place that says how they frame messages.

    Attributes:
        bos: what stands before a text; with `adds_bos` false only where a text is scored.
        eos: what ends a document.
        end: what ends an answer.
        endings: others that end a text.
        chat_format: None for a model that knows none of `chats.yaml`.
    """

    bos: int
    eos: int
    end: int
    adds_bos: bool = True
    endings: tuple[int, ...] = ()
    chat_format: ChatFormat | None

    def name_tokens(self, find: Find, encode: Encode, bos: int | None, eos: int, template: str) -> None:
        """Fill in the ids.

        Args:
            find: the id of a special token, or None.
            encode: the ids of plain text.
            bos: what the tokenizer puts before a text, or None.
            template: of chat, in Jinja; empty where there is none.
        """
        between = find(BETWEEN)
        self.adds_bos, self.eos = bos is not None, eos
        self.bos = next(one for one in (bos, between, eos) if one is not None)
        self.endings = tuple(one for one in map(find, ENDINGS) if one is not None)
        self.chat_format = _read_format(find, encode, template)
        self.end = self.chat_format.close[0] if self.chat_format else eos

    def message(self, text: list[int], answer: int = 0, context: int | None = None) -> list[int]:
        """A user's message up to where the assistant answers.

        Where a `context` is given, the text loses as much of its beginning as `answer` tokens need after it.

        Raises:
            BadInput: not even an empty message leaves that room, or the model knows no chat format.
        """
        return self.conversation([("user", text)], answer, context)

    def conversation(self, turns: Sequence[Turn], answer: int = 0, context: int | None = None) -> list[int]:
        """Several turns up to where the assistant answers, as the chat template has them.

        Where a `context` is given, what was said first is lost first: the beginning of the oldest message of
        the user, then all of it with its answer, then the next; the last message loses its beginning only. A
        message of the system stays for as long as anything else can go.

        Raises:
            BadInput: not even an empty message leaves the room that `answer` tokens need, or the model knows
                no chat format.
        """
        form = self._format()
        if form.system and (not turns or turns[0][0] != "system"):
            turns = [("system", list(form.system)), *turns]
        last = form.open["assistant"]
        kept: Sequence[Turn] | None = turns
        if context is not None:
            frames = {role: len(ids) + len(form.close) for role, ids in form.open.items()}
            kept = _shortened(turns, context - answer - len(form.begin) - len(last), frames)
        if kept is None:
            raise BadInput(f"an answer of {answer} tokens does not fit the context of {context}")
        ids = [one for role, text in kept for one in (*form.open[role], *text, *form.close)]
        return [*form.begin, *ids, *last]

    def frame(self) -> tuple[list[int], list[int]]:
        """What `message` puts before a text and behind it."""
        form, whole = self._format(), self.message([])
        behind = len(form.close) + len(form.open["assistant"])
        return whole[:-behind], whole[-behind:]

    def _format(self) -> ChatFormat:
        if self.chat_format is None:
            raise BadInput(
                "this model has no chat format that edgelm knows",
                remedy="it can continue text, as edgelm run does",
            )
        return self.chat_format


def _read_format(find: Find, encode: Encode, template: str) -> ChatFormat | None:
    formats = yaml.safe_load((Path(__file__).parent / "chats.yaml").read_text(encoding="utf-8"))
    for form in formats.values():
        frames = {role: form["open"].format(role=role) for role in ("system", "user", "assistant")}
        wanted = SPECIAL.findall("".join((form["begin"], form["close"], *frames.values())))
        if SPECIAL.findall(form["close"])[0] in template and None not in map(find, wanted):
            said = SAYS.search(template)
            return ChatFormat(
                begin=_frame_ids(form["begin"], find, encode),
                open={role: _frame_ids(frame, find, encode) for role, frame in frames.items()},
                close=_frame_ids(form["close"], find, encode),
                system=tuple(encode(said[1])) if said else (),
            )
    return None


def _frame_ids(frame: str, find: Find, encode: Encode) -> tuple[int, ...]:
    ids: list[int] = []
    for part in SPECIAL.split(frame):
        number = find(part) if SPECIAL.fullmatch(part) else None
        ids += encode(part) if number is None else [number]
    return tuple(ids)


def _shortened(turns: Sequence[Turn], room: int, frames: Mapping[str, int]) -> list[Turn] | None:
    """What fits into `room` tokens, where so many frame each role's; None where empty messages do not."""
    excess = sum(len(text) + frames[role] for role, text in turns) - room
    system = [one for one in turns[:1] if one[0] == "system"]
    said = list(turns[len(system) :])
    while len(said) > 2 and excess > len(said[0][1]):
        excess -= sum(len(text) + frames[role] for role, text in said[:2])
        del said[:2]
    for part in (said, system):
        if part and excess > 0:
            role, text = part[0]
            part[0] = (role, text[excess:])
            excess -= len(text) - len(part[0][1])
    return [*system, *said] if excess <= 0 else None


def language_tag(code: str) -> str:
    """The token that stands before a text in the language, as `<|zul|>`."""
    return f"<|{code}|>"


def special_tokens(languages: list[str]) -> list[str]:
    """All special tokens in the order of their ids."""
    return [*NAMED, *map(language_tag, languages), *(f"<|spare_{number}|>" for number in range(SPARES))]
