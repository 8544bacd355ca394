"""`edgelm finetune --method auto`: train what is cheap and a head, and keep the smallest that is as good.

The third candidate is the ensemble of the two. A language model earns its megabytes where it is better on
validation by more than chance: where the 95 % interval of the difference (paired bootstrap) lies above zero.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.evaluate.predict import predict
from edgelm.evaluate.scores import ALL, compare
from edgelm.finetune.config import FinetuneConfig, check_layers
from edgelm.finetune.ensemble import cheap_method, finetune_ensemble, validation_of
from edgelm.finetune.head import build_labeller
from edgelm.finetune.repeat import seconds_of
from edgelm.model.config import read_config
from edgelm.progress import Progress
from edgelm.runtime import load_labeller
from edgelm.runtime.ensemble import HEAD
from edgelm.runtime.inside import check_decoder
from edgelm.tasks.tagging import Tagging
from edgelm.tasks.task import Task

ENSEMBLE = "ensemble"
TRIED = "tried"
"""Where the ensemble lies, with the other two in it, inside the model that was chosen instead."""
REPORT = "auto.json"
BESIDE = {"metrics.jsonl", artifacts.PROVENANCE, *artifacts.CLOCKED}
"""Files of a model directory that nothing needs to run it."""


def finetune_auto(
    model: Path,
    task: Task[Any],
    output: Path,
    *,
    config: FinetuneConfig,
    languages: list[str] | None = None,
    both_ways: bool = False,
    validate_every: int = 0,
    validation_examples: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train several models of a task into `output`: the one to use, and the others below `output/tried`.

    Returns:
        the figures of the chosen one, with `chosen`, its method, and `candidates`: by method `score`,
        `interval`, `seconds` of training, `bytes` of the files that run it, and `difference` and
        `difference_interval` to the best.

    Raises:
        BadInput: the task has neither labels nor tags, or no validation split; or a file is missing.
    """
    check_decoder(model, heads=True)
    shape = read_config(model)
    shape.window(config.context)
    check_layers(shape.layers, config)
    progress = progress or Progress(silent=True)
    cheap = cheap_method(task)
    if not validation_of(task, languages):
        raise BadInput(f"'{task.name}' has no validation split to choose on", remedy="name a method")

    def work(partial: Path) -> dict[str, Any]:
        both = partial / TRIED / ENSEMBLE
        finetune_ensemble(
            model,
            task,
            both,
            config=config,
            languages=languages,
            both_ways=both_ways,
            validate_every=validate_every,
            validation_examples=validation_examples,
            progress=progress,
        )
        models = {cheap: both / cheap, HEAD: both / HEAD, ENSEMBLE: both}
        figures = judge(task, models, languages)
        artifacts.write_json(partial / REPORT, figures)
        chosen = models[figures["chosen"]]
        shutil.copytree(chosen, partial, dirs_exist_ok=True)
        (partial / artifacts.PROVENANCE).unlink()
        return {**(artifacts.read_provenance(chosen) or {})["results"], **figures}

    def clean(partial: Path) -> None:
        if json.loads((partial / REPORT).read_text(encoding="utf-8"))["chosen"] == ENSEMBLE:
            shutil.rmtree(partial / TRIED, ignore_errors=True)
        artifacts.clear_locks(partial)

    return build_labeller(
        "auto",
        model,
        task,
        output,
        work,
        config=config,
        languages=languages,
        both_ways=both_ways,
        validate_every=validate_every,
        validation_examples=validation_examples,
        clean=clean,
        say=progress.say,
    )


def judge(task: Task[Any], models: dict[str, Path], languages: list[str] | None = None) -> dict[str, Any]:
    """`chosen` and `candidates` of finished models by method, on validation."""
    held_out = validation_of(task, languages)
    predicted = {}
    for name, folder in models.items():
        labeller = load_labeller(folder)
        assert labeller is not None
        predicted[name] = predict(labeller, task, held_out)
    entries = compare(
        task.name,
        held_out,
        predicted,
        list(models),
        labels=task.tags if isinstance(task, Tagging) else task.labels,
        scheme=task.scheme if isinstance(task, Tagging) else "flat",
        metric=task.metric,
    )
    several = len({one.language for one in held_out}) > 1
    entries = [one for one in entries if one["language"] == ALL or not several]
    best = max(entries, key=lambda one: one["scores"][task.metric])["system"]
    candidates: dict[str, dict[str, Any]] = {}
    for one in entries:
        name, scores = one["system"], one["scores"]
        provenance = artifacts.read_provenance(models[name]) or {}
        candidates[name] = {
            "metric": task.metric,
            "score": scores[task.metric],
            "interval": scores["interval"],
            "seconds": round(seconds_of(models[name]), 1),
            "bytes": sum(
                size for file, size in provenance["outputs"].items() if BESIDE.isdisjoint(Path(file).parts)
            ),
        }
        if name != best:
            candidates[name] |= {
                "difference": one["differences"][best]["difference"],
                "difference_interval": one["differences"][best]["interval"],
            }
    return {"chosen": choose(candidates), "candidates": candidates}


def choose(candidates: dict[str, dict[str, Any]]) -> str:
    """The smallest of those that are not worse than the best by more than chance."""
    good = [name for name, one in candidates.items() if one.get("difference_interval", [0, 0])[1] >= 0]
    return min(good, key=lambda name: candidates[name]["bytes"])
