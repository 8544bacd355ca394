"""`edgelm run` on models that label, and `edgelm export` of a linear classifier, as a user types them."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgelm import artifacts
from edgelm.model.crf import CrfTagger, save_crf
from edgelm.model.linear import LinearClassifier, save_linear

Run = Callable[..., tuple[int, str, str]]
MANY = tuple(f"label {number}" for number in range(8))


def save_classifier(folder: Path, method: str) -> Path:
    weights = np.zeros((2, len(MANY)), dtype=np.float32)
    weights[1, 3] = 4.0
    zeros = np.zeros(len(MANY), dtype=np.float32)
    save_linear(
        LinearClassifier(MANY, ("aa", "bb"), np.ones(2, np.float32), weights, zeros, method=method), folder
    )
    return folder


def save_tagger(folder: Path, tags: tuple[str, ...]) -> Path:
    attributes = tuple(f"0:w={word}" for word in ("Sipho", "Dube", "uyahamba"))
    states = np.array([[0, 9, 0], [0, 0, 9], [9, 0, 0]], dtype=np.float32)
    save_crf(CrfTagger(tags, attributes, states, np.diag([1.0, 0, 0]).astype(np.float32)), folder)
    return folder


def test_likely_labels_stand_first_with_a_bar(tmp_path: Path, edgelm: Run) -> None:
    code, out, err = edgelm("run", save_classifier(tmp_path / "m", "LogisticRegression, C=10"), "bb")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("label 3  █████")
    assert lines[0].endswith("0.886")
    assert [line.split("  ")[0] for line in lines[1:5]] == ["label 0", "label 1", "label 2", "label 4"]
    assert lines[5:] == ["and 3 more labels"]
    assert "\x1b" not in out
    assert err.startswith("[linear: ")


def test_margins_are_not_shown_as_probabilities(tmp_path: Path, edgelm: Run) -> None:
    _, out, err = edgelm("run", save_classifier(tmp_path / "m", "LinearSVC, C=1"), "bb", "-q")
    assert err == ""
    assert "█" not in out
    assert out.splitlines()[0].split() == ["label", "3", "4.000"]
    assert "not probabilities" in out


def test_spans_and_tags_are_read_without_colour(tmp_path: Path, edgelm: Run) -> None:
    names = save_tagger(tmp_path / "names", ("O", "B-PER", "I-PER"))
    assert edgelm("run", names, "Sipho Dube uyahamba.", "-q")[1] == "[Sipho Dube PER] uyahamba .\n"
    words = save_tagger(tmp_path / "words", ("VERB", "NOUN", "PROPN"))
    assert edgelm("run", words, "Sipho uyahamba. Dube", "-q")[1] == (
        "Sipho/NOUN uyahamba/VERB ./VERB\nDube/PROPN\n"
    )


def test_a_terminal_gets_colours(tmp_path: Path, edgelm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    names = save_tagger(tmp_path / "names", ("O", "B-PER", "I-PER"))
    assert "\x1b[32m[Sipho PER]\x1b[0m" in edgelm("run", names, "Sipho uyahamba", "-q")[1]


def test_one_line_of_json_from_stdin(tmp_path: Path, edgelm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    names = save_tagger(tmp_path / "names", ("O", "B-PER", "I-PER"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Sipho uyahamba\nDube ḓ\n".encode())))
    _, out, _ = edgelm("run", names, "-", "--json", "-q")
    assert out.count("\n") == 1
    assert "ḓ" in out
    found = json.loads(out)
    assert [one["words"] for one in found["sentences"]] == [["Sipho", "uyahamba"], ["Dube", "ḓ"]]
    assert found["sentences"][0]["spans"][0]["kind"] == "PER"


def test_a_model_that_writes_has_json_too(tiny_model_dir: Path, edgelm: Run) -> None:
    pytest.importorskip("torch", reason="the model runs in PyTorch")
    code, out, _ = edgelm("run", tiny_model_dir, "Yebo", "--json", "--max-tokens", 3, "-q")
    found = json.loads(out)
    assert (code, found["prompt"], found["tokens"] <= 3) == (0, "Yebo", True)
    assert edgelm("run", tiny_model_dir, "Yebo", "--max-tokens", 3, "-q")[1] == f"Yebo{found['text']}\n"


@pytest.mark.parametrize("option", [("--seed", 1), ("--chat",), ("--language", "zul"), ("--top-p", 0.5)])
def test_an_option_that_does_nothing_is_refused(tmp_path: Path, edgelm: Run, option: tuple) -> None:
    code, _, err = edgelm("run", save_classifier(tmp_path / "m", "LinearSVC"), "bb", *option)
    assert code == 2
    assert f"{option[0]} does nothing with a model that labels" in err


def test_a_linear_classifier_goes_to_onnx_and_answers_alike(tmp_path: Path, edgelm: Run) -> None:
    pytest.importorskip("onnx", reason="ONNX files are written with the extra 'export'")
    model, out = save_classifier(tmp_path / "m", "LogisticRegression, C=10"), tmp_path / "out"
    code, said, err = edgelm("export", model, "--to", "onnx:fp32", "-o", out, "-q")
    assert (code, err) == (0, "")
    assert "Verified against numpy" in said
    assert edgelm("run", out / "onnx" / "fp32", "abba", "-q") == edgelm("run", model, "abba", "-q")
    names = save_tagger(tmp_path / "names", ("O", "B-PER", "I-PER"))
    code, _, err = edgelm("export", names, "--to", "onnx:fp32", "-o", tmp_path / "other")
    assert code == 2
    assert "a CRF has no ONNX form" in err


def test_the_text_comes_on_a_pipe(tmp_path: Path, edgelm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    model = save_classifier(tmp_path / "m", "LogisticRegression, C=10")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"bb\n")))
    for given in ((), ("-",)):
        sys.stdin.buffer.seek(0)
        assert edgelm("run", model, *given)[1].startswith("label 3")


def test_too_many_threads_are_refused(tmp_path: Path, edgelm: Run) -> None:
    model = save_classifier(tmp_path / "m", "LogisticRegression, C=10")
    code, _, err = edgelm("run", model, "bb", "--threads", 5000)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("edgelm: 5000 threads for ")


def test_a_model_that_writes_nothing_is_said(
    edgelm: Run, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="model directories are run with PyTorch")
    from edgelm.runtime import sampling

    def end(logits: np.ndarray, *options: object) -> int:
        return 1

    monkeypatch.setattr(sampling, "sample", end)
    code, out, err = edgelm("run", model_dir, "Namhlanje")
    assert (code, out) == (0, "Namhlanje\n")
    assert "edgelm: the model ended the text at once; begin in another way" in err
    assert edgelm("run", model_dir, "Namhlanje", "-q")[2] == ""


def test_a_model_that_cannot_answer_is_said(edgelm: Run, tiny_model_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="model directories are run with PyTorch")
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    (folder / artifacts.PROVENANCE).write_text('{"command": "pretrain", "config": {}, "digest": ""}')
    for given, said in (((), 0), (("--chat",), 1), (("--chat", "-q"), 0)):
        code, _, err = edgelm("run", folder, "Sawubona", "--max-tokens", 2, *given)
        assert (code, err.count("has learnt to continue text, not to answer")) == (0, said)
