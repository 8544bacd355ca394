"""The fields of a request that are taken although nothing is done with them, and those that are refused."""

from typing import Any

import pytest

from edgelm.serve.errors import Refused
from edgelm.serve.requests import parse_chat, parse_completion

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Sawubona"}]}
COMPLETION: dict[str, Any] = {"prompt": "Sawubona"}
IGNORED = (
    "user metadata store service_tier safety_identifier prompt_cache_key prompt_cache_retention "
    "parallel_tool_calls prediction"
).split()
NEUTRAL: dict[str, list[Any]] = {
    "best_of": [1],
    "echo": [False],
    "suffix": [""],
    "logit_bias": [{}],
    "tools": [[]],
    "functions": [[]],
    "tool_choice": ["none", "auto"],
    "function_call": ["none", "auto"],
    "modalities": [["text"]],
}
OTHER: dict[str, list[Any]] = {
    "best_of": [2, "1"],
    "echo": [True, "false"],
    "suffix": ["end", [""]],
    "logit_bias": [{"50": 1}, []],
    "tools": [[{"type": "function"}], {}],
    "functions": [[{"name": "f"}], ""],
    "tool_choice": ["required", {"type": "function", "function": {"name": "f"}}, ["none"]],
    "function_call": [{"name": "f"}, "required"],
    "modalities": [["text", "audio"], ["audio"], [], "text"],
}
UNKNOWN = "top_k min_p repetition_penalty audio reasoning_effort verbosity best-of Echo a".split()


@pytest.mark.parametrize(("parse", "body"), [(parse_chat, CHAT), (parse_completion, COMPLETION)])
class TestFields:
    @pytest.mark.parametrize("name", IGNORED)
    def test_what_changes_no_answer_is_taken_whatever_it_says(self, parse: Any, body: Any, name: str) -> None:
        for value in ("me", True, {"a": [1]}, [], 3.5):
            assert parse({**body, name: value}) == parse(body)

    @pytest.mark.parametrize("name", NEUTRAL)
    def test_what_would_change_it_is_taken_where_it_does_not(self, parse: Any, body: Any, name: str) -> None:
        for value in (*NEUTRAL[name], None):
            assert parse({**body, name: value}) == parse(body)

    @pytest.mark.parametrize("name", NEUTRAL)
    def test_and_refused_by_name_where_it_does(self, parse: Any, body: Any, name: str) -> None:
        for value in OTHER[name]:
            refused(parse, {**body, name: value}, name)

    @pytest.mark.parametrize("name", UNKNOWN)
    def test_what_is_not_known_is_refused(self, parse: Any, body: Any, name: str) -> None:
        for value in (0, "", False, [], {}, "x"):
            refused(parse, {**body, name: value}, name)
        assert parse({**body, name: None}) == parse(body)


def test_one_kind_of_request_does_not_know_the_fields_of_the_other() -> None:
    refused(parse_completion, {**COMPLETION, "messages": []}, "messages")
    refused(parse_completion, {**COMPLETION, "top_logprobs": 1}, "top_logprobs")
    refused(parse_completion, {**COMPLETION, "max_completion_tokens": 1}, "max_completion_tokens")
    refused(parse_chat, {**CHAT, "prompt": "Molo"}, "prompt")
    refused(parse_chat, {**CHAT, "language": "zul"}, "language")


def refused(parse: Any, body: dict[str, Any], name: str) -> None:
    with pytest.raises(Refused) as error:
        parse(body)
    assert error.value.status == 400
    assert error.value.body["error"] == {
        "message": f"{name} is not supported here. Leave it out.",
        "type": "invalid_request_error",
        "param": name,
        "code": "unsupported_parameter",
    }
