"""Builds on a full disk, and how much memory they take."""

import subprocess
import sys
from pathlib import Path

import pytest

# a full disk

FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing fails as it does on a full disk
import edgelm.corpus.build, edgelm.corpus.measure, edgelm.corpus.minhash  # whose kernels are cached in files
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
from edgelm.cli import main
main()
"""


@pytest.mark.parametrize(("most", "workers"), [(10_000, 1), (100_000, 2), (400_000, 1), (400_000, 2)])
def test_a_full_disk_is_one_line_and_the_next_run_goes_on(tmp_path, large, most, workers):
    """No file may grow beyond so many bytes: what is read, what is measured or what is written fails."""
    output = tmp_path / "out"
    arguments = ["corpus", "build", str(large), "-q", "-o", str(output), "--workers", str(workers)]
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(most), *arguments], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.startswith("edgelm: ")
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert "run the same command again" in done.stderr
    assert not output.exists()


def test_a_build_goes_on_once_there_is_room(tmp_path, small, build, content):
    output = tmp_path / "out"
    script = FULL.replace("from edgelm.cli import main\nmain()", GO_ON)
    done = subprocess.run(
        [sys.executable, "-c", script, "20000", str(small), str(output)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "File too large\n", done.stderr
    build(small, tmp_path / "undisturbed")
    assert content(output) == content(tmp_path / "undisturbed")


GO_ON = """
from dataclasses import replace
from pathlib import Path
from edgelm.corpus.recipe import load_recipe
from edgelm.errors import EdgelmError
recipe, output = replace(load_recipe(sys.argv[1]), identify=False), Path(sys.argv[2])
try:
    edgelm.corpus.build.build_corpus(recipe, output)
except EdgelmError as error:
    print("File too large" if "File too large" in str(error) else error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
edgelm.corpus.build.build_corpus(recipe, output)
"""


# memory

PEAK = """
import sys
from dataclasses import replace
from pathlib import Path
from edgelm.corpus.build import build_corpus
from edgelm.corpus.recipe import load_recipe
build_corpus(replace(load_recipe(sys.argv[1]), identify=False), Path(sys.argv[2]), workers=1)
# not ru_maxrss, which begins with what the process that started this one held
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_with_the_text(tmp_path, prose):
    """Ten times the text, by repetition, costs a few more megabytes: what is kept is numbers a document."""
    text = "\n".join(prose(700, 0, words=120)).encode() + b"\n"
    peaks = []
    for name, times in (("few", 5), ("many", 50)):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "zul.txt").open("wb") as stream:
            for _ in range(times):
                stream.write(text)
        assert (tmp_path / name / "zul.txt").stat().st_size > times * 500_000
        command = [sys.executable, "-c", PEAK, str(tmp_path / name), str(tmp_path / f"{name}-out")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200)
        peaks.append(int(done.stdout or done.stderr))
    assert peaks[1] - peaks[0] < 100, peaks
    assert peaks[1] < 1000, peaks
