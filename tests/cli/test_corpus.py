"""`edgelm corpus` as a user meets it: processes over the embedded sample, their output and exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="corpora are built with the extra 'corpus'")

from edgelm import resources
from edgelm.languages import load_languages

EDGELM = [sys.executable, "-c", "from edgelm.cli import main; main()"]


def edgelm(*arguments: object, given: str = "") -> tuple[int, str, str]:
    """Exit code, output and errors of `edgelm corpus ...`."""
    done = subprocess.run(
        [*EDGELM, "corpus", *map(str, arguments)],
        input=given.encode(),
        capture_output=True,
        timeout=240,
        env={**os.environ, "COLUMNS": "200", "PYTHONUTF8": "1"},
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def row(out: str, *first: str) -> list[str]:
    """The cells of the table row that begins with these."""
    (found,) = [line.split() for line in out.splitlines() if line.split()[: len(first)] == [*first]]
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The embedded sample's corpus, and what building it said."""
    folder = tmp_path_factory.mktemp("cli")
    code, out, err = edgelm("build", "sample", "-o", folder / "corpus", "-q")
    assert (code, err) == (0, "")
    return folder / "corpus", out


def read_manifest(corpus: Path) -> dict[str, object]:
    return dict(json.loads((corpus / "manifest.json").read_text(encoding="utf-8")))


def test_build_prints_what_became_of_each_language(built):
    corpus, out = built
    named = [
        line.split()[0] for line in out.splitlines() if line.split() and line.split()[0] in load_languages()
    ]
    assert named == sorted(load_languages())
    documents = len(resources.path("corpus", "sample", "zul.jsonl").read_text(encoding="utf-8").splitlines())
    kept = read_manifest(corpus)["languages"]["zul"]["kept"]
    assert row(out, "zul")[1:3] == [f"{documents:,}", f"{kept:,}"]
    assert out.endswith(f"{corpus / 'report.html'} shows it.\n")


def test_report_prints_sources_bounds_and_mix(built):
    corpus, _ = built
    code, out, err = edgelm("report", corpus)
    assert (code, err) == (0, "")
    for title in ("Languages", "Sources", "Bounds", "Training mix"):
        assert title in out
    assert row(out, "sample")[-1] == "CC0-1.0"
    assert row(out, "capitals")[1:] == ["uppercase", "-", "0.5", "-", "all"]
    assert float(row(out.split("Training mix")[1], "zul")[2].rstrip("%")) > 1


def test_tune_shows_the_effect_and_writes_only_when_asked(built, tmp_path):
    corpus, _ = built
    before = sorted(path.name for path in corpus.parent.iterdir())
    code, out, err = edgelm("tune", corpus, "--set", "too_short.min=70", "--set", "zul:too_short.min=none")
    assert (code, err) == (0, "")
    kept = read_manifest(corpus)["languages"]["zul"]["kept"]
    assert row(out, "zul")[1:4] == [str(kept), str(kept), "+0"]
    assert int(row(out, "eng")[3]) < 0
    assert "Nothing was written" in out
    assert sorted(path.name for path in corpus.parent.iterdir()) == before
    code, out, err = edgelm("tune", corpus, "--set", "too_short.min=70", "-o", tmp_path / "tuned", "-q")
    assert (code, err) == (0, "")
    left = int(row(out, "eng")[2])
    assert read_manifest(tmp_path / "tuned")["languages"]["eng"]["kept"] == left
    code, out, err = edgelm("diff", corpus, tmp_path / "tuned")
    assert (code, err) == (0, "")
    assert "-> 70.0" in out
    assert row(out, "eng")[1:3] == [str(left), str(read_manifest(corpus)["languages"]["eng"]["kept"] - left)]
    assert "too_short" in " ".join(row(out, "eng"))


def test_tune_proposes(built):
    code, out, err = edgelm("tune", built[0], "--propose")
    assert (code, err) == (0, "")
    assert "plausible between" in out


def test_sample_shows_texts_with_what_was_measured(built):
    corpus, _ = built
    code, out, err = edgelm("sample", corpus, "--language", "isiZulu", "-n", 2)
    assert (code, err) == (0, "")
    heads = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert len(heads) == 2
    assert all("(zul, sample)" in line for line in heads)
    assert out.count("mean_word_length=") == 2
    assert edgelm("sample", corpus, "--language", "zul", "-n", 2)[1] == out
    assert edgelm("sample", corpus, "--language", "zul", "-n", 2, "--seed", 1)[1] != out


def test_langid_says_the_language_of_each_line(tmp_path):
    lines = {}
    for code in ("zul", "tso", "eng"):
        first = (
            resources.path("corpus", "sample", f"{code}.jsonl").read_text(encoding="utf-8").splitlines()[0]
        )
        lines[code] = str(json.loads(first)["text"]).split("\n")[0]
    code, out, err = edgelm("langid", "-", given="\n\n".join(lines.values()) + "\n")
    assert (code, err) == (0, "")
    found = [line.split("\t") for line in out.splitlines()]
    assert [one[0] for one in found] == list(lines)
    assert all(0.5 < float(one[1]) <= 1 for one in found)
    (tmp_path / "x.txt").write_text("\n".join(lines.values()) + "\n", encoding="utf-8")
    code, out, err = edgelm("langid", tmp_path / "x.txt", "--summary")
    assert (code, err) == (0, "")
    assert row(out, "tso") == ["tso", "1", "33.3%"]


def test_the_published_recipe_over_a_folder(tmp_path):
    sentences = "The small boy walks to his school early in the morning. His sister comes with him every day."
    (tmp_path / "eng.jsonl").write_text(
        json.dumps({"text": sentences}) + "\n" + '{"text": "The small boy walks to school. He is late."}\n'
    )
    code, _, err = edgelm(
        "build", tmp_path / "eng.jsonl", "--recipe", "mzansitext", "-o", tmp_path / "out", "-q"
    )
    assert (code, err) == (0, "")
    manifest = read_manifest(tmp_path / "out")
    assert manifest["languages"]["eng"]["rejected"] == {"gopher_short_doc": 1}
    assert manifest["recipe"]["name"] == "mzansitext"


def test_evaluation_files_are_kept_out(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    held_out = "Umfana omncane uyahamba esikoleni namhlanje ekuseni kakhulu nodadewabo omkhulu."
    lines = [
        "Abantwana badlala ibhola enkundleni yesikole njalo emini.",
        held_out + " Ukudla kumnandi ekhaya namuhla.",
    ]
    (folder / "zul.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "test.tsv").write_text(f"{held_out}\tnews\n")
    code, out, err = edgelm(
        "build", folder, "--evaluation", tmp_path / "test.tsv", "-o", tmp_path / "out", "-q"
    )
    assert (code, err) == (0, "")
    assert row(out, "zul")[1:3] == ["2", "1"]
    assert "contaminated 1" in out
    assert "test.tsv" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    code, out, err = edgelm("sample", tmp_path / "out", "--rejected", "contaminated")
    assert "rejected: contaminated" in out
    assert held_out in out


def test_the_same_corpus_on_ray(built, tmp_path):
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    code, _, err = edgelm("build", "sample", "-o", tmp_path / "out", "-q", "--engine", "ray")
    assert (code, err) == (0, "")
    files = {path.relative_to(built[0]): path for path in built[0].rglob("*") if path.is_file()}
    for name, path in files.items():
        if name.name != "edgelm.json":
            assert (tmp_path / "out" / name).read_bytes() == path.read_bytes(), name


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["report", "EMPTY"], "is not a corpus"),
        (["tune", "CORPUS"], "nothing to change. Give --set"),
        (["tune", "CORPUS", "--set", "too_tall.min=3"], "no filter 'too_tall'"),
        (["tune", "CORPUS", "--set", "capitals.max=1", "-o", "CORPUS"], "would replace the input"),
        (["sample", "CORPUS", "--rejected", "too_tall"], "no document was rejected as 'too_tall'"),
        (["sample", "CORPUS", "--language", "tlh"], "holds no tlh"),
        (["diff", "CORPUS", "EMPTY"], "is not a corpus"),
        (["langid", "EMPTY/nothing.txt"], "no such file"),
        (
            ["build", "sample", "--recipe", "mzansitext", "-o", "EMPTY/out"],
            "is no folder or file of documents",
        ),
        (["build", "sample", "--evaluation", "EMPTY/nothing", "-o", "EMPTY/out"], "no such file or folder"),
        (
            ["build", "sample", "--engine", "ray", "--ray-address", "127.0.0.1:1", "-o", "EMPTY/out"],
            "no Ray cluster",
        ),
    ],
)
def test_bad_input_is_one_line(built, tmp_path, arguments, problem):
    if "ray" in arguments:
        pytest.importorskip("ray", reason="needs the extra 'ray'")
    places = {"CORPUS": str(built[0]), "EMPTY": str(tmp_path)}
    filled = [
        next((one.replace(name, place) for name, place in places.items() if name in one), one)
        for one in arguments
    ]
    code, out, err = edgelm(*filled)
    assert code == (1 if "ray" in arguments else 2), err
    assert out == "" or "-o" in arguments, "but for the effect of a change"
    assert err.startswith("edgelm: ")
    assert err.count("\n") == 1, err
    assert problem.casefold() in err.casefold()
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith((".lock", ".partial"))] == []
