"""Running models: edgelm beside llama.cpp's, onnxruntime-genai's and transformers' own loops, in one run.

    python benchmarks/inference.py MODEL EXPORT -o inference.json

MODEL is a model directory and EXPORT what `edgelm export` made of it, with gguf:Q4_K_M; with onnx:int4 there,
the rows on ONNX are measured too. Every program has a process and takes turns with the others; a turn writes
128 tokens greedily after 32, and medians count: a slow moment of the machine hits all alike. Through edgelm
means `generate`, the sampler, detokenising and streaming included.

* llama.cpp's loop: `llama_decode` and its own greedy sampler, called from Python
* onnxruntime-genai's: `generate_next_token`
* the same weights in transformers: `generate`, greedy, float32, on the CPU
* the format that `edgelm export --target laptop` would pick: the fastest within its bound on quality
* shapes: `125m` beside 512 x 30 layers, 9 heads of 56 and 65 536 tokens, random weights, in llama.cpp's loop
* `edgelm serve`: tokens of 8 clients at once beside those of one (`server_load.py`)

What is not installed or not there is left out. Prints one table and writes JSON.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from random_gguf import OURS, REFERENCE, write_random
from server_load import serve_rows

PROMPT, NEW = 32, 128
KINDS = ("Q8_0", "Q4_K_M")
"""Formats in which the two shapes are compared."""
Turn = Callable[[], float]
"""Writes once; tokens/s."""


def through_edgelm(path: str, threads: int) -> Turn:
    from edgelm.runtime import Generation, load

    model = load(path, threads=threads)

    def turn() -> float:
        timed, seconds, tries = 0, 0.0, 0
        while timed < NEW and tries < NEW:  # a text that ends early is followed by another
            report, prompt = Generation(), [10 + (tries + place) % 50 for place in range(PROMPT)]
            for _ in model.generate(prompt, max_tokens=NEW + 1, temperature=0, report=report):
                pass
            timed += report.tokens if report.ended == "stop" else report.tokens - 1
            seconds, tries = seconds + report.seconds, tries + 1
        return timed / seconds

    return turn


def llama_loop(path: str, threads: int) -> Turn:
    import ctypes

    import llama_cpp as cpp

    from edgelm.runtime.llama import silence_llama_cpp

    silence_llama_cpp(cpp)
    cpp.llama_backend_init()
    settings = cpp.llama_model_default_params()
    settings.n_gpu_layers = 0
    model = cpp.llama_model_load_from_file(os.fsencode(path), settings)
    options = cpp.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = min(cpp.llama_model_n_ctx_train(model), 2048)
    options.n_threads = options.n_threads_batch = threads
    options.no_perf = True
    state = cpp.llama_init_from_model(model, options)
    sampler = cpp.llama_sampler_chain_init(cpp.llama_sampler_chain_default_params())
    cpp.llama_sampler_chain_add(sampler, cpp.llama_sampler_init_greedy())
    prompt = (ctypes.c_int32 * PROMPT)(*range(10, 10 + PROMPT))
    one = (ctypes.c_int32 * 1)()

    def turn() -> float:
        cpp.llama_memory_clear(cpp.llama_get_memory(state), True)
        cpp.llama_decode(state, cpp.llama_batch_get_one(prompt, PROMPT))
        one[0] = cpp.llama_sampler_sample(sampler, state, -1)
        batch = cpp.llama_batch_get_one(one, 1)
        begin = time.perf_counter()
        for _ in range(NEW):
            cpp.llama_decode(state, batch)
            one[0] = cpp.llama_sampler_sample(sampler, state, -1)
        return NEW / (time.perf_counter() - begin)

    return turn


def genai_loop(path: str, threads: int) -> Turn:
    import onnxruntime_genai as genai

    config = genai.Config(path)
    options = {"session_options": {"intra_op_num_threads": threads}}
    config.overlay(json.dumps({"model": {"decoder": options}}))
    model = genai.Model(config)

    def turn() -> float:
        parameters = genai.GeneratorParams(model)
        parameters.set_search_options(
            max_length=PROMPT + NEW + 1, min_length=PROMPT + NEW + 1, do_sample=False
        )
        generator = genai.Generator(model, parameters)
        generator.append_tokens(list(range(10, 10 + PROMPT)))
        generator.generate_next_token()
        begin = time.perf_counter()
        for _ in range(NEW):
            generator.generate_next_token()
        return NEW / (time.perf_counter() - begin)

    return turn


def transformers_loop(path: str, threads: int) -> Turn:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    # it is a folder of this machine
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)  # nosec B615
    model.eval()
    ids = torch.arange(10, 10 + PROMPT)[None]

    def write(tokens: int) -> float:
        begin = time.perf_counter()
        model.generate(ids, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, use_cache=True)
        return time.perf_counter() - begin

    return lambda: NEW / (write(NEW + 1) - write(1))  # the prompt and the first token are not timed


PROGRAMS = {
    "edgelm": through_edgelm,
    "llama.cpp": llama_loop,
    "onnxruntime-genai": genai_loop,
    "transformers": transformers_loop,
}


def serve(program: str, path: str, threads: int, answers: IO[str]) -> None:
    """One turn for every line on stdin, the first of them to warm up."""
    from edgelm.machine import peak_memory

    turn = PROGRAMS[program](path, threads)
    for _ in sys.stdin:
        answers.write(json.dumps({"speed": turn(), "peak_bytes": peak_memory()}) + "\n")
        answers.flush()


class Worker:
    """A program with a model in a process of its own."""

    def __init__(self, program: str, path: Path, threads: int):
        self.name, self.speeds, self.peak = f"{program} {path.name}", list[float](), 0
        environment = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--run", program, str(path), str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env=os.environ | environment,
        )  # fmt: skip
        self.turn()
        self.speeds.clear()

    def turn(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            sys.exit(f"{self.name} does not run: {self.errors.read()[-1500:]}")
        found = json.loads(line)
        self.speeds.append(found["speed"])
        self.peak = found["peak_bytes"]

    @property
    def speed(self) -> float:
        return statistics.median(self.speeds)

    def close(self) -> None:
        self.process.communicate()


def take_turns(jobs: Sequence[tuple[str, Path]], threads: int, repeats: int) -> list[Worker]:
    workers = [Worker(program, path, threads) for program, path in jobs]
    for _ in range(repeats):
        for worker in workers:
            worker.turn()
    for worker in workers:
        worker.close()
    return workers


@dataclass
class Row:
    """A comparison: `ratio` is ours over theirs, and better when it is large."""

    what: str
    edgelm: str
    peer: str
    ratio: float
    aim: float

    @classmethod
    def of(cls, what: str, ours: Worker, theirs: Worker, aim: float) -> "Row":
        cells = (f"{one.name}: {one.speed:,.1f} tokens/s" for one in (ours, theirs))
        return cls(what, *cells, ours.speed / theirs.speed, aim)


def decoding_rows(model: Path, export: Path, threads: int, repeats: int) -> tuple[list[Row], list[Worker]]:
    """Edgelm beside the loops of the libraries it runs on, transformers, and llama.cpp's Q4_K_M."""
    q4, int4 = export / "model-Q4_K_M.gguf", export / "onnx" / "int4"
    jobs = [("edgelm", q4), ("llama.cpp", q4)]
    with_onnx = (int4 / "genai_config.json").exists() and importlib.util.find_spec("onnxruntime_genai")
    if with_onnx:
        jobs += [("edgelm", int4), ("onnxruntime-genai", int4)]
    else:
        print("No onnx:int4 in the export, or no onnxruntime-genai: its rows are left out.")
    with_transformers = importlib.util.find_spec("transformers") is not None
    if with_transformers:
        jobs.append(("transformers", model))
    candidates = within_bound(export)
    others = [one for one in candidates if one not in (q4, int4)]
    jobs += [("edgelm", one) for one in others]
    workers = take_turns(jobs, threads, repeats)
    at = dict(zip(jobs, workers, strict=True))
    rows = [Row.of("decoding, the same GGUF", at["edgelm", q4], at["llama.cpp", q4], 0.97)]
    if with_onnx:
        rows.append(
            Row.of("decoding, the same ONNX", at["edgelm", int4], at["onnxruntime-genai", int4], 0.97)
        )
    picked = max(
        (at["edgelm", one] for one in candidates if ("edgelm", one) in at), key=lambda one: one.speed
    )
    if with_transformers:
        rows.append(Row.of("beside transformers in fp32", picked, at["transformers", model], 5.0))
    rows.append(Row.of("the picked format beside Q4_K_M", picked, at["llama.cpp", q4], 1.2))
    return rows, workers


def within_bound(export: Path) -> list[Path]:
    """The files of an export that target `laptop` allows by what they lose."""
    from edgelm.export.export import artifact_name
    from edgelm.export.target import load_target

    bound = load_target("laptop").loss
    found = json.loads((export / "verification.json").read_text(encoding="utf-8"))
    kept = []
    for name, one in found.items():
        lost = [two["bits_per_byte"] - two["bits_per_byte_before"] for two in one["languages"].values()]
        if statistics.fmean(lost) <= bound:
            kept.append(export / artifact_name(name))
    return kept


def shape_rows(folder: Path, threads: int, repeats: int) -> tuple[list[Row], list[Worker]]:
    """Our shape of 125 M parameters beside the reference's, both in llama.cpp's loop."""
    rows, everyone = [], []
    for kind in KINDS:
        files = [folder / f"{name}-{kind}.gguf" for name in ("125m", "reference")]
        for shape, file in zip((OURS, REFERENCE), files, strict=True):
            write_random(shape, file, kind)
        ours, theirs = workers = take_turns([("llama.cpp", file) for file in files], threads, repeats)
        for file in files:
            file.unlink()
        rows.append(Row.of(f"shape of 125 M, {kind}", ours, theirs, 1.5))
        cells = (f"{one.name}: {one.peak / 1e6:,.0f} MB" for one in workers)
        rows.append(Row(f"memory of that shape, {kind}", *cells, theirs.peak / ours.peak, 1.0))
        everyone += workers
    return rows, everyone


def main() -> None:
    if sys.argv[1:2] == ["--run"]:
        answers, sys.stdout = sys.stdout, sys.stderr  # programs print
        serve(sys.argv[2], sys.argv[3], int(sys.argv[4]), answers)
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("export", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=60, help="how long clients ask the server")
    parser.add_argument("--only", choices=("decoding", "shapes", "server"), action="append")
    parser.add_argument("-o", "--output", type=Path, default=Path("inference.json"))
    options = parser.parse_args()
    wanted = options.only or ("decoding", "shapes", "server")
    rows: list[Row] = []
    workers: list[Worker] = []
    if "decoding" in wanted:
        found, measured = decoding_rows(options.model, options.export, options.threads, options.repeats)
        rows, workers = rows + found, workers + measured
    if "shapes" in wanted:
        with tempfile.TemporaryDirectory() as folder:
            found, measured = shape_rows(Path(folder), options.threads, options.repeats)
        rows, workers = rows + found, workers + measured
    if "server" in wanted:
        rows += [Row(*one) for one in serve_rows(options.export / "model-Q4_K_M.gguf", options.seconds)]
    print_rows(rows, options.threads)
    figures = {
        "threads": options.threads,
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "rows": [vars(row) for row in rows],
        "programs": [
            {"name": one.name, "tokens_per_second": one.speeds, "peak_bytes": one.peak} for one in workers
        ],
    }
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def print_rows(rows: Sequence[Row], threads: int) -> None:
    from edgelm.cli.options import print_table

    cells = [[row.what, row.edgelm, row.peer, f"{row.ratio:.2f}", f"{row.aim:g}"] for row in rows]
    print_table(["what", "edgelm", "peer", "ratio", "aim"], cells, f"threads: {threads}, medians of turns")


if __name__ == "__main__":
    main()
