"""The whole way on the embedded sample, at a tenth of the steps."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgelm import quickstart
from edgelm.languages import load_languages
from edgelm.progress import Progress

pytest.importorskip("llama_cpp", reason="the GGUF runtime is not installed: pip install 'edgelm[gguf]'")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, quickstart.Result]:
    output = tmp_path_factory.mktemp("quickstart") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quickstart, "MAX_STEPS", 20)
        patch.setattr(quickstart, "FINETUNE_STEPS", 10)
        return output, quickstart.quickstart(output)


def test_every_artifact_has_a_row_with_size_speed_bits_and_score(finished):
    _, result = finished
    names = [row[0] for row in result.rows]
    assert names[1:] == [
        "GGUF F16",
        "GGUF Q8_0",
        "GGUF Q4_K_M",
        "ONNX fp32",
        "ONNX int8",
        "majority",
        "TF-IDF + SVM",
    ]
    assert names[0].startswith("PyTorch")
    for name, size, speed, bits, score, interval in result.rows[:6]:
        assert float(size) > 0.5, name
        assert float(speed.replace(",", "")) > 1, name
        assert 1 < float(bits) < 8, name
        assert 0 <= float(score) <= 1, name
        assert re.fullmatch(r"[01]\.\d\d-[01]\.\d\d", interval), name
    sizes = {row[0]: float(row[1]) for row in result.rows[:6]}
    assert sizes["GGUF Q4_K_M"] < sizes["GGUF Q8_0"] < sizes["GGUF F16"] < sizes[names[0]]
    assert sizes["ONNX int8"] < 0.4 * sizes["ONNX fp32"]


def test_quantised_files_predict_about_as_well_as_pytorch(finished):
    output, _ = finished
    found = json.loads((output / "results.json").read_text(encoding="utf-8"))["artifacts"]
    reference = found[0]["bits_per_byte"]["mean"]
    for one in found[1:]:
        assert one["bits_per_byte"]["mean"] == pytest.approx(reference, rel=0.05), one["file"]
        assert set(one["bits_per_byte"]) == {*load_languages(), "mean"}


def test_it_shows_text_in_every_language_and_names_the_next_commands(finished):
    output, result = finished
    assert [name for name, _, _ in result.samples] == [one.autonym for one in load_languages().values()]
    assert any("edgelm demo" in command for command in result.next_commands)
    run = next(command for command in result.next_commands if command.startswith("edgelm run"))
    file = Path(run.split()[2])
    assert file.exists()
    assert output in file.parents


def test_a_model_that_loses_to_its_baseline_is_reported_as_losing(finished):
    _, result = finished
    assert "does not beat TF-IDF + SVM" in result.verdict
    better = {"majority": {"macro_f1": 0.1}, "TF-IDF + SVM": {"macro_f1": 0.5}}
    assert "beats its strongest baseline" in quickstart._verdict(0.6, better)
    assert "does not beat" in quickstart._verdict(0.5, better)


def test_a_second_run_does_no_stage_again(finished, monkeypatch, capsys):
    output, first = finished
    monkeypatch.setattr(quickstart, "MAX_STEPS", 20)
    monkeypatch.setattr(quickstart, "FINETUNE_STEPS", 10)
    before = {path: path.stat().st_mtime_ns for path in output.rglob("edgelm.json")}
    again = quickstart.quickstart(output, progress=Progress(terminal=False))
    assert {path: path.stat().st_mtime_ns for path in output.rglob("edgelm.json")} == before
    assert [row[3:] for row in again.rows] == [row[3:] for row in first.rows]
    assert "pretraining" not in capsys.readouterr().err


def test_a_folder_of_ones_own_text_gives_a_model_too(tmp_path, monkeypatch):
    """Only plain files, language by folder name; the task stays the embedded one."""
    monkeypatch.setattr(quickstart, "MAX_STEPS", 20)
    monkeypatch.setattr(quickstart, "FINETUNE_STEPS", 5)
    monkeypatch.setattr(quickstart, "FORMATS", {"gguf": ("gguf:Q8_0",), "onnx": ()})
    words = "inja ikati umfula intaba isikolo utitshala incwadi ilanga imvula umoya".split()
    lines = [" ".join(words[int(digit)] for digit in str(10**9 + 7919 * i**2)) for i in range(300)]
    (tmp_path / "text" / "zul").mkdir(parents=True)
    (tmp_path / "text" / "zul" / "stories.txt").write_text("\n".join(lines), encoding="utf-8")
    result = quickstart.quickstart(tmp_path / "out", source=str(tmp_path / "text"))
    assert [name for name, _, _ in result.samples] == ["isiZulu"]


def test_quiet_prints_results_only(tmp_path):
    """A real process; the smallest stage that prints is enough."""
    done = subprocess.run(
        [sys.executable, "-m", "edgelm", "corpus", "build", "sample", "-o", tmp_path / "corpus", "--quiet"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "zul" in done.stdout
