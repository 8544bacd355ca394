"""`edgelm evaluate` as a user types it: runtimes, prompts and beams."""

import json
from collections.abc import Callable
from pathlib import Path

import made_up
import made_up_tasks
import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_task(tmp_path_factory.mktemp("made-up"))


def test_options_reach_the_evaluation(tmp_path: Path, edgelm: Run, tiny_gguf: Path, task: Path) -> None:
    out = tmp_path / "out"
    options = ("--backend", "gguf", "--prompt", "auto", "--beams", "3")
    code, said, err = edgelm("evaluate", tiny_gguf, task, *options, "-o", out, "-q")
    assert (code, err) == (0, "")
    assert "made-up" in said
    provenance = json.loads((out / "model" / "edgelm.json").read_text(encoding="utf-8"))
    assert provenance["config"]["prompt"] == "auto"
    assert provenance["config"]["beams"][0] == 3
    assert provenance["results"]["backend"] == "llama.cpp"
    prompts = provenance["results"]["tasks"]["made-up"]["prompts"]
    assert {one["prompt"] for one in prompts.values()} == {"english"}  # the task has no other
    assert not (out / "export").exists()


def test_a_directory_is_exported_below_the_output(
    tmp_path: Path, edgelm: Run, tiny_model_dir: Path, task: Path
) -> None:
    pytest.importorskip("llama_cpp", reason="GGUF files are run with llama-cpp-python")
    out = tmp_path / "out"
    code, said, err = edgelm("evaluate", tiny_model_dir, task, "--backend", "gguf", "-o", out, "-q")
    assert (code, err) == (0, "")
    assert (out / "export" / "model-F32.gguf").is_file()
    assert "GGUF F32, model" in said


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--backend", "onnx"], "is a model for gguf, and cannot be run in onnx. Leave --backend out."),
        (["--backend", "tflite"], "tflite"),
        (["--prompt", "zulu"], "zulu"),
        (["--prompt", "auto", "--split", "validation"], "judged on"),
        (["--beams", "0"], "beams"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, edgelm: Run, tiny_gguf: Path, task: Path, options: list[str], problem: str
) -> None:
    code, _, err = edgelm("evaluate", tiny_gguf, task, *options, "-o", tmp_path / "out", "-q")
    assert code == 2
    assert problem in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_a_head_is_not_asked(tmp_path: Path, edgelm: Run, tiny_model_dir: Path, task: Path) -> None:
    from edgelm.model.directory import load_model
    from edgelm.model.head_config import HeadConfig
    from edgelm.model.heads import save_labeller, with_head

    head = with_head(load_model(tiny_model_dir), HeadConfig("sequence", made_up.TOPICS))
    save_labeller(head, tiny_model_dir, tmp_path / "head", "# a head\n")
    for options in (("--prompt", "native"), ("--beams", "2")):
        code, _, err = edgelm("evaluate", tmp_path / "head", task, *options, "-o", tmp_path / "out", "-q")
        assert code == 2
        assert "labels: it is not asked and writes nothing. Leave --prompt and --beams out." in err


def test_texts_that_were_learnt_are_said(tmp_path: Path, edgelm: Run, tiny_gguf: Path) -> None:
    line = made_up_tasks.line
    contents: dict[str, str | bytes] = {
        "zulu/train.jsonl": line("bana dilo", "glad") + line("fega", "sad"),
        "zulu/test.jsonl": line("Bana  dilo", "glad") + line("guma", "sad") + line("fega", "sad"),
    }
    place = made_up_tasks.write_task(tmp_path, contents, languages={"zul": "zulu"})
    code, said, err = edgelm("evaluate", tiny_gguf, place, "-o", tmp_path / "out", "-q")
    assert (code, err) == (0, "")
    assert "warning: 2 test texts of mood in zul are in its training data too" in " ".join(said.split())
    provenance = json.loads((tmp_path / "out" / "model" / "edgelm.json").read_text(encoding="utf-8"))
    assert provenance["results"]["tasks"]["mood"]["leaked"] == {"zul": 2}
    (tmp_path / "data" / "zulu" / "train.jsonl").write_text(line("koki", "glad") + line("lina", "sad"))
    _, said, _ = edgelm("evaluate", tiny_gguf, place, "-o", tmp_path / "out", "-q")
    assert "warning" not in said
