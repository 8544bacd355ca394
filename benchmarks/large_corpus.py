"""Memory of `edgelm corpus build` beside the size of the text, and what ten gigabytes would take.

    python benchmarks/large_corpus.py --megabytes 250 500 1000

The text is made of the embedded sample's words, drawn anew for every document, so that none is a duplicate,
and packed with gzip. Measured is the peak of the command and its workers together, ten times a second.
"""

import argparse
import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from edgelm.tokenizer.texts import sample_texts

LANGUAGES = ("zul", "xho", "sot", "afr")
WORDS = 120
"""Of a document."""


def write(folder: Path, size: int) -> int:
    """Files of so many bytes in all before compression; the number of documents."""
    folder.mkdir()
    documents = 0
    for code in LANGUAGES:
        draw, words = random.Random(code), " ".join(sample_texts()[code]).split()
        written = 0
        with gzip.open(folder / f"{code}.txt.gz", "wb", compresslevel=1) as file:
            while written < size // len(LANGUAGES):
                written += file.write((" ".join(draw.choices(words, k=WORDS)) + ".\n").encode())
                documents += 1
    return documents


def build(source: Path, output: Path, workers: int) -> tuple[int, float]:
    """Bytes that the command and its children held at most, and its seconds."""
    command = [sys.executable, "-m", "edgelm", "corpus", "build", str(source), "-o", str(output)]
    process = subprocess.Popen([*command, "--workers", str(workers), "--quiet"], stdout=subprocess.DEVNULL)
    begin, most = time.monotonic(), 0
    while process.poll() is None:
        held = 0
        with suppress(psutil.NoSuchProcess):
            for one in (root := psutil.Process(process.pid), *root.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    held += one.memory_info().rss
        most = max(most, held)
        time.sleep(0.1)
    if process.returncode:
        sys.exit("corpus build failed")
    return most, time.monotonic() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, nargs="+", default=[250, 500, 1000], help="two or more")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, default=Path("large_corpus.json"))
    options = parser.parse_args()
    rows = []
    print(f"{'MB':>7}{'documents':>12}{'peak MB':>9}{'seconds':>9}")
    for size in sorted(options.megabytes):
        with tempfile.TemporaryDirectory() as folder:
            documents = write(Path(folder) / "text", size * 10**6)
            peak, seconds = build(Path(folder) / "text", Path(folder) / "corpus", options.workers)
        rows.append({"MB": size, "documents": documents, "peak": peak, "seconds": seconds})
        print(f"{size:7}{documents:12,}{peak / 1e6:9,.0f}{seconds:9.0f}", flush=True)
    first, last = rows[0], rows[-1]
    slope = (last["peak"] - first["peak"]) / (last["MB"] - first["MB"]) if last["MB"] > first["MB"] else 0
    projected = last["peak"] + slope * (10_000 - last["MB"])
    print(f"{slope / 1e6:.2f} MB more for each MB of text: {projected / 1e9:.1f} GB for 10 GB")
    options.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
