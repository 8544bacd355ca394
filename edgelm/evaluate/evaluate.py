"""`edgelm evaluate`: bits per byte on a corpus and scores on tasks beside baselines, for any runtime."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.evaluate.baselines import BASELINES
from edgelm.evaluate.bits_per_byte import bits_per_byte, corpus_texts
from edgelm.evaluate.classify import classify
from edgelm.evaluate.metrics import classification_scores
from edgelm.progress import Progress
from edgelm.runtime import load
from edgelm.tasks.classification import SPLITS, Example, Task

TEST_BYTES = 20_000


def evaluate(
    model: Path,
    output: Path,
    *,
    corpus: Path | None = None,
    tasks: Sequence[Task] = (),
    split: str = "test",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluate a model into `output` (`evaluation.json`, `predictions.jsonl`); returns the figures.

    Raises:
        BadInput: model, corpus or a task's files are missing or damaged, or there is nothing in the split.
    """
    if split not in SPLITS:
        raise BadInput(f"unknown split '{split}'", remedy=f"choose one of: {', '.join(SPLITS)}")
    progress = progress or Progress(silent=True)

    def work(partial: Path) -> dict[str, Any]:
        texts = corpus_texts(corpus, split, TEST_BYTES) if corpus else {}
        if corpus and not texts:
            raise BadInput(f"holds no {split} text", file=corpus, remedy="build it from more documents")
        examples = {task.name: task.examples(split) for task in tasks}
        loaded = load(model)
        predictions: list[dict[str, str]] = []
        figures: dict[str, Any] = {
            "name": loaded.name,
            "backend": loaded.backend,
            "split": split,
            "tasks": {},
        }
        total = sum(map(len, texts.values())) + sum(map(len, examples.values()))
        with progress.track(total, f"evaluating {loaded.name}") as step:
            figures["bits_per_byte"] = bits_per_byte(loaded, texts, step)
            for task in tasks:
                labels = classify(loaded, examples[task.name], task.labels, step)
                figures["tasks"][task.name] = score_task(task, examples[task.name], labels)
                predictions += [
                    {"task": task.name, "language": one.language, "label": one.label, "predicted": label}
                    for one, label in zip(examples[task.name], labels, strict=True)
                ]
        loaded.close()
        artifacts.write_json(partial / "evaluation.json", figures)
        lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in predictions)
        artifacts.write_text(partial / "predictions.jsonl", lines)
        return figures

    provenance, _ = artifacts.build(
        output,
        command="evaluate",
        config={"split": split, "tasks": [task.config() for task in tasks], "corpus_bytes": TEST_BYTES},
        inputs=[model, *([corpus] if corpus else []), *(file for task in tasks for file in task.inputs())],
        work=work,
    )
    return provenance["results"]


def evaluate_baselines(
    output: Path, tasks: Sequence[Task], split: str = "test", progress: Progress | None = None
) -> dict[str, Any]:
    """Train every baseline on each task and score it into `output`; figures by task and baseline."""
    progress = progress or Progress(silent=True)

    def work(partial: Path) -> dict[str, Any]:
        figures: dict[str, Any] = {}
        with progress.track(len(tasks) * len(BASELINES), "training baselines") as step:
            for task in tasks:
                train, test = task.examples("train"), task.examples(split)
                figures[task.name] = {}
                for name, predict in BASELINES.items():
                    figures[task.name][name] = score_task(task, test, predict(train, test))
                    step(1, name)
        artifacts.write_json(partial / "evaluation.json", figures)
        return figures

    provenance, _ = artifacts.build(
        output,
        command="evaluate baselines",
        config={"split": split, "tasks": [task.config() for task in tasks], "baselines": list(BASELINES)},
        inputs=[file for task in tasks for file in task.inputs()],
        work=work,
    )
    return provenance["results"]


def score_task(task: Task, examples: list[Example], predicted: list[str]) -> dict[str, Any]:
    """Scores over all languages together, and macro-F1 of each under `languages`."""
    scores = classification_scores([one.label for one in examples], predicted, task.labels)
    by_language = {}
    for code in sorted({one.language for one in examples}):
        rows = [index for index, one in enumerate(examples) if one.language == code]
        truth, guess = [examples[index].label for index in rows], [predicted[index] for index in rows]
        by_language[code] = classification_scores(truth, guess, task.labels)["macro_f1"]
    return {**scores, "languages": by_language}
