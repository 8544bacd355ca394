"""`edgelm finetune` and `edgelm evaluate` as a user types them."""

import json
from collections.abc import Callable
from pathlib import Path

import made_up_tasks
import pytest

from edgelm import resources

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
        (["MODEL", "topic", "--rank", 4], "--rank does nothing with --method full"),
        (["MODEL", "topic", "--method", "lora", "--reinit", 1], "--reinit does nothing with --method lora"),
        (
            ["MODEL", "topic", "--method", "head", "--prompt", "both"],
            "--prompt does nothing with --method head",
        ),
        (["MODEL", "topic", "--max-share", 1], "--max-share does nothing with --regime multi"),
        (["MODEL", "topic", "sib200", "--regime", "mono"], "--regime mono takes one task at a time"),
        (["topic", "--method", "linear", "--regime", "general"], "--regime general does not suit"),
        (["MODEL", "topic", "--method", "auto", "--seeds", 2], "--seeds does nothing with --method auto"),
        (["MODEL", "topic", "sib200", "--weight", "topic"], "--weight topic is not a task and a number"),
        (["MODEL", "topic", "sib200", "--weight", "=2"], "--weight =2 is not a task and a number"),
        (["MODEL", "topic", "t2x", "--weight", "sib200=2"], "'sib200', which is not among the tasks"),
        (["MODEL", "topic", "--search", "soon"], "'soon' is not a time"),
        (["MODEL", "topic", "--layer-decay", 2], "--layer-decay 2.0 is out of range"),
        (["MODEL", "topic", "--patience", 1, "--validate-every", 0], "leaves nothing to decide by"),
        (["MODEL", "topic", "--freeze", 9], "--freeze 9: the model has 2 layers. Give at most 2"),
        (["MODEL", "topic", "--method", "linear"], "--method linear takes no model. Leave "),
        (["nowhere", "topic", "--method", "head"], "nowhere: no such model. Give a model directory"),
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


SHORT = ["--steps", 2, "--batch", 1, "--precision", "fp32", "-q"]


def test_many_tasks_are_mixed_and_the_mixture_is_shown(
    tmp_path: Path, edgelm: Run, tiny_model_dir: Path
) -> None:
    other = tmp_path / "other.yaml"
    topic = resources.path("corpus", "tasks", "topic.yaml")
    value = {**resources.read_yaml(topic), "name": "other", "folder": str(topic.parent.parent / "sample")}
    other.write_text(json.dumps(value), encoding="utf-8")
    model = tmp_path / "model"
    code, said, err = edgelm(
        "finetune", tiny_model_dir, "topic", other, "--languages", "zul", "--weight", "other=2",
        "--min-share", 0, *SHORT, "-o", model,
    )  # fmt: skip
    assert (code, err) == (0, "")
    shown, validation = said.split("Validation")
    rows = [line.split() for line in shown.splitlines() if " zul " in line]
    assert [(row[0], row[3]) for row in rows] == [("topic", "40.0%"), ("other", "60.0%")]  # at most
    assert "other" in validation
    config = json.loads((model / "edgelm.json").read_text(encoding="utf-8"))["config"]
    assert config["mixing"]["weights"] == {"other": 2.0}


def test_a_model_for_each_language_with_two_seeds(tmp_path: Path, edgelm: Run, tiny_model_dir: Path) -> None:
    out = tmp_path / "out"
    code, said, err = edgelm(
        "finetune", tiny_model_dir, "topic", "--method", "head", "--regime", "mono",
        "--languages", "zul,xho", "--seeds", 2, "--seed", 7, *SHORT, "-o", out,
    )  # fmt: skip
    assert (code, err) == (0, "")
    for folder in ("zul/seed-7", "zul/seed-8", "xho/seed-7", "xho/seed-8"):
        assert (out / folder / "model.safetensors").exists()
        assert folder in said
    assert (out / "zul" / "seeds.json").exists()
    assert "mean ± sd" in said
    code, said, _ = edgelm(
        "finetune", "topic", "--method", "linear", "--regime", "mono", "--languages", "zul,xho",
        "-q", "-o", tmp_path / "cheap",
    )  # fmt: skip
    assert code == 0
    assert (tmp_path / "cheap" / "xho" / "features.txt").exists()


def test_a_few_examples_of_each_language(tmp_path: Path, edgelm: Run) -> None:
    code, _, err = edgelm(
        "finetune", "topic", "--method", "linear", "--languages", "zul,xho", "--few", 16,
        "-q", "-o", tmp_path / "model",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "| 32 |" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


def test_a_searched_rate_and_an_adapter(tmp_path: Path, edgelm: Run, tiny_model_dir: Path) -> None:
    pytest.importorskip("peft", reason="peft makes the adapters")
    out = tmp_path / "out"
    code, said, err = edgelm(
        "finetune", tiny_model_dir, "topic", "--method", "lora", "--rank", 2, "--alpha", 4,
        "--languages", "zul", "--search", "1s", *SHORT, "-o", out,
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "learning rate" in said
    rates = json.loads((tmp_path / "out-search" / "edgelm.json").read_text(encoding="utf-8"))["results"]
    config = json.loads((out / "edgelm.json").read_text(encoding="utf-8"))["config"]
    assert config["learning_rate"] == rates["rate"]
    assert config["lora"] == {"rank": 2, "alpha": 4, "shared_base": False}
    assert (out / "adapter" / "adapter_model.safetensors").exists()


def test_what_is_rare_in_training_can_be_left_out(tmp_path: Path, edgelm: Run) -> None:
    given = ("finetune", "topic", "--method", "linear", "--languages", "zul", "-q")
    sizes = []
    for least in (1, 3):
        code, _, err = edgelm(*given, "--min-df", least, "-o", tmp_path / str(least))
        assert (code, err) == (0, "")
        sizes.append((tmp_path / str(least) / "model.safetensors").stat().st_size)
    assert sizes[1] < 0.5 * sizes[0]
    code, _, err = edgelm("finetune", "m", "topic", "--method", "head", "--min-df", 3, "-o", tmp_path / "x")
    assert (code, err) == (2, "edgelm: --min-df does nothing with --method head. Leave it out.\n")


def test_the_smallest_model_that_is_good(tmp_path: Path, edgelm: Run, tiny_model_dir: Path) -> None:
    out = tmp_path / "out"
    code, said, err = edgelm(
        "finetune", tiny_model_dir, "topic", "--method", "auto", "--languages", "zul", *SHORT, "-o", out
    )
    assert (code, err) == (0, "")
    assert "The language model does not earn its megabytes; the model is the one of --method linear." in said
    assert (out / "features.txt").exists()
    both = out / "tried" / "ensemble"
    assert (both / "head" / "model.safetensors").exists()
    code, said, err = edgelm("run", both, "Imvula iyana.", "--json", "-q")
    assert (code, err) == (0, "")
    assert json.loads(said)["model"] == "PyTorch fp32 + linear"
    code, said, err = edgelm("export", both, "--to", "onnx:fp32", "-o", tmp_path / "onnx", "-q")
    assert (code, err) == (0, "")
    assert " onnx/fp32 " in said
    assert f"written: {tmp_path / 'onnx'}\n" in said


def test_what_two_models_score_alone(tmp_path: Path, edgelm: Run, tiny_model_dir: Path) -> None:
    given = ("finetune", tiny_model_dir, "topic", "--method", "ensemble", "--languages", "zul", *SHORT)
    code, said, err = edgelm(*given, "-o", tmp_path / "out")
    assert (code, err) == (0, "")
    alone = json.loads((tmp_path / "out" / "edgelm.json").read_text(encoding="utf-8"))["results"]["alone"]
    assert f"Alone: linear {alone['linear']:.3f}, head {alone['head']:.3f}." in said


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


@pytest.mark.parametrize(("together", "better"), [(0.4, True), (0.6, False)])
def test_a_part_that_is_better_alone(
    capsys: pytest.CaptureFixture[str], together: float, better: bool
) -> None:
    from edgelm.cli.finetune_tables import report

    task = {"metric": "accuracy", "accuracy": together, "interval": [0.3, 0.7], "items": 9}
    report({"zul": {"tasks": {"x": task}, "alone": {"crf": 0.5, "head": 0.1}}})
    said = "The crf is better alone: use zul/crf in the output folder." in capsys.readouterr().out
    assert said == better


@pytest.mark.parametrize(
    ("chosen", "earns"), [("crf", "does not earn"), ("head", "earns"), ("ensemble", "earns")]
)
def test_what_earns_its_megabytes(capsys: pytest.CaptureFixture[str], chosen: str, earns: str) -> None:
    from edgelm.cli.finetune_tables import report

    one = {"score": 0.5, "interval": [0.4, 0.6], "seconds": 1.0, "bytes": 10}
    report({"": {"tasks": {}, "chosen": chosen, "candidates": {chosen: one}}})
    assert f"The language model {earns} its megabytes; the model is the one of --method {chosen}." in (
        capsys.readouterr().out
    )
