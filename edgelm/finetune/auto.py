"""`edgelm finetune --method auto`: train what is cheap, then a head, and keep the smallest that is as good.

A language model earns its megabytes where it is better on validation by more than chance: where the 95 %
interval of the difference (paired bootstrap) lies above zero.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Literal

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.evaluate.predict import predict
from edgelm.evaluate.scores import ALL, compare
from edgelm.finetune.config import FinetuneConfig
from edgelm.finetune.head import finetune_head
from edgelm.finetune.repeat import seconds_of
from edgelm.finetune.small import finetune_small
from edgelm.progress import Progress
from edgelm.runtime import load_labeller
from edgelm.tasks.classification import Classification
from edgelm.tasks.examples import languages_in
from edgelm.tasks.tagging import Tagging
from edgelm.tasks.task import Task

TRIED = "tried"
"""The folder of the models that were not chosen, inside the one that was."""
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
    progress = progress or Progress(silent=True)
    if not isinstance(task, Classification | Tagging):
        raise BadInput(
            f"--method auto compares models that label, and '{task.name}' asks for text",
            remedy="use --method full or lora, and edgelm evaluate, which sets it beside baselines",
        )
    if not _held_out(task, languages):
        raise BadInput(f"'{task.name}' has no validation split to choose on", remedy="name a method")
    cheap: Literal["linear", "crf"] = "linear" if isinstance(task, Classification) else "crf"

    def work(partial: Path) -> dict[str, Any]:
        folder = partial / TRIED
        folder.mkdir(exist_ok=True)
        finetune_small(task, folder / cheap, cheap, languages=languages, progress=progress)
        finetune_head(
            model,
            task,
            folder / "head",
            config=config,
            languages=languages,
            both_ways=both_ways,
            validate_every=validate_every,
            progress=progress,
        )
        figures = judge(task, {name: folder / name for name in (cheap, "head")}, languages)
        artifacts.write_json(partial / REPORT, figures)
        chosen = folder / figures["chosen"]
        for file in chosen.iterdir():
            if file.name != artifacts.PROVENANCE:
                shutil.copyfile(file, partial / file.name)
        return {**(artifacts.read_provenance(chosen) or {})["results"], **figures}

    def clean(partial: Path) -> None:
        chosen = json.loads((partial / REPORT).read_text(encoding="utf-8"))["chosen"]
        shutil.rmtree(partial / TRIED / chosen, ignore_errors=True)
        for lock in (partial / TRIED).glob(".*.lock"):
            lock.unlink()

    provenance, _ = artifacts.build(
        output,
        command="finetune",
        config={
            "method": "auto",
            "both_ways": both_ways,
            "tasks": [task.config()],
            "languages": languages,
            "validate_every": validate_every,
            **config.decisive(),
        },
        inputs=[model, *task.inputs(("train", "validation"))],
        work=work,
        clean=clean,
        say=progress.say,
    )
    found: dict[str, Any] = provenance["results"]
    return found


def _held_out(task: Task[Any], languages: list[str] | None) -> list[Any]:
    """Validation examples of the languages that are learnt."""
    return task.validation(languages_in(task.examples("train", languages)))


def judge(task: Task[Any], models: dict[str, Path], languages: list[str] | None = None) -> dict[str, Any]:
    """`chosen` and `candidates` of finished models by method, on validation."""
    held_out = _held_out(task, languages)
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
                size for file, size in provenance["outputs"].items() if Path(file).parts[0] not in BESIDE
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
