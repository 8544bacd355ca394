"""How fast and how well `edgelm pretrain` trains, beside Hugging Face's Trainer and beside other settings.

    python benchmarks/pretrain.py CORPUS TOKENIZERS --only cpu      # tokens/s; a quarter of an hour
    python benchmarks/pretrain.py CORPUS TOKENIZERS --only gpu      # where there is a GPU
    python benchmarks/pretrain.py CORPUS TOKENIZERS --only loss     # two recipes, three seeds; an hour
    python benchmarks/pretrain.py CORPUS TOKENIZERS --only choices  # a run for each; half an hour

TOKENIZERS is a folder with a tokenizer of each vocabulary, `t4096 t8192 t16384 t32768`, as `edgelm tokenizer
train` makes them. Each part prints one table and writes JSON. The runs of `loss` and `choices` are kept in
--work: killed and started again, they go on.

Both trainers of the speed parts get the same packed batches of real text, the same shape, weights, batch and
precision, each in processes of its own, by turns. `documents` trains as edgelm does, attending inside
documents; `blocks` does just what the Trainer does: it attends over whole blocks and predicts every token.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from huggingface_trainer import WARM_UP, Job, _resident, measure

from edgelm.cli.options import print_table
from edgelm.corpus.shards import languages_of
from edgelm.model.config import get_preset
from edgelm.model.decoder import IGNORE, Decoder
from edgelm.model.directory import save_weights
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.packing import Batch, Packer
from edgelm.pretrain.pretrain import DataConfig, pretrain
from edgelm.pretrain.sampling import corpus_source
from edgelm.progress import Progress
from edgelm.tokenizer.special import PAD
from edgelm.tokenizer.text import TextTokenizer

ROUNDS = 2  # of each trainer, by turns
SPEED = {"micro": (16, 512), "tiny": (16, 512), "small": (8, 1024)}  # sequences a step and their length
STEPS = 10
REFERENCE = {"optimizer": "adamw", "learning_rate": 4e-4, "weight_decay": 0.01, "schedule": "cosine"}
"""Of MzansiLM (arXiv 2603.20732), its warm-up of 2 000 steps shortened to a tenth of the run."""
RECIPE = {"learning_rate": 0.004, "weight_decay": 0.1}


def tokenizer_of(folder: Path, preset: str) -> Path:
    return folder / f"t{get_preset(preset).vocab_size}"


def packed(corpus: Path, tokenizer: Path, batch: int, context: int, steps: int, folder: Path) -> list[Batch]:
    """The first batches that edgelm would train on."""
    text = TextTokenizer(tokenizer)
    source = corpus_source(corpus, languages_of(corpus), text, folder / "tokens", seed=0)
    packer = Packer(source, batch=batch, context=context, pad=text.id(PAD))
    return [packer.next_batch() for _ in range(steps)]


class Recorded:
    """Batches that are there already, in place of a packer."""

    def __init__(self, path: str, documents: bool):
        self.arrays = dict(np.load(path))
        self.documents, self.number = documents, 0
        _, self.batch, self.context = self.arrays["tokens"].shape

    def next_batch(self) -> Batch:
        batch = Batch(*(torch.from_numpy(self.arrays[name][self.number]) for name in Batch._fields))
        self.number += 1
        if self.documents:
            return batch
        targets = torch.nn.functional.pad(batch.tokens[:, 1:], (0, 1), value=IGNORE)
        return Batch(batch.tokens, targets, torch.zeros_like(batch.documents), torch.ones_like(batch.weights))

    def restore(self, state: dict[str, int]) -> None:
        self.number = state["number"]

    def state(self) -> dict[str, int]:
        return {"number": self.number}


def ours(job: dict[str, Any]) -> dict[str, Any]:
    """Train in this process; figures as `huggingface_trainer.train` gives them."""
    from edgelm.pretrain import loop
    from edgelm.pretrain.distributed import World

    loop.METRICS_EVERY, loop.CHECKPOINT_EVERY_S = 1, 1e9
    device = "cuda" if torch.cuda.is_available() else "cpu"
    recorded = Recorded(job["batches"], job["documents"])
    model = Decoder(get_preset(job["preset"]))
    model.load_state_dict(_load(job["weights"]))
    config = TrainConfig(
        **{"steps": len(recorded.arrays["tokens"]), "batch": recorded.batch, **job["config"]}
    )
    with tempfile.TemporaryDirectory() as folder:
        world = World(device=device)
        figures = loop.train(model, recorded, config, Path(folder), Progress(silent=True), "", world=world)  # type: ignore[arg-type]
        lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
        timed = [json.loads(line) for line in (Path(folder) / "speed.jsonl").read_text().splitlines()]
        setup = json.loads((Path(folder) / ".machine.json").read_text())
    speeds = [line["tokens_per_second"] for line in timed][WARM_UP:]
    return {
        "tokens_per_second": round(statistics.median(speeds)),
        "mfu": statistics.median(line["mfu"] for line in timed[WARM_UP:]),
        "losses": [line["loss"] for line in lines],
        "peak_bytes": _resident("VmHWM"),
        "gpu_peak_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else 0,
        "setup": setup,
        "figures": figures,
    }


def _load(path: str) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def measure_ours(job: dict[str, Any]) -> dict[str, Any]:
    """`ours` in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--ours", json.dumps(job)], capture_output=True, text=True, timeout=900
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(
    corpus: Path, tokenizers: Path, preset: str, batch: int, context: int, jobs: dict[str, Any]
) -> dict[str, Any]:
    """All jobs of a preset, by turns; the median speed, the highest memory and the last losses of each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        batches = packed(corpus, tokenizer_of(tokenizers, preset), batch, context, STEPS, folder)
        arrays = {
            field: np.stack([getattr(one, field).numpy() for one in batches]) for field in Batch._fields
        }
        np.savez(folder / "batches.npz", **arrays)
        np.save(folder / "tokens.npy", arrays["tokens"])
        model = Decoder(get_preset(preset))
        model.init_weights(torch.Generator().manual_seed(0))
        save_weights(dict(model.state_dict()), folder / "weights.safetensors")
        weights = str(folder / "weights.safetensors")
        runs: dict[str, list[dict[str, Any]]] = {label: [] for label in jobs}
        for _ in range(ROUNDS):
            for label, job in jobs.items():
                if isinstance(job, Job):
                    found = measure(
                        replace(job, preset=preset, tokens=str(folder / "tokens.npy"), weights=weights)
                    )
                else:
                    paths = {"batches": str(folder / "batches.npz"), "weights": weights}
                    found = measure_ours({**job, "preset": preset, **paths})
                runs[label].append(found)
                print(
                    f"  {preset} {label}: {found['tokens_per_second']:,} tokens/s",
                    file=sys.stderr,
                    flush=True,
                )
    return {
        label: {
            "tokens_per_second": statistics.median(one["tokens_per_second"] for one in found),
            "mfu": found[0].get("mfu"),
            "peak_bytes": max(one["gpu_peak_bytes"] or one["peak_bytes"] for one in found),
            "loss": statistics.mean(found[0]["losses"][-3:]),
            "runs": found,
        }
        for label, found in runs.items()
    }


def speed_table(found: dict[str, dict[str, Any]], title: str) -> None:
    rows = []
    for preset, labels in found.items():
        for label, one in labels.items():
            peers = [v["tokens_per_second"] for k, v in labels.items() if k.startswith("Trainer")]
            precise = [
                v["tokens_per_second"]
                for k, v in labels.items()
                if k.startswith("Trainer") and label.split(",")[-1].split()[0] in k
            ]
            best = max(precise or peers)
            mfu = f"{one['mfu']:.0%}" if one["mfu"] else "-"
            ratio = f"{one['tokens_per_second'] / best:.2f}"
            memory = f"{one['peak_bytes'] / 1e9:.2f}"
            rows.append(
                [preset, label, f"{one['tokens_per_second']:,.0f}", ratio, mfu, memory, f"{one['loss']:.3f}"]
            )
    header = ["preset", "trainer", "tokens/s", "of the best Trainer's", "of the peak", "GB", "last loss"]
    print_table(header, rows, title)


def cpu(corpus: Path, tokenizers: Path, presets: list[str]) -> dict[str, Any]:
    found = {}
    for preset in presets:
        batch, context = SPEED[preset]
        settings = {"learning_rate": 0.002, "warmup": 3, "precision": "bf16", "compile": "off"}
        jobs: dict[str, Any] = {
            "Trainer, bf16": Job(preset, "", precision="bf16", warmup=3),
            "Trainer, bf16 compiled": Job(preset, "", precision="bf16", compile=True, warmup=3),
            "edgelm documents, bf16": {"documents": True, "config": settings},
            "edgelm documents, bf16 AdamW": {"documents": True, "config": {**settings, "optimizer": "adamw"}},
            "edgelm blocks, bf16": {"documents": False, "config": settings},
        }
        if preset == "micro":
            jobs["Trainer, fp32"] = Job(preset, "", warmup=3)
            jobs["edgelm documents, fp32"] = {"documents": True, "config": {**settings, "precision": "fp32"}}
        found[preset] = compare(corpus, tokenizers, preset, batch, context, jobs)
    speed_table(found, "Training on the CPU")
    return found


def gpu(corpus: Path, tokenizers: Path) -> dict[str, Any]:
    """`125m` at its context in bfloat16: speed and memory by micro-batch, and the Trainer."""
    if not torch.cuda.is_available():
        print("No GPU here.")
        return {}
    jobs: dict[str, Any] = {}
    settings = {"learning_rate": 0.002, "warmup": 3, "precision": "bf16"}
    for rows in (4, 8, 16, 32, 64):
        config = {**settings, "micro_batch": rows}
        jobs[f"edgelm documents, {rows} at a time"] = {"documents": True, "config": config}
    jobs["edgelm blocks, 32 at a time"] = {"documents": False, "config": {**settings, "micro_batch": 32}}
    jobs["edgelm documents, not compiled"] = {
        "documents": True,
        "config": {**settings, "compile": "off", "micro_batch": 32},
    }
    jobs["Trainer, bf16"] = Job("125m", "", precision="bf16", accumulation=4, warmup=3)
    jobs["Trainer, bf16 compiled"] = Job("125m", "", precision="bf16", accumulation=4, compile=True, warmup=3)
    found = {"125m": compare(corpus, tokenizers, "125m", 64, 2048, jobs)}
    speed_table(found, f"Training on {torch.cuda.get_device_name()}")
    return found


def trained(
    corpus: Path,
    tokenizers: Path,
    preset: str,
    work: Path,
    name: str,
    config: TrainConfig,
    data: DataConfig,
) -> dict[str, Any]:
    """A whole run, kept in `work`; its figures."""
    print(f"  {name}", file=sys.stderr, flush=True)
    tokenizer = tokenizer_of(tokenizers, preset)
    return pretrain(
        corpus, tokenizer, work / name, preset=preset, config=config, data=data, progress=Progress(quiet=True)
    )


def loss(corpus: Path, tokenizers: Path, work: Path, steps: int, seeds: int) -> dict[str, Any]:
    """Validation bits per byte of our recipe and the reference's at equal tokens."""
    found: dict[str, Any] = {}
    for seed in range(seeds):
        for label, settings in {"reference": REFERENCE, "recipe": RECIPE}.items():
            config = TrainConfig(steps=steps, batch=16, warmup=steps // 10, seed=seed, **settings)  # type: ignore[arg-type]
            run = trained(corpus, tokenizers, "tiny", work, f"{label}-{steps}-{seed}", config, DataConfig())
            found.setdefault(label, []).append(run["validation_bits_per_byte"])
    rows = []
    for code in found["recipe"][0]:
        means = {label: statistics.mean(one[code] for one in runs) for label, runs in found.items()}
        spread = {
            label: max(one[code] for one in runs) - min(one[code] for one in runs)
            for label, runs in found.items()
        }
        change = means["recipe"] / means["reference"] - 1
        rows.append(
            [code, *(f"{means[label]:.3f} ({spread[label]:.3f})" for label in means), f"{change:+.1%}"]
        )
    tokens = steps * 16 * get_preset("tiny").context
    title = (
        f"Bits per byte on validation text, tiny, {tokens / 1e6:.1f} M tokens, mean of {seeds} seeds (range)"
    )
    print_table(["language", *found, "change"], rows, title)
    return found


CHOICES: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "AdamW": {"optimizer": "adamw"},
    "AdamW, rate 0.001": {"optimizer": "adamw", "learning_rate": 0.001},
    "rate 0.001": {"learning_rate": 0.001},
    "rate 0.004": {"learning_rate": 0.004},
    "cosine": {"schedule": "cosine"},
    "decay over 0.2": {"decay": 0.2},
    "decay over 0.8": {"decay": 0.8},
    "weight decay 0.01": {"weight_decay": 0.01},
    "weight decay 0.5": {"weight_decay": 0.5},
    "dropout 0.1": {"dropout": 0.1},
    "z-loss 1e-4": {"z_loss": 1e-4},
    "moving average 0.98": {"ema": 0.98},
    "half the batch, twice the steps": {"batch": 8, "steps": 2},
    "twice the batch, half the steps": {"batch": 32, "steps": 0.5},
    "temperature 1": {"data": DataConfig(temperature=1.0)},
    "temperature 5": {"data": DataConfig(temperature=5.0)},
    "UniMax": {"data": DataConfig(sampling="unimax")},
}


def choices(corpus: Path, tokenizers: Path, work: Path, steps: int) -> dict[str, Any]:
    """Validation bits per byte of `micro` with one setting changed at a time."""
    found = {}
    for label, changed in CHOICES.items():
        settings = {"batch": 16, **RECIPE, **changed}
        data = settings.pop("data", DataConfig())
        count = round(steps * settings.pop("steps", 1))
        config = TrainConfig(steps=count, warmup=count // 10, **settings)
        name = label.replace(",", "").replace(" ", "-")
        found[label] = trained(corpus, tokenizers, "micro", work, f"{name}-{steps}", config, data)
    base = found["the recipe"]["validation_bits_per_byte"]["mean"]
    rows = []
    for label, run in found.items():
        bits = run["validation_bits_per_byte"]
        worst = max(value for code, value in bits.items() if code != "mean")
        rows.append(
            [
                label,
                f"{bits['mean']:.3f}",
                f"{bits['mean'] / base - 1:+.1%}",
                f"{worst:.3f}",
                f"{run['tokens_per_second']:,}",
            ]
        )
    header = ["choice", "bits per byte", "change", "worst language", "tokens/s"]
    tokens = steps * 16 * get_preset("micro").context / 1e6
    print_table(header, rows, f"One setting changed at a time: micro, {tokens:.1f} M tokens, one seed")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("tokenizers", type=Path, nargs="?")
    parser.add_argument("--only", choices=["cpu", "gpu", "loss", "choices"])
    parser.add_argument("--presets", default="micro,tiny,small")
    parser.add_argument("--steps", type=int, help="of the runs of `loss` (300) and `choices` (150)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("benchmark-runs"))
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        print(json.dumps(ours(json.loads(options.ours))))
        return
    corpus, tokenizers = options.corpus, options.tokenizers
    found: dict[str, Any] = {}
    if options.only in (None, "cpu"):
        found["cpu"] = cpu(corpus, tokenizers, options.presets.split(","))
    if options.only in (None, "gpu"):
        found["gpu"] = gpu(corpus, tokenizers)
    if options.only in (None, "loss"):
        found["loss"] = loss(corpus, tokenizers, options.work, options.steps or 300, options.seeds)
    if options.only in (None, "choices"):
        found["choices"] = choices(corpus, tokenizers, options.work, options.steps or 150)
    if options.output:
        options.output.write_text(json.dumps(found, indent=1, default=asdict) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
