"""Give every reader of edgelm damaged and hostile files for a while, other ones each time.

    python benchmarks/fuzz.py --minutes 10 -o findings
    python benchmarks/fuzz.py --minutes 1 --only "GGUF" --only "config.json"

The readers and what they are given are those of `tests/fuzz`. Each runs in a process of its own, so that an
input that stops or hangs it is a finding too. Prints one table and writes JSON; `findings` gets a folder for
each finding, with the smallest files that show it and WHY.txt. With `--atheris`, which has to be installed,
inputs are led by what they reach in edgelm's own code instead of drawn at random.
"""

import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / folder) for folder in ("tests/fuzz", "tests/testbed", "demo", "")]
TOGETHER = 100
"""Inputs drawn from one seed."""
MEMORY = 8 << 30
"""Bytes of address space of a reader's process."""
STILL = 120
"""Seconds without a sign of life after which a process hangs."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1, help="for each reader")
    parser.add_argument("--only", action="append", default=[], metavar="READER")
    parser.add_argument("--atheris", action="store_true")
    parser.add_argument("-o", "--output", type=Path, default=Path("findings"))
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        (led if options.atheris else drawn)(options.only[0], options.child)
        return
    from fuzz_all import READERS

    if unknown := [name for name in options.only if name not in READERS]:
        parser.error(f"no reader {unknown[0]!r}; there are: {', '.join(READERS)}")
    rows = []
    print(f"{'reader':<36}{'inputs':>9}{'taken':>9}{'seconds':>9}{'findings':>10}", flush=True)
    for name in options.only or READERS:
        row = run(name, 60 * options.minutes, options.output, options.atheris)
        rows.append(row)
        print(
            f"{name:<36}{row['inputs']:>9,}{row['taken']:>9,}{row['seconds']:>9.0f}{len(row['findings']):>10}",
            flush=True,
        )
        for what in row["findings"]:
            print(f"    {what}", flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "fuzz.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def run(name: str, seconds: float, output: Path, atheris: bool) -> dict[str, Any]:
    """Fuzz a reader in processes of their own until the time is over; what came of it."""
    row: dict[str, Any] = {"reader": name, "inputs": 0, "taken": 0, "seconds": 0.0, "findings": []}
    begin = time.monotonic()
    while (left := seconds - (time.monotonic() - begin)) > 0 and len(row["findings"]) < 50:
        with tempfile.TemporaryDirectory(prefix="fuzz-run-") as scratch:
            ended = _child(name, left, Path(scratch), output, row, atheris)
            if not ended:
                break
            given = sorted(Path(scratch).glob("fuzz-*/given"))
            _keep(row, output, ended, read_files(given[0]) if given else {}, ended)
    row["seconds"] = round(time.monotonic() - begin, 1)
    return row


def _child(name: str, seconds: float, scratch: Path, output: Path, row: dict[str, Any], atheris: bool) -> str:
    """Run one process; how it broke, empty where it did not."""
    command = [sys.executable, __file__, "--child", str(seconds), "--only", name, *["--atheris"] * atheris]
    errors = scratch / "stderr"
    with errors.open("wb") as said:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, env={**os.environ, "TMPDIR": str(scratch)}
        )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        heard, waiting = time.monotonic(), b""
        while True:
            part = process.stdout.read() or b""
            waiting += part
            *lines, waiting = waiting.split(b"\n")
            for line in lines:
                heard = time.monotonic()
                try:
                    _note(json.loads(line), row, output)
                except ValueError:  # what a reader printed
                    continue
            if not part and process.poll() is not None:
                break
            if time.monotonic() - heard > STILL:
                process.kill()
                process.wait()
                return "hangs"
            time.sleep(0.05)
    if process.returncode == 0:
        return ""
    last = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if process.returncode > 0:
        raise SystemExit("\n".join(line[:300] for line in last[-30:]))
    return f"stops the process ({signal.Signals(-process.returncode).name})"


def _note(said: Any, row: dict[str, Any], output: Path) -> None:
    if isinstance(said, dict) and "inputs" in said:
        row["inputs"] += said["inputs"]
        row["taken"] += said["taken"]
    elif isinstance(said, dict) and "what" in said:
        files = {name: data.encode("latin-1") for name, data in said["files"].items()}
        _keep(row, output, said["what"], files, said["why"])


def _keep(row: dict[str, Any], output: Path, what: str, files: dict[str, bytes], why: str) -> None:
    if what in row["findings"]:
        return
    row["findings"].append(what)
    place = output / re.sub(r"\W+", "-", row["reader"]) / re.sub(r"\W+", "-", what)
    shutil.rmtree(place, ignore_errors=True)
    for name, data in {**files, "WHY.txt": f"{what}\n{why}\n".encode()}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)


def read_files(folder: Path) -> dict[str, bytes]:
    files = (one for one in sorted(folder.rglob("*")) if one.is_file())
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in files}


def drawn(name: str, seconds: float) -> None:
    """Of the child: inputs from one fresh seed after the other; a line on stdout for each lot and finding."""
    from fuzz_all import READERS
    from fuzzing import Broken, fuzz

    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def tell(**said: Any) -> None:
        out.write(json.dumps(said) + "\n")
        out.flush()

    reader, known = READERS[name], set[str]()
    reader.sound()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tell(inputs=0, taken=0)
        try:
            with alarm(2 * reader.seconds):
                taken = fuzz(reader, TOGETHER, int.from_bytes(os.urandom(6), "big"), frozenset(known))
            tell(inputs=TOGETHER, taken=taken)
        except Broken as error:
            known.add(error.what)
            why = "".join(traceback.format_exception(error.__cause__))
            files = {name: data.decode("latin-1") for name, data in error.files.items()}
            tell(what=error.what, why=why, files=files)


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Breaks off in Python what takes longer for a single input."""
    import fuzzing

    def late(number: int, frame: Any) -> None:
        raise TimeoutError(f"more than {seconds} seconds")

    read = fuzzing.only_inside

    @contextmanager
    def timed(folder: Path) -> Iterator[None]:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            with read(folder):
                yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    signal.signal(signal.SIGALRM, late)
    fuzzing.only_inside = timed
    try:
        yield
    finally:
        fuzzing.only_inside = read


def led(name: str, seconds: float) -> None:
    """Of the child: inputs led by coverage. libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["edgelm", "edgelm_demo"]):
        from fuzz_all import READERS
        from fuzzing import Broken, check

        reader = READERS[name]
        reader.sound()
        with_inputs = reader.inputs
    from hypothesis import HealthCheck, given, settings

    out = os.fdopen(os.dup(1), "w")
    counted = [0, 0, time.monotonic()]

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(with_inputs)
    def one(files: dict[str, bytes]) -> None:
        try:
            counted[1] += check(reader, files)
        except Broken as error:
            shown = {name: data.decode("latin-1") for name, data in files.items()}
            why = "".join(traceback.format_exception(error.__cause__))
            out.write(json.dumps({"what": error.what, "why": why, "files": shown}) + "\n")
            out.flush()
            os._exit(0)
        counted[0] += 1
        if time.monotonic() - counted[2] > 5:
            out.write(json.dumps({"inputs": counted[0], "taken": counted[1]}) + "\n")
            out.flush()
            counted[:] = [0, 0, time.monotonic()]

    atheris.Setup(
        [sys.argv[0], f"-max_total_time={int(seconds)}", "-verbosity=0", "-len_control=0"],
        one.hypothesis.fuzz_one_input,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
