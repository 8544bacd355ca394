import json
import re
from dataclasses import replace
from pathlib import Path

import made_up
import numpy as np
import pytest
from scripted import ASSISTANT, BOS, END, USER, VOCAB_SIZE, ByteModel

from edgelm.errors import BadInput
from edgelm.evaluate import evaluate as module
from edgelm.evaluate.evaluate import clear_results, evaluate, evaluate_baselines
from edgelm.evaluate.predict import Asking, answer_scores, predict, rank
from edgelm.quickstart import _verdict
from edgelm.tasks.examples import Chat, Labelled
from edgelm.tasks.task import Task, load_task


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_corpus(tmp_path_factory.mktemp("made-up"))


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return load_task(made_up.make_task(tmp_path_factory.mktemp("made-up")))


def test_the_likeliest_label_is_the_answer(tmp_path: Path) -> None:
    def after(ids: list[int]) -> np.ndarray:
        """`b` follows the assistant's turn if the message has an x, else `a`; then END or more letters."""
        logits = np.zeros(VOCAB_SIZE)
        if ids[-1] == ASSISTANT:
            assert ids[:2] == [BOS, USER]
            assert ids[-2] == END
            logits[ord("b" if ord("x") in ids else "a")] = 9.0
        if ids[-1] == ord("b"):
            logits[END] = 20.0 if ids[-2] == ASSISTANT else 0.0
        return logits

    model = ByteModel(after)
    ((scores, lengths),) = answer_scores(model, ["x"], [["a", "b", "ba"]])
    assert scores.argmax() == 1
    assert lengths.tolist() == [2, 2, 3]
    description = json.loads(made_up.make_task(tmp_path).read_text(encoding="utf-8"))
    (tmp_path / "letters.yaml").write_text(json.dumps(description | {"labels": ["a", "b", "ba"]}))
    examples = [Labelled("x", "a", "eng"), Labelled("y", "a", "eng")]
    assert predict(model, load_task(tmp_path / "letters.yaml"), examples) == ["b", "a"]


def test_a_long_text_loses_its_beginning() -> None:
    seen: list[int] = []

    def after(ids: list[int]) -> np.ndarray:
        seen[:] = ids if len(ids) > len(seen) else seen
        return np.zeros(VOCAB_SIZE)

    answer_scores(ByteModel(after, context=24), ["start" + "m" * 90 + "finish"], [["one", "three"]])
    assert 23 <= len(seen) <= 24
    assert seen[:2] == [BOS, USER]
    assert bytes(one for one in seen if one < BOS).startswith(b"m" * 8 + b"finish")


def test_figures_predictions_and_rerun(tmp_path: Path, export_dir: Path, corpus: Path, task: Task) -> None:
    from sklearn.metrics import f1_score

    model, output = export_dir / "model-Q8_0.gguf", tmp_path / "evaluation"
    found = evaluate(model, output, corpus=corpus, tasks=[task])
    assert (found["name"], found["backend"], found["split"]) == ("GGUF Q8_0", "llama.cpp", "test")
    assert sorted(found["bits_per_byte"]) == ["eng", "mean", "xho", "zul"]
    assert found == json.loads((output / "evaluation.json").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (output / "predictions.jsonl").read_text("utf-8").splitlines()]
    examples = task.examples("test")
    assert [(one["language"], one["expected"]) for one in rows] == [
        (one.language, one.label) for one in examples
    ]
    assert [(one["line"], one["text"]) for one in rows] == [(one.line, one.text) for one in examples]
    truth, predicted = ([one[key] for one in rows] for key in ("expected", "predicted"))
    ours = found["tasks"]["made-up"]
    assert ours["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"), abs=1e-4)
    assert sorted(ours["languages"]) == ["eng", "xho", "zul"]
    written = (output / "evaluation.json").stat().st_mtime_ns
    assert evaluate(model, output, corpus=corpus, tasks=[task]) == found
    assert (output / "evaluation.json").stat().st_mtime_ns == written


def test_runtimes_agree_on_the_figures(
    tmp_path: Path, model_dir: Path, export_dir: Path, corpus: Path, task: Task
) -> None:
    paths = (model_dir, export_dir / "onnx" / "fp32", export_dir / "model-F32.gguf")
    found = [
        evaluate(path, tmp_path / str(number), corpus=corpus, tasks=[task])
        for number, path in enumerate(paths)
    ]
    for one in found[1:]:
        assert one["bits_per_byte"] == pytest.approx(found[0]["bits_per_byte"], abs=2e-4)
        assert one["tasks"] == found[0]["tasks"]


def test_a_model_that_loses_is_said_to_lose(tmp_path: Path, export_dir: Path, task: Task) -> None:
    random = evaluate(export_dir / "model-F32.gguf", tmp_path / "model", tasks=[task])["tasks"]["made-up"]
    baselines = evaluate_baselines(tmp_path / "baselines", [task])["made-up"]
    strongest = max(baselines, key=lambda name: baselines[name]["macro_f1"])
    assert random["macro_f1"] < baselines[strongest]["macro_f1"]
    said = _verdict(random["macro_f1"], baselines)
    assert "does not beat" in said
    assert strongest in said
    assert re.findall(r"\d\.\d{3}", said) == [
        f"{random['macro_f1']:.3f}",
        f"{baselines[strongest]['macro_f1']:.3f}",
    ]
    even = _verdict(baselines[strongest]["macro_f1"], baselines)
    assert "does not beat" in even
    assert "does not" not in _verdict(1.01, baselines)


def test_bad_input_is_named(tmp_path: Path, export_dir: Path, corpus: Path, task: Task) -> None:
    model = export_dir / "model-F32.gguf"
    for problem, changes in {
        "unknown split 'dev'": {"split": "dev"},
        "no such model|no such file": {"model": tmp_path / "nothing.gguf"},
        "no such file": {"corpus": tmp_path / "nothing"},
    }.items():
        arguments = {"model": model, "output": tmp_path / "out", "corpus": corpus, "tasks": [task], **changes}
        with pytest.raises(BadInput, match=problem):
            evaluate(**arguments)
        assert not (tmp_path / "out").exists()


def test_a_task_that_nothing_can_be_judged_on(tmp_path: Path, export_dir: Path, task: Task) -> None:
    with pytest.raises(BadInput, match="'made-up' has neither a validation nor a test split"):
        evaluate(
            export_dir / "model-F32.gguf",
            tmp_path / "out",
            tasks=[replace(task, files={"train": task.files["train"]})],
        )


def test_an_empty_split_is_named(tmp_path: Path, export_dir: Path) -> None:
    sizes = {"zul": 6}  # all of them train
    corpus, task = made_up.make_corpus(tmp_path, sizes), load_task(made_up.make_task(tmp_path, sizes))
    with pytest.raises(BadInput, match="corpus: holds no test text"):
        evaluate(export_dir / "model-F32.gguf", tmp_path / "out", corpus=corpus)
    with pytest.raises(BadInput, match="'made-up' has no test examples"):
        evaluate(export_dir / "model-F32.gguf", tmp_path / "out", tasks=[task])
    with pytest.raises(BadInput, match="'made-up' has no test examples"):
        evaluate_baselines(tmp_path / "out", [task])
    assert not (tmp_path / "out").exists()


def test_the_sum_favours_short_answers_and_the_mean_long_ones(tmp_path: Path) -> None:
    def after(ids: list[int]) -> np.ndarray:
        logits = np.zeros(VOCAB_SIZE)
        logits[ord("b")] = 4.0 if ids[-1] == ord("b") else 0.0
        logits[END] = 4.0 if ids[-1] == ord("b") else 0.0
        return logits

    description = json.loads(made_up.make_task(tmp_path).read_text(encoding="utf-8"))
    (tmp_path / "letters.yaml").write_text(json.dumps(description | {"labels": ["a", "bbbb"]}))
    task = load_task(tmp_path / "letters.yaml")
    examples = [Labelled("x", "a", "eng")]
    model = ByteModel(after)
    ((sums, lengths),) = answer_scores(model, ["x"], [["a", "bbbb"]])
    assert sums[0] > sums[1]
    assert sums[0] / lengths[0] < sums[1] / lengths[1]
    assert rank(model, task, examples) == (["a"], ["bbbb"])


def test_a_large_language_is_learnt_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a small one from all: `majority` falls back only there."""

    def solve(train: list[Labelled], test: list[Labelled]) -> list[str]:
        return ["+".join(sorted({one.language for one in train})) for _ in test]

    monkeypatch.setattr(module, "OWN", 3)
    train = [Labelled("a", "x", code) for code in ("zul", "zul", "zul", "xho", "eng", "eng", "eng")]
    test = [Labelled("a", "x", code) for code in ("xho", "zul", "ven", "zul", "eng")]
    assert module._solved(solve, train, test) == ["eng+xho+zul", "zul", "eng+xho+zul", "zul", "eng"]


def test_the_metric_of_the_task_decides(tmp_path: Path, export_dir: Path) -> None:
    description = json.loads(made_up.make_task(tmp_path).read_text(encoding="utf-8"))
    (tmp_path / "other.yaml").write_text(json.dumps(description | {"metric": "weighted_f1"}))
    scores = evaluate_baselines(tmp_path / "out", [load_task(tmp_path / "other.yaml")])["made-up"]["majority"]
    assert scores["metric"] == "weighted_f1"
    assert scores["interval"] == scores["intervals"]["weighted_f1"]


def test_tables_of_an_earlier_evaluation_do_not_stay(tmp_path: Path) -> None:
    for name in ("results.md", "results.tex", "results.json", "mine.md"):
        (tmp_path / name).touch()
    clear_results(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.md"]


def test_a_conversation_is_read_with_its_roles(tmp_path: Path) -> None:
    heard: list[int] = []

    class Hearing(ByteModel):
        chat_format = replace(ByteModel.chat_format, open={**ByteModel.chat_format.open, "system": (255,)})

    def after(ids: list[int]) -> np.ndarray:
        heard[:] = ids if ids[-1] == ASSISTANT else heard
        return np.eye(VOCAB_SIZE)[END]

    task = load_task("instructions")
    turns = (("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    for beams in (1, 2):
        predict(Hearing(after), task, [Chat(turns, "eng")], asking=Asking(beams=beams))
        said = [one for role, ids in ((255, b"s"), (USER, b"a"), (ASSISTANT, b"b"), (USER, b"c")) for one in
                (role, *ids, END)]  # fmt: skip
        assert heard == [BOS, *said, ASSISTANT]
