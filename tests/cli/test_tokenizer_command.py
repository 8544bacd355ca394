"""`edgelm tokenizer` as it is typed: tables on stdout, files, and one line where the input is bad."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="corpora are built with the extra 'corpus'")

import exported

Run = Callable[..., tuple[int, str, str]]
MAIN = "import sys; from edgelm.cli import main; main()"


@pytest.fixture
def tokenizer(edgelm: Run) -> Run:
    """Run `edgelm tokenizer` in this process: exit code, stdout and stderr."""
    return lambda *arguments: edgelm("tokenizer", *arguments, "-q")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the embedded sample as `corpus`, and tokenizers `small` and `large`."""
    from edgelm.corpus.build import build_corpus
    from edgelm.corpus.recipe import load_recipe
    from edgelm.tokenizer.train import train_tokenizer

    folder = tmp_path_factory.mktemp("tokenizers")
    build_corpus(load_recipe("sample"), folder / "corpus")
    for name, size in (("small", 512), ("large", 2048)):
        train_tokenizer(folder / "corpus", folder / name, vocab_size=size)
    return folder


def rows(out: str) -> dict[str, list[str]]:
    """Words of each line by the first; of lines that begin alike, the first one."""
    return {line.split()[0]: line.split()[1:] for line in reversed(out.splitlines()) if line.split()}


def test_train(tokenizer: Run, made: Path, tmp_path: Path) -> None:
    arguments = ["--vocab-size", 512, "--temperature", 1, "--sample-mb", 0.1]
    code, out, err = tokenizer("train", made / "corpus", "-o", tmp_path / "out", *arguments)
    assert (code, err) == (0, "")
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    found = rows(out)
    for language, one in report.items():
        assert found[language][0] == f"{one['fertility']:.2f}"
        assert found[language][3] == f"{one['parity']:.2f}"
    assert "of the bytes a token of" in out
    config = json.loads((tmp_path / "out" / "edgelm.json").read_text(encoding="utf-8"))["config"]
    assert sum(config["sample_bytes"].values()) == pytest.approx(100_000, abs=20)


def test_report(tokenizer: Run, made: Path, tmp_path: Path) -> None:
    page, figures = tmp_path / "new" / "report.html", tmp_path / "report.json"
    code, out, err = tokenizer(
        "report", made / "large", made / "corpus", "--against", made / "small", "-o", page, "--json", figures
    )
    assert (code, err) == (0, "")
    large, small = json.loads(figures.read_text(encoding="utf-8"))
    assert (large["name"], small["name"]) == ("large", "small")
    assert out.index("large") < out.index("small")
    trained = json.loads((made / "large" / "report.json").read_text(encoding="utf-8"))
    assert large["languages"]["zul"]["fertility"] == trained["zul"]["fertility"]
    assert out.count("the aim of 0.8") == 2
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_report_without_a_corpus(tokenizer: Run, made: Path, tmp_path: Path) -> None:
    code, out, _ = tokenizer("report", made / "large" / "tokenizer.json")
    assert code == 0
    assert rows(out)["zul"][-3:] == ["0", "of", "64"]
    (tmp_path / "zul.txt").write_text("Umfana uyahamba.\n", encoding="utf-8")
    code, out, _ = tokenizer("report", made / "large", tmp_path)
    assert code == 0
    assert rows(out)["zul"][-3:] == ["0", "of", "1"]


def test_report_of_every_document(tokenizer: Run, made: Path) -> None:
    kept = json.loads((made / "corpus" / "manifest.json").read_text(encoding="utf-8"))["languages"]["zul"]
    code, out, _ = tokenizer("report", made / "large", made / "corpus", "--split", "all")
    assert code == 0
    assert rows(out)["zul"][-3:] == ["0", "of", str(kept["kept"])]


def test_compare(tokenizer: Run, made: Path, tmp_path: Path) -> None:
    arguments = ["--text", made / "corpus", "--json", tmp_path / "compare.json"]
    code, out, err = tokenizer("compare", made / "large", made / "small", *arguments)
    assert (code, err) == (0, "")
    large, small = json.loads((tmp_path / "compare.json").read_text(encoding="utf-8"))
    assert rows(out)["large"][0] == "2,048"
    assert f"{small['tokens']:,}" in rows(out)["small"]
    ratio = small["languages"]["zul"]["tokens"] / large["languages"]["zul"]["tokens"]
    assert rows(out)["zul"][-1] == f"({ratio:.2f})"
    assert ratio > 1.1


def test_sweep(tokenizer: Run, made: Path, tmp_path: Path) -> None:
    arguments = ["--sizes", "1024,512", "--preset", "nano", "--json", tmp_path / "sweep.json"]
    code, out, err = tokenizer("sweep", made / "corpus", *arguments)
    assert (code, err) == (0, "")
    assert list(rows(out))[:2] == ["1,024", "512"]
    found = json.loads((tmp_path / "sweep.json").read_text(encoding="utf-8"))
    assert [one["embedding"] for one in found] == [512 * 256, 1024 * 256]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "nowhere"], "nowhere: no such file"),
        (["report", "corpus"], "corpus: no tokenizer.json there"),
        (["report", "small", "nothing"], "nothing"),
        (["report", "small", "corpus", "--split", "validation", "-o", "small"], "small: cannot be written"),
        (["compare", "small", "sentences"], "sentences: holds a SentencePiece model (tokenizer.model)"),
        (["compare", "small", "--text", "empty"], "empty: holds no .txt"),
        (["sweep", "corpus", "--sizes", "many"], "--sizes many: not whole numbers"),
        (["sweep", "corpus", "--sizes", "12"], "--sizes 12 is too small"),
        (["sweep", "corpus", "--preset", "giant"], "unknown preset 'giant'"),
        (["sweep", "small"], "small: is not a corpus"),
    ],
)
def test_bad_input_is_one_line(
    tokenizer: Run, made: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(made)
    (made / "empty").mkdir(exist_ok=True)
    (made / "sentences").mkdir(exist_ok=True)
    (made / "sentences" / "tokenizer.model").write_bytes(b"\n\x0e")
    code, out, err = tokenizer(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("edgelm: ")
    assert said in err


@pytest.mark.parametrize("option", [["--temperature", "0.5"], ["--sample-mb", "0"], ["--split", "dev"]])
def test_options_out_of_range(tokenizer: Run, made: Path, tmp_path: Path, option: list[str]) -> None:
    command = (
        ["report", made / "small"]
        if "--split" in option
        else ["train", made / "corpus", "-o", tmp_path / "x"]
    )
    code, out, _ = tokenizer(*command, *option)
    assert (code, out) == (2, "")
    assert not (tmp_path / "x").exists()


def test_a_report_on_the_sample_needs_no_extra(made: Path, tmp_path: Path) -> None:
    """Only what the runtime needs: a phone's laptop can measure a tokenizer."""
    shutil.copy(made / "small" / "tokenizer.json", tmp_path)
    blocked = ("pyarrow", "numba", "ftfy", "torch", "sklearn", "zstandard")
    command = [
        *exported.python(MAIN, blocked=blocked),
        "tokenizer",
        "report",
        str(tmp_path / "tokenizer.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "zul" in done.stdout


def test_a_text_too_small_for_the_vocabulary_is_said(tokenizer: Run, made: Path, tmp_path: Path) -> None:
    _, said, _ = tokenizer("train", made / "corpus", "-o", tmp_path / "large", "--vocab-size", 200_000)
    assert "200,000 were asked for." in said
