"""Builds killed with SIGKILL at random moments, and two builds of one output at a time."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

# imports once and forks a build for every line it reads, so that the moment of a kill is the build's own
DRIVER = """
import os, sys
from pathlib import Path
import pyarrow, pyarrow.parquet
from edgelm.corpus import build
from edgelm.corpus.recipe import load_recipe
from edgelm.errors import EdgelmError

build.usable_cores = lambda: 2
for line in sys.stdin:
    source, output = line.split("\\t")
    child = os.fork()
    if child == 0:
        try:
            build.build_corpus(load_recipe(source), Path(output.strip()))
        except EdgelmError as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(error.exit_code)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
EDGELM = [sys.executable, "-c", "from edgelm.cli import main; main()"]


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
        assert int(self.line()) == 0

    def killed(self, source: Path, output: Path, measured: int, delay: float) -> list[psutil.Process]:
        """Kill a build `delay` seconds after so many files are measured; the workers it left behind.

        One file more than there are means: when shards are being written.
        """
        partial = output.with_name(f".{output.name}.partial")
        child = self.start(source, output)
        until = time.monotonic() + 60
        while running(child) and time.monotonic() < until:
            if len([*partial.glob("measured/*.parquet")]) >= measured or (partial / "data").exists():
                break
        time.sleep(delay)
        try:
            workers = child.children(recursive=True)
            os.kill(child.pid, signal.SIGKILL)
        except (psutil.NoSuchProcess, ProcessLookupError):
            workers = []
        assert int(self.line()) in (0, -signal.SIGKILL)
        return workers


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


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, prose, write_file) -> Path:
    """Twelve files that one process measures."""
    folder = tmp_path_factory.mktemp("small") / "texts"
    for number in range(12):
        code = ("eng", "tso", "zul")[number % 3]
        write_file(folder / f"{number}" / f"{code}.jsonl.xz", [{"text": text} for text in prose(300, number)])
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, prose, write_file) -> Path:
    """Six files that two processes measure."""
    folder = tmp_path_factory.mktemp("large") / "texts"
    for seed, code in enumerate(("afr", "eng", "nso", "tso", "xho", "zul")):
        write_file(folder / f"{code}.txt", [{"text": text} for text in prose(800, seed, words=80)])
    return folder


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
    for measured in sorted(draw.choices(range(14), k=4)):
        driver.killed(small, tmp_path / "killed", measured, draw.uniform(0, 0.02))
        if (tmp_path / "killed").exists():
            assert (tmp_path / "killed" / "edgelm.json").exists(), "what can be seen is whole"
        else:
            interrupted += 1
    assert interrupted, "no kill came in time"
    driver.run(small, tmp_path / "killed")
    assert content(tmp_path / "killed") == content(undisturbed[small])
    assert leftovers(tmp_path) == ["killed"]


def test_a_killed_build_leaves_no_worker_and_is_taken_up_again(tmp_path, driver, large, undisturbed, content):
    draw = random.Random(10)
    left = 0
    for measured in (0, 2):
        workers = driver.killed(large, tmp_path / "killed", measured, draw.uniform(0, 0.05))
        left += len(workers)
        psutil.wait_procs(workers, timeout=10)
        assert not any(map(running, workers)), "a worker outlived its build"
    assert left, "no kill came while workers were there"
    driver.run(large, tmp_path / "killed")
    assert content(tmp_path / "killed") == content(undisturbed[large])
    assert leftovers(tmp_path) == ["killed"]


def test_measured_files_are_not_measured_again(tmp_path, driver, large):
    """A shard of the interrupted build has the same bytes and the same time of change in the next one."""
    output, partial = tmp_path / "out", tmp_path / ".out.partial"
    child = driver.start(large, output)
    until = time.monotonic() + 60
    while not [*partial.glob("measured/*.parquet")] and time.monotonic() < until:
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    assert int(driver.line()) == -signal.SIGKILL
    time.sleep(0.3)  # the workers end
    before = {path: path.stat().st_mtime_ns for path in partial.glob("measured/*.parquet")}
    assert before
    child = driver.start(large, output)
    seen: dict[Path, int] = {}
    while len(seen) < 6 and running(child):
        for path in partial.glob("measured/*.parquet"):
            try:
                seen[path] = path.stat().st_mtime_ns
            except FileNotFoundError:
                break
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


def test_a_worker_that_is_killed_is_one_line_and_the_next_run_goes_on(tmp_path, driver, large, content):
    output = tmp_path / "out"
    child = driver.start(large, output)
    until = time.monotonic() + 60
    while not [*tmp_path.glob(".out.partial/measured/*.part")] and time.monotonic() < until:
        time.sleep(0.002)
    writing = {int(path.name.split(".")[1]) for path in tmp_path.glob(".out.partial/measured/*.part")}
    os.kill(writing.pop(), signal.SIGKILL)
    assert int(driver.line()) == 1
    assert driver.process.stderr is not None
    lines = iter(driver.process.stderr.readline, "")  # Python's own resource tracker may warn before
    assert any(line.startswith("a process that measured documents was killed") for line in lines)
    assert not running(child)
    assert not output.exists()
    driver.run(large, output)
    assert len(content(output)) > 6


def test_ctrl_c_shows_no_traceback_of_any_worker(tmp_path, large):
    """SIGINT goes to the whole process group, as a terminal sends it."""
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "eng.txt").write_bytes(b"".join(path.read_bytes() for path in sorted(large.iterdir())) * 2)
    (source / "zul.txt").write_text("Umfana omncane uyahamba esikoleni.\n")  # its worker is idle soon
    process = subprocess.Popen(
        [*EDGELM, "corpus", "build", str(source), "-q", "-o", str(output)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not [*tmp_path.glob(".out.partial/measured/*.parquet")] and time.monotonic() < until:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert error in ("", "edgelm: stopped. Run the same command again to continue.\n")
    assert not output.exists()
