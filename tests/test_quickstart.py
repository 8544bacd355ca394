"""The whole way on the embedded sample, at a tenth of the steps."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgelm import quickstart
from edgelm.cli import main
from edgelm.corpus.build import build_corpus
from edgelm.corpus.files import find_files
from edgelm.corpus.recipe import load_recipe
from edgelm.languages import load_languages

NEEDS_LLAMA_CPP = pytest.mark.skipif(
    find_spec("llama_cpp") is None, reason="the GGUF runtime is not installed: pip install 'edgelm[gguf]'"
)


@pytest.fixture(autouse=True, scope="module")
def no_network() -> Iterator[None]:
    """Every stage works without one: opening a connection is an error here."""

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a connection was opened: {arguments}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        yield


def says(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What a line that the README shows prints on stdout and stderr."""
    monkeypatch.setattr(sys, "argv", line.split())
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code
    return capsys.readouterr()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, quickstart.Result]:
    output = tmp_path_factory.mktemp("quickstart") / "edgelm-quickstart"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quickstart, "MAX_STEPS", 20)
        patch.setattr(quickstart, "FINETUNE_STEPS", 10)
        return output, quickstart.quickstart(output)


@NEEDS_LLAMA_CPP
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
        "TF-IDF + logistic regression",
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
    monkeypatch.chdir(output.parent)
    out, err = says("edgelm quickstart", monkeypatch, capsys)
    assert {path: path.stat().st_mtime_ns for path in output.rglob("edgelm.json")} == before
    again = [line.split() for line in out.splitlines()]
    for row in first.rows:  # all but the speed, which is measured anew
        assert [*" ".join(row[:2]).split(), *row[3:]] in [[*line[:-4], *line[-3:]] for line in again], row
    assert first.verdict in out
    assert "pretraining" not in err
    for name in ("corpus", "export/model-Q8_0.gguf"):  # which the README goes on with
        assert (output / name).exists() or find_spec("llama_cpp") is None


def test_a_folder_of_ones_own_text_gives_a_model_too(tmp_path, monkeypatch, capsys):
    """Only plain files, language by folder name; the task stays the embedded one."""
    monkeypatch.setattr(quickstart, "MAX_STEPS", 20)
    monkeypatch.setattr(quickstart, "FINETUNE_STEPS", 5)
    monkeypatch.setattr(quickstart, "FORMATS", {"gguf": (), "onnx": ("onnx:int8",)})
    words = "inja ikati umfula intaba isikolo utitshala incwadi ilanga imvula umoya".split()
    lines = [" ".join(words[int(digit)] for digit in str(10**9 + 7919 * i**2)) for i in range(300)]
    (tmp_path / "FOLDER" / "zul").mkdir(parents=True)
    (tmp_path / "FOLDER" / "zul" / "stories.txt").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    out, _ = says("edgelm quickstart --source FOLDER", monkeypatch, capsys)
    assert "\nisiZulu: " in out
    found = json.loads((tmp_path / "edgelm-quickstart" / "results.json").read_text(encoding="utf-8"))
    assert [name for name, _, _ in found["samples"]] == ["isiZulu"]
    assert 2e8 < found["peak_memory_bytes"] < 3e9
    assert set(found["artifacts"][0]["bits_per_byte"]) == {"zul", "mean"}


def test_without_llama_cpp_it_says_so_and_goes_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "llama_cpp", None)  # as if it were not installed
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    formats, missing = quickstart._available()
    assert formats == ["onnx:fp32", "onnx:int8"]
    assert len(missing) == 1
    assert missing[0].startswith("Not written: gguf:F16, gguf:Q8_0, gguf:Q4_K_M. llama.cpp is not installed")
    assert "pip install 'edgelm[gguf]'" in missing[0]


def test_without_a_quantiser_it_writes_what_takes_none(monkeypatch):
    pytest.importorskip("xllamacpp", reason="pip install 'edgelm[gguf-prebuilt]'")
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    formats, missing = quickstart._available()
    assert formats == ["gguf:F16", "gguf:Q8_0", "onnx:fp32", "onnx:int8"]
    assert [line[:38] for line in missing] == ["Not written: gguf:Q4_K_M. gguf:Q4_K_M "]


def test_its_own_output_inside_the_source_is_not_read(tmp_path):
    """`--source .` twice: what the first run left is no text of the user's."""
    (tmp_path / "zul.txt").write_text("Namhlanje izulu lihle kakhulu\n" * 2, encoding="utf-8")
    build_corpus(load_recipe(tmp_path), tmp_path / "edgelm-quickstart" / "corpus")
    assert find_files(tmp_path) == [tmp_path / "zul.txt"]


def test_steps_follow_the_size_of_the_corpus():
    assert quickstart.pretraining_steps(0) == 20
    assert quickstart.pretraining_steps(192_000) == pytest.approx(75, abs=1)
    assert quickstart.pretraining_steps(10**9) == quickstart.MAX_STEPS


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
