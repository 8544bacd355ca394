"""Builds killed with SIGKILL at random moments, and two builds of one output at a time."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from edgelm.corpus.build import build_corpus
from edgelm.corpus.recipe import load_recipe
from edgelm.corpus.tune import Tuning

# imports once and forks a build for every line it reads, so that the moment of a kill is the build's own
DRIVER = """
import os, sys
from dataclasses import replace
from pathlib import Path
import pyarrow, pyarrow.parquet
from edgelm.corpus import build, common, measure, minhash, tune
from edgelm.corpus.recipe import load_recipe
from edgelm.errors import EdgelmError

def tuned(source, output):
    tuning = tune.Tuning(source)
    tuning.change("too_short.min=6")
    tuning.write(output)

def built(source, output):
    build.build_corpus(replace(load_recipe(source), identify=False), output, workers=2)

for line in sys.stdin:
    source, output = map(Path, line.strip().split("\\t"))
    child = os.fork()
    if child == 0:
        try:
            (tuned if (source / "manifest.json").exists() else built)(source, output)
        except EdgelmError as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(error.exit_code)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
EDGELM = [sys.executable, "-c", "from edgelm.cli import main; main()"]
# what is in the partial folder once a phase has begun
PHASES: dict[str, Callable[[Path], bool]] = {
    "reading": lambda partial: (partial / "work" / "read").exists(),
    "measuring": lambda partial: (
        (partial / "work" / "measured").exists() and any(partial.glob("work/measured/*"))
    ),
    "clustering": lambda partial: (partial / "work" / "signatures.npy").exists(),
    "writing": lambda partial: (partial / "decided").exists() or (partial / "data").exists(),
    "reporting": lambda partial: (partial / "manifest.json").exists(),
    "clearing": lambda partial: (partial / "report.html").exists() or (partial / "cleared").exists(),
}


class Driver:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, source: Path, output: Path) -> psutil.Process:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{source}\t{output}\n")
        self.process.stdin.flush()
        return psutil.Process(int(self.line()))

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def run(self, source: Path, output: Path) -> None:
        self.start(source, output)
        status = int(self.line())
        assert status == 0, self.process.stderr.readline() if self.process.stderr else status

    def killed(
        self, source: Path, output: Path, reached: Callable[[Path], bool], delay: float = 0.0
    ) -> list[psutil.Process] | None:
        """Kill a build `delay` seconds after it has `reached` something.

        Returns:
            the workers it left, None if it had ended before.
        """
        partial = output.with_name(f".{output.name}.partial")
        child = self.start(source, output)
        until = time.monotonic() + 60
        while running(child) and time.monotonic() < until and not reached(partial):
            time.sleep(0.0005)
        time.sleep(delay)
        try:
            workers = child.children(recursive=True)
            os.kill(child.pid, signal.SIGKILL)
        except (psutil.NoSuchProcess, ProcessLookupError):
            workers = []
        status = int(self.line())
        assert status in (0, -signal.SIGKILL)
        return workers if status else None


def measured(count: int) -> Callable[[Path], bool]:
    """Once so many shards are measured."""
    return lambda partial: len([*partial.glob("work/measured/*.parquet")]) >= count


def running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.process.communicate()


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, driver, small, large) -> dict[Path, Path]:
    """Builds of the two sources that nothing interrupts."""
    folder = tmp_path_factory.mktemp("undisturbed")
    found = {}
    for number, source in enumerate((small, large)):
        found[source] = folder / str(number)
        driver.run(source, found[source])
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_build_killed_again_and_again_ends_with_the_same_bytes(
    tmp_path, driver, small, undisturbed, content, seed
):
    draw = random.Random(seed)
    interrupted = 0
    for phase in ("reading", *draw.choices([*PHASES], k=4)):
        killed = driver.killed(small, tmp_path / "killed", PHASES[phase], draw.uniform(0, 0.02))
        if killed is None:
            assert (tmp_path / "killed" / "edgelm.json").exists(), "what can be seen is whole"
        else:
            interrupted += 1
    assert interrupted, "no kill came in time"
    driver.run(small, tmp_path / "killed")
    assert content(tmp_path / "killed") == content(undisturbed[small])
    assert leftovers(tmp_path) == ["killed"]


@pytest.mark.parametrize("phase", PHASES)
def test_a_build_killed_in_any_phase(tmp_path, driver, small, undisturbed, content, phase):
    for delay in (0.0, 0.002):
        driver.killed(small, tmp_path / "killed", PHASES[phase], delay)
    driver.run(small, tmp_path / "killed")
    assert content(tmp_path / "killed") == content(undisturbed[small])
    assert leftovers(tmp_path) == ["killed"]


def test_a_build_killed_while_it_clears_its_work_away(tmp_path, small, undisturbed, content, monkeypatch):
    """Whatever part of it is gone, the next run does not miss it."""
    import shutil

    real = shutil.rmtree

    def stop(path: Path, *options: Any, **named: Any) -> None:
        if Path(path).parent.name == ".killed.partial" and (Path(path) / "read").exists():
            for file in sorted(path.rglob("*.parquet"))[::2]:
                file.unlink()
            raise KeyboardInterrupt
        real(path, *options, **named)

    monkeypatch.setattr(shutil, "rmtree", stop)
    recipe = replace(load_recipe(small), identify=False)
    with pytest.raises(KeyboardInterrupt):
        build_corpus(recipe, tmp_path / "killed")
    monkeypatch.undo()
    build_corpus(recipe, tmp_path / "killed")
    assert content(tmp_path / "killed") == content(undisturbed[small])
    assert leftovers(tmp_path) == ["killed"]


def test_a_tuned_corpus_killed_while_it_is_written(tmp_path, driver, undisturbed, small, content):
    corpus = undisturbed[small]
    driver.run(corpus, tmp_path / "whole")
    for number, phase in enumerate(("writing", "writing", "reporting")):
        output = tmp_path / f"{number}"
        driver.killed(corpus, output, PHASES[phase], 0.001 * number)
        driver.run(corpus, output)
        assert content(output) == content(tmp_path / "whole")
    assert leftovers(tmp_path) == ["0", "1", "2", "whole"]
    assert int(Tuning(tmp_path / "whole").after.kept.sum()) > 100


def test_a_killed_build_leaves_no_worker_and_is_taken_up_again(tmp_path, driver, large, undisturbed, content):
    draw = random.Random(10)
    left = 0
    for count in (0, 2):
        workers = driver.killed(large, tmp_path / "killed", measured(count), draw.uniform(0.1, 0.2)) or []
        left += len(workers)
        psutil.wait_procs(workers, timeout=10)
        assert not any(map(running, workers)), "a worker outlived its build"
    assert left, "no kill came while workers were there"
    driver.run(large, tmp_path / "killed")
    assert content(tmp_path / "killed") == content(undisturbed[large])
    assert leftovers(tmp_path) == ["killed"]


def test_workers_that_have_only_to_write(tmp_path, driver, large, undisturbed, content):
    """All is measured; the processes of the next run import nothing for measuring."""
    assert driver.killed(large, tmp_path / "killed", PHASES["clustering"]) is not None
    driver.run(large, tmp_path / "killed")
    assert content(tmp_path / "killed") == content(undisturbed[large])


def test_what_was_read_and_measured_is_not_done_again(tmp_path, driver, large):
    """A shard of the interrupted build has the same time of change in the next one."""
    output, partial = tmp_path / "out", tmp_path / ".out.partial"
    workers = driver.killed(large, output, measured(1))
    assert workers
    psutil.wait_procs(workers, timeout=10)

    def shards() -> dict[Path, int]:
        found = {}
        for path in [*partial.glob("work/read/*.parquet"), *partial.glob("work/measured/*.parquet")]:
            try:
                found[path] = path.stat().st_mtime_ns
            except FileNotFoundError:
                continue
        return found

    before = shards()
    assert len([path for path in before if path.parent.name == "measured"]) >= 1
    assert len(before) > 6
    child = driver.start(large, output)
    seen: dict[Path, int] = {}
    while running(child):
        seen |= shards()
        time.sleep(0.002)
    assert int(driver.line()) == 0
    assert before.items() <= seen.items()


def test_two_processes_building_one_output(tmp_path, small, content):
    """One builds, the other says so and leaves, or finds it finished; the result is whole."""
    output = tmp_path / "out"
    command = [*EDGELM, "corpus", "build", str(small), "-q", "-o", str(output)]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"
    ]
    said = [one.communicate(timeout=120) for one in both]
    codes = [one.returncode for one in both]
    assert 0 in codes
    assert set(codes) <= {0, 1}
    for code, (_, error) in zip(codes, said, strict=True):
        expected = f"edgelm: {output}: another edgelm process is building it. Wait for it to end.\n"
        assert error == (expected if code else "")
    assert leftovers(tmp_path) == ["out"]
    assert len(content(output)) > 6


def stopped_while_writing(folder: Path) -> int:
    """A worker that was stopped in the middle of a file: one that is only seen there may be done by now."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for path in folder.glob("*/*.part"):
            worker = int(path.name.split(".")[1])
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGSTOP)
                time.sleep(0.01)
                if path.exists():
                    return worker
                os.kill(worker, signal.SIGCONT)
        time.sleep(0.0005)
    raise AssertionError("no worker was seen writing")


def test_a_worker_that_is_killed_is_one_line_and_the_next_run_goes_on(
    tmp_path, driver, large, undisturbed, content
):
    output = tmp_path / "out"
    child = driver.start(large, output)
    os.kill(stopped_while_writing(tmp_path / ".out.partial" / "work"), signal.SIGKILL)
    assert int(driver.line()) == 1
    assert driver.process.stderr is not None
    lines = iter(driver.process.stderr.readline, "")  # Python's own resource tracker may warn before
    assert any(line.startswith("a process that measured documents was killed") for line in lines)
    assert not running(child)
    assert not output.exists()
    driver.run(large, output)
    assert content(output) == content(undisturbed[large])


def test_ctrl_c_shows_no_traceback_of_any_worker(tmp_path, large):
    """SIGINT goes to the whole process group, as a terminal sends it."""
    output = tmp_path / "out"
    process = subprocess.Popen(
        [*EDGELM, "corpus", "build", str(large), "-q", "-o", str(output), "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not [*tmp_path.glob(".out.partial/work/read/*")] and time.monotonic() < until:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert error in ("", "edgelm: stopped. Run the same command again to continue.\n")
    assert not output.exists()
