"""The tokenizer directory as transformers sees it."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgelm import resources
from edgelm.tokenizer.text import TextTokenizer

TEXTS = [
    json.loads(line)["text"]
    for file in sorted(resources.path("corpus", "sample").glob("*.jsonl"))
    for line in file.read_text(encoding="utf-8").splitlines()
]
ODD = [
    "",
    " ",
    "  two  spaces ",
    "line\nline\n\n",
    "\ttab",
    "don't 'twas",
    "06:30 R25,50",
    "ṱ".encode().decode(),
    "漢字 🙂",
]


@pytest.fixture(scope="module")
def automatic(sample_tokenizer_dir: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(sample_tokenizer_dir)


def test_same_ids(automatic: Any, sample_tokenizer: TextTokenizer) -> None:
    for text in [*TEXTS, *ODD]:
        ids = sample_tokenizer.encode(text)
        assert automatic(text)["input_ids"] == [sample_tokenizer.bos, *ids]
        assert automatic(text, add_special_tokens=False)["input_ids"] == ids
        assert automatic.decode(ids) == sample_tokenizer.decode(ids)


def test_special_tokens(automatic: Any, sample_tokenizer: TextTokenizer) -> None:
    ids = (automatic.bos_token_id, automatic.eos_token_id, automatic.pad_token_id)
    assert ids == (sample_tokenizer.bos, sample_tokenizer.eos, 2)
    assert automatic.unk_token is None
    assert automatic.vocab_size == sample_tokenizer.vocab_size
    assert automatic("a", "b")["input_ids"][0] == sample_tokenizer.bos
    assert sample_tokenizer.eos not in automatic("a")["input_ids"]
    assert automatic("x")["attention_mask"] == [1, 1]
    assert "token_type_ids" not in automatic("x")


def test_chat_template(automatic: Any, sample_tokenizer: TextTokenizer) -> None:
    one = sample_tokenizer
    for text in [*TEXTS[::50], *ODD]:
        messages = [{"role": "user", "content": text}]
        ids = automatic.apply_chat_template(messages, add_generation_prompt=True)
        assert ids == one.chat(text)
        answered = [*messages, {"role": "assistant", "content": "food"}]
        expected = [*one.chat(text), *one.encode("food"), one.end]
        assert automatic.apply_chat_template(answered) == expected
    system = [{"role": "system", "content": "Phendula."}, {"role": "user", "content": "Yebo"}]
    expected = [one.bos, one.id("<|system|>"), *one.encode("Phendula."), one.end, *one.chat("Yebo")[1:]]
    assert automatic.apply_chat_template(system, add_generation_prompt=True) == expected


def test_a_conversation_is_framed_as_the_template_does(
    automatic: Any, sample_tokenizer: TextTokenizer
) -> None:
    said = [
        ("system", "Phendula kafushane."),
        ("user", " Sawubona\n"),
        ("assistant", "Yebo! "),
        ("user", TEXTS[3]),
        ("assistant", ODD[2]),
        ("user", ""),
    ]
    for turns in (said, said[1:], said[:2], said[1:2], said[1:4]):
        messages = [{"role": role, "content": content} for role, content in turns]
        ours = sample_tokenizer.conversation([(role, sample_tokenizer.encode(text)) for role, text in turns])
        assert automatic.apply_chat_template(messages, add_generation_prompt=True) == ours
