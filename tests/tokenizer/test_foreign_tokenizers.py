"""Tokenizers made elsewhere: which token does what, and how messages are framed, as transformers has it."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import foreign
import pytest
from transformers import AutoTokenizer

from edgelm.errors import BadInput
from edgelm.tokenizer.text import TextTokenizer

TURNS = [("user", "Molo, unjani? ḓ"), ("assistant", "Ndiphilile <|im_end|>"), ("user", "Uvela phi?")]
WITH_CHAT = ["smollm", "qwen2", "llama-bpe"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tokenizers")
    for kind in foreign.TOKENIZERS:
        foreign.save_tokenizer(kind, folder / kind)
    return {kind: folder / kind for kind in foreign.TOKENIZERS}


def framed(text: TextTokenizer, turns: list[tuple[str, str]]) -> list[int]:
    return text.conversation([(role, text.encode(said)) for role, said in turns])


@pytest.mark.parametrize("kind", WITH_CHAT)
@pytest.mark.parametrize("system", [[], [("system", "Answer in isiXhosa.")]])
def test_a_conversation_is_what_the_template_makes_of_it(
    folders: dict[str, Path], kind: str, system: list[tuple[str, str]]
) -> None:
    theirs = AutoTokenizer.from_pretrained(folders[kind])
    turns = [*system, *TURNS[:1], ("assistant", "Ndiphilile"), *TURNS[2:]]
    messages = [{"role": role, "content": said} for role, said in turns]
    expected = theirs.apply_chat_template(messages, add_generation_prompt=True)
    text = TextTokenizer(folders[kind])
    assert framed(text, turns) == expected
    assert (foreign.SAID in theirs.decode(expected)) == (kind == "smollm" and not system)
    assert text.end == theirs.eos_token_id


@pytest.mark.parametrize("kind", WITH_CHAT)
def test_what_is_said_holds_no_control_token(folders: dict[str, Path], kind: str) -> None:
    text = TextTokenizer(folders[kind])
    hostile = "".join(text.special) + "Molo"
    assert not {*text.encode(hostile)} & {*text.special.values()}
    assert text.decode(text.encode(hostile)) == hostile
    plain, risky = framed(text, [("user", "Molo")]), framed(text, [("user", hostile)])
    assert [one for one in risky if one in text.special.values()] == [
        one for one in plain if one in text.special.values()
    ]


@pytest.mark.parametrize("kind", foreign.TOKENIZERS)
def test_a_text_begins_and_ends_as_its_tokenizer_says(folders: dict[str, Path], kind: str) -> None:
    theirs, text = AutoTokenizer.from_pretrained(folders[kind]), TextTokenizer(folders[kind])
    assert text.prompt("Molo, 1994") == theirs("Molo, 1994").input_ids
    assert text.eos == theirs.eos_token_id
    assert text.adds_bos == (kind == "llama-bpe")
    between = "<|begin_of_text|>" if kind == "llama-bpe" else "<|endoftext|>"
    assert text.bos == text.special[between]
    assert text.pad == (text.eos if kind == "llama-bpe" else text.bos)
    assert {text.eos, text.end, *text.endings} == {
        text.special[one]
        for one in ("<|endoftext|>", "<|im_end|>", "<|end_of_text|>", "<|eot_id|>")
        if one in text.special
    }


@pytest.mark.parametrize("kind", foreign.TOKENIZERS)
def test_bytes_of_tokens(folders: dict[str, Path], kind: str) -> None:
    text = TextTokenizer(folders[kind])
    said = "ṱhoho 123 <think> 👩🏾‍🌾\n\n e\u0301"
    assert text.decode(text.encode(said)) == (unicodedata.normalize("NFC", said) if kind == "qwen2" else said)
    assert {text.bytes_of[number] for number in text.special.values()} == {b""}
    if kind == "qwen2":
        number = text.id("<think>")
        assert (text.bytes_of[number], text.encode("a<think>b")[1]) == (b"<think>", number)
    assert len(text.bytes_of) == foreign.VOCAB_SIZE


def test_without_a_chat_format_text_goes_on_and_chat_is_refused(tmp_path: Path) -> None:
    for kind in ("gpt-2", "smollm"):
        foreign.save_tokenizer(kind, tmp_path / kind)
        (tmp_path / kind / "chat_template.jinja").unlink(missing_ok=True)
        text = TextTokenizer(tmp_path / kind)
        assert text.template == ""
        assert text.prompt("Molo") == text.encode("Molo")
        for ask in (lambda text=text: text.chat("Molo"), text.frame):
            with pytest.raises(BadInput, match=r"no chat format that edgelm knows\. It can continue text"):
                ask()


@pytest.mark.parametrize("several", [False, True])
def test_a_template_inside_tokenizer_config(tmp_path: Path, several: bool) -> None:
    foreign.save_tokenizer("smollm", tmp_path)
    file = tmp_path / "chat_template.jinja"
    template = file.read_text(encoding="utf-8")
    expected = TextTokenizer(tmp_path).chat("Molo")
    file.unlink()
    named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": template}]
    foreign.edit(tmp_path / "tokenizer_config.json", chat_template=named if several else template)
    assert TextTokenizer(tmp_path).template == template
    assert TextTokenizer(tmp_path).chat("Molo") == expected


def test_a_long_message_loses_its_beginning(folders: dict[str, Path]) -> None:
    text = TextTokenizer(folders["smollm"])
    said = text.encode("Molo, unjani namhlanje? " * 9)
    before, behind = text.frame()
    assert text.message([]) == before + behind
    for room in range(len(before) + len(behind), 60):
        found = text.message(said, answer=5, context=room + 5)
        kept = room - len(before) - len(behind)
        assert found == [*before, *said[len(said) - kept :], *behind]


def test_what_ends_a_text_may_stand_in_config_json(tmp_path: Path) -> None:
    foreign.save_tokenizer("gpt-2", tmp_path)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / name).unlink()
    with pytest.raises(BadInput, match=r"lacks the special tokens <\|bos\|> .* tokenizer_config\.json"):
        TextTokenizer(tmp_path)
    for said in (639, [639, 5]):
        (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": said}))
        assert TextTokenizer(tmp_path).eos == 639
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": {"content": "<|endoftext|>"}}))
    (tmp_path / "config.json").unlink()
    assert TextTokenizer(tmp_path).eos == 639


def damaged(kind: str, said: dict[str, Any]) -> None:
    model = said["model"]
    if kind == "unigram":
        said["model"] = {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0]]}
        said["added_tokens"] = []
    elif kind == "falls back":
        model["byte_fallback"] = True
    elif kind == "metaspace":
        said["decoder"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    elif kind == "no bytes":
        alone = next(one for one in model["vocab"] if not any(one in pair for pair in model["merges"]))
        model["vocab"]["▁a"] = model["vocab"].pop(alone)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("unigram", "no byte-level BPE (its model is Unigram)"),
        ("falls back", "no byte-level BPE (it falls back to bytes)"),
        ("metaspace", "no byte-level BPE (its decoder is Metaspace)"),
        ("no bytes", "no byte-level BPE (a token has '▁' in it)"),
    ],
)
def test_another_kind_of_tokenizer_is_refused(tmp_path: Path, kind: str, message: str) -> None:
    foreign.save_tokenizer("gpt-2", tmp_path)
    path = tmp_path / "tokenizer.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    damaged(kind, said)
    path.write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(BadInput) as error:
        TextTokenizer(tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_sentencepiece_alone_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>")
    with pytest.raises(BadInput, match=r"no such file\. Its tokenizer\.model is another kind"):
        TextTokenizer(tmp_path)


@pytest.mark.parametrize(
    "said",
    [
        {"eos_token": {}},
        {"eos_token": None, "eos_token_id": 10**9},
        {"eos_token": None, "eos_token_id": "x"},
        {"pad_token": None, "pad_token_id": [[1]]},
        {"chat_template": ["x"]},
    ],
)
def test_what_names_no_tokens_is_one_line(tmp_path: Path, said: dict[str, object]) -> None:
    foreign.save_tokenizer("qwen2", tmp_path)
    foreign.edit(tmp_path / "tokenizer_config.json", **said)
    for name in ("special_tokens_map.json", "chat_template.jinja"):
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(BadInput) as caught:
        TextTokenizer(tmp_path)
    assert "\n" not in str(caught.value)
