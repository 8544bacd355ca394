"""Formats exported, measured and chosen for a device, with the real exporters and runtimes."""

import json
import os
import signal
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import exported
import pytest
import yaml

from edgelm.errors import MissingExtra, Unfit
from edgelm.export import search, verify
from edgelm.export.export import export
from edgelm.export.search import NothingFits, export_for
from edgelm.export.target import Target, load_target
from edgelm.model.config import read_config
from edgelm.runtime import load

pytest.importorskip("llama_cpp", reason="GGUF files are quantised with the extra 'gguf'")

ROOMY = Target(
    name="roomy", about="a test", formats=("gguf:Q4_K_M", "gguf:Q8_0"), choose="quality", threads=1, loss=9,
    size=1e9, memory=1e9, tokens_per_second=1, first_token=9, bytes_per_second=1e8,
    operations_per_second=1e9,
)  # fmt: skip


def left(folder: Path) -> list[str]:
    """What lies in a folder but for the empty files by which processes shut each other out."""
    return sorted(one.name for one in folder.iterdir() if one.suffix != ".lock")


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("search") / "out"
    return out, export_for(model_dir, out, ROOMY)


def test_the_best_is_kept_alone_with_its_proof(chosen: tuple[Path, dict[str, Any]]) -> None:
    out, figures = chosen
    assert figures["chosen"] == "gguf:Q4_K_M"  # of random weights neither loses bits per byte
    assert sorted(one.name for one in out.iterdir()) == [
        "edgelm.json", "imatrix.gguf", "model-Q4_K_M.gguf", "target.json", "verification.json",
    ]  # fmt: skip
    assert set(json.loads((out / "verification.json").read_text())) == {"gguf:Q4_K_M"}
    assert json.loads((out / "target.json").read_text()) == figures
    load(out / figures["file"]).close()


def test_every_candidate_is_measured(chosen: tuple[Path, dict[str, Any]], model_dir: Path) -> None:
    out, figures = chosen
    best, small = figures["candidates"]  # the one with more bits first
    assert (best["format"], small["format"]) == ("gguf:Q8_0", "gguf:Q4_K_M")
    assert best["fits"]
    assert small["fits"]
    assert small["bytes"] < best["bytes"] < small["memory_bytes"]
    proof = json.loads((out / "verification.json").read_text())["gguf:Q4_K_M"]["languages"]
    lost = {code: one["bits_per_byte"] - one["bits_per_byte_before"] for code, one in proof.items()}
    assert small["bits_per_byte_lost"] == pytest.approx(sum(lost.values()) / len(lost), abs=1e-4)
    assert small["most_lost_in"][1] == max(lost.values())
    for one in (best, small):
        assert one["tokens_per_second_here"] > 1
        assert one["tokens_per_second"] == pytest.approx(1e8 / one["bytes"])
        assert one["first_token_seconds"] == pytest.approx(2 * read_config(model_dir).parameters * 64 / 1e9)


def test_nothing_fits(tmp_path: Path, model_dir: Path) -> None:
    tight = replace(ROOMY, formats=("gguf:F16", "gguf:Q8_0"), size=1_000_000)
    with pytest.raises(NothingFits) as error:
        export_for(model_dir, tmp_path / "deep" / "out", tight)
    assert error.value.exit_code == 1
    said = str(error.value)
    assert said.startswith("roomy: no format fits. The nearest is gguf:Q8_0: size")
    assert "1 allowed" in said
    assert "\n" not in said
    assert [one["fits"] for one in error.value.figures["candidates"]] == [False, False]
    assert error.value.figures["chosen"] is None
    assert left(tmp_path) == [], "neither candidates nor folders on the way"


def test_a_format_outside_its_bounds_is_no_candidate_but_a_row(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = verify.bounds()
    strict = {**known, "gguf:Q8_0": replace(known["gguf:Q8_0"], kl=1e-12)}
    monkeypatch.setattr(verify, "bounds", lambda: strict)
    here = replace(
        ROOMY, formats=("gguf:Q8_0", "gguf:F16"), bytes_per_second=None, operations_per_second=None
    )
    figures = export_for(model_dir, tmp_path / "out", here)
    assert figures["chosen"] == "gguf:F16"
    failed = next(one for one in figures["candidates"] if one["format"] == "gguf:Q8_0")
    assert "beyond the bounds" in failed["why_not"][0]
    assert "bytes" not in failed
    good = next(one for one in figures["candidates"] if one["fits"])
    assert good["tokens_per_second"] == pytest.approx(
        good["tokens_per_second_here"], abs=0.06
    )  # of this machine
    assert figures["speed"] == "measured here"
    assert not list((tmp_path / "out").glob("*Q8_0*"))


def test_bounds_that_none_keeps_leave_nothing(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = verify.bounds()
    strict = {**known, "gguf:Q8_0": replace(known["gguf:Q8_0"], kl=1e-12)}
    monkeypatch.setattr(verify, "bounds", lambda: strict)
    with pytest.raises(NothingFits, match=r"no format could be made. gguf:Q8_0: .* beyond the bounds"):
        export_for(model_dir, tmp_path / "out", replace(ROOMY, formats=("gguf:Q8_0",)))
    with pytest.raises(Unfit, match="beyond the bounds"):
        export(model_dir, tmp_path / "out", ["gguf:Q8_0", "gguf:F16"])
    assert left(tmp_path) == []


def test_without_any_packages_nothing_is_begun(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(formats: list[str]) -> None:
        if formats == ["gguf:Q8_0"]:
            raise MissingExtra("gguf is not installed")

    monkeypatch.setattr(search, "check_packages", check)
    with pytest.raises(MissingExtra, match="gguf is not installed"):
        export_for(model_dir, tmp_path / "out", replace(ROOMY, formats=("gguf:Q8_0",)))
    assert left(tmp_path) == []
    assert search._lacking(["gguf:F16", "gguf:Q8_0"]) == {"gguf:Q8_0": "gguf is not installed"}


KEEP = """
import os, shutil, signal, sys
from pathlib import Path
from edgelm import artifacts
from edgelm.export import search

# Every rename, unlink and removed folder is a moment: one process each, which is killed before it.
real = {Path: ("rename", "unlink"), os: ("rmdir",)}
left = 0

def counted(owner, name):
    inner = getattr(owner, name)
    def patched(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(*arguments, **options)
    return patched

for owner, names in real.items():
    for name in names:
        setattr(owner, name, counted(owner, name))
moment = 0
while True:
    child = os.fork()
    if not child:
        left = moment
        search._keep(Path(sys.argv[1]) / str(moment))
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
    moment += 1
print(moment)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked there")
def test_a_kill_while_the_chosen_is_kept_loses_and_nests_nothing(tmp_path: Path) -> None:
    """One rename each, and whatever was done is not done again."""
    made = {"onnx/int8/model.onnx": "chosen", "onnx/fp32/model.onnx": "other", "model-Q8_0.gguf": "other",
            "imatrix.gguf": "of GGUF", "pruning.json": "{}", "verification.json": "{}"}  # fmt: skip
    for moment in range(20):
        partial = tmp_path / str(moment)
        for name, text in made.items():
            (partial / search.MADE / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / search.MADE / name).write_text(text)
        (partial / "target.json").write_text('{"chosen": "onnx:int8"}')
        (partial / "measured.jsonl").write_text("")
        (partial / "..candidates.lock").write_text("")
    done = subprocess.run(exported.python(KEEP, str(tmp_path)), capture_output=True, text=True, timeout=120)
    moments = int(done.stdout)
    assert 6 <= moments < 20, done.stderr
    for moment in range(moments + 1):
        partial = tmp_path / str(moment)
        search._keep(partial)
        files = {
            one.relative_to(partial).as_posix(): one.read_text()
            for one in partial.rglob("*.*")
            if one.is_file()
        }
        assert files == {
            "onnx/int8/model.onnx": "chosen", "pruning.json": "{}", "target.json": '{"chosen": "onnx:int8"}',
        }  # fmt: skip


KILLED = """
import os, signal, sys
from pathlib import Path
from edgelm.export import search
from edgelm.export.target import load_target

remove = search.shutil.rmtree

def die(folder, *arguments, **options):
    if Path(folder).name == search.MADE:
        os.kill(os.getpid(), signal.SIGKILL)
    remove(folder, *arguments, **options)

search.shutil.rmtree = die
search.export_for(Path(sys.argv[1]), Path(sys.argv[2]), load_target(sys.argv[3]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no such signal there")
def test_killed_in_its_last_step_it_is_finished_without_exporting_again(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, described = tmp_path / "out", tmp_path / "roomy.yaml"
    values = {key: value for key, value in asdict(ROOMY).items() if key != "name"}
    described.write_text(yaml.safe_dump(values | {"formats": ["gguf:Q8_0"]}))
    done = subprocess.run(
        exported.python(KILLED, str(model_dir), str(out), str(described)), capture_output=True, timeout=240
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / ".out.partial" / search.MADE).exists()
    assert not out.exists()

    monkeypatch.setattr(search, "export", lambda *given, **options: pytest.fail("exported again"))
    figures = export_for(model_dir, out, load_target(str(described)))
    assert figures["chosen"] == "gguf:Q8_0"
    assert sorted(one.name for one in out.iterdir()) == [
        "edgelm.json", "model-Q8_0.gguf", "target.json", "verification.json",
    ]  # fmt: skip
    assert left(tmp_path) == ["out", "roomy.yaml"]
    load(out / figures["file"]).close()
