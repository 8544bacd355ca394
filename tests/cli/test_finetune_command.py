"""`edgelm finetune` and `edgelm evaluate` as a user types them."""

import json
from collections.abc import Callable
from pathlib import Path

import made_up_tasks
import pytest

pytest.importorskip("sklearn", reason="task baselines need the extra 'train'")

Run = Callable[..., tuple[int, str, str]]


def test_a_cheap_model_and_its_evaluation(tmp_path: Path, edgelm: Run) -> None:
    model, out = tmp_path / "model", tmp_path / "out"
    code, said, err = edgelm(
        "finetune", "topic", "--method", "linear", "--languages", "zul", "-o", model, "-q"
    )
    assert (code, err) == (0, "")
    assert "Validation" in said
    assert "macro_f1" in said
    assert sorted(path.name for path in model.iterdir()) == [
        "README.md",
        "config.json",
        "edgelm.json",
        "features.txt",
        "model.safetensors",
    ]
    code, said, err = edgelm("evaluate", model, "topic", "-o", out, "-q")
    assert (code, err) == (0, "")
    for words in ("linear", "TF-IDF + SVM", "majority", "against the best baseline", f"{out}/results.md"):
        assert words in said
    assert {"results.md", "results.tex", "results.json"} <= {path.name for path in out.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["topic", "--method", "linear", "--steps", 9], "--steps does nothing with --method linear"),
        (["MODEL", "topic", "--both-ways"], "--both-ways does nothing with --method full"),
        (["MODEL", "topic", "--method", "head", "--replay", "x"], "--replay does nothing with --method head"),
        (["MODEL", "topic", "--batch", 0], "--batch 0 is too small"),
        (["MODEL", "topic", "topic"], "the name 'topic' is that of two tasks"),
        (["MODEL"], "no task was given"),
        (["topic", "sib200", "--method", "linear"], "--method linear takes one task at a time"),
        (["topic", "--method", "crf"], "--method crf does not suit 'topic'. Try --method linear."),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path,
    edgelm: Run,
    tiny_model_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[object],
    said: str,
) -> None:
    monkeypatch.setenv("EDGELM_DATA", str(tmp_path))
    words = [tiny_model_dir if one == "MODEL" else one for one in arguments]
    code, _, err = edgelm("finetune", *words, "-o", tmp_path / "out")
    assert code == 2
    assert said in err
    assert not (tmp_path / "out").exists()


def bio(count: int) -> str:
    names = ("Sipho", "Thandi", "Lerato")
    return "\n".join(
        f"u O\n{names[number % 3]} B-PER\n{names[number % 2]} I-PER\nuya O\nThekwini B-LOC\n"
        for number in range(count)
    )


def test_a_crf_stands_beside_the_baseline_that_is_one_too(tmp_path: Path, edgelm: Run) -> None:
    pytest.importorskip("seqeval", reason="span F1 needs the extra 'evaluate'")
    contents: dict[str, str | bytes] = {"zulu/train.txt": bio(30), "zulu/test.txt": bio(6)}
    task = made_up_tasks.write_task(
        tmp_path,
        contents,
        made_up_tasks.COMMON,
        family="tagging",
        files={"train": "{language}/train.txt", "test": "{language}/test.txt"},
        languages={"zul": "zulu"},
        labels=["PER", "LOC"],
        scheme="bio",
    )
    code, said, err = edgelm("finetune", task, "--method", "crf", "-o", tmp_path / "ner", "-q")
    assert (code, err) == (0, "")
    assert "There is no validation split in these languages" in said
    out = tmp_path / "out"
    code, said, err = edgelm("evaluate", tmp_path / "ner", task, "-o", out, "-q")
    assert (code, err) == (0, "")
    entries = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert {one["system"] for one in entries} == {"CRF, ner", "CRF", "most frequent tag"}
    found = json.loads((out / "model" / "evaluation.json").read_text(encoding="utf-8"))
    (scores,) = found["tasks"].values()
    assert scores["span_f1"] == 1.0
    assert {"span_f1_PER", "span_f1_LOC"} <= set(scores)
    assert not [name for name in scores if name.endswith(("_ER", "_OC"))]
    assert 0 < scores["chance"]["uniform"]["accuracy"] < 0.6
    code, _, err = edgelm("evaluate", tmp_path / "ner", task, "--split", "train", "-o", out, "-q")
    assert code == 2
    assert "unknown split 'train'" in err


def test_a_model_is_evaluated_in_the_languages_it_learnt(tmp_path: Path, edgelm: Run) -> None:
    model, out = tmp_path / "model", tmp_path / "out"
    edgelm("finetune", "topic", "--method", "linear", "--languages", "zul,xho", "-o", model, "-q")
    _, said, _ = edgelm("evaluate", model, "topic", "-o", out, "-q")
    assert "test of xho, zul" in said or "test of zul, xho" in said
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert {one["language"] for one in found} == {"all", "xho", "zul"}
    edgelm("evaluate", model, "topic", "--languages", "eng", "-o", out, "-q")
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert {one["language"] for one in found} == {"eng"}
