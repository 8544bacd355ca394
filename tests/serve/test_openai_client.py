"""What OpenAI's own client gets from `edgelm serve`."""

import json
import math
import threading
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from served import Served, start

from edgelm.runtime import LanguageModel, load

NAME = "fp32"
PROMPT = "Namhlanje ekuseni ngivuke"
ASKED: list[Any] = [{"role": "user", "content": "Sawubona, unjani?"}]
CHOICES = ["yebo", "cha", "angazi"]


@pytest.fixture(scope="module")
def here(onnx_model: Path) -> LanguageModel:
    """The model in this process."""
    return load(onnx_model, threads=1)


def completed(served: Served, **options: Any) -> Any:
    options = {"model": NAME, "prompt": PROMPT, "max_tokens": 24, "seed": 3, **options}
    return served.client().completions.create(**options)


def chatted(served: Served, **options: Any) -> Any:
    options = {"model": NAME, "messages": ASKED, "max_tokens": 24, "seed": 3, **options}
    return served.client().chat.completions.create(**options)


def test_the_model_is_listed(served: Served) -> None:
    client = served.client()
    assert [one.id for one in client.models.list()] == [NAME]
    assert client.models.retrieve(NAME).owned_by == "edgelm"
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-9' here"):
        client.models.retrieve("gpt-9")


def test_a_completion_is_what_the_runtime_writes(served: Served, here: LanguageModel) -> None:
    found = completed(served)
    (choice,) = found.choices
    assert choice.text == "".join(here.generate(PROMPT, max_tokens=24, temperature=1, top_p=1, seed=3))
    assert choice.finish_reason == "length"
    assert found.usage.prompt_tokens == len(here.prompt(PROMPT))
    assert found.usage.completion_tokens == 24
    assert found.usage.total_tokens == found.usage.prompt_tokens + 24
    assert found.object == "text_completion"
    assert completed(served, max_tokens=None).usage.completion_tokens == 16


def test_an_answer_is_what_the_runtime_writes(served: Served, here: LanguageModel) -> None:
    found = chatted(served, temperature=0.5, top_p=0.9)
    ids = here.prompt(ASKED[0]["content"], chat=True)
    expected = "".join(here.generate(ids, max_tokens=24, temperature=0.5, top_p=0.9, seed=3))
    assert found.choices[0].message.content == expected
    assert found.choices[0].message.role == "assistant"
    assert found.usage.prompt_tokens == len(ids)
    assert chatted(served, temperature=0.5, top_p=0.9, max_tokens=None, max_completion_tokens=5).usage
    long = chatted(served, max_tokens=None)
    assert long.usage.total_tokens == here.context or long.choices[0].finish_reason == "stop"


def test_all_turns_reach_the_model(served: Served, here: LanguageModel) -> None:
    messages = [
        {"role": "developer", "content": "Phendula."},
        {"role": "user", "content": "Sawubona"},
        {"role": "assistant", "content": "Yebo"},
        {"role": "user", "content": [{"type": "text", "text": "Un"}, {"type": "text", "text": "jani?"}]},
    ]
    found = chatted(served, messages=messages)
    turns = [("system", "Phendula."), ("user", "Sawubona"), ("assistant", "Yebo"), ("user", "Unjani?")]
    ids = here.conversation([(role, here.tokenize(text)) for role, text in turns])
    expected = "".join(here.generate(ids, max_tokens=24, temperature=1, top_p=1, seed=3))
    assert found.choices[0].message.content == expected


def test_the_seed_decides(served: Served) -> None:
    texts = [completed(served, seed=seed).choices[0].text for seed in (1, 2, 1)]
    assert texts[0] == texts[2] != texts[1]
    free = {completed(served, seed=None).choices[0].text for _ in range(4)}
    assert len(free) > 1


def test_a_stream_is_the_same_text(served: Served) -> None:
    whole = completed(served, max_tokens=100).choices[0]
    chunks = list(completed(served, max_tokens=100, stream=True))
    assert "".join(one.choices[0].text for one in chunks) == whole.text
    assert [one.choices[0].finish_reason for one in chunks if one.choices[0].finish_reason] == ["length"]
    assert chunks[-1].choices[0].finish_reason == "length"
    whole = chatted(served, max_tokens=100).choices[0]
    chunks = list(chatted(served, max_tokens=100, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(one.choices[0].delta.content or "" for one in chunks[:-1]) == whole.message.content
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 100
    assert all(one.usage is None for one in chunks[:-1])


def test_a_stream_comes_while_it_is_written(served: Served) -> None:
    with completed(served, max_tokens=200, n=20, stream=True) as stream:
        indices = [one.choices[0].index for one in stream]
    assert len(indices) > 20
    assert indices == sorted(indices)
    assert set(indices) == set(range(20))


def test_a_stop_sequence_ends_the_text(served: Served) -> None:
    whole = completed(served, max_tokens=60).choices[0].text
    stop = whole[20:24]
    (choice,) = completed(served, max_tokens=60, stop=stop).choices
    assert choice.text == whole[: whole.index(stop)]
    assert choice.finish_reason == "stop"
    pieces = [one.choices[0].text for one in completed(served, max_tokens=60, stop=[stop, "~~"], stream=True)]
    assert "".join(pieces) == choice.text


def test_log_probabilities_of_a_completion(served: Served, here: LanguageModel) -> None:
    found = completed(served, logprobs=3, temperature=0).choices[0]
    scores = found.logprobs
    ids = here.prompt(PROMPT)
    tokens = here.tokenize(found.text)
    assert sum(scores.token_logprobs) == pytest.approx(float(here.score(ids, tokens).sum()), abs=0.01)
    assert all(len(one) == 3 for one in scores.top_logprobs)
    assert all(
        max(top.values()) == pytest.approx(own)  # greedy
        for top, own in zip(scores.top_logprobs, scores.token_logprobs, strict=True)
    )
    assert all(sum(map(math.exp, one.values())) <= 1.0001 for one in scores.top_logprobs)
    assert not any(one.startswith("bytes:") for one in scores.tokens), "choose another prompt"
    assert "".join(scores.tokens) == found.text
    ends = [place + len(one) for place, one in zip(scores.text_offset, scores.tokens, strict=True)]
    assert scores.text_offset == [0, *ends[:-1]]
    chunks = [one.choices[0].logprobs for one in completed(served, logprobs=3, temperature=0, stream=True)]
    assert [token for one in chunks for token in one.tokens] == scores.tokens
    assert [place for one in chunks for place in one.text_offset] == scores.text_offset
    assert completed(served).choices[0].logprobs is None


def test_log_probabilities_of_a_chat(served: Served) -> None:
    found = chatted(served, logprobs=True, top_logprobs=4, max_tokens=12)
    content = found.choices[0].logprobs.content
    assert len(content) == found.usage.completion_tokens
    data = b"".join(bytes(one.bytes) for one in content if one.bytes is not None)
    assert data.decode("utf-8", "replace") == found.choices[0].message.content
    for one in content:
        assert len(one.top_logprobs) == 4
        assert one.logprob <= one.top_logprobs[0].logprob + 1e-6
    bare = chatted(served, logprobs=True, max_tokens=12).choices[0].logprobs.content
    assert [one.logprob for one in bare] == [one.logprob for one in content]
    assert bare[0].top_logprobs == []
    streamed = chatted(served, logprobs=True, top_logprobs=4, max_tokens=12, stream=True)
    parts = [one.choices[0].logprobs for one in streamed if one.choices]
    assert [token for one in parts if one for token in one.content or ()] == content


def test_a_choice_is_the_whole_answer(served: Served, here: LanguageModel) -> None:
    drawn = set()
    for seed in range(6):
        found = chatted(served, seed=seed, extra_body={"guided_choice": CHOICES}, temperature=1.5)
        assert found.choices[0].finish_reason == "stop"
        drawn.add(found.choices[0].message.content)
    assert drawn <= set(CHOICES)
    ids = here.prompt(ASKED[0]["content"], chat=True)
    expected = "".join(here.generate(ids, temperature=0, choices=CHOICES))
    asked = {"temperature": 0, "extra_body": {"guided_choice": CHOICES}}
    assert chatted(served, **asked).choices[0].message.content == expected
    assert completed(served, max_tokens=None, **asked).choices[0].text in CHOICES
    streamed = "".join(one.choices[0].delta.content or "" for one in chatted(served, stream=True, **asked))
    assert streamed == expected


def test_a_json_schema_of_labels_is_a_choice(served: Served) -> None:
    from pydantic import BaseModel

    class Label(BaseModel):
        label: Literal["yebo", "cha"]

    schema = {"type": "string", "enum": ["Go tsamaile", 'a "b" ḓ']}
    shape = {"type": "json_schema", "json_schema": {"name": "label", "schema": schema}}
    found = chatted(served, response_format=shape).choices[0].message.content
    assert json.loads(found) in schema["enum"]
    parsed = served.client().chat.completions.parse(model=NAME, messages=ASKED, response_format=Label)
    assert parsed.choices[0].message.parsed.label in ("yebo", "cha")
    for refused in ({"type": "xml"}, {"type": "json_schema"}, {"type": "json_schema", "json_schema": "x"}):
        with pytest.raises(openai.BadRequestError, match="response_format has to be"):
            chatted(served, response_format=refused)


def test_several_answers_and_prompts(served: Served, here: LanguageModel) -> None:
    found = completed(served, prompt=["Umoya", here.prompt("Amanzi")], n=2, max_tokens=8)
    assert [one.index for one in found.choices] == [0, 1, 2, 3]
    options: Any = {"max_tokens": 8, "temperature": 1, "top_p": 1}
    expected = [
        "".join(here.generate(prompt, seed=seed, **options))
        for prompt in ("Umoya", "Amanzi")
        for seed in (3, 4)
    ]
    assert [one.text for one in found.choices] == expected
    assert found.usage.completion_tokens == 32
    assert found.usage.prompt_tokens == len(here.prompt("Umoya")) + len(here.prompt("Amanzi"))


def test_a_language_of_the_models(served: Served, here: LanguageModel) -> None:
    text = completed(served, extra_body={"language": "zul"}).choices[0].text
    options: Any = {"max_tokens": 24, "temperature": 1, "top_p": 1, "seed": 3}
    assert text == "".join(here.generate(PROMPT, language="zul", **options))
    with pytest.raises(openai.BadRequestError, match="has no language 'xxx'"):
        completed(served, extra_body={"language": "xxx"})


def test_the_cache_is_kept_between_requests_without_a_seed(served: Served) -> None:
    long = "Kudala kwakukhona indoda eyayihlala entabeni nomndeni wayo. "
    for seed, kept in ((None, True), (3, False)):
        chatted(served, messages=[{"role": "user", "content": long}], seed=seed)
        found = chatted(served, messages=[{"role": "user", "content": long + "Yini?"}], seed=seed)
        assert (found.usage.prompt_tokens_details.cached_tokens > 10) == kept


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"echo": True}, "echo"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"logit_bias": {"50": 1}}, "logit_bias"),
        ({"logprobs": 6}, "logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 65}, "n"),
        ({"seed": -1}, "seed"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"extra_body": {"top_k": 5}}, "top_k"),
        ({"extra_body": {"guided_regex": ""}}, "guided_regex"),
        ({"extra_body": {"guided_regex": ["a"]}}, "guided_regex"),
        ({"extra_body": {"guided_json": []}}, "guided_json"),
        ({"extra_body": {"guided_json": {}, "guided_regex": "a"}}, "guided_regex"),
        ({"extra_body": {"guided_choice": ["a"], "guided_grammar": "x"}}, "guided_grammar"),
        ({"extra_body": {"temperature": "hot"}}, "temperature"),
        ({"extra_body": {"temperature": 10**400}}, "temperature"),
        ({"extra_body": {"stop": [1]}}, "stop"),
        ({"prompt": ""}, None),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [10**9]}, "prompt"),
        ({"prompt": "umoya " * 300}, "prompt"),
        ({"temperature": 9}, None),
        ({"top_p": 0}, None),
        ({"presence_penalty": 3}, None),
        ({"stop": ["a"] * 17}, None),
        ({"extra_body": {"guided_choice": ["a", "a"]}}, None),
        ({"extra_body": {"guided_choice": []}}, "guided_choice"),
    ],
)
def test_what_would_change_the_answer_is_refused(served: Served, options: Any, param: str | None) -> None:
    if options == {"prompt": ""}:  # the model's bos is a token
        assert completed(served, **options).usage.prompt_tokens == 1
        return
    with pytest.raises(openai.BadRequestError) as error:
        completed(served, **options)
    assert error.value.param == param
    assert error.value.type == "invalid_request_error"
    assert error.value.status_code == 400


@pytest.mark.parametrize(
    "options",
    [
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "Yebo"}]},
        {"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"messages": [{"role": "user", "content": "Yebo", "name": "Sipho"}]},
        {"top_logprobs": 2},
        {"logprobs": True, "top_logprobs": 21},
        {"max_completion_tokens": 4},
        {"reasoning_effort": "low"},
    ],
)
def test_what_a_chat_cannot_do_is_refused(served: Served, options: Any) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        chatted(served, **options)
    assert error.value.body["message"].endswith(".")


def test_what_changes_nothing_is_taken(served: Served) -> None:
    plain = chatted(served).choices[0].message.content
    more: Any = {"user": "me", "tools": [], "tool_choice": "none", "store": False, "modalities": ["text"]}
    assert chatted(served, **more).choices[0].message.content == plain


def test_too_long_a_prompt_says_so_in_code(served: Served) -> None:
    with pytest.raises(openai.BadRequestError, match="holds 256 in all") as error:
        chatted(served, messages=[{"role": "user", "content": "umoya " * 300}])
    assert error.value.code == "context_length_exceeded"


def test_eight_clients_at_once_are_all_served_in_their_turn(served: Served) -> None:
    done: list[int] = []
    failed: list[Exception] = []

    def ask(number: int) -> None:
        client = served.client()
        for _ in range(4):
            try:
                found = client.completions.create(model=NAME, prompt=PROMPT, max_tokens=100, seed=number)
            except Exception as error:
                failed.append(error)
                return
            assert found.usage.completion_tokens == 100
            done.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not failed
    assert len(done) == 32
    for served_so_far in (done[:16], done[:24]):  # nobody is two requests behind another
        counts = [served_so_far.count(number) for number in range(8)]
        assert max(counts) - min(counts) <= 1


def test_a_gguf_file_is_served_under_its_name(export_dir: Path, here: LanguageModel) -> None:
    pytest.importorskip("llama_cpp", reason="GGUF files are run with llama-cpp-python")
    with start(export_dir / "model-F32.gguf") as server:
        found = server.client().completions.create(
            model="model-F32", prompt=PROMPT, max_tokens=24, seed=3, temperature=1
        )
    expected = "".join(here.generate(PROMPT, max_tokens=24, temperature=1, top_p=1, seed=3))
    assert found.choices[0].text == expected
