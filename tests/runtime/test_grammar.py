"""Texts that have to fit a JSON schema, a regular expression or a grammar, whatever runs the model."""

import gc
import json
import re
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgelm.errors import BadInput, MissingExtra
from edgelm.runtime import Generation, LanguageModel, load
from edgelm.runtime.grammar import LONGEST, SECONDS, Constraint, Grammar, _compiled
from edgelm.runtime.lookup import Drafts
from edgelm.runtime.sampling import Options

pytest.importorskip("llguidance", reason="grammars are the extra 'grammar'")

PERSON = {
    "type": "object",
    "properties": {
        "igama": {"type": "string", "maxLength": 12},
        "iminyaka": {"type": "integer", "minimum": 0, "maximum": 120},
        "ushadile": {"type": "boolean"},
        "isifundazwe": {"enum": ["KwaZulu-Natal", "Limpopo", "ḓ ṱ"]},
    },
    "required": ["igama", "iminyaka", "ushadile", "isifundazwe"],
    "additionalProperties": False,
}
DATE = Grammar("regex", r"[12][0-9]{3}-(0[1-9]|1[0-2]), (uLwesihlanu|Labone)")
LARK = Grammar("lark", 'start: "iya" word~2..6 "."\nword: /[a-z]{2,5}/ " "')
FREE: dict[str, Any] = {"temperature": 1.5, "top_p": 1.0}


def schema(value: Any) -> Grammar:
    return Grammar("json_schema", json.dumps(value))


def write(model: LanguageModel, grammar: Grammar, report: Generation | None = None, **options: Any) -> str:
    ids = model.prompt("Namhlanje", "zul")
    return "".join(
        model.generate(ids, grammar=grammar, report=report, **{**FREE, "max_tokens": 150, **options})
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_writes_the_same_tokens_in_every_runtime(
    models: dict[str, LanguageModel], seed: int
) -> None:
    for grammar in (schema(PERSON), DATE, LARK):
        found = {}
        for name, model in models.items():
            report = Generation()
            found[name] = (write(model, grammar, report, seed=seed), report.ids, report.ended)
        assert len(found) > 2
        assert all(one == found["torch"] for one in found.values())


def test_what_is_written_fits(model: LanguageModel) -> None:
    names = set()
    for seed in range(6):
        report = Generation()
        said = json.loads(write(model, schema(PERSON), report, seed=seed))
        assert report.ended == "stop"
        assert list(said) == PERSON["required"]
        assert len(said["igama"]) <= 12
        assert 0 <= said["iminyaka"] <= 120
        assert isinstance(said["ushadile"], bool)
        assert said["isifundazwe"] in PERSON["properties"]["isifundazwe"]["enum"]  # type: ignore[index]
        names.add(said["igama"])
        assert re.fullmatch(DATE.text, write(model, DATE, seed=seed))
        assert re.fullmatch(r"iya([a-z]{2,5} ){2,6}\.", write(model, LARK, seed=seed))
    assert len(names) > 3
    assert re.fullmatch(DATE.text, write(model, DATE, temperature=0))


def test_the_model_decides_among_what_fits(model: LanguageModel) -> None:
    """At temperature 0 each token is the likeliest of those that lead to a text that fits."""
    grammar = Grammar("regex", "[a-z ]{40}")
    report = Generation()
    text = write(model, grammar, report, temperature=0, logprobs=0)
    assert re.fullmatch(grammar.text, text)
    ids, fitting = model.prompt("Namhlanje", "zul"), np.zeros(model.vocab_size, dtype=bool)
    for token in range(model.vocab_size):
        fitting[token] = bool(re.fullmatch(rb"[a-z ]+", model.token_bytes(token)))
    for place in range(5):  # far from the end, where the length counts
        logits = model.session().feed([*ids, *report.ids[:place]], last_only=True)[-1]
        assert report.ids[place] == np.where(fitting, logits, -np.inf).argmax()
    assert [one.logprob for one in report.scores] == pytest.approx(model.score(ids, report.ids), abs=1e-3)


def test_it_ends_where_nothing_can_follow_or_the_model_ends_it(models: dict[str, LanguageModel]) -> None:
    model, report = models["onnx"], Generation()
    assert write(model, Grammar("regex", "umoya"), report) == "umoya"
    assert (report.ended, report.tokens) == ("stop", len(report.ids))
    write(model, Grammar("regex", "umoya"), again := Generation(), max_tokens=report.tokens)
    assert again.ended == "stop"  # there is no room to draw an end
    assert b"".join(map(model.token_bytes, report.ids)) == b"umoya"
    report = Generation()
    assert write(model, schema(PERSON), report, max_tokens=4)[:1] == "{"
    assert report.ended == "length"
    said = set()
    for seed in range(20):
        report = Generation()
        text = write(model, Grammar("regex", "(umoya )+"), report, seed=seed, temperature=5)
        if report.ended == "stop":  # by the model, as more could follow
            assert re.fullmatch("(umoya )+", text)
            said.add(text)
    assert len(said) > 1


def test_every_end_of_the_models_may_end_it(model: LanguageModel) -> None:
    allowed = Constraint(model, Grammar("regex", "a*")).masked(np.zeros(model.vocab_size, dtype=np.float32))
    finite = {int(token) for token in np.flatnonzero(np.isfinite(allowed))}
    written = {token for token in finite if not model.token_bytes(token)}
    assert written == {*model.ends}
    assert {model.token_bytes(token).strip(b"a") for token in finite} == {b""}


def test_drafts_change_nothing(models: dict[str, LanguageModel], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Drafts, "wanted", lambda self, pace: True)
    monkeypatch.setattr(Drafts, "promising", True)
    again = Grammar("regex", "(umoya uyabanda namhlanje, ){12}[a-z]{3}")
    for model in models.values():
        texts, reports = [], []
        for options in ({"lookup": False}, {"lookup": True}, {"reuse": True}):
            report = Generation()
            texts.append(write(model, again, report, max_tokens=400, seed=2, **options))
            reports.append(report)
        assert len(set(texts)) == 1
        assert re.fullmatch(again.text, texts[0])
        assert [report.drafted > 0 for report in reports] == [False, True, True], model.name
        assert all(report.accepted > 0 for report in reports[1:])
        model.held = None


def test_text_that_the_tokenizer_would_compose_is_written_as_it_is_given(model: LanguageModel) -> None:
    apart = "s\u030ckolo ḓ"
    assert json.loads(write(model, schema({"const": apart}))) == apart
    assert write(model, Grammar("regex", apart)) == apart


def test_json_is_written_in_one_way(model: LanguageModel) -> None:
    value = {"a": [1, {"b": None}], "c": "ṱ"}
    assert write(model, schema({"const": value})) == json.dumps(value, ensure_ascii=False)


TWENTY = range(100, 120)
UNUSABLE: dict[str, tuple[str, str, str]] = {
    "no JSON": ("json_schema", "{", "the JSON schema cannot be used (it is no JSON: "),
    "nested": ("json_schema", '{"items":' * 9000 + "1" + "}" * 9000, "the JSON schema is empty or too long"),
    "nested less": ("json_schema", '{"items":' * 2000 + "1" + "}" * 2000, "the JSON schema cannot be used ("),
    "a list": ("json_schema", "[]", "the JSON schema cannot be used (it is no object)"),
    "no such type": ("json_schema", '{"type": "texts"}', "cannot be used (Invalid type: texts)"),
    "nothing fits": ("json_schema", '{"minLength": 5, "maxLength": 3, "type": "string"}', "Unsatisfiable"),
    "itself": ("json_schema", '{"$ref": "#"}', "(nothing can be written that fits it)"),
    "elsewhere": ("json_schema", '{"$ref": "http://127.0.0.1:9/x"}', "does not fetch resources"),
    "a file": ("json_schema", '{"$ref": "file:///etc/hostname"}', "does not fetch resources"),
    "not known": ("json_schema", '{"type": "array", "uniqueItems": true}', 'keys: ["uniqueItems"]'),
    "false": ("json_schema", "false", "the JSON schema cannot be used (it is no object)"),
    "an open bracket": ("regex", "[0-9", "the regular expression cannot be used (at 1"),
    "empty": ("regex", "", "the regular expression is empty or too long. Give between 1 and"),
    "looks back": ("regex", "(a)\\1", "the regular expression cannot be used ("),
    "long": ("regex", "a" * (LONGEST + 1), "the regular expression is empty or too long"),
    "no rule": ("lark", "start: word", 'the grammar cannot be used (at 1(8): unknown name: "word"'),
    "minutes": (
        "json_schema",
        json.dumps({"allOf": [{"type": "string", "pattern": f".*{one}.{{{one % 20}}}"} for one in TWENTY]}),
        f"(it takes more than {SECONDS} seconds to be read)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used_is_one_line_in_time(models: dict[str, LanguageModel], name: str) -> None:
    kind, text, said = UNUSABLE[name]
    model, begin = models["onnx"], time.perf_counter()
    with pytest.raises(BadInput) as error:
        model.generate("Molo", grammar=Grammar(kind, text))  # type: ignore[arg-type]
    assert time.perf_counter() - begin < 5 * SECONDS
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    assert write(model, Grammar("regex", "umoya")) == "umoya"


def test_what_turns_out_too_large_while_it_is_written_is_one_line(models: dict[str, LanguageModel]) -> None:
    many = {"type": "object", "properties": {f"p{one}": {"type": "string"} for one in range(1000)}}
    with pytest.raises(BadInput, match=r"the JSON schema cannot be used .*row has"):
        write(models["onnx"], schema(many))


def test_one_kind_of_constraint_at_a_time() -> None:
    with pytest.raises(BadInput, match="choices and a grammar exclude each other"):
        Options(choices=["a", "b"], grammar=DATE)


def test_without_llguidance_it_says_what_to_install(
    models: dict[str, LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgelm\[grammar\]'"):
        models["onnx"].generate("Molo", grammar=DATE)


def test_a_model_with_more_rows_than_tokens(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="makes the foreign model")
    import foreign

    model = load(foreign.model_dir("qwen2", tmp_path), threads=1)
    assert model.vocab_size > foreign.VOCAB_SIZE
    for seed in range(5):
        options: dict[str, Any] = {"seed": seed, "max_tokens": 60, "temperature": 3.0}
        assert re.fullmatch(DATE.text, "".join(model.generate("Molo", grammar=DATE, **options)))


def test_a_model_is_let_go_when_nobody_has_it(export_dir: Path) -> None:
    model = load(export_dir / "onnx" / "fp32", threads=1)
    write(model, DATE)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_a_grammar_is_checked_once() -> None:
    begin, grammar = time.perf_counter(), Grammar("regex", "[a-c]{3}x")
    _compiled(grammar)
    first, begin = time.perf_counter() - begin, time.perf_counter()
    _compiled(Grammar("regex", "[a-c]{3}x"))
    assert time.perf_counter() - begin < first / 5
