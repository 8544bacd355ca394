"""The special tokens every edgelm tokenizer reserves, and the chat format made of them.

Ids are fixed by order: the named tokens first, then one tag a language, then spares for tokens yet unknown.
"""

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


class ChatIds:
    """Ids of the special tokens, and the one place that says how they frame a message."""

    bos: int
    eos: int
    end: int
    user: int
    assistant: int

    def message(self, text: list[int], answer: int = 0, context: int | None = None) -> list[int]:
        """A user's message up to where the assistant answers.

        Where a `context` is given, the text loses as much of its beginning as `answer` tokens need after it.

        Raises:
            BadInput: not even an empty message leaves that room.
        """
        if context is not None:
            room = context - answer - 4  # BOS, user, end, assistant
            if room < 0:
                raise BadInput(f"an answer of {answer} tokens does not fit the context of {context}")
            text = text[max(len(text) - room, 0) :]
        return [self.bos, self.user, *text, self.end, self.assistant]


def language_tag(code: str) -> str:
    """The token that stands before a text in the language, as `<|zul|>`."""
    return f"<|{code}|>"


def special_tokens(languages: list[str]) -> list[str]:
    """All special tokens in the order of their ids."""
    return [*NAMED, *map(language_tag, languages), *(f"<|spare_{number}|>" for number in range(SPARES))]
