"""Answers that have to fit a JSON schema, a regular expression or a grammar, asked for by OpenAI's client."""

import json
import re
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from served import Served, start

from edgelm.runtime import LanguageModel, load
from edgelm.runtime.grammar import Grammar

pytest.importorskip("llguidance", reason="grammars are the extra 'grammar'")

NAME = "fp32"
ASKED: list[Any] = [{"role": "user", "content": "Sawubona, unjani?"}]
SCHEMA = {
    "type": "object",
    "properties": {"igama": {"type": "string", "maxLength": 10}, "iminyaka": {"enum": [1, 2, 30]}},
    "required": ["igama", "iminyaka"],
    "additionalProperties": False,
}
LARK = 'start: "ye" "b"~1..3 "o"'
MINUTES = {"allOf": [{"type": "string", "pattern": f".*{one}.{{{one % 20}}}"} for one in range(100, 120)]}


@pytest.fixture(scope="module")
def here(onnx_model: Path) -> LanguageModel:
    return load(onnx_model, threads=1)


def chatted(served: Served, **options: Any) -> Any:
    return served.client().chat.completions.create(model=NAME, messages=ASKED, seed=3, **options)


def expected(here: LanguageModel, grammar: Grammar, prompt: Any) -> str:
    options: dict[str, Any] = {"max_tokens": 200, "temperature": 1, "top_p": 1, "seed": 3}
    return "".join(here.generate(prompt, grammar=grammar, **options))


@pytest.mark.parametrize(
    ("given", "grammar"),
    [
        ({"guided_json": SCHEMA}, Grammar("json_schema", json.dumps(SCHEMA))),
        ({"guided_json": json.dumps(SCHEMA)}, Grammar("json_schema", json.dumps(SCHEMA))),
        ({"guided_regex": "[0-9]{3} (ḓ|ṱ)"}, Grammar("regex", "[0-9]{3} (ḓ|ṱ)")),
        ({"guided_grammar": LARK}, Grammar("lark", LARK)),
    ],
)
def test_what_is_guided_is_what_the_runtime_writes(
    served: Served, here: LanguageModel, given: Any, grammar: Grammar
) -> None:
    found = chatted(served, extra_body=given, logprobs=True).choices[0]
    assert found.message.content == expected(here, grammar, here.prompt(ASKED[0]["content"], chat=True))
    assert found.finish_reason == "stop"
    assert max(one.logprob for one in found.logprobs.content) <= 0
    pieces = list(chatted(served, extra_body=given, stream=True))
    assert "".join(one.choices[0].delta.content or "" for one in pieces) == found.message.content
    done = served.client().completions.create(model=NAME, prompt="Molo", seed=3, extra_body=given)
    assert done.choices[0].text == expected(here, grammar, "Molo")  # 16 tokens would not be the whole
    assert done.choices[0].finish_reason == "stop"


def test_a_response_format_is_any_schema_or_any_object(served: Served) -> None:
    from pydantic import BaseModel, Field

    class Person(BaseModel):
        name: str = Field(max_length=10)
        age: int = Field(ge=0, le=130)
        languages: list[bool] = Field(max_length=2)

    shape: Any = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": SCHEMA}}
    said = json.loads(chatted(served, response_format=shape).choices[0].message.content)
    assert list(said) == SCHEMA["required"]
    assert said["iminyaka"] in (1, 2, 30)
    client = served.client()
    parsed = client.chat.completions.parse(model=NAME, messages=ASKED, response_format=Person, seed=1)
    assert 0 <= parsed.choices[0].message.parsed.age <= 130  # type: ignore[union-attr]
    found = chatted(served, response_format={"type": "json_object"}, max_tokens=8).choices[0]
    assert re.match(r'\{("|\})', found.message.content)
    found = chatted(served, response_format={"type": "text"}, max_tokens=8).choices[0]
    assert not found.message.content.startswith("{")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"guided_regex": "[0-9"}, "the regular expression cannot be used"),
        ({"guided_json": "{"}, "the JSON schema cannot be used"),
        ({"guided_json": {"type": "texts"}}, "Invalid type: texts"),
        ({"guided_grammar": "start: word"}, "unknown name"),
        ({"guided_json": MINUTES}, "it takes more than 3 seconds to be read"),
        ({"guided_json": {}, "guided_choice": ["a"]}, "guided_choice and guided_json exclude each other"),
        ({"guided_json": {}, "response_format": {"type": "json_object"}}, "response_format excludes what is"),
        ({"guided_choice": ["a"], "response_format": {"type": "json_object"}}, "response_format excludes"),
    ],
)
def test_what_cannot_be_is_refused_and_the_next_is_served(served: Served, given: Any, said: str) -> None:
    begin = time.monotonic()
    with pytest.raises(openai.BadRequestError, match=said):
        chatted(served, extra_body=given)
    assert time.monotonic() - begin < 20
    assert chatted(served, extra_body={"guided_regex": "ye[b]o"}).choices[0].message.content == "yebo"


def test_without_llguidance_it_says_so_and_serves_the_rest(onnx_model: Path, tmp_path: Path) -> None:
    (tmp_path / "llguidance.py").write_text("raise ModuleNotFoundError('no', name='llguidance')")
    import os

    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with start(onnx_model, PYTHONPATH=path) as server:
        with pytest.raises(openai.InternalServerError, match=r"pip install 'edgelm\[grammar\]'") as error:
            chatted(server, extra_body={"guided_regex": "a"})
        assert error.value.status_code == 501
        assert chatted(server, max_tokens=4).usage.completion_tokens <= 4
