import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from edgelm import artifacts
from edgelm.artifacts import build, digest_of, digest_path, read_provenance, write_json, write_text
from edgelm.errors import BadInput, EdgelmError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source.txt").write_text("one")
    return tmp_path / "source.txt"


class Stage:
    """A stage that copies its input and counts how often it ran."""

    def __init__(self, source: Path, output: Path):
        self.source, self.output, self.runs = source, output, 0

    def work(self, partial: Path) -> dict[str, Any]:
        self.runs += 1
        (partial / "copy.txt").write_bytes(self.source.read_bytes())
        (partial / "sub").mkdir(exist_ok=True)
        (partial / "sub" / "length.txt").write_text(str(len(self.source.read_bytes())))
        return {"bytes": len(self.source.read_bytes())}

    def __call__(self, command: str = "test", **config: Any) -> tuple[dict[str, Any], bool]:
        return build(self.output, command=command, config=config, inputs=[self.source], work=self.work)


@pytest.fixture
def stage(source: Path, tmp_path: Path) -> Stage:
    return Stage(source, tmp_path / "out")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_provenance_says_what_made_it(stage, source):
    provenance, ran = stage(seed=7, rate=0.5)
    assert ran
    assert (
        json.loads((stage.output / "edgelm.json").read_text()) == provenance == read_provenance(stage.output)
    )
    assert provenance["command"] == "test"
    assert provenance["config"] == {"seed": 7, "rate": 0.5}
    assert provenance["seed"] == 7
    assert provenance["inputs"] == {str(source): digest_path(source)}
    assert provenance["outputs"] == {"copy.txt": 3, "sub/length.txt": 1}
    assert provenance["results"] == {"bytes": 3}
    assert {"edgelm", "python", "numpy"} <= set(provenance["versions"])
    assert provenance["started"].endswith("Z")
    assert provenance["seconds"] >= 0
    assert set(provenance["machine"]) == {"system", "processor", "cores"}
    assert names(stage.output.parent) == ["out", "source.txt"]


def test_a_finished_stage_is_not_run_again(stage, source):
    first, _ = stage(seed=1)
    os.utime(source, (1, 1))
    again, ran = stage(seed=1)
    assert not ran
    assert again == first
    assert stage.runs == 1


def test_other_settings_other_bytes_or_a_lost_file_run_it_again(stage, source):
    stage(seed=1)
    assert stage(seed=2)[1]
    source.write_text("two")
    assert stage(seed=2)[1]
    assert (stage.output / "copy.txt").read_text() == "two"
    (stage.output / "sub" / "length.txt").unlink()
    assert stage(seed=2)[1]
    (stage.output / "copy.txt").write_text("cut")
    assert stage(seed=2)[1], "other bytes of the same size are no result of the stage"
    (stage.output / "copy.txt").write_text("c")
    assert stage(seed=2)[1]
    assert stage.runs == 6
    assert names(stage.output.parent) == ["out", "source.txt"]


def test_a_moved_input_does_not_run_it_again_and_swapped_inputs_do(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1").write_text("x")
        (tmp_path / folder / "2").write_text("y")

    def run(*inputs: str) -> bool:
        paths = [tmp_path / name for name in inputs]
        return build(tmp_path / "out", command="t", config={}, inputs=paths, work=lambda partial: None)[1]

    assert run("a/1", "a/2")
    assert not run("b/1", "b/2")
    assert run("a/2", "a/1")


def test_what_edgelm_did_not_make_is_never_replaced(stage):
    stage.output.mkdir()
    stage()  # an empty folder is free
    for content in ("folder", "file", "damaged"):
        stage.output = stage.output.with_name(content)
        if content == "file":
            stage.output.write_text("mine")
        else:
            stage.output.mkdir()
            (stage.output / ("edgelm.json" if content == "damaged" else "mine.txt")).write_text("mine")
        before = sorted(stage.output.parent.rglob("*"))
        with pytest.raises(BadInput, match="exists and was not made by edgelm") as caught:
            stage()
        assert caught.value.file == stage.output
        assert sorted(stage.output.parent.rglob("*")) == before
    assert stage.runs == 1


def test_what_another_command_made_is_not_replaced(stage):
    stage("pretrain")
    with pytest.raises(BadInput, match=r"was made by another command \(pretrain\)"):
        stage("export")
    assert (stage.output / "copy.txt").exists()


def test_a_file_that_was_put_into_an_output_is_not_lost(stage):
    stage(seed=1)
    (stage.output / "sub" / "notes.txt").write_text("mine")
    (stage.output / ".DS_Store").touch()
    assert not stage(seed=1)[1]
    with pytest.raises(BadInput, match=r"holds sub/notes.txt, which edgelm did not make"):
        stage(seed=2)
    (stage.output / "sub" / "notes.txt").unlink()
    assert stage(seed=2)[1]


@pytest.mark.parametrize("output", ["model", "folder"])
def test_an_input_is_never_replaced(tmp_path, output):
    model = tmp_path / "folder" / "model"
    model.parent.mkdir()
    build(model, command="train", config={}, inputs=[], work=lambda partial: write_text(partial / "w", "x"))
    target = model if output == "model" else model.parent
    for command in ("train", "export"):
        with pytest.raises(BadInput, match="would replace the input"):
            build(target, command=command, config={"again": 1}, inputs=[model], work=lambda partial: None)
    assert (model / "w").read_text() == "x"


def test_a_missing_input_leaves_nothing(stage, tmp_path):
    stage.source = tmp_path / "nowhere"
    stage.output = tmp_path / "deep" / "out"
    with pytest.raises(BadInput, match="no such file or folder") as caught:
        stage()
    assert caught.value.file == stage.source
    assert names(tmp_path) == ["source.txt"]


def test_bad_input_found_while_working_leaves_nothing(stage):
    def work(partial: Path) -> None:
        (partial / "half").write_text("half")
        raise BadInput("no good", file=stage.source, line=3)

    stage.work = work
    for output in (stage.output, stage.output / "deep" / "out"):
        stage.output = output
        with pytest.raises(BadInput, match="line 3"):
            stage()
        assert names(stage.source.parent) == ["source.txt"], "no folder that was made on the way, either"


def test_bad_input_leaves_the_finished_output_as_it_was(stage):
    stage(seed=1)

    def work(partial: Path) -> None:
        raise BadInput("no good")

    stage.work = work
    with pytest.raises(BadInput):
        stage(seed=2)
    assert read_provenance(stage.output)["config"] == {"seed": 1}
    assert (stage.output / "copy.txt").read_text() == "one"


def test_an_interrupted_run_gets_its_folder_back_only_for_the_same_work(stage, source):
    found = []

    def work(partial: Path) -> None:
        found.append((partial / "half").exists())
        (partial / "half").write_text("half")
        if len(found) in (1, 3):
            raise KeyboardInterrupt

    stage.work = work
    with pytest.raises(KeyboardInterrupt):
        stage(seed=1)
    assert not stage.output.exists()
    stage(seed=1)
    with pytest.raises(KeyboardInterrupt):
        stage(seed=2)
    source.write_text("other")
    stage(seed=2)
    assert found == [False, True, False, False]
    assert names(stage.output.parent) == ["out", "source.txt"]


def test_a_mistake_costs_no_interrupted_run(stage):
    found = []

    def work(partial: Path) -> None:
        found.append((partial / "half").exists())
        (partial / "half").write_text("half")
        if len(found) == 2:
            raise BadInput("no good")
        if len(found) in (1, 3):
            raise KeyboardInterrupt

    stage.work = work
    with pytest.raises(KeyboardInterrupt):
        stage(seed=1)
    with pytest.raises(BadInput):
        stage(seed=2)
    with pytest.raises(KeyboardInterrupt):
        stage(seed=3)
    stage(seed=1)  # also where the run that put it aside was interrupted itself
    assert found == [False, False, False, True]
    assert names(stage.output.parent) == ["out", "source.txt"]


def test_one_that_builds_within_another_is_continued_once(tmp_path, source):
    def stop(partial):
        raise KeyboardInterrupt

    def outer(partial):
        return build(partial / "inner", command="test", config={}, inputs=[source], work=stop)[0]

    with pytest.raises(KeyboardInterrupt) as caught:
        build(tmp_path / "out", command="test", config={}, inputs=[source], work=outer)
    assert caught.value.__notes__ == ["Run the same command again to continue."]
    with pytest.raises(KeyboardInterrupt) as caught:
        build(tmp_path / "out", command="test", config={}, inputs=[source], work=stop, fresh=True)
    assert not hasattr(caught.value, "__notes__"), "another run would begin anew"


def test_a_fresh_run_finds_nothing_that_was_put_aside(stage):
    def work(partial: Path) -> None:
        assert not (partial / "half").exists()
        (partial / "half").write_text("half")
        raise KeyboardInterrupt

    stage.work = work
    for seed in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            stage(seed=seed)
    with pytest.raises(KeyboardInterrupt):
        build(stage.output, command="test", config={"seed": 1}, inputs=[stage.source], work=work, fresh=True)


def test_a_folder_of_outputs_is_named_as_such(stage, tmp_path):
    output = stage.output
    stage.output = output / "seed-0"
    stage()
    stage.output = output
    with pytest.raises(BadInput, match="holds folders that edgelm made"):
        stage()
    assert (output / "seed-0" / "copy.txt").exists()


def test_a_full_disk_is_one_line(stage):
    def work(partial: Path) -> None:
        raise OSError(28, "No space left on device", str(partial / "big"))

    stage.work = work
    with pytest.raises(EdgelmError, match="big: No space left on device") as caught:
        stage()
    assert caught.value.exit_code == 1
    assert not stage.output.exists()


def test_two_at_a_time_is_an_error_and_the_later_one_finds_it_finished(stage):
    inside, go = threading.Event(), threading.Event()
    plain = stage.work

    def slow(partial: Path) -> dict[str, Any]:
        inside.set()
        assert go.wait(20)
        return plain(partial)

    stage.work = slow
    first = threading.Thread(target=stage)
    first.start()
    assert inside.wait(20)
    with pytest.raises(EdgelmError, match="another edgelm process is building it"):
        stage()
    go.set()
    first.join()
    assert not stage()[1]
    assert stage.runs == 1


# killed for good: a process that kills itself inside a step of the replacement
KILL = """
import os, signal, sys
from pathlib import Path
from edgelm import artifacts

output, moment, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
real = {name: getattr(Path, name) for name in ("rename", "unlink", "replace")}

def at(name, condition):
    def patched(self, *arguments, **options):
        if moment == name and condition(self):
            os.kill(os.getpid(), signal.SIGKILL)
        result = real[name.split("-")[0]](self, *arguments, **options)
        if moment == name + "-after" and condition(self):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return patched

Path.rename = at("rename", lambda path: path.name == ".out.partial")
Path.unlink = at("unlink", lambda path: path.name == ".digest")
Path.replace = at("replace", lambda path: path.name == ".edgelm.json.part")

def work(partial):
    (partial / "seed.txt").write_text(str(seed))
    with output.with_name("runs.txt").open("a") as stream:
        stream.write(f"{seed}\\n")

artifacts.build(output, command="test", config={"seed": seed}, inputs=[], work=work)
"""


@pytest.mark.parametrize(
    "moment", ["unlink", "unlink-after", "replace", "replace-after", "rename", "rename-after"]
)
def test_a_kill_between_the_steps_of_the_replacement(tmp_path, moment):
    """Old or new, never neither after the next run, and never anything else left."""
    output = tmp_path / "out"
    script = tmp_path / "script.py"
    script.write_text(KILL)

    def run(moment: str, seed: int) -> int:
        command = [sys.executable, str(script), str(output), moment, str(seed)]
        return subprocess.run(command, timeout=60).returncode

    assert run("never", 1) == 0
    assert run(moment, 2) == -signal.SIGKILL
    if output.exists():
        assert read_provenance(output)["config"]["seed"] in (1, 2)
    assert run("never", 2) == 0
    assert (output / "seed.txt").read_text() == "2"
    assert read_provenance(output)["config"] == {"seed": 2}
    assert names(tmp_path) == ["out", "runs.txt", "script.py"]
    runs = (tmp_path / "runs.txt").read_text().split()
    assert runs == ["1", "2"], "finished work is not done again"


def test_digests():
    assert digest_of({"a": 1, "b": [1.5, None]}) == digest_of({"b": [1.5, None], "a": 1})
    assert digest_of([1, 2]) != digest_of([2, 1])


def test_digest_of_a_folder(tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a").write_text("x")
    before = digest_path(folder)
    for name in ("edgelm.json", ".hidden", "sub/.part"):
        (folder / name).write_text("whatever")
    assert digest_path(folder) == before, "provenance and hidden files do not count"
    assert digest_path(folder.rename(tmp_path / "other")) == before, "nor does the place"
    folder = tmp_path / "other"
    (folder / "sub" / "a").rename(folder / "sub" / "b")
    assert digest_path(folder) != before, "a name counts"
    (folder / "sub" / "b").rename(folder / "sub" / "a")
    (folder / "sub" / "a").write_text("y")
    assert digest_path(folder) != before, "bytes count"


def test_writes_are_atomic(tmp_path):
    """A reader never sees a half-written file while it is written over and over."""
    path = tmp_path / "a.json"
    values = [{"key": letter * 200_000} for letter in "ab"]
    write_json(path, values[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for value in values:
                write_json(path, value)

    writer = threading.Thread(target=write)
    writer.start()
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        assert json.loads(path.read_text(encoding="utf-8")) in values
    stop.set()
    writer.join()
    assert names(tmp_path) == ["a.json"]


def test_text_is_written_as_utf8_with_plain_newlines(tmp_path):
    write_text(tmp_path / "a", "ḓ\n")
    assert (tmp_path / "a").read_bytes() == "ḓ\n".encode()


@pytest.mark.parametrize("text", ["", "[1]", '{"no": "digest"}', "{", "\xff"])
def test_a_damaged_provenance_is_none(tmp_path, text):
    (tmp_path / artifacts.PROVENANCE).write_bytes(text.encode("latin-1"))
    assert read_provenance(tmp_path) is None


def test_what_an_interrupted_run_needs_is_removed_last(source: Path, tmp_path: Path) -> None:
    """A failure while cleaning finds the work done."""
    output, calls = tmp_path / "out", []

    def work(partial: Path) -> dict[str, Any]:
        calls.append("work")
        (partial / "checkpoint").write_text("large")
        return {"loss": 1.5}

    def clean(partial: Path) -> None:
        calls.append("clean")
        if len(calls) == 2:
            raise KeyboardInterrupt
        (partial / "checkpoint").unlink()

    def make() -> dict[str, Any]:
        return build(output, command="test", config={}, inputs=[source], work=work, clean=clean)[0]

    with pytest.raises(KeyboardInterrupt):
        make()
    assert not output.exists()
    assert make()["results"] == {"loss": 1.5}
    assert calls == ["work", "clean", "clean"]
    assert [path.name for path in output.iterdir()] == ["edgelm.json"]
    assert read_provenance(output)["outputs"] == {}


def test_what_is_replaced_is_said(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    stage, said = Stage(source, output), []

    def make(seed: int, work: Any = stage.work, **options: Any) -> bool:
        said.clear()
        config = {"seed": seed}
        return build(
            output, command="test", config=config, inputs=[source], work=work, say=said.append, **options
        )[1]

    def fail(partial: Path) -> None:
        raise KeyboardInterrupt

    assert make(1)
    assert said == []
    assert not make(1)
    assert said == [f"{output} was made before with the same settings from the same inputs"]
    assert make(1, fresh=True)
    assert said == [f"{output} took the place of what was there"]
    with pytest.raises(KeyboardInterrupt):
        make(2, fail)
    assert make(3)
    assert said == [
        f"what an interrupted run with other settings left of {output} goes when this one ends",
        f"{output} took the place of what was there",
    ]
    with pytest.raises(KeyboardInterrupt):
        make(4, fail)
    (tmp_path / ".out.partial" / "half").touch()
    assert make(4, fresh=True)
    assert not (output / "half").exists()


def test_the_file_of_a_lock_goes_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed, unlink = [], Path.unlink

    def watched(path: Path, missing_ok: bool = False) -> None:
        with pytest.raises(Timeout):
            FileLock(path, timeout=0).acquire()
        removed.append(path)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", watched)
    with artifacts.held(tmp_path / ".lock"):
        pass
    assert removed == [tmp_path / ".lock"]
    assert list(tmp_path.iterdir()) == []


def hammer(folder: str, name: str) -> None:
    """Take a lock again and again, and say so where somebody else is in it already."""
    place = Path(folder)
    end = time.monotonic() + 1
    while time.monotonic() < end or not (place / name).exists():  # on a busy machine it may have had no turn
        with suppress(Timeout), artifacts.held(place / ".lock"):
            try:
                (place / "inside").touch(exist_ok=False)
                time.sleep(0.0002)
                (place / "inside").unlink()
                (place / name).touch()
            except OSError:
                (place / "two").touch()


def test_a_lock_that_is_removed_keeps_all_others_out(tmp_path: Path) -> None:
    """Four processes take one lock some thousand times, each time with a new file."""
    names = ["a", "b", "c", "d"]
    workers = [
        multiprocessing.get_context("spawn").Process(target=hammer, args=(str(tmp_path), name))
        for name in names
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_an_input_that_changes_while_it_is_read_is_named_and_nothing_is_kept(stage, source):
    """The result would claim to be of the bytes whose digest was taken before."""

    def work(partial: Path) -> dict[str, Any]:
        source.write_text("two")
        return stage.work(partial)

    with pytest.raises(BadInput, match=r"source\.txt: changed while it was being read"):
        build(stage.output, command="test", config={}, inputs=[source], work=work)
    assert names(stage.output.parent) == ["source.txt"]


def test_an_input_that_changes_while_it_is_read_explains_what_failed(stage, source):
    def work(partial: Path) -> dict[str, Any]:
        source.unlink()
        raise ValueError("half a record")

    with pytest.raises(BadInput, match="changed while it was being read"):
        build(stage.output, command="test", config={}, inputs=[source], work=work)


def test_a_provenance_that_could_not_be_written_is_no_output_of_the_next_run(stage, monkeypatch):
    real = artifacts.write_json

    def full(path: Path, value: Any) -> None:
        if path.name == "edgelm.json":
            (path.parent / ".edgelm.json.part").write_text("{")
            raise OSError(28, "No space left on device", str(path))
        real(path, value)

    monkeypatch.setattr(artifacts, "write_json", full)
    with pytest.raises(EdgelmError, match="No space left"):
        stage()
    monkeypatch.undo()
    assert set(stage()[0]["outputs"]) == {"copy.txt", "sub/length.txt"}
    assert not stage()[1], "it is whole"


def test_a_folder_that_cannot_be_copied_is_one_line(stage, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "nowhere").symlink_to(tmp_path / "missing")
    copy = lambda partial: shutil.copytree(tmp_path / "folder", partial / "copy")  # noqa: E731
    with pytest.raises(EdgelmError, match=r"No such file.*nowhere.*Nothing was left half-written"):
        build(stage.output, command="test", config={}, inputs=[], work=copy)
