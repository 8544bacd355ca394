"""edgelm's models in lm-evaluation-harness answer as Hugging Face's do there."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgelm import resources
from edgelm.errors import BadInput

pytest.importorskip("lm_eval", reason="lm-eval is an extra of its own: pip install 'edgelm[lm-eval]'")

from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

from edgelm.evaluate.harness import EdgelmLM, main
from edgelm.runtime import load

TEXTS = [
    json.loads(line)["text"]
    for line in resources.path("corpus", "sample", "eng.jsonl").read_text(encoding="utf-8").splitlines()
]


def requests(kind: Any, *arguments: tuple[Any, ...]) -> list[Instance]:
    return [
        Instance(request_type=kind, doc={}, arguments=one, idx=number) for number, one in enumerate(arguments)
    ]


@pytest.fixture(scope="module")
def ours(model_dir: Path) -> EdgelmLM:
    model = get_model("edgelm").create_from_arg_string(f"path={model_dir}")
    assert isinstance(model, EdgelmLM)
    return model


@pytest.fixture(scope="module")
def theirs(model_dir: Path) -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(model_dir), device="cpu", add_bos_token=True, batch_size=2)


def test_answers_are_scored_as_by_hugging_face(ours: EdgelmLM, theirs: Any) -> None:
    pairs = [
        ("Which topic?", " health"),
        ("Which topic?", " a far longer answer"),
        ("The answer is ", "h"),  # the blank belongs to what follows
        ("", "Umfana uyahamba"),
        (" ".join(TEXTS)[:6000], " the end"),  # too long: it loses its beginning
        ("Which topic?", " health"),
    ]
    assert len(ours.tok_encode(pairs[4][0])) > ours.model.context
    found = ours.loglikelihood(requests("loglikelihood", *pairs), disable_tqdm=True)
    expected = theirs.loglikelihood(requests("loglikelihood", *pairs), disable_tqdm=True)
    short = [0, 1, 2, 3, 5]
    np.testing.assert_allclose(
        [found[one][0] for one in short], [expected[one][0] for one in short], atol=1e-3
    )
    assert [found[one][1] for one in short] == [expected[one][1] for one in short]
    context = [ours.model.bos, *ours.model.tokenize(pairs[4][0])]
    said = ours.model.tokenize(pairs[4][0] + pairs[4][1])[len(context) - 1 :]
    kept = [ours.model.bos, *context[len(context) - (ours.model.context - len(said)) :]]
    assert found[4][0] == pytest.approx(float(ours.model.score(kept, said).sum()), abs=1e-3)


def test_what_the_model_would_write_is_greedy(ours: EdgelmLM) -> None:
    model = ours.model
    written = [int(model.session().feed(model.prompt("Umfana"), last_only=True)[-1].argmax())]
    pairs = [(None, model.prompt("Umfana"), written), (None, model.prompt("Umfana"), [written[0] ^ 1]),
             (None, model.prompt("Umfana"), [])]  # fmt: skip
    found = ours._loglikelihood_tokens(pairs, disable_tqdm=True)
    assert [greedy for _, greedy in found] == [True, False, True]
    assert found[2][0] == 0.0


def test_texts_are_read_as_by_hugging_face(
    ours: EdgelmLM, theirs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(theirs, "add_bos_token", False)  # here it puts a BOS before all by itself
    texts = requests("loglikelihood_rolling", (TEXTS[0],), (" ".join(TEXTS)[:2500],))
    assert len(ours.model.tokenize(texts[1].args[0])) > 2 * ours.model.context
    np.testing.assert_allclose(
        ours.loglikelihood_rolling(texts, disable_tqdm=True),
        theirs.loglikelihood_rolling(texts, disable_tqdm=True),
        rtol=1e-4,
    )


def test_texts_are_written_until_a_stop(ours: EdgelmLM, theirs: Any) -> None:
    options = {"until": ["\n\n"], "max_gen_toks": 12, "do_sample": False}
    asked = requests("generate_until", ("Umfana uyahamba", options), ("The", options))
    found = ours.generate_until(asked, disable_tqdm=True)
    assert found == theirs.generate_until(asked, disable_tqdm=True)
    stop = found[0][3:5]
    (cut,) = ours.generate_until(
        requests("generate_until", ("Umfana uyahamba", options | {"until": stop})), disable_tqdm=True
    )
    assert cut == found[0][: found[0].index(stop)]


def test_a_message_is_put_as_edgelm_puts_it(model_dir: Path) -> None:
    chat = EdgelmLM(str(model_dir), chat=True)
    model = chat.model
    found = chat.loglikelihood(
        requests("loglikelihood", ("Which topic?", " health"), ("x " * 900, " health")), disable_tqdm=True
    )
    answer = [*model.tokenize("health"), model.end]
    for (ours, _), text in zip(found, ("Which topic?", "x " * 900), strict=True):
        message = model.message(model.tokenize(text), answer=len(answer) - 1, context=model.context)
        assert ours == pytest.approx(float(model.score(message, answer).sum()), abs=1e-3)
    (written,) = chat.generate_until(
        requests("generate_until", ("x " * 900, {"max_gen_toks": 9})), disable_tqdm=True
    )
    message = model.message(model.tokenize("x " * 900), answer=9, context=model.context)
    assert written == "".join(model.generate(message, max_tokens=9, temperature=0))


def test_a_model_has_to_be_named() -> None:
    with pytest.raises(BadInput, match="no model was given"):
        EdgelmLM()


def test_lm_eval_finds_the_model_by_its_name(
    tmp_path: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    rows: list[dict[str, Any]] = [
        {"q": f"word {number}", "options": ["yes", "no"], "gold": number % 2} for number in range(4)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "made_up.yaml").write_text(
        f"""
task: made_up
dataset_path: json
dataset_kwargs: {{data_files: {{test: {tmp_path / "rows.jsonl"}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{q}}}}:"
doc_to_choice: options
doc_to_target: gold
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    found = simple_evaluate(
        "edgelm",
        f"path={tiny_gguf},threads=1",
        ["made_up"],
        task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
        bootstrap_iters=0,
    )
    assert found is not None
    model = load(tiny_gguf, threads=1)
    right = 0
    for row in rows:
        said = [model.tokenize(f" {one}") for one in row["options"]]
        right += int(model.score_choices(model.prompt(f"{row['q']}:"), said).argmax()) == row["gold"]
    model.close()
    assert found["results"]["made_up"]["acc,none"] == right / len(rows)


def test_the_command_is_that_of_lm_eval(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lm-eval", "run", "--help"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert "--model_args" in capsys.readouterr().out


def test_a_user_s_mistake_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def mistaken() -> None:
        EdgelmLM("nowhere.gguf")

    monkeypatch.setattr("lm_eval.__main__.cli_evaluate", mistaken)
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err == (
        "error: nowhere.gguf: no such model. Give a .gguf file or a model directory.\n"
    )
