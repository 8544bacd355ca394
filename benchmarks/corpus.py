"""How fast corpora are built, beside the programs a user would else take: one table, and JSON beside it.

    python benchmarks/corpus.py --peer-python other/bin/python -o corpus.json

The other environment holds datatrove 0.9 with its spacy and orjson, text-dedup 0.4 and rensa. EDGELM_DATA
names the folder with `raw/`. `--only speed,tune` runs some of the parts: speed (CPU seconds of the reference
recipe in both programs, the slower one on a part of the file and without its start; the default recipe),
workers (one and two), tune (deciding again), memory (a file of --gigabytes by repetition), parity
(datatrove_parity.py beside this), duplicates (deduplication.py). Figures on one file are medians of --rounds
interleaved runs, those on all sources and on the large file come from one run.
"""

import argparse
import json
import lzma
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PARTS = ("speed", "workers", "tune", "memory", "parity", "duplicates")
FILE = "raw/nchlt_genre/xho.jsonl.xz"
Row = dict[str, Any]

BUILD = "import sys; from edgelm.cli import main; sys.argv[0] = 'edgelm'; main()"
# the reference chain as datatrove runs it: read, four filters, write
DATATROVE = """
import importlib.metadata, sys
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import (
    C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from loguru import logger

logger.remove()
folder, output = sys.argv[1:]
grams = ((5, 0.30), (6, 0.28), (7, 0.26), (8, 0.24), (9, 0.22), (10, 0.20))
LocalPipelineExecutor(
    pipeline=[
        JsonlReader(folder),
        GopherRepetitionFilter(
            dup_line_frac=0.5, dup_para_frac=0.5, dup_line_char_frac=0.5, dup_para_char_frac=0.5,
            top_n_grams=((2, 0.75), (3, 0.75), (4, 0.75)), dup_n_grams=grams,
        ),
        GopherQualityFilter(min_doc_words=10, min_stop_words=0, max_non_alpha_words_ratio=0.5),
        C4QualityFilter(filter_no_terminal_punct=False, min_num_sentences=2),
        FineWebQualityFilter(line_punct_exclude_zero=True, short_line_thr=0.8),
        JsonlWriter(output),
    ],
    logging_dir=output + "/logs",
    tasks=1,
).run()
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("EDGELM_DATA"))
    parser.add_argument("--peer-python", help="interpreter of the environment with the other programs")
    parser.add_argument("--documents", type=int, default=150, help="for the slower program")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--only", default=",".join(PARTS), help="parts to run")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    if not options.data:
        parser.error("--data or EDGELM_DATA must name the folder with raw/")
    if unknown := set(options.only.split(",")) - set(PARTS):
        parser.error(f"--only {sorted(unknown)[0]}: there are {', '.join(PARTS)}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for part in options.only.split(","):
            found = globals()[f"measure_{part}"](options, Path(folder))
            rows += found
            for row in found:
                print("  " + ", ".join(f"{name} {value}" for name, value in row.items()), file=sys.stderr)
    show(rows)
    if options.output:
        options.output.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def measure_speed(options: argparse.Namespace, folder: Path) -> list[Row]:
    """Megabytes of UTF-8 a CPU second: the reference recipe in both programs, and the default recipe."""
    whole = folder / "xho.jsonl"
    whole.write_bytes(lzma.decompress((options.data / FILE).read_bytes()))
    lines = whole.read_bytes().splitlines(keepends=True)
    part, one = folder / "part" / "xho.jsonl", folder / "one" / "xho.jsonl"
    part.parent.mkdir()
    one.parent.mkdir()
    one.write_bytes(lines[0])
    part.write_bytes(b"".join(lines[:: max(1, len(lines) // options.documents)]))
    size = {file: text_bytes(file) for file in (whole, part)}
    raw = options.data / "raw"
    runs: dict[str, list[float]] = {name: [] for name in ("reference", "default", "all", "peer")}
    build(folder / "warm", str(whole), "--recipe", "mzansitext")  # compiles and fills caches
    for number in range(options.rounds):
        runs["reference"].append(build(folder / f"a{number}", str(whole), "--recipe", "mzansitext")[0])
        runs["default"].append(build(folder / f"b{number}", str(whole))[0])
        if number == 0:
            runs["all"].append(build(folder / "all", str(raw))[0])
        if options.peer_python:
            command = [options.peer_python, "-c", DATATROVE]
            start = cpu_seconds([*command, str(one.parent), str(folder / f"c{number}-one")])[0]
            all_of_it = cpu_seconds([*command, str(part.parent), str(folder / f"c{number}")])[0]
            runs["peer"].append(all_of_it - start)  # which would weigh less on a whole corpus
    manifest = json.loads((folder / "all" / "manifest.json").read_text())
    everything = sum(one["read"]["bytes"] for one in manifest["languages"].values())
    speed = {
        name: size_of / statistics.median(runs[name]) / 1e6
        for name, size_of in (("reference", size[whole]), ("default", size[whole]), ("all", everything))
    }
    rows = [
        {"what": "mzansitext recipe, nchlt_genre xho", "edgelm": f"{speed['reference']:.2f} MB/s a core"},
        {"what": "default recipe, nchlt_genre xho", "edgelm": f"{speed['default']:.2f} MB/s a core"},
        {"what": "default recipe, all raw sources", "edgelm": f"{speed['all']:.2f} MB/s a core"},
    ]
    if runs["peer"]:
        peer = size[part] / statistics.median(runs["peer"]) / 1e6
        rows[0] |= {
            "beside": f"datatrove {peer:.4f} MB/s a core",
            "ratio": round(speed["reference"] / peer, 1),
        }
    return rows


def measure_workers(options: argparse.Namespace, folder: Path) -> list[Row]:
    """Wall-clock seconds of the default recipe with one and two workers."""
    source = str(options.data / "raw" / "autshumato_BY")
    walls: dict[int, list[float]] = {1: [], 2: []}
    for number in range(options.rounds):
        for workers, found in walls.items():
            found.append(build(folder / f"w{workers}-{number}", source, "--workers", str(workers))[1])
    one, two = (statistics.median(found) for found in walls.values())
    return [
        {
            "what": "default recipe, autshumato_BY, 2 workers",
            "edgelm": f"{two:.1f} s",
            "beside": f"1 worker {one:.1f} s",
            "ratio": round(one / two, 2),
        }
    ]


def measure_tune(options: argparse.Namespace, folder: Path) -> list[Row]:
    """Seconds to decide again over a million documents."""
    import numpy as np

    from edgelm.corpus.tune import Tuning

    corpus = folder / "tuned"
    build(corpus, str(options.data / "raw" / "vukuzenzele_lid"))
    tuning = Tuning(corpus)
    table = tuning.table
    copies = -(-1_000_000 // len(table))
    for name, values in table.derived.items():
        table.derived[name] = np.tile(values, copies)[:1_000_000]
    offset = np.repeat(np.arange(copies), len(table))[:1_000_000] * len(table)
    table.derived["cluster"] = table.derived["cluster"] + offset
    for name, (codes, names) in table.coded.items():
        table.coded[name] = (np.tile(codes, copies)[:1_000_000], names)
    table.starts[-1] = 1_000_000
    seconds = []
    for number in range(max(5, options.rounds)):
        started = time.process_time()
        tuning.change(f"word_length.max={9 + number / 10}")
        seconds.append(time.process_time() - started)
    return [{"what": "deciding again, a million documents", "edgelm": f"{statistics.median(seconds):.2f} s"}]


def measure_memory(options: argparse.Namespace, folder: Path) -> list[Row]:
    """Peak memory of all processes together, on one file that is a real one over and over."""
    text = b"".join(
        lzma.decompress(file.read_bytes())
        for file in sorted((options.data / "raw" / "vukuzenzele_lid").glob("*.txt.xz"))
    )
    large = folder / "zul.txt"
    with large.open("wb") as stream:
        while stream.tell() < options.gigabytes * 1e9:
            stream.write(text)
    size = large.stat().st_size / 1e6
    started = time.time()
    peak = peak_memory(
        [
            sys.executable,
            "-c",
            BUILD,
            "corpus",
            "build",
            str(large),
            "-q",
            "--workers",
            "2",
            "-o",
            str(folder / "m"),
        ]
    )
    return [
        {
            "what": f"default recipe, one file of {size:,.0f} MB, 2 workers: peak memory",
            "edgelm": f"{peak / 1e6:,.0f} MB",
            "beside": f"{size / (time.time() - started):.2f} MB/s",
        }
    ]


def measure_parity(options: argparse.Namespace, folder: Path) -> list[Row]:
    """Share of documents that datatrove and the `mzansitext` recipe decide alike."""
    if not options.peer_python:
        return []
    output = folder / "parity.json"
    command = [sys.executable, str(HERE / "datatrove_parity.py"), "--peer-python", options.peer_python]
    subprocess.run(
        [*command, "--data", str(options.data), "--output", str(output)], check=True, stdout=sys.stderr
    )
    total = json.loads(output.read_text())["total"]
    return [
        {
            "what": f"same decision on {total['documents']:,} documents of all sources",
            "edgelm": f"{total['agreement']:.2%}",
            "beside": "datatrove",
        }
    ]


def measure_duplicates(options: argparse.Namespace, folder: Path) -> list[Row]:
    """Documents a second and F1 of near-duplicate removal."""
    output = folder / "duplicates.json"
    command = [sys.executable, str(HERE / "deduplication.py"), "-o", str(output)]
    peer = ["--peer-python", options.peer_python] if options.peer_python else []
    subprocess.run([*command, *peer], check=True, stdout=sys.stderr)
    return list(json.loads(output.read_text())["table"])


def build(output: Path, *arguments: str) -> tuple[float, float]:
    """CPU and wall seconds of `edgelm corpus build`, with one worker unless the arguments say otherwise."""
    workers = [] if "--workers" in arguments else ["--workers", "1"]
    return cpu_seconds(
        [sys.executable, "-c", BUILD, "corpus", "build", *arguments, *workers, "-q", "-o", str(output)]
    )


def cpu_seconds(command: list[str]) -> tuple[float, float]:
    """CPU seconds, its children's too, and wall seconds of a command that must succeed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.time() - started


def peak_memory(command: list[str]) -> int:
    """Largest memory of a command's processes together, in bytes; pages they share count once."""
    import psutil

    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        total = 0
        for one in (process, *process.children(recursive=True)):
            try:
                total += one.memory_full_info().pss
            except psutil.Error:
                continue
        peak = max(peak, total)
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    return peak


def text_bytes(file: Path) -> int:
    """UTF-8 bytes of the texts in a JSONL file."""
    with file.open("rb") as lines:
        return sum(len(json.loads(line)["text"].encode("utf-8", "replace")) for line in lines)


def show(rows: list[Row]) -> None:
    header = list(dict.fromkeys(name for row in rows for name in row))
    cells = [header, *([str(row.get(name, "")) for name in header] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(header))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
