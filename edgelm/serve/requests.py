"""OpenAI's requests for completions and chat completions, as what the runtime is asked to do."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from edgelm.errors import BadInput
from edgelm.runtime.grammar import Grammar
from edgelm.runtime.sampling import MAX_LOGPROBS, MAX_TOKENS
from edgelm.serve.errors import Refused
from edgelm.serve.fields import Fields, only, wrong

COMPLETION_TOKENS = 16
"""What OpenAI's interface writes where a completion does not say how much."""
MOST_ANSWERS, MOST_CHOICES = 64, 1000
MAX_SEED = 2**63 - 1
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
TURN = ("role", "content")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for.

    Attributes:
        prompts: texts or ids to continue; none with `turns`.
        turns: of a conversation, as (role, text).
        language: to continue in.
        options: of `LanguageModel.generate`, but for `seed` and `reuse`.
        seed: None where any will do.
        answers: to each prompt.
        contents: what stands for a choice in the answer, where that is not the choice itself.
    """

    prompts: list[str | list[int]] = field(default_factory=list)
    turns: list[tuple[str, str]] = field(default_factory=list)
    language: str | None = None
    model: str | None = None
    options: dict[str, Any]
    seed: int | None
    answers: int
    stream: bool
    include_usage: bool
    contents: dict[str, str] = field(default_factory=dict)

    @property
    def chat(self) -> bool:
        return bool(self.turns)


def parse_completion(body: dict[str, Any]) -> Request:
    """A request to `/v1/completions`.

    Raises:
        Refused: it asks for something that this server does not do.
    """
    fields = Fields(body)
    prompts = _prompts(fields.take("prompt"))
    logprobs = fields.whole("logprobs", 0, 5)
    max_tokens = fields.whole("max_tokens", 1, MAX_TOKENS)
    shared = _shared(fields)
    shared["options"] |= {
        "max_tokens": COMPLETION_TOKENS if max_tokens is None else max_tokens,
        "logprobs": logprobs,
    }
    _room_for_the_whole(shared["options"], max_tokens)
    language = fields.text("language")
    fields.finish()
    if len(prompts) * shared["answers"] > MOST_ANSWERS:
        raise Refused(400, f"more than {MOST_ANSWERS} answers are asked for at once.", param="n")
    return Request(prompts=prompts, language=language, **shared)


def parse_chat(body: dict[str, Any]) -> Request:
    """A request to `/v1/chat/completions`.

    Raises:
        Refused: it asks for something that this server does not do.
    """
    fields = Fields(body)
    turns = _turns(fields.take("messages"))
    wanted, top = fields.flag("logprobs"), fields.whole("top_logprobs", 0, MAX_LOGPROBS)
    if top is not None and not wanted:
        raise Refused(400, "top_logprobs needs logprobs.", param="top_logprobs")
    old, new = (fields.whole(name, 1, MAX_TOKENS) for name in ("max_tokens", "max_completion_tokens"))
    if old is not None and new is not None:
        raise Refused(400, "max_tokens and max_completion_tokens are one thing.", param="max_tokens")
    max_tokens = old if new is None else new
    contents, wanted_grammar = _response_format(fields.object("response_format"))
    shared = _shared(fields)
    options = shared["options"]
    if (contents or wanted_grammar) and (options["choices"] or options["grammar"]):
        raise Refused(400, "response_format excludes what is guided.", param="response_format")
    options["choices"] += contents
    options["grammar"] = options["grammar"] or wanted_grammar
    shared["options"] |= {
        "max_tokens": MAX_TOKENS if max_tokens is None else max_tokens,
        "logprobs": (top or 0) if wanted else None,
    }
    fields.finish()
    return Request(turns=turns, contents=contents, **shared)


def _shared(fields: Fields) -> dict[str, Any]:
    """What both kinds of request have: arguments of `Request`."""
    stream, more = fields.flag("stream"), fields.object("stream_options")
    if more is not None and not stream:
        raise Refused(400, "stream_options needs stream.", param="stream_options")
    only(more or {}, ("include_usage",), "stream_options")
    usage = (more or {}).get("include_usage")
    if usage not in (None, True, False):
        raise wrong("stream_options.include_usage", "true or false")
    if fields.left.get("guided_choice") == []:
        raise wrong("guided_choice", "a list of one text or more")
    choices = fields.texts("guided_choice")
    if len(choices) > MOST_CHOICES:
        raise Refused(400, f"more than {MOST_CHOICES} choices.", param="guided_choice")
    options = {
        "temperature": fields.number("temperature", 1.0),
        "top_p": fields.number("top_p", 1.0),
        "frequency_penalty": fields.number("frequency_penalty", 0.0),
        "presence_penalty": fields.number("presence_penalty", 0.0),
        "stop": fields.texts("stop"),
        "choices": choices,
        "grammar": _guided(fields, choices),
    }
    return {
        "model": fields.text("model"),
        "options": options,
        "seed": fields.whole("seed", 0, MAX_SEED),
        "answers": fields.whole("n", 1, MOST_ANSWERS) or 1,
        "stream": stream,
        "include_usage": bool(usage),
    }


def _guided(fields: Fields, choices: list[str]) -> Grammar | None:
    """What the text has to fit."""
    schema = fields.take("guided_json")
    if schema is not None and not isinstance(schema, str | dict):
        raise wrong("guided_json", "a JSON schema")
    regex, lark = fields.text("guided_regex"), fields.text("guided_grammar")
    given = {
        "guided_choice": choices or None,
        "guided_json": schema,
        "guided_regex": regex,
        "guided_grammar": lark,
    }
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise Refused(400, f"{' and '.join(names)} exclude each other.", param=names[1])
    if schema is not None:
        return _grammar("json_schema", schema if isinstance(schema, str) else _json(schema), "guided_json")
    if regex is not None:
        return _grammar("regex", regex, "guided_regex")
    return None if lark is None else _grammar("lark", lark, "guided_grammar")


def _grammar(kind: Literal["json_schema", "regex", "lark"], text: str, name: str) -> Grammar:
    try:
        return Grammar(kind, text)
    except BadInput as error:
        raise Refused(400, str(error), param=name) from None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _room_for_the_whole(options: dict[str, Any], max_tokens: int | None) -> None:
    """A choice is as long as it is, and half of what fits a grammar fits none: only a limit that was given
    counts."""
    if (options["choices"] or options["grammar"]) and max_tokens is None:
        options["max_tokens"] = MAX_TOKENS


def _prompts(value: Any) -> list[str | list[int]]:
    if isinstance(value, str) or _ids(value):
        return [value]
    if isinstance(value, list) and value and all(isinstance(one, str) or _ids(one) for one in value):
        return value
    raise wrong("prompt", "a text, a list of texts, or token ids")


def _ids(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in value)
    )


def _turns(messages: Any) -> list[tuple[str, str]]:
    if not isinstance(messages, list) or not messages:
        raise wrong("messages", "a list of one message or more")
    turns = []
    for number, message in enumerate(messages):
        name = f"messages[{number}]"
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str) or role not in ROLES:
            raise wrong(f"{name}.role", f"one of {', '.join(ROLES)}")
        only(message, TURN, name)
        turns.append((ROLES[role], _content(message.get("content"), f"{name}.content")))
    if turns[-1][0] == "assistant":
        raise Refused(400, "the last message is the assistant's. End with the user's.", param="messages")
    return turns


def _content(value: Any, name: str) -> str:
    """A message's text, which may come in parts."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
        for part in value
    ):
        raise wrong(name, "a text, or parts of the type text")
    return "".join(part["text"] for part in value)


def _response_format(found: dict[str, Any] | None) -> tuple[dict[str, str], Grammar | None]:
    """What a `response_format` asks for: choices with the JSON of each, or a grammar, or neither."""
    name = "response_format"
    kind = "text" if found is None else found.get("type")
    if found is None or kind == "text":
        return {}, None
    if kind == "json_object":
        return {}, _grammar("json_schema", _json({"type": "object"}), name)
    inner = found.get("json_schema")
    schema = inner.get("schema") if kind == "json_schema" and isinstance(inner, dict) else None
    if not isinstance(schema, dict):
        raise wrong(name, "text, json_object, or json_schema with a schema in it")
    choices = _label_format(schema)
    return (choices, None) if choices else ({}, _grammar("json_schema", _json(schema), name))


def _label_format(schema: dict[str, Any]) -> dict[str, str]:
    """The texts that a schema of one enum allows, alone or as the one member of an object, and the JSON that
    stands for each; none where it allows more than that."""
    choices, member = _enum(schema), None
    properties = schema.get("properties") if choices is None else None
    if isinstance(properties, dict) and len(properties) == 1:
        ((member, inner),) = properties.items()
        choices = _enum(inner)
    if not choices or len(choices) > MOST_CHOICES:
        return {}
    return {choice: _json(choice if member is None else {member: choice}) for choice in choices}


def _enum(schema: Any) -> list[str] | None:
    """The texts that a schema of a string allows; None where it is something else."""
    if not isinstance(schema, dict) or schema.get("type", "string") != "string":
        return None
    choices = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else None
    return choices if isinstance(choices, list) and all(isinstance(one, str) for one in choices) else None
