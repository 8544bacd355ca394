"""`edgelm evaluate`: bits per byte on a corpus and scores on tasks beside baselines, for any runtime."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.evaluate.baselines import UNTRAINED, baselines
from edgelm.evaluate.bits_per_byte import bits_per_byte, corpus_texts
from edgelm.evaluate.predict import expected, predict
from edgelm.evaluate.scores import compare, score
from edgelm.evaluate.tables import latex, markdown, to_json
from edgelm.progress import Progress
from edgelm.runtime import load, load_labeller
from edgelm.tasks.task import SPLITS, Task

TEST_BYTES = 20_000
PREDICTIONS = "predictions.jsonl"


def evaluate(
    model: Path,
    output: Path,
    *,
    corpus: Path | None = None,
    tasks: Sequence[Task[Any]] = (),
    split: str = "test",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluate a model into `output` (`evaluation.json`, `predictions.jsonl`); returns the figures.

    Raises:
        BadInput: model, corpus or a task's files are missing or damaged, there is nothing in the split, or
            the model cannot do a task.
    """
    _check_split(split)
    progress = progress or Progress(silent=True)

    def work(partial: Path) -> dict[str, Any]:
        texts = corpus_texts(corpus, split, TEST_BYTES) if corpus else {}
        if corpus and not texts:
            raise BadInput(f"holds no {split} text", file=corpus, remedy="build it from more documents")
        examples = {task.name: task.examples(split) for task in tasks}
        labeller = load_labeller(model)
        if labeller and corpus:
            raise BadInput("has a head and writes no text", file=model, remedy="leave --corpus out")
        writer = None if labeller else load(model)
        loaded = labeller or writer
        assert loaded is not None
        figures: dict[str, Any] = {"name": loaded.name, "backend": loaded.backend, "split": split}
        figures["tasks"] = {}
        rows = []
        total = sum(map(len, texts.values())) + sum(map(len, examples.values()))
        with progress.track(total, f"evaluating {loaded.name}") as step:
            figures["bits_per_byte"] = bits_per_byte(writer, texts, step) if writer else {}
            for task in tasks:
                predicted = predict(loaded, task, examples[task.name], step)
                figures["tasks"][task.name] = score_task(task, examples[task.name], predicted)
                rows += _rows(task, examples[task.name], predicted, loaded.name)
        if writer:
            writer.close()
        artifacts.write_json(partial / "evaluation.json", figures)
        _write_lines(partial / PREDICTIONS, rows)
        return figures

    provenance, _ = artifacts.build(
        output,
        command="evaluate",
        config={"split": split, "tasks": [task.config() for task in tasks], "corpus_bytes": TEST_BYTES},
        inputs=[model, *([corpus] if corpus else []), *_files(tasks, split)],
        work=work,
    )
    return provenance["results"]


def evaluate_baselines(
    output: Path, tasks: Sequence[Task[Any]], split: str = "test", progress: Progress | None = None
) -> dict[str, Any]:
    """Train every baseline on each task and score it into `output`; figures by task and baseline."""
    _check_split(split)
    progress = progress or Progress(silent=True)
    trained = {task.name: bool(task.inputs(("train",))) for task in tasks}
    chosen = {
        task.name: {
            name: solve
            for name, solve in baselines(task.family, task.examples(split)).items()
            if trained[task.name] or name in UNTRAINED
        }
        for task in tasks
    }

    def work(partial: Path) -> dict[str, Any]:
        figures: dict[str, Any] = {}
        rows = []
        with progress.track(sum(map(len, chosen.values())), "training baselines") as step:
            for task in tasks:
                figures[task.name] = {}
                test = task.examples(split)
                train = task.examples("train") if trained[task.name] else []
                for name, solve in chosen[task.name].items():
                    predicted = solve(train, test)
                    figures[task.name][name] = score_task(task, test, predicted)
                    rows += _rows(task, test, predicted, name)
                    step(1, name)
        artifacts.write_json(partial / "evaluation.json", figures)
        _write_lines(partial / PREDICTIONS, rows)
        return figures

    provenance, _ = artifacts.build(
        output,
        command="evaluate baselines",
        config={
            "split": split,
            "tasks": [task.config() for task in tasks],
            "baselines": {name: list(found) for name, found in chosen.items()},
        },
        inputs=_files(tasks, split),
        work=work,
    )
    return provenance["results"]


def write_results(
    output: Path, folders: Sequence[Path], tasks: Sequence[Task[Any]], split: str = "test"
) -> list[dict[str, Any]]:
    """Set all systems evaluated into `folders` side by side, the one named `baselines` holding baselines.

    Writes `results.json`, `results.md` and `results.tex` to `output`; returns their entries
    (`edgelm.evaluate.tables`).
    """
    predicted: dict[str, dict[str, list[Any]]] = {}
    cheap = set()
    for folder in folders:
        for line in (folder / PREDICTIONS).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            predicted.setdefault(row["task"], {}).setdefault(row["system"], []).append(row["predicted"])
            if folder.name == "baselines":
                cheap.add(row["system"])
    entries = []
    for task in tasks:
        examples = task.examples(split)
        systems = predicted[task.name]
        entries += compare(task.name, examples, systems, cheap & set(systems), **_kinds(task))
    artifacts.write_text(output / "results.json", to_json(entries))
    artifacts.write_text(output / "results.md", markdown(entries))
    artifacts.write_text(output / "results.tex", latex(entries))
    return entries


def score_task(task: Task[Any], examples: Sequence[Any], predicted: Sequence[Any]) -> dict[str, Any]:
    """Scores over all languages together, and those of each under `languages`."""
    return score(examples, predicted, **_kinds(task))


def _kinds(task: Task[Any]) -> dict[str, Any]:
    return {"labels": task.labels, "scheme": getattr(task, "scheme", "flat")}


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise BadInput(f"unknown split '{split}'", remedy=f"choose one of: {', '.join(SPLITS)}")


def _files(tasks: Sequence[Task[Any]], split: str) -> list[Path]:
    return sorted({file for task in tasks for file in task.inputs(("train", split))})


def _rows(
    task: Task[Any], examples: Sequence[Any], predicted: Sequence[Any], system: str
) -> list[dict[str, Any]]:
    return [
        {
            "task": task.name,
            "language": one.language,
            "system": system,
            "expected": expected(task, one),
            "predicted": answer,
        }
        for one, answer in zip(examples, predicted, strict=True)
    ]


def _write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    artifacts.write_text(path, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows))
