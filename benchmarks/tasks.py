"""What finetuning makes of a pretrained model: every task and regime beside its baselines, on validation.

    python benchmarks/tasks.py MODEL --work RUNS                  # heads, and ensembles; an hour of two cores
    python benchmarks/tasks.py MODEL --work RUNS --only writing   # T2X, and one model for many tasks
    python benchmarks/tasks.py MODEL --work RUNS --only few       # 16, 64, 256 and all labels
    python benchmarks/tasks.py MODEL --work RUNS --seeds 3 --tasks masakhaner,masakhapos

EDGELM_DATA names the data. Every run is an `edgelm finetune` of its own, timed, its largest memory noted;
runs are kept in --work, so that a second call does only what is missing. Prints one table and writes JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgelm.artifacts import read_provenance
from edgelm.cli.options import print_table
from edgelm.evaluate.evaluate import evaluate_baselines, score_task
from edgelm.evaluate.predict import predict
from edgelm.finetune.ensemble import weigh
from edgelm.runtime import load_labeller
from edgelm.runtime.ensemble import Ensemble
from edgelm.tasks.task import Task, load_task

AIMS = {
    "masakhaner": ("tsn", "xho", "zul"),
    "masakhapos": ("tsn", "xho", "zul"),
    "masakhanews": ("xho",),
    "injongo_intent": ("xho", "zul"),
}
"""Where a head is to be as good as the best baseline."""
OTHERS = ("sib200", "dikgang", "antc", "afrisenti", "nchlt_ner", "nchlt_pos")
FEW = (16, 64, 256, 0)
"""Training examples a language; 0 all."""
HEAD = ("--both-ways", "--dropout", "0.1", "--token-dropout", "0.2", "--steps")
STEPS = {"masakhaner": 600}
"""Of a head, where 300 are too few; of all languages of a task together."""
WRITE = {"t2x": ("--steps", "300", "--batch", "8", "--dropout", "0.1")}
MANY = ("masakhanews", "injongo_intent", "masakhaner", "masakhapos", "t2x")
"""Tasks of the general regime."""


@dataclass(frozen=True, slots=True)
class Job:
    """A training: its name, the tasks, their languages, and more options of `edgelm finetune`."""

    name: str
    regime: str
    method: str
    tasks: tuple[str, ...]
    languages: tuple[str, ...]
    options: tuple[str, ...]
    beside: str = ""
    """The job of the cheap model that a head is also tried together with."""


def heads() -> list[Job]:
    """The cheap method and a head for each task, one language at a time and all together."""
    jobs = []
    for name in (*AIMS, *OTHERS):
        task = load_task(name)
        cheap = "crf" if task.family == "tagging" else "linear"
        steps = STEPS.get(name, 300)
        trained = tuple(code for code in task.languages if task.there("train", code))
        groups = [(code,) for code in AIMS.get(name, ()) if code in trained]
        for codes in [*groups, trained] if trained not in groups else groups:
            if not codes:
                continue  # the publisher's training file is not here
            regime, end = ("mono", codes[0]) if len(codes) == 1 else ("multi", "all")
            beside = f"{name}-{cheap}-{end}"
            options = (*HEAD, str(steps // (max(len(groups), 1) if regime == "mono" else 1)))
            jobs.append(Job(beside, regime, cheap, (name,), codes, ()))
            jobs.append(Job(f"{name}-head-{end}", regime, "head", (name,), codes, options, beside))
    return jobs


def writing() -> list[Job]:
    """A model that writes, for one task and for many."""
    jobs = [
        Job(f"{name}-{method}", "mono", method, (name,), tuple(load_task(name).languages), options)
        for name, options in WRITE.items()
        for method in ("full", "lora")
    ]
    return [*jobs, Job("general", "general", "full", MANY, (), ("--steps", "600", "--batch", "8"))]


def few() -> list[Job]:
    """The cheap method and the head on few labels."""
    jobs = []
    for name, code in (("masakhaner", "zul"), ("masakhapos", "zul"), ("injongo_intent", "zul")):
        family = load_task(name).family
        for method in ("crf" if family == "tagging" else "linear", "head"):
            for count in FEW:
                options = (*HEAD, "100") if method == "head" else ()
                part = (*options, *(("--few", str(count)) if count else ()))
                jobs.append(Job(f"{name}-{method}-{code}-{count}", "mono", method, (name,), (code,), part))
    return jobs


def train(job: Job, model: Path, seed: int, work: Path) -> dict[str, Any]:
    """Scores by task and language, seconds and peak bytes of one training, or of when it was done before."""
    folder = work / f"{job.name}-{seed}"
    noted = work / f"{job.name}-{seed}.json"
    decoder = job.method not in ("linear", "crf")
    command = [sys.executable, "-m", "edgelm", "finetune", *([str(model)] if decoder else []), *job.tasks]
    command += ["-o", str(folder), "--method", job.method, "-q", *job.options]
    if decoder:
        command += ["--seed", str(seed)]
    if job.regime != "general":
        command += ["--languages", ",".join(job.languages)]
    if noted.exists():
        found: dict[str, Any] = json.loads(noted.read_text(encoding="utf-8"))
        if found["command"] == command:
            return found
    began = time.monotonic()
    with (work / f"{job.name}-{seed}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed: {work / job.name}-{seed}.log")
    figures = (read_provenance(folder) or {})["results"]
    found = {
        "command": command,
        "tasks": figures["tasks"],
        "seconds": round(time.monotonic() - began, 1),
        "peak_bytes": used.ru_maxrss * 1024,
    }
    noted.write_text(json.dumps(found), encoding="utf-8")
    return found


def together(job: Job, seed: int, work: Path, head: dict[str, Any]) -> dict[str, Any]:
    """Scores of a head and the cheap model beside it, weighed on validation as `--method ensemble` does."""
    cheap = json.loads((work / f"{job.beside}-0.json").read_text(encoding="utf-8"))
    task = load_task(job.tasks[0])
    folders = (work / f"{job.name}-{seed}", work / f"{job.beside}-0")
    parts = [model for folder in folders if (model := load_labeller(folder))]
    held_out = task.validation(list(job.languages))
    scores = score_task(task, held_out, predict(Ensemble(parts, weigh(parts, held_out)), task, held_out))
    seconds = head["seconds"] + cheap["seconds"]
    return {**head, "tasks": {task.name: scores}, "seconds": seconds}


def baselines(tasks: Sequence[Task[Any]], work: Path) -> dict[str, Any]:
    """Scores of every baseline on validation, by task."""
    found = {}
    for task in tasks:
        codes = [code for code in task.languages if task.there("validation", code)]
        found |= evaluate_baselines(work / f"baselines-{task.name}", [task], "validation", codes)
    return found


def rows_of(job: Job, runs: list[dict[str, Any]], cheap: dict[str, Any]) -> list[dict[str, Any]]:
    """One line for each task and language: scores of all seeds beside the best baseline's."""
    lines = []
    for name, first in runs[0]["tasks"].items():
        metric = first["metric"]
        for code in first["languages"]:
            parts = [one["tasks"][name]["languages"][code] for one in runs]
            scores = [part[metric] for part in parts]
            others = {
                system: one["languages"][code][metric]
                for system, one in cheap.get(name, {}).items()
                if code in one["languages"]
            }
            best = max(others, key=lambda system: others[system]) if others else ""
            lines.append(
                {
                    "task": name,
                    "language": code,
                    "regime": job.regime,
                    "method": job.method,
                    "metric": metric,
                    "items": parts[0]["items"],
                    "scores": scores,
                    "mean": round(statistics.mean(scores), 4),
                    "interval": parts[0]["interval"],
                    "baseline": best,
                    "baseline_score": others.get(best),
                    "seconds": round(statistics.median(one["seconds"] for one in runs), 1),
                    "peak_bytes": max(one["peak_bytes"] for one in runs),
                }
            )
    return lines


def show(lines: list[dict[str, Any]]) -> None:
    rows = []
    for one in lines:
        spread = (
            f"{min(one['scores']):.3f}-{max(one['scores']):.3f}" if len(one["scores"]) > 1 else "one seed"
        )
        beside = one["baseline_score"]
        verdict = "" if beside is None else f"{one['mean'] - beside:+.3f} on {one['baseline']} {beside:.3f}"
        rows.append(
            [
                one["task"], one["language"], one["regime"], one["method"], f"{one['mean']:.3f}", spread,
                f"{one['interval'][0]:.2f}-{one['interval'][1]:.2f}", verdict,
                f"{one['seconds']:.0f}", f"{one['peak_bytes'] / 1e9:.1f}",
            ]
        )  # fmt: skip
    header = ["task", "language", "regime", "method", "score", "seeds", "95 %", "against", "s", "GB"]
    print_table(header, rows, "Validation")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", choices=("heads", "writing", "few"), default="heads")
    parser.add_argument("--tasks", help="only these, as in masakhaner,t2x")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, default=Path("tasks.json"))
    parser.add_argument("--regimes", help="only these, as in mono,multi")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    jobs = {"heads": heads, "writing": writing, "few": few}[options.only]()
    if options.tasks:
        chosen = set(options.tasks.split(","))
        jobs = [job for job in jobs if chosen & set(job.tasks)]
    if options.regimes:
        regimes = options.regimes.split(",")
        jobs = [job for job in jobs if job.regime in regimes]
    named = sorted({name for job in jobs for name in job.tasks})
    cheap = baselines([load_task(name) for name in named], options.work)
    lines = []
    for job in jobs:
        count = 1 if job.method in ("linear", "crf") else options.seeds
        runs = [train(job, options.model, seed, options.work) for seed in range(count)]
        lines += rows_of(job, runs, cheap)
        if runs[0]["tasks"]:
            print(f"  {job.name}: {lines[-1]['mean']:.3f}", file=sys.stderr, flush=True)
        if job.beside and runs[0]["tasks"]:
            runs = [together(job, seed, options.work, one) for seed, one in enumerate(runs)]
            lines += rows_of(replace(job, method="ensemble"), runs, cheap)
        options.output.write_text(json.dumps({"baselines": cheap, "runs": lines}, indent=1), encoding="utf-8")
    show(lines)


if __name__ == "__main__":
    main()
