"""How fast `edgelm finetune --method full` trains, beside trl's SFTTrainer on the same model and examples.

    python -m venv trl && trl/bin/pip install trl==1.16.0 transformers==4.57.6 'torch<2.14'
    python benchmarks/finetune.py MODEL TASK --languages xho --trl trl/bin/python -o finetune.json

trl 1.16 wants transformers >= 4.56.2, so it can also stand in edgelm's own environment, beside the extra
`export`; --trl is this Python by default. Compared are the tokens of examples, prompts and answers without
padding, that went through training a second, after the first steps. The loss is on the answers only; batch,
context, precision and threads are the same, each run is a process of its own, and the trainers take turns.

trl pads each batch to its longest example by default, and then gets as many examples a step as edgelm packs
into one; with its packing it gets as many blocks. `crosstalk` is how far packed logits are from those of
examples alone.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
from huggingface_trainer import WARM_UP, _resident
from sft_trainer import Job

from edgelm.cli.options import print_table
from edgelm.finetune.config import FinetuneConfig
from edgelm.finetune.examples import ExampleSource, answer_item
from edgelm.finetune.finetune import taught
from edgelm.model.decoder import IGNORE
from edgelm.model.directory import load_model
from edgelm.pretrain import loop
from edgelm.pretrain.packing import Batch, Item, Packer, make_item
from edgelm.pretrain.probe import faster_precision
from edgelm.progress import Progress
from edgelm.tasks.task import load_task
from edgelm.tokenizer.special import PAD
from edgelm.tokenizer.text import TextTokenizer


class Counted(Packer):
    """Counts the tokens of examples in each batch, and all that are computed."""

    counts: list[tuple[int, int]]

    def next_batch(self) -> Batch:
        batch = super().next_batch()
        self.counts.append((int((batch.documents >= 0).sum()), batch.tokens.numel()))
        return batch


def ours(job: dict[str, Any]) -> dict[str, Any]:
    """Train in this process; figures as `sft_trainer.train` gives them."""
    loop.METRICS_EVERY, loop.CHECKPOINT_EVERY_S = 1, 1e9
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    model, text = load_model(Path(job["model"])), TextTokenizer(Path(job["model"]))
    items = []
    for line in Path(job["examples"]).read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        items.append(make_item(one["input_ids"], learn_from=one["completion_mask"].index(1)))
    config = FinetuneConfig(
        steps=job["steps"],
        batch=job["batch"],
        learning_rate=job["learning_rate"],
        warmup=job["warmup"],
        precision=job["precision"],
        optimizer=job["optimizer"],
        compile="off",
    )
    packer = Counted(ExampleSource(items, 0), batch=job["batch"], context=job["context"], pad=text.id(PAD))
    packer.counts = []
    with tempfile.TemporaryDirectory() as name:
        loop.train(model, packer, config, Path(name), Progress(silent=True), "")
        lines = [json.loads(line) for line in (Path(name) / "metrics.jsonl").read_text().splitlines()]
        timed = [json.loads(line) for line in (Path(name) / "speed.jsonl").read_text().splitlines()]
        setup = json.loads((Path(name) / ".machine.json").read_text())
    real, computed = zip(*packer.counts[: job["steps"]], strict=True)
    seconds = [count / one["tokens_per_second"] for count, one in zip(computed, timed, strict=True)]
    return {
        "tokens_per_second": round(sum(real[WARM_UP:]) / sum(seconds[WARM_UP:])),
        "step_seconds": [round(one, 4) for one in seconds],
        "tokens_a_step": round(statistics.mean(real)),
        "padding": round(1 - sum(real) / sum(computed), 4),
        "crosstalk": 0.0,
        "losses": [line["loss"] for line in lines],
        "peak_bytes": _resident("VmHWM"),
        "setup": setup,
    }


def in_a_process(python: str, script: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [python, str(Path(__file__).with_name(script)), *arguments],
        env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    if done.returncode:
        raise RuntimeError(f"{script} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def write_examples(
    model: Path, task: str, languages: list[str] | None, folder: Path
) -> tuple[Path, list[Item]]:
    """A task's training examples as token numbers, made as `edgelm finetune` makes them."""
    text, loaded = TextTokenizer(model), load_task(task)
    context = load_model(model).config.context
    said = taught(loaded, loaded.examples("train", languages), "english", 0)
    items = [answer_item(asked, answer, text, context) for asked, answer in said]
    path = folder / "examples.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for item in items:
            learnt = [0, *(int(target != IGNORE) for target in item.targets[:-1])]
            stream.write(json.dumps({"input_ids": item.ids.tolist(), "completion_mask": learnt}) + "\n")
    return path, items


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """All trainers by turns; the median speed and the highest memory of each."""
    with tempfile.TemporaryDirectory() as name:
        languages = options.languages.split(",") if options.languages else None
        path, items = write_examples(options.model, options.task, languages, Path(name))
        context = load_model(options.model).config.context
        mean = statistics.mean(len(item.ids) for item in items)
        job = Job(
            str(options.model),
            str(path),
            options.steps,
            options.batch,
            context,
            precision=options.precision if options.precision != "auto" else faster_precision(),
            threads=options.threads,
        )
        padded = round(options.batch * context / mean)
        jobs: dict[str, Any] = {
            "edgelm, Muon": {**asdict(job), "optimizer": "muon"},
            "edgelm, AdamW": {**asdict(job), "optimizer": "adamw"},
            "trl, padding": replace(job, batch=padded),
            "trl, packing": replace(job, packing=True),
        }
        runs: dict[str, list[dict[str, Any]]] = {label: [] for label in jobs}
        for _ in range(options.rounds):
            for label, one in jobs.items():
                if isinstance(one, Job):
                    found = in_a_process(options.trl, "sft_trainer.py", json.dumps(asdict(one)))
                else:
                    found = in_a_process(sys.executable, "finetune.py", "--ours", json.dumps(one))
                runs[label].append(found)
                print(f"  {label}: {found['tokens_per_second']:,} tokens/s", file=sys.stderr, flush=True)
    return {
        "task": options.task,
        "languages": languages,
        "precision": job.precision,
        "batch": options.batch,
        "context": context,
        "examples": len(items),
        "example_tokens": round(mean, 1),
        "trainers": {
            label: {
                "tokens_per_second": statistics.median(one["tokens_per_second"] for one in found),
                "padding": found[0]["padding"],
                "crosstalk": found[0]["crosstalk"],
                "peak_bytes": max(one["peak_bytes"] for one in found),
                "runs": found,
            }
            for label, found in runs.items()
        },
    }


def table(found: dict[str, Any]) -> None:
    peers = [one for label, one in found["trainers"].items() if label.startswith("trl")]
    best = max(one["tokens_per_second"] for one in peers)
    rows = [
        [
            label,
            f"{one['tokens_per_second']:,.0f}",
            f"{one['tokens_per_second'] / best:.2f}",
            f"{one['padding']:.1%}",
            f"{one['crosstalk']:g}",
            f"{one['peak_bytes'] / 1e9:.2f}",
        ]
        for label, one in found["trainers"].items()
    ]
    examples = f"{found['examples']:,} examples of {found['example_tokens']:g} tokens"
    step = f"{found['batch']} x {found['context']} a step, {found['precision']}"
    header = ["trainer", "tokens/s", "of trl's best", "padding", "crosstalk", "GB"]
    print_table(header, rows, f"Finetuning on {found['task']}: {examples}, {step}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("task", nargs="?")
    parser.add_argument("--languages")
    parser.add_argument("--trl", default=sys.executable, help="the Python that has trl")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        print(json.dumps(ours(json.loads(options.ours))))
        return
    found = compare(options)
    table(found)
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
