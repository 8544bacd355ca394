"""What an installation to run models with takes: its size on the disk, and the seconds until it is there.

    python benchmarks/install.py --model export/onnx/int8

Installs this checkout without any extra into a fresh virtual environment, for which it takes the network or a
mirror, and measures in processes of their own, so many times each: the median of the seconds that pass, and
of those that the processor works. Prints one table and writes JSON. With `--model`, an ONNX folder, also how
long one takes to load.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MOST_BYTES, MOST_SECONDS = 150e6, 0.3
TOOLS = ("pip", "setuptools", "_distutils_hack", "distutils-precedence", "pkg_resources")
"""What every environment holds."""
IMPORT = """
import sys, time
begin, worked = time.perf_counter(), time.process_time()
{}
passed, worked = time.perf_counter() - begin, time.process_time() - worked
print(passed, worked, *sorted({{"torch", "transformers"}} & set(sys.modules)))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("-o", "--output", type=Path, default=Path("install.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        python = install(Path(scratch) / "venv")
        found = measure(python, options.model and options.model.resolve(), options.times)
        found["download"] = download(python, Path(scratch) / "wheels")
    options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for row in rows(found):
        print("{:<34}{:>10}{:>12}{:>10}".format(*row))


def install(folder: Path) -> Path:
    """A fresh environment with the project's base in it; returns its Python."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", REPOSITORY], check=True)
    return python


def download(python: Path, folder: Path) -> int:
    """Bytes of the wheels that an installation fetches."""
    subprocess.run([python, "-m", "pip", "download", "-q", "-d", folder, REPOSITORY], check=True)
    return sum(path.stat().st_size for path in folder.iterdir())


def measure(python: Path, model: Path | None, times: int) -> dict:
    site = run(python, "import sysconfig; print(sysconfig.get_path('purelib'))")
    parts = [path for path in Path(site).iterdir() if not path.name.startswith(TOOLS)]
    files = {path: [file for file in [path, *path.rglob("*")] if file.is_file()] for path in parts}
    sizes = {path.name: sum(file.stat().st_size for file in own) for path, own in files.items()}
    compiled = [file for own in files.values() for file in own if file.suffix == ".pyc"]
    codes = {"import edgelm": "import edgelm", "import edgelm.runtime": "import edgelm.runtime"}
    if model:
        codes["import, load an ONNX model"] = f"import edgelm; edgelm.load({str(model)!r})"
    seconds, torch = {}, run(python, "import importlib.util as i; print(i.find_spec('torch'))") != "None"
    for name, code in codes.items():
        lines = [run(python, IMPORT.format(code)).split() for _ in range(times)]
        seconds[name] = [statistics.median(float(line[column]) for line in lines) for column in (0, 1)]
        torch |= any(len(line) > 2 for line in lines)
    seconds["edgelm --help"] = [statistics.median(timed(python.with_name("edgelm")) for _ in range(times))]
    return {
        "bytes": sum(sizes.values()),
        "of which bytecode": sum(file.stat().st_size for file in compiled),
        "largest": dict(sorted(sizes.items(), key=lambda item: -item[1])[:8]),
        "seconds": seconds,
        "torch": torch,
        "times": times,
    }


def run(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def timed(program: Path) -> float:
    begin = time.perf_counter()
    subprocess.run([program, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def rows(found: dict) -> list[tuple[str, str, str, str]]:
    def size(name: str, count: int, most: str = "") -> tuple[str, str, str, str]:
        return name, f"{count / 1e6:.1f}", "", most

    table = [
        ("what", "measured", "processor", "at most"),
        size("download, MB", found["download"]),
        size("on the disk, MB", found["bytes"], f"{MOST_BYTES / 1e6:.0f}"),
        size("  of which bytecode", found["of which bytecode"]),
        *(size(f"  {name}", count) for name, count in found["largest"].items()),
    ]
    for name, seconds in found["seconds"].items():
        limit = f"{MOST_SECONDS}" if name.startswith("import edgelm") else ""
        table.append((f"{name}, s", f"{seconds[0]:.3f}", "".join(f"{one:.3f}" for one in seconds[1:]), limit))
    return [*table, ("torch", "yes" if found["torch"] else "no", "", "no")]


if __name__ == "__main__":
    main()
