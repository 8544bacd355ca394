"""`edgelm evaluate`: bits per byte on a corpus and scores on tasks beside baselines, for any runtime."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.evaluate.baselines import FAMILIES, UNTRAINED, Baseline, baselines
from edgelm.evaluate.bits_per_byte import bits_per_byte, corpus_texts
from edgelm.evaluate.predict import ANSWER_TOKENS, expected, predict, rank, ranks
from edgelm.evaluate.scores import compare, score
from edgelm.evaluate.tables import latex, markdown, to_json
from edgelm.progress import Progress
from edgelm.runtime import load, load_labeller
from edgelm.tasks.tagging import Tagging
from edgelm.tasks.task import Task, check_names

TEST_BYTES = 20_000
PREDICTIONS = "predictions.jsonl"
JUDGED = ("validation", "test")
RESULTS = ("results.json", "results.md", "results.tex")
OWN = 500
"""Training examples of a language from which on baselines learn it by itself, else all languages together."""


def evaluate(
    model: Path,
    output: Path,
    *,
    corpus: Path | None = None,
    tasks: Sequence[Task[Any]] = (),
    split: str = "test",
    languages: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluate a model into `output` (`evaluation.json`, `predictions.jsonl`); returns the figures.

    Args:
        languages: of the tasks; all by default.

    Raises:
        BadInput: model, corpus or a task's files are missing or damaged, there is nothing in the split, or
            the model cannot do a task.
    """
    _check(split, tasks)
    progress = progress or Progress(silent=True)

    def work(partial: Path) -> dict[str, Any]:
        texts = corpus_texts(corpus, split, TEST_BYTES) if corpus else {}
        if corpus and not texts:
            raise BadInput(f"holds no {split} text", file=corpus, remedy="build it from more documents")
        examples = {task.name: task.examples(split, languages) for task in tasks}
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
                given = examples[task.name]
                by_mean: list[Any] = []
                if writer and ranks(task, given):
                    predicted, by_mean = rank(writer, task, given, step)
                else:
                    predicted = predict(loaded, task, given, step)
                figures["tasks"][task.name] = score_task(task, given, predicted)
                if by_mean:
                    found = score_task(task, given, by_mean)
                    figures["tasks"][task.name]["by_mean"] = found[found["metric"]]
                rows += _rows(task, given, predicted, f"{loaded.name}, {model.resolve().name}")
        if writer:
            writer.close()
        artifacts.write_json(partial / "evaluation.json", figures)
        _write_lines(partial / PREDICTIONS, rows)
        return figures

    provenance, _ = artifacts.build(
        output,
        command="evaluate",
        config={
            "split": split,
            "languages": languages,
            "tasks": [task.config() for task in tasks],
            "corpus_bytes": TEST_BYTES,
            "answer_tokens": ANSWER_TOKENS,
        },
        inputs=[model, *([corpus] if corpus else []), *_files(tasks, split)],
        work=work,
    )
    return provenance["results"]


def evaluate_baselines(
    output: Path,
    tasks: Sequence[Task[Any]],
    split: str = "test",
    languages: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train every baseline on each task and score it into `output`; figures by task and baseline.

    A language with `OWN` training examples is learnt by itself, the others from all languages together.
    """
    _check(split, tasks)
    progress = progress or Progress(silent=True)

    def work(partial: Path) -> dict[str, Any]:
        figures: dict[str, Any] = {}
        rows = []
        data = {task.name: (_training(task), task.examples(split, languages)) for task in tasks}
        chosen = {
            task.name: {
                name: solve
                for name, solve in baselines(task.family, data[task.name][1]).items()
                if data[task.name][0] or name in UNTRAINED
            }
            for task in tasks
        }
        with progress.track(sum(map(len, chosen.values())), "training baselines") as step:
            for task in tasks:
                figures[task.name] = {}
                train, test = data[task.name]
                for name, solve in chosen[task.name].items():
                    predicted = _solved(solve, train, test)
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
            "languages": languages,
            "tasks": [task.config() for task in tasks],
            "baselines": {family: list(found) for family, found in FAMILIES.items()},
            "own": OWN,
        },
        inputs=_files(tasks, split),
        work=work,
    )
    return provenance["results"]


def _training(task: Task[Any]) -> list[Any]:
    """The training examples, none where their files are not there."""
    return task.examples("train") if task.inputs(("train",)) else []


def _solved(solve: Baseline, train: Sequence[Any], test: Sequence[Any]) -> list[Any]:
    """Predictions of a baseline that learns each language with enough examples by itself."""
    predicted: dict[int, Any] = {}
    own = {code: [one for one in train if one.language == code] for code in {one.language for one in test}}
    alone = {code for code, examples in own.items() if len(examples) >= OWN}
    groups = [([code], own[code]) for code in sorted(alone)] + [(sorted(set(own) - alone), list(train))]
    for codes, examples in groups:
        places = [place for place, one in enumerate(test) if one.language in codes]
        if places:
            answers = solve(examples, [test[place] for place in places])
            predicted |= dict(zip(places, answers, strict=True))
    return [predicted[place] for place in range(len(test))]


def clear_results(output: Path) -> None:
    """Remove the tables of an earlier evaluation, which would stand beside figures that are not theirs."""
    for name in RESULTS:
        (output / name).unlink(missing_ok=True)


def write_results(
    output: Path,
    models: Sequence[Path],
    cheap: Path,
    tasks: Sequence[Task[Any]],
    split: str = "test",
    languages: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Set all systems side by side that were evaluated into `models`, and the baselines in `cheap`.

    Writes `results.json`, `results.md` and `results.tex` to `output`; returns their entries
    (`edgelm.evaluate.tables`).

    Raises:
        BadInput: two models have one name.
    """
    predicted: dict[str, dict[str, list[Any]]] = {task.name: {} for task in tasks}
    names: set[str] = set()
    for folder in (*models, cheap):
        found: dict[str, dict[str, list[Any]]] = {}
        for line in (folder / PREDICTIONS).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found.setdefault(row["task"], {}).setdefault(row["system"], []).append(row["predicted"])
        systems = {name for one in found.values() for name in one}
        if again := names & systems:
            raise BadInput(f"two models are called '{min(again)}'", remedy="rename a folder")
        names |= systems
        for task_name, one in found.items():
            predicted[task_name] |= one
    judged = names - systems  # the baselines came last
    entries = []
    for task in tasks:
        own = predicted[task.name]
        examples = task.examples(split, languages)
        entries += compare(task.name, examples, own, set(own) - judged, **_kinds(task))
    for name, text in zip(RESULTS, (to_json(entries), markdown(entries), latex(entries)), strict=True):
        artifacts.write_text(output / name, text)
    return entries


def score_task(task: Task[Any], examples: Sequence[Any], predicted: Sequence[Any]) -> dict[str, Any]:
    """Scores over all languages together, and those of each under `languages`."""
    return score(examples, predicted, **_kinds(task))


def _kinds(task: Task[Any]) -> dict[str, Any]:
    if isinstance(task, Tagging):
        return {"labels": task.tags, "scheme": task.scheme, "metric": task.metric}
    return {"labels": task.labels, "metric": task.metric}


def _check(split: str, tasks: Sequence[Task[Any]]) -> None:
    if split not in JUDGED:
        raise BadInput(f"unknown split '{split}'", remedy=f"choose one of: {', '.join(JUDGED)}")
    check_names(tasks)


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
