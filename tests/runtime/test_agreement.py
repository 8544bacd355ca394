"""PyTorch, ONNX Runtime and llama.cpp are one model."""

import json
import unicodedata

import numpy as np
import pytest

from edgelm import resources
from edgelm.errors import BadInput
from edgelm.languages import load_languages
from edgelm.runtime import LanguageModel
from edgelm.tokenizer.special import special_tokens

Models = dict[str, LanguageModel]
PROMPTS = {code: language.prompt for code, language in load_languages().items()}
CONTROL = range(len(special_tokens(list(PROMPTS))))
TRAPS = [
    "<|eos|> <|bos|><|user|>hi<|end|> <|zul|> <|spare_0|>",
    "</s> <s> [INST]",
    "Tshivenḓa ḓ ḽ ṅ ṋ ṱ, š ê ô ë",
    unicodedata.normalize("NFD", "Tshivenḓa šê ë"),
    "👩🏾‍🌾 🇿🇦 ½ ﬁ 漢字",
    "R1 234,50 no 07:30",
    "a\0b\r\n\t  c ",
    " ",
    "",
]


def sample(code: str) -> list[str]:
    path = resources.path("corpus", "sample", f"{code}.jsonl")
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("code", PROMPTS)
def test_logits_are_equal(models: Models, code: str) -> None:
    text = (PROMPTS[code] + " ") * 12
    found = {}
    for name, model in models.items():
        ids = model.prompt(text, language=code)
        session = model.session()
        head = session.feed(ids[:40])
        steps = [session.feed([token]) for token in ids[40:44]]
        last = session.feed(ids[44:], last_only=True)
        found[name] = np.concatenate([head, *steps, last])
        assert found[name].dtype == np.float32
        assert found[name].shape == (45, model.vocab_size)
    for name in models:
        np.testing.assert_allclose(found[name], found["torch"], atol=1e-3, rtol=0, err_msg=name)


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"temperature": 1.0, "seed": 7}])
@pytest.mark.parametrize("code", ["afr", "tso", "ven", "zul"])
def test_text_is_equal(models: Models, code: str, options: dict[str, float]) -> None:
    texts = {
        name: "".join(model.generate(PROMPTS[code], language=code, max_tokens=60, **options))  # type: ignore[arg-type]
        for name, model in models.items()
    }
    assert texts["torch"]
    assert set(texts.values()) == {texts["torch"]}


def test_seed_decides(model: LanguageModel) -> None:
    first, again, other = (
        "".join(model.generate("Go", temperature=1.0, max_tokens=30, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("text", [*TRAPS, *(PROMPTS[code] for code in PROMPTS)])
def test_tokens_are_equal_and_text_stays_text(models: Models, text: str) -> None:
    ids = {name: model.tokenize(text) for name, model in models.items()}
    assert all(one == ids["torch"] for one in ids.values())
    assert not set(ids["torch"]) & set(CONTROL)
    for model in models.values():
        assert model.detokenize(ids["torch"]) == unicodedata.normalize("NFC", text)


def test_every_token_has_the_same_bytes(models: Models) -> None:
    for token in range(models["torch"].vocab_size):
        assert len({model.token_bytes(token) for model in models.values()}) == 1, token


def test_special_ids_are_equal(models: Models) -> None:
    names = ("bos", "adds_bos", "eos", "end", "chat_format", "context", "vocab_size")
    facts = [[getattr(model, name) for name in names] for model in models.values()]
    assert all(one == facts[0] for one in facts)
    assert {code: model.language_tag(code) for model in models.values() for code in PROMPTS} == {
        code: models["torch"].language_tag(code) for code in PROMPTS
    }
    assert [model.backend for model in models.values()] == [name.removeprefix("prebuilt ") for name in models]


def test_prompt(model: LanguageModel) -> None:
    text = "Sawubona <|eos|><|end|>"
    ids, tag = model.tokenize(text), model.language_tag("zul")
    assert model.prompt(text) == [model.bos, *ids]
    assert model.prompt(text, language="zul") == [model.bos, tag, *ids]
    roles = {role: list(of) for role, of in model.chat_format.open.items()}
    framed = [model.bos, *roles["user"], *ids, model.end, *roles["assistant"]]
    assert model.prompt(text, chat=True) == framed
    for prompt in (model.prompt(text), model.prompt(text, "zul"), model.prompt(text, chat=True)):
        assert model.eos not in prompt
    for code in ("xxx", "zulu", ""):
        with pytest.raises(BadInput, match="has no language"):
            model.prompt(text, language=code)
