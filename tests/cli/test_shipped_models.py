"""The models that ship with edgelm: their size, their cards, and that they are used where none is named."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import edgelm as package
from edgelm import shipped
from edgelm.evaluate.bits_per_byte import bits_per_byte
from edgelm.evaluate.languages import learnt_languages, learnt_tasks
from edgelm.languages import load_languages
from edgelm.model.card import read_card
from edgelm.runtime import load_labeller
from edgelm.tokenizer.texts import sample_texts

Run = Callable[..., tuple[int, str, str]]
TASKS = (
    "intents",
    "names-nbl",
    "names-ssw",
    "names-xho",
    "names-zul",
    "parts-of-speech-nbl",
    "parts-of-speech-ssw",
    "parts-of-speech-xho",
    "parts-of-speech-zul",
    "sentiment",
    "topics",
)
ELEVEN = "afr eng nbl nso sot ssw tsn tso ven xho zul".split()
OPEN = ("CC BY", "CC0", "MPL")
WRITER = shipped.folder() / shipped.WRITER
gguf = pytest.mark.skipif(
    shipped.find(shipped.WRITER).suffix != ".gguf", reason="llama.cpp is not installed: no GGUF is run"
)


def files() -> list[Path]:
    return [file for file in shipped.folder().rglob("*") if file.is_file()]


def test_they_are_small_and_give_no_place_away() -> None:
    assert shipped.names() == sorted([*TASKS, shipped.WRITER])
    weights = [file for file in files() if file.suffix == ".gguf" or "onnx-int4" in file.parts]
    assert sum(file.stat().st_size for file in weights) <= 18e6
    assert {file.name for file in files() if file.stat().st_size > 5e6} == {
        "mzansi-tiny-Q8_0.gguf",
        "model.onnx.data",
    }
    for file in files():
        if file.suffix in (".json", ".jsonl", ".md"):
            assert not re.search(r"/(home|tmp|root|work|Users)/", file.read_text(encoding="utf-8")), file


def test_the_card_says_what_it_was_trained_on_and_how_well() -> None:
    title, metadata = read_card(WRITER)
    assert (title, metadata["license"]) == (shipped.WRITER, "cc-by-sa-4.0")
    assert metadata["language"] == [load_languages()[code].bcp47 for code in ELEVEN]
    lines = (WRITER / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    bits = {
        row[0]: tuple(map(float, row[1:3])) for row in rows if len(row) == 4 and re.match(r"\d\.", row[1])
    }
    assert list(bits) == [*(load_languages()[code].autonym for code in ELEVEN), "mean"]
    assert all(model < 0.9 * ngram for ngram, model in bits.values())
    sources = [row for row in rows if len(row) == 3 and row[1].startswith(OPEN)]
    assert len(sources) > 10
    assert all(by for *_, by in sources)


@pytest.mark.parametrize("name", TASKS)
def test_each_model_of_a_task_labels_and_names_its_data(name: str) -> None:
    model = load_labeller(name)
    assert model is not None
    card = (shipped.folder() / name / "README.md").read_text(encoding="utf-8")
    learnt = json.loads((shipped.folder() / name / "edgelm.json").read_text(encoding="utf-8"))
    for task in learnt["config"]["tasks"]:
        assert task["licence"].startswith(("CC-BY", "Apache"))
        assert "NC" not in task["licence"]
        assert task["licence"] in card
        assert task["attribution"] in card
        (known,) = learnt_tasks(shipped.folder() / name)
        languages = learnt_languages(shipped.folder() / name, known)
        config = json.loads((shipped.folder() / name / "config.json").read_text(encoding="utf-8"))
        assert set(config["languages"]) <= set(languages or ()) < set(ELEVEN)


@gguf
def test_both_files_are_one_model() -> None:
    texts = {code: sample_texts()[code][:2] for code in ELEVEN}
    models = (closing(package.load(path)) for path in (shipped.WRITER, WRITER / "onnx-int4"))
    with next(models) as eight, next(models) as four:
        assert {"llama.cpp", "onnx"} == {eight.backend, four.backend}
        for own in texts.values():
            assert eight.tokenize(own[0]) == four.tokenize(own[0])
        bits, rounded = bits_per_byte(eight, texts)["mean"], bits_per_byte(four, texts)["mean"]
    assert bits < 2.2
    assert abs(rounded - bits) < 0.03


def test_without_llama_cpp_it_is_the_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "find_spec", lambda module: None)
    assert shipped.writer() == WRITER / "onnx-int4"


def test_a_text_alone_is_continued_by_the_shipped_model(edgelm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("--language", "zul", "--max-tokens", 8, "-q")
    code, written, err = edgelm("run", "Namhlanje ekuseni", *given)
    assert (code, err) == (0, "")
    assert written.startswith("Namhlanje ekuseni")
    assert len(written) > len("Namhlanje ekuseni\n") + 4
    assert edgelm("run", shipped.WRITER, "Namhlanje ekuseni", *given)[1] == written
    long = "uMuntu ngumuntu ngabantu. " * 30  # longer than a file's name may be
    assert edgelm("run", long, *given)[1].startswith(long)
    for words in ((), ("-",), (shipped.WRITER,)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Namhlanje ekuseni\n")))
        assert edgelm("run", *words, *given)[1] == written


def test_its_name_stands_for_it_where_models_are_measured(tmp_path: Path, edgelm: Run) -> None:
    short = ("--prompt", 8, "--new", 8, "--repetitions", 1, "--threads", 1, "-q", "-o", tmp_path / "bench")
    assert edgelm("bench", shipped.WRITER, *short)[0] == 0
    given = ("evaluate", shipped.WRITER, "topic", "--languages", "zul", "-q", "-o", tmp_path / "evaluation")
    code, out, _ = edgelm(*given)
    assert (code, "mzansi-tiny-Q8_0" in out) == (0, True)


@pytest.mark.parametrize("typo", ["export/model-Q8_0.gguf", "my model.gguf", "./topics", "/my models/one"])
def test_a_path_that_is_not_there_is_no_text(edgelm: Run, typo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    code, out, err = edgelm("run", typo)
    assert (code, out) == (2, "")
    assert err == f"edgelm: {typo}: no such model. Give a .gguf file or a model directory.\n"


def test_one_word_that_is_no_model_is_said_to_be_a_text(edgelm: Run) -> None:
    code, out, err = edgelm("run", "Sawubona", "--max-tokens", 4)
    assert (code, out.startswith("Sawubona")) == (0, True)
    assert err.startswith("edgelm: there is no model 'Sawubona' here: it is taken for a text to continue.\n")
    code, _, err = edgelm("run", "topic")
    assert (code, err) == (2, "edgelm: topic: no such model. There is one called topics.\n")
    code, _, err = edgelm("run", "Sawubona", "mhlaba")  # quotes forgotten
    assert code == 2
    assert "one of intents, mzansi-tiny, names-nbl" in err
    assert "goes in quotes" in err
    code, _, err = edgelm("run", "")
    assert (code, err) == (2, "edgelm: no text was given. Give it in quotes, or send it in on a pipe.\n")


def test_a_file_of_that_name_comes_first(
    tmp_path: Path, edgelm: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / shipped.WRITER).mkdir()
    code, _, err = edgelm("run", shipped.WRITER, "Molo")
    assert code == 2
    assert err.startswith(f"edgelm: {shipped.WRITER}: ")


def test_a_copy_without_models_says_so(edgelm: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "folder", lambda: tmp_path)
    pytest.importorskip("gradio", reason="the demo page is made with Gradio")
    for command in (("run", "Molo there"), ("demo",)):
        code, _, err = edgelm(*command)
        assert code != 0
        assert err == (
            f"edgelm: {tmp_path}: no model ships with this copy of edgelm. "
            "Name one, or run: edgelm quickstart\n"
        )


def test_the_demo_opens_with_them() -> None:
    pytest.importorskip("gradio", reason="the demo page is made with Gradio")
    command = [sys.executable, "-m", "edgelm", "demo", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        try:
            assert process.stdout is not None
            address = next(re.finditer(r"http://\S+", process.stdout.readline()))[0]
            with urllib.request.urlopen(f"{address.rstrip('/')}/config", timeout=30) as answer:
                said = answer.read().decode()
        finally:
            process.send_signal(signal.SIGINT)
    for name in ("mzansi-tiny/onnx-int4", *TASKS):
        assert re.search(rf'"{name} \([0-9.]+ MB\)"', said), name
