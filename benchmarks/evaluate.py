"""Ranking the answers of a classification task: edgelm's beside lm-eval's Hugging Face backend.

    python benchmarks/evaluate.py MODEL --lm-eval-python PEER/bin/python -o evaluate.json
    EDGELM_DATA=... python benchmarks/evaluate.py MODEL --task injongo_intent

MODEL is a directory with model.safetensors, PEER an environment with lm-eval, torch and transformers; without
the option lm-eval is looked for beside edgelm, and where it is not there only ours is measured. Without
--task the texts are cut from the embedded sample and the 40 labels are made-up words.

Both get the same prompts, labels and threads, and each keeps its model in a process of its own; runs take
turns, and the median counts. On a busy machine the CPU seconds say more. Seconds are from texts to
log-likelihoods, tokenising included; loading, and of lm-eval all but its model's `loglikelihood`, are apart.
lm-eval gets the batch size that is fastest on the first items. In the same run the log-likelihoods are
compared, item by item and label by label.
"""

import argparse
import itertools
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

PROGRAMS = ("edgelm", "lm-eval")
LABELS = 40
WORDS = 18  # of a made-up item
BATCHES = (1, 4, 16, 64)
TRIED = 12  # items that lm-eval's batch size is chosen on


def made_up(count: int) -> tuple[list[str], list[str]]:
    """Prompts cut from the embedded sample, and labels of one to three syllables and one or two words."""
    from edgelm.tokenizer.texts import sample_texts

    words = list(itertools.chain.from_iterable(" ".join(texts).split() for texts in sample_texts().values()))
    draw = random.Random(0)
    starts = [draw.randrange(len(words) - WORDS) for _ in range(count)]
    syllables = [first + second for first in "bdklmnst" for second in "aeiou"]
    labels: set[str] = set()
    while len(labels) < LABELS:
        word = ["".join(draw.choices(syllables, k=draw.randint(1, 3))) for _ in range(draw.randint(1, 2))]
        labels.add(" ".join(word))
    return [f"{' '.join(words[one : one + WORDS])}\n\nIntent:" for one in starts], sorted(labels)


def from_task(name: str, count: int) -> tuple[list[str], list[str]]:
    """Prompts of the validation split of a classification task, and its labels as they are answered."""
    from edgelm.tasks.task import load_task

    task = load_task(name)
    examples = task.validation()
    random.Random(0).shuffle(examples)
    return [task.prompt(one) for one in examples[:count]], list(task.choices(examples[0]) or ())


def serve(program: str, job: dict[str, Any], answers: IO[str]) -> None:
    """Rank everything once for every line on stdin."""
    import torch

    torch.set_num_threads(job["threads"])
    rank = {"edgelm": _edgelm, "lm-eval": _lm_eval}[program](job)
    for _ in sys.stdin:
        answers.write(json.dumps(rank()) + "\n")
        answers.flush()


def _edgelm(job: dict[str, Any]) -> Any:
    from edgelm.evaluate.predict import answer_scores
    from edgelm.runtime import load

    model = load(job["model"], threads=job["threads"])
    prompts, labels = job["prompts"], job["labels"]
    answer_scores(model, prompts[:TRIED], [labels] * len(prompts[:TRIED]))

    def rank() -> dict[str, Any]:
        begin = _clocks()
        found = answer_scores(model, prompts, [labels] * len(prompts))
        return {**_since(begin), "sums": [sums.tolist() for sums, _ in found]}

    return rank


def _lm_eval(job: dict[str, Any]) -> Any:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model = HFLM(pretrained=job["model"], device="cpu", dtype="float32", batch_size=1)
    spent: dict[str, Any] = {}
    real = model.loglikelihood

    def timed(requests: Any, *rest: Any, **options: Any) -> Any:
        begin = _clocks()
        found = real(requests, *rest, **options)
        spent.update(_since(begin))
        return found

    model.loglikelihood = timed  # type: ignore[method-assign]
    task = {
        "task": "ranking",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": job["rows"]}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "<|bos|><|user|>{{prompt}}<|end|><|assistant|>",
        "doc_to_choice": [f"{label}<|end|>" for label in job["labels"]],
        "doc_to_target": 0,
        "target_delimiter": "",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    manager = TaskManager(include_defaults=False)

    def rank(limit: int | None = None) -> dict[str, Any]:
        found = simple_evaluate(
            model, tasks=[task], task_manager=manager, bootstrap_iters=0, log_samples=True, limit=limit
        )
        rows = sorted(found["samples"]["ranking"], key=lambda row: row["doc_id"])
        sums = [[float(answer[0]) for answer in row["filtered_resps"]] for row in rows]
        return {**spent, "sums": sums, "batch": model.batch_size_per_gpu}

    seconds = {}
    rank(2)
    for batch in BATCHES:
        model.batch_size_per_gpu = batch
        seconds[batch] = rank(TRIED)["seconds"]
    model.batch_size_per_gpu = min(seconds, key=seconds.__getitem__)
    return rank


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(begin: tuple[float, float]) -> dict[str, Any]:
    wall, cpu = (now - then for now, then in zip(_clocks(), begin, strict=True))
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return {"seconds": wall, "cpu": cpu, "peak_mb": peak}


class Worker:
    """A program in a process of its own."""

    def __init__(self, python: str, program: str, job: Path, errors: Path):
        self.errors = errors
        environment = {
            "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
            "HF_DATASETS_CACHE": str(job.parent / "cache"),
        }  # fmt: skip
        self.process = subprocess.Popen(
            [python, __file__, "--run", program, str(job)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors.open("w"), text=True,
            env=os.environ | environment,
        )  # fmt: skip

    def rank(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"does not run: {self.errors.read_text(encoding='utf-8')[-1500:]}")
        found: dict[str, Any] = json.loads(line)
        return found


def fitting(model: Path, prompts: Sequence[str], labels: Sequence[str]) -> list[str]:
    """The prompts that fit the context: what is cut off is not the same in both programs."""
    from edgelm.model.config import read_config
    from edgelm.tokenizer.text import TextTokenizer

    tokenizer, context = TextTokenizer(model), read_config(model).context
    longest = max(len(tokenizer.encode(label)) for label in labels) + 1
    return [one for one in prompts if len(tokenizer.encode(one)) + longest + 4 <= context]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--task", help="a classification task; made-up items without")
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--lm-eval-python", default=sys.executable)
    parser.add_argument("--only", choices=PROGRAMS, action="append")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--run", nargs=2, metavar=("PROGRAM", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        answers, sys.stdout = sys.stdout, sys.stderr  # programs print
        serve(options.run[0], json.loads(Path(options.run[1]).read_text(encoding="utf-8")), answers)
        return
    if options.model is None:
        parser.error("name a model directory")
    count = options.items
    prompts, labels = from_task(options.task, count) if options.task else made_up(count)
    prompts = fitting(options.model, prompts, labels)
    programs = options.only or list(PROGRAMS)
    if (
        "lm-eval" in programs
        and subprocess.run(
            [options.lm_eval_python, "-c", "import lm_eval"], capture_output=True, check=False
        ).returncode
    ):
        print("lm-eval is not installed there; only edgelm is measured")
        programs.remove("lm-eval")
    print(
        f"{len(prompts)} items of {options.task or 'made-up text'}, {len(labels)} labels, "
        f"threads: {options.threads}, median of {options.repeats}"
    )
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        rows, job = Path(folder) / "rows.jsonl", Path(folder) / "job.json"
        rows.write_text("".join(json.dumps({"prompt": one}) + "\n" for one in prompts), encoding="utf-8")
        job.write_text(
            json.dumps(
                {
                    "model": str(options.model.resolve()),
                    "rows": str(rows),
                    "prompts": prompts,
                    "labels": labels,
                    "threads": options.threads,
                }
            ),
            encoding="utf-8",
        )
        pythons = {"edgelm": sys.executable, "lm-eval": options.lm_eval_python}
        workers = {name: Worker(pythons[name], name, job, Path(folder) / f"{name}.log") for name in programs}
        for _ in range(options.repeats):
            for name, worker in workers.items():
                runs[name].append(worker.rank())
        for worker in workers.values():
            worker.process.communicate()
    seconds, cpu = (
        {name: statistics.median(run[clock] for run in found) for name, found in runs.items()}
        for clock in ("seconds", "cpu")
    )
    print(f"{'':10}{'seconds':>9}{'CPU s':>9}{'items/s':>9}{'peak MB':>9}{'ratio':>7}{'of CPU':>8}")
    for name in programs:
        print(
            f"{name:10}{seconds[name]:9.1f}{cpu[name]:9.1f}{len(prompts) / seconds[name]:9.1f}"
            f"{runs[name][-1]['peak_mb']:9d}{seconds[name] / seconds[programs[0]]:7.1f}"
            f"{cpu[name] / cpu[programs[0]]:8.1f}"
        )
    figures: dict[str, Any] = {
        "items": len(prompts),
        "labels": len(labels),
        "threads": options.threads,
        "seconds": {name: [round(run["seconds"], 3) for run in found] for name, found in runs.items()},
        "median": {name: round(one, 3) for name, one in seconds.items()},
        "cpu_seconds": {name: round(one, 3) for name, one in cpu.items()},
        "peak_mb": {name: found[-1]["peak_mb"] for name, found in runs.items()},
    }
    if len(programs) == 2:
        ours, theirs = (runs[name][-1]["sums"] for name in PROGRAMS)
        same = sum(
            max(range(len(labels)), key=one.__getitem__) == max(range(len(labels)), key=other.__getitem__)
            for one, other in zip(ours, theirs, strict=True)
        )
        apart = max(
            abs(a - b)
            for one, other in zip(ours, theirs, strict=True)
            for a, b in zip(one, other, strict=True)
        )
        figures |= {"agreement": same / len(prompts), "largest_difference": apart}
        figures |= {"ratio": round(seconds["lm-eval"] / seconds["edgelm"], 2)}
        figures |= {"cpu_ratio": round(cpu["lm-eval"] / cpu["edgelm"], 2)}
        figures |= {"lm_eval_batch": runs["lm-eval"][-1]["batch"]}
        print(f"the same label for {same} of {len(prompts)}; log-likelihoods differ by at most {apart:.1e}")
    if options.output:
        options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
