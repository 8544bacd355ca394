"""One training several times: for each language, with several seeds, at several learning rates."""

import json
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.tasks.generation import Generation
from edgelm.tasks.task import Task

if TYPE_CHECKING:
    from edgelm.finetune.config import FinetuneConfig

FACTORS = (1.0, 0.5, 2.0, 0.25, 4.0)
"""What a search multiplies the learning rate with, the likeliest first."""
FEWEST = 10
"""Steps of a trial, at least; a twentieth of the run's where that is more."""
SEEDS = "seeds.json"


@dataclass(frozen=True, slots=True)
class Training:
    """A way to train.

    Attributes:
        run: trains into a folder, on these languages, and returns the figures of the run.
        config: settings that `run` is given, each time some of them changed.
        settings: what else decides the outcome, as JSON takes it.
        inputs: files and folders that `run` reads.
    """

    run: Callable[[Path, "FinetuneConfig", list[str] | None], dict[str, Any]]
    config: "FinetuneConfig"
    settings: dict[str, Any]
    inputs: Sequence[Path]

    def __call__(self, output: Path, languages: list[str] | None) -> dict[str, Any]:
        return self.run(output, self.config, languages)


def seconds_of(folder: Path) -> float:
    """What a training took, all its beginnings together where it was interrupted, and those of its parts."""
    last = float((artifacts.read_provenance(folder) or {})["seconds"])
    speed = folder / "speed.jsonl"
    lines = speed.read_text(encoding="utf-8").splitlines() if speed.exists() else []
    noted = [json.loads(line).get("seconds", 0.0) for line in lines[-1:]]
    parts = sum(seconds_of(part.parent) for part in folder.glob(f"*/{artifacts.PROVENANCE}"))
    return max([last, parts, *noted])


def main_score(scores: dict[str, Any]) -> float:
    """The figure that decides, from 0 to 1: those of written text are percentages."""
    metric = scores["metric"]
    return float(scores[metric]) / (100 if metric in Generation.METRICS else 1)


def languages_of(task: Task[Any], languages: Sequence[str] | None) -> list[str]:
    """The languages to train one model each for: those named, or all that have training examples."""
    return list(languages or [code for code in task.languages if task.has("train", code)])


def check_folder(output: Path) -> None:
    """Raise `BadInput` where several models are to be written below a folder that is one itself."""
    if (output / artifacts.PROVENANCE).exists():
        raise BadInput(
            "holds a model, and several are to be written below it",
            file=output,
            remedy="choose another output folder",
        )


def train_languages(
    run: Callable[[Path, list[str] | None], dict[str, Any]], output: Path, codes: Sequence[str]
) -> dict[str, Any]:
    """Train into `output/CODE` for each language by itself; figures by code."""
    check_folder(output)
    return {code: run(output / code, [code]) for code in codes}


def train_seeds(
    training: Training, output: Path, count: int, languages: list[str] | None = None
) -> dict[str, Any]:
    """Train into `output/seed-N` with `count` seeds from the configured one on; figures by folder name.

    Writes `output/seeds.json`, which is what `spread` returns.
    """
    check_folder(output)
    first = training.config.seed
    found = {
        f"seed-{seed}": training.run(output / f"seed-{seed}", replace(training.config, seed=seed), languages)
        for seed in range(first, first + count)
    }
    artifacts.write_json(output / SEEDS, spread(found))
    return found


def spread(found: dict[str, Any]) -> dict[str, Any]:
    """By task: the metric, its score by folder name, their mean, sample standard deviation and range."""
    summary = {}
    for name, one in next(iter(found.values()))["tasks"].items():
        metric = one["metric"]
        scores = {run: figures["tasks"][name][metric] for run, figures in found.items()}
        values = list(scores.values())
        summary[name] = {
            "metric": metric,
            "scores": scores,
            "mean": round(statistics.mean(values), 4),
            "sd": round(statistics.stdev(values), 4) if len(values) > 1 else 0.0,
            "range": [min(values), max(values)],
        }
    return summary


def search(
    training: Training,
    output: Path,
    seconds: float,
    languages: list[str] | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> dict[str, Any]:
    """Try learning rates around the configured one in short runs, each of as many steps.

    The rates tried, and nothing else, are kept in `output`, so that the same search is not made twice.

    Args:
        seconds: to spend on all trials together; a trial is never cut short.

    Returns:
        `rate`, the best one on validation; `scores` by rate, from 0 to 1, the mean over tasks; `steps` of
        each trial; `metrics`, of what the scores are.

    Raises:
        BadInput: there is nothing to validate on.
    """
    config = training.config

    metrics: set[str] = set()

    def work(partial: Path) -> dict[str, Any]:
        def trial(rate: float, steps: int) -> tuple[float, float]:
            folder = partial / f"{rate:g}-{steps}"
            # a trial of all steps is the run itself, with the same score
            warmup = config.warmup if steps == config.steps else min(config.warmup, steps // 4)
            short = replace(config, learning_rate=rate, steps=steps, warmup=warmup)
            tasks = training.run(folder, short, languages)["tasks"]
            if not tasks:
                raise BadInput(
                    "there is no validation split to choose a rate on", remedy="leave --search out"
                )
            metrics.update(one["metric"] for one in tasks.values())
            return statistics.mean(map(main_score, tasks.values())), seconds_of(folder)

        steps = min(config.steps, max(FEWEST, config.steps // 20))
        score, spent = trial(config.learning_rate, steps)
        rates = [config.learning_rate * factor for factor in FACTORS if config.learning_rate * factor < 1]
        fitting = min(int(steps * (seconds - spent) / len(rates) / max(spent, 1e-3)), config.steps)
        each, scores = spent, {config.learning_rate: score}
        if fitting > steps:
            steps, scores = fitting, {}
        for rate in rates:
            if rate in scores or (scores and spent + each > seconds):
                continue
            scores[rate], each = trial(rate, steps)
            spent += each
            say(f"learning rate {rate:g}, {steps} steps: {scores[rate]:.3f}")
        best = max(scores, key=scores.__getitem__)
        rounded = {f"{rate:g}": round(score, 4) for rate, score in scores.items()}
        return {"rate": best, "scores": rounded, "steps": steps, "metrics": sorted(metrics)}

    def clean(partial: Path) -> None:
        for trial in partial.iterdir():
            if trial.is_dir():
                shutil.rmtree(trial)
        artifacts.clear_locks(partial)

    provenance, _ = artifacts.build(
        output,
        command="finetune --search",
        config={
            **training.settings,
            **config.decisive(),
            "languages": languages,
            "factors": FACTORS,
            "seconds": seconds,
        },
        inputs=training.inputs,
        work=work,
        clean=clean,
        say=say,
    )
    found: dict[str, Any] = provenance["results"]
    return found


def with_best_rate(training: Training, found: dict[str, Any]) -> Training:
    """The training at the rate that a search found."""
    return replace(training, config=replace(training.config, learning_rate=found["rate"]))
