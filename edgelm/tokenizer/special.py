"""The special tokens every edgelm tokenizer reserves, and the chat format made of them.

Ids are fixed by order: the named tokens first, then one tag a language, then spares for tokens yet unknown.
"""

from collections.abc import Sequence

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


Turn = tuple[str, list[int]]
"""A role (`system`, `user` or `assistant`) and the ids of what it says."""


class ChatIds:
    """Ids of the special tokens, and the one place that says how they frame messages."""

    bos: int
    eos: int
    end: int
    user: int
    assistant: int
    system: int

    def message(self, text: list[int], answer: int = 0, context: int | None = None) -> list[int]:
        """A user's message up to where the assistant answers.

        Where a `context` is given, the text loses as much of its beginning as `answer` tokens need after it.

        Raises:
            BadInput: not even an empty message leaves that room.
        """
        return self.conversation([("user", text)], answer, context)

    def conversation(self, turns: Sequence[Turn], answer: int = 0, context: int | None = None) -> list[int]:
        """Several turns up to where the assistant answers, as the chat template has them.

        Where a `context` is given, what was said first is lost first: the beginning of the oldest message of
        the user, then all of it with its answer, then the next; the last message loses its beginning only. A
        message of the system stays for as long as anything else can go.

        Raises:
            BadInput: not even an empty message leaves the room that `answer` tokens need.
        """
        kept = turns if context is None else _shortened(turns, context - answer - 2)  # BOS and assistant
        if kept is None:
            raise BadInput(f"an answer of {answer} tokens does not fit the context of {context}")
        ids = [one for role, text in kept for one in (getattr(self, role), *text, self.end)]
        return [self.bos, *ids, self.assistant]


def _shortened(turns: Sequence[Turn], room: int) -> list[Turn] | None:
    """What fits into `room` tokens; None where not even empty messages do."""
    excess = sum(len(text) + 2 for _, text in turns) - room  # a role and END around each
    system = [one for one in turns[:1] if one[0] == "system"]
    said = list(turns[len(system) :])
    while len(said) > 2 and excess > len(said[0][1]):
        excess -= sum(len(text) + 2 for _, text in said[:2])
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
