"""The special tokens every edgelm tokenizer reserves, and the chat format made of them.

Ids are fixed by order: the named tokens first, then one tag a language, then spares for tokens yet unknown.
"""

BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"
USER, ASSISTANT, SYSTEM, END = "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"
NAMED = (BOS, EOS, PAD, USER, ASSISTANT, SYSTEM, END)
SPARES = 14

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def language_tag(code: str) -> str:
    """The token that stands before a text in the language, as `<|zul|>`."""
    return f"<|{code}|>"


def special_tokens(languages: list[str]) -> list[str]:
    """All special tokens in the order of their ids."""
    return [*NAMED, *map(language_tag, languages), *(f"<|spare_{number}|>" for number in range(SPARES))]
