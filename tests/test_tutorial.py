"""The commands and the YAML of docs/tutorial.md, run as they stand on the page, on a made-up language."""

import os
import random
import re
import subprocess
import sys
import time
import unicodedata
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import yaml

from edgelm import resources
from edgelm.export import npm

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|yaml)\n(.*?)^```$", PAGE, re.S | re.M)
SMALLER = {
    "--steps 250": "--steps 30",
    "--batch 16": "--batch 8",
    "--target phone": "--target two-formats.yaml",
}
"""All that is not run as it stands on the page: how long the model learns, how many formats are tried."""
SECONDS = 300  # for a command, on a busy machine

pytestmark = [
    pytest.mark.timeout(1200),  # a minute on two idle cores, of which the first test has nearly all
    pytest.mark.skipif(
        not all(map(find_spec, ("llama_cpp", "optimum", "sklearn"))),
        reason="the way to a phone needs the extras train, export, gguf: pip install 'edgelm[all]'",
    ),
]


def test_what_is_made_smaller_stands_on_the_page_once():
    commands = "".join(text for kind, text in BLOCKS if kind == "bash")
    assert {long: commands.count(long) for long in SMALLER} == dict.fromkeys(SMALLER, 1)


def described() -> dict:
    """The language, as the page describes it."""
    (text,) = (text for kind, text in BLOCKS if kind == "yaml" and "alphabet:" in text)
    return yaml.safe_load(text)


def write_text(folder: Path) -> None:
    """Stories of made-up words in the letters of the page's language, and labelled lines."""
    draw = random.Random("Shoreish")
    syllables = [a + b for a in draw.sample("bdghklmnñprstvwz", 9) for b in "aeioué"]
    words = ["".join(draw.choice(syllables) for _ in range(draw.randint(1, 3))) for _ in range(300)]
    topics = {
        label: ["".join(draw.choice(syllables) for _ in range(3)) for _ in range(6)] for label in labels()
    }

    def sentence(label: str | None = None) -> str:
        chosen = [
            draw.choice(topics[label]) if label and place % 3 == 1 else draw.choice(words)
            for place in range(9)
        ]
        return " ".join(chosen).capitalize() + "."

    (folder / "my-text").mkdir(exist_ok=True)
    for name in re.findall(r"`(qaa-\w+\.txt)`", PAGE):
        stories = [" ".join(sentence() for _ in range(draw.randint(2, 4))) for _ in range(250)]
        (folder / "my-text" / name).write_text("\n".join(stories), encoding="utf-8")
    rows = ["text\tabout\tsplit"]
    for number in range(120):
        label = labels()[number % 3]
        split = {8: "validation", 9: "test"}.get(number // 3 % 10, "train")
        rows.append(f"{sentence(label)}\t{label}\t{split}")
    (folder / "my-labels.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def labels() -> list[str]:
    (text,) = (text for kind, text in BLOCKS if kind == "yaml" and "labels:" in text)
    return yaml.safe_load(text)["labels"]


def prepare(folder: Path) -> dict[str, str]:
    """A copy of the repository as far as the page needs it; the environment in which it is read."""
    for name in ("corpus/languages/zul.yaml", "benchmarks/ngram.py"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    phone = yaml.safe_load(resources.path("export", "targets", "phone.yaml").read_text(encoding="utf-8"))
    phone["formats"] = ["gguf:Q8_0", "gguf:Q4_0"]
    (folder / "two-formats.yaml").write_text(yaml.safe_dump(phone), encoding="utf-8")
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for name, command in (("edgelm", "-m edgelm"), ("python", "")):
        (bin_folder / name).write_text(
            f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n', encoding="utf-8"
        )
        (bin_folder / name).chmod(0o755)
    stand_in(folder / "cache")
    return {
        **{key: value for key, value in os.environ.items() if key != "EDGELM_LANGUAGES"},
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def stand_in(cache: Path) -> None:
    """Files named as what `--fetch` downloads; test_phone_browser.py opens the app with the real ones."""
    source = resources.path("export", "phone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        place = npm.cache(source)
    place.mkdir(parents=True)
    for files in npm.wanted(source).values():
        for name in files.values():
            (place / name).write_text(name)


def run_line(line: str, folder: Path, environment: dict[str, str], code: int = 0) -> str:
    """One command of the page; what it printed."""
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == code, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def open_page(line: str, folder: Path, environment: dict[str, str]) -> str:
    """Start the demo, ask for its page, and stop it; the page."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {line} --port 0"],
        cwd=folder,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            said, end = "", time.monotonic() + SECONDS
            while not (address := re.search(r"http://127\.0\.0\.1:\d+/", said)):
                assert process.stdout is not None
                read = process.stdout.readline()
                assert read, said
                assert time.monotonic() < end, said
                said += read
            with urllib.request.urlopen(address[0], timeout=SECONDS) as answer:
                return answer.read().decode("utf-8")
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder after all of the page was done in it, and what each command said."""
    folder = tmp_path_factory.mktemp("tutorial")
    environment = prepare(folder)
    write_text(folder)
    found: dict[str, str] = {}
    for kind, text in BLOCKS:
        if kind == "yaml":
            name = text.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(text, encoding="utf-8")
            continue
        for line in text.splitlines():
            if variable := re.fullmatch(r"export (\w+)=(\S+)", line):
                environment[variable[1]] = variable[2]
                continue
            short = line
            for long, smaller in SMALLER.items():
                short = short.replace(long, smaller)
            if line.startswith("edgelm demo"):
                found[line] = open_page(line, folder, environment) if find_spec("gradio") else "no gradio"
            else:
                found[line] = run_line(short, folder, environment)
    return folder, found


FORGOTTEN = [
    ("edgelm corpus build my-text -o x", "no document was kept", "(other_language", "EDGELM_LANGUAGES", 2),
    (
        "edgelm tokenizer train my-corpus -o x",
        "has text in 'qaa', which no language file describes now",
        "",
        "EDGELM_LANGUAGES",
        2,
    ),
    (
        "edgelm export my-model -o x --target phone",
        "edgelm's sample has no text in qaa to choose a format by",
        "",
        "--text my-corpus",
        2,
    ),
    ("XDG_CACHE_HOME=$PWD edgelm export phone my-export -o x", "is not on this machine", "", "--fetch", 1),
]


@pytest.mark.parametrize(("line", "problem", "more", "remedy", "code"), FORGOTTEN)
def test_what_goes_wrong_is_said_as_the_page_says(said, line, problem, more, remedy, code):
    folder, _ = said
    environment = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"PYTHONPATH": str(ROOT), "EDGELM_LANGUAGES": ""}
    found = run_line(line, folder, environment, code)
    for one in (problem, more, remedy):
        assert one in found
    for one in (problem, more):
        assert one in PAGE
    assert not (folder / "x").exists()


def test_the_model_writes_its_language_where_no_file_describes_it(said):
    folder, _ = said
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "EDGELM_LANGUAGES": ""}
    line = f"'{sys.executable}' -m edgelm run my-export/model-Q8_0.gguf 'Ñaru' --language"
    assert run_line(f"{line} qaa --max-tokens 3", folder, environment).startswith("Ñaru")
    assert "unknown language 'qab'" in run_line(f"{line} qab", folder, environment, 2)


def of(said: dict[str, str], start: str) -> str:
    """What the one command said that begins so."""
    (found,) = (text for line, text in said.items() if line.startswith(start))
    return found


def test_the_corpus_is_labelled_as_the_language(said):
    folder, found = said
    files = sorted((folder / "my-corpus" / "data").rglob("*.parquet"))
    assert {file.parent.name for file in files} == {"qaa"}
    assert {code for file in files for code in parquet.read_table(file)["language"].to_pylist()} == {"qaa"}
    assert "does not know qaa" in of(found, "edgelm corpus build")
    assert "Ñaru" in (folder / "my-corpus" / "report.html").read_text(encoding="utf-8")


def test_the_exported_file_writes_in_the_alphabet_of_the_language(said):
    written = of(said[1], "edgelm run my-export/model-Q8_0.gguf").split("\n[")[0].removeprefix("Ñaru lamo")
    letters = {letter for letter in unicodedata.normalize("NFC", written).lower() if letter.isalpha()}
    assert len(letters) > 4
    assert letters <= set(described()["alphabet"])


def test_the_format_for_the_phone_is_chosen_by_the_language(said):
    verification = yaml.safe_load((said[0] / "my-best" / "verification.json").read_text(encoding="utf-8"))
    assert [set(one["languages"]) for one in verification.values()] == [{"qaa"}]


def test_the_model_is_set_beside_the_counts_and_the_labels_beside_the_truth(said):
    folder, found = said
    row = re.search(r"Ñaru\s+0\.\d\s+([\d.]+)\s+([\d.]+)", of(found, "python benchmarks/ngram.py"))
    assert row
    assert 0.5 < float(row[1]) < 8
    assert 0.5 < float(row[2]) < 8
    scores = (folder / "my-scores" / "results.md").read_text(encoding="utf-8")
    assert "macro-F1" in scores
    assert any(label in of(found, "edgelm run my-about") for label in labels())
    assert "0 bad lines" in of(found, "edgelm tasks check")


def test_the_folder_for_the_phone_has_the_app_and_the_model(said):
    app = said[0] / "my-app"
    about = yaml.safe_load((app / "site.json").read_text(encoding="utf-8"))
    parts = b"".join((app / part["path"]).read_bytes() for part in about["model"]["parts"])
    assert parts == (said[0] / "my-export" / "model-Q8_0.gguf").read_bytes()
    assert (app / "index.html").is_file()
    assert {code: one["prompt"] for code, one in about["model"]["languages"].items()} == {
        "qaa": described()["prompt"]
    }


def test_the_demo_shows_a_page(said):
    page = of(said[1], "edgelm demo")
    if page == "no gradio":
        pytest.skip("the demo page is not installed: pip install 'edgelm[demo]'")
    assert "edgelm" in page
