"""`edgelm evaluate`: bits per byte on a corpus and scores on tasks beside baselines, for any runtime."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.evaluate.baselines import FAMILIES, UNTRAINED, Baseline, baselines
from edgelm.evaluate.beam import POWER
from edgelm.evaluate.bits_per_byte import bits_of, corpus_texts, perplexity_of, read_texts
from edgelm.evaluate.languages import Languages, check_files, languages_of
from edgelm.evaluate.predict import ANSWER_TOKENS, Asking, expected, predict, rank, ranks
from edgelm.evaluate.prompts import Prompt, check_prompt_choice, choose_prompts
from edgelm.evaluate.scores import compare, score
from edgelm.evaluate.tables import latex, markdown, to_json
from edgelm.progress import Progress
from edgelm.runtime import LanguageModel, load, load_labeller
from edgelm.runtime.inside import is_one, no_model
from edgelm.tasks.check import leaked
from edgelm.tasks.examples import Tagged, languages_in
from edgelm.tasks.tagging import Tagging
from edgelm.tasks.task import SPLITS, Task, check_names

TEST_BYTES = 20_000
PREDICTIONS = "predictions.jsonl"
MOST_BEAMS = 64
UNASKED = "leave --prompt and --beams out"
JUDGED = ("validation", "test")
RESULTS = ("results.json", "results.md", "results.tex")
OWN = 500
"""Training examples of a language from which on baselines learn it by itself, else all languages together."""


class Splits:
    """Splits of tasks, each read once, though a model, the baselines and the tables ask for it."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str, tuple[str, ...] | None], list[Any]] = {}

    def __call__(self, task: Task[Any], split: str, languages: Languages) -> list[Any]:
        languages = languages_of(task, languages)
        key = task.name, split, tuple(languages) if languages else None
        if key not in self.found:
            self.found[key] = task.examples(split, languages)
        return self.found[key]


def evaluate(
    model: Path,
    output: Path,
    *,
    adapter: Path | None = None,
    corpus: Path | None = None,
    tasks: Sequence[Task[Any]] = (),
    split: str = "test",
    languages: Languages = None,
    prompt: Prompt = "english",
    beams: int = 1,
    name: str = "",
    splits: Splits | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluate a model into `output` (`evaluation.json`, `predictions.jsonl`); returns the figures.

    Args:
        adapter: of `edgelm.load`.
        languages: of all tasks, or by task; all that a task has by default.
        prompt: the language in which a model that writes is asked; `auto` takes for each language the one
            that does better on validation.
        beams: texts that a model writes side by side where it writes freely (`edgelm.evaluate.beam`).
        name: what to call the model in tables; its file's by default.
        splits: what was read of the tasks before.

    Raises:
        BadInput: model, corpus or a task's files are missing or damaged, there is nothing in the split, the
            model cannot do a task, or an option does not suit it.
    """
    if model.is_dir() and not is_one(model):
        raise no_model(model)
    _check(split, tasks)
    if not 1 <= beams <= MOST_BEAMS:
        raise BadInput(f"{beams} beams are out of range", remedy=f"give between 1 and {MOST_BEAMS}")
    for task in tasks:
        own = languages_of(task, languages)
        check_files(task, split, own)
        check_prompt_choice(prompt, split, [task], own or ())
    progress, read = progress or Progress(silent=True), splits or Splits()

    def work(partial: Path) -> dict[str, Any]:
        texts = corpus_texts(corpus, split, TEST_BYTES) if corpus else {}
        if corpus and not texts:
            raise BadInput(f"holds no {split} text", file=corpus, remedy="build it from more documents")
        examples = {task.name: read(task, split, languages) for task in tasks}
        labeller = load_labeller(model)
        if labeller and corpus:
            raise BadInput("has a head and writes no text", file=model, remedy="leave --corpus out")
        if labeller and (prompt != "english" or beams > 1):
            raise BadInput("labels: it is not asked and writes nothing", file=model, remedy=UNASKED)
        if labeller and adapter:
            raise BadInput("labels: no adapter goes on it", file=model, remedy="leave --adapter out")
        writer = None if labeller else load(model, adapter=adapter)
        loaded = labeller or writer
        assert loaded is not None
        figures: dict[str, Any] = {"name": loaded.name, "backend": loaded.backend, "split": split}
        figures["tasks"] = {}
        asked = {task.name: _trials(task, examples[task.name], prompt, read) for task in tasks}
        rows = []
        total = sum(map(len, texts.values())) + sum(map(len, examples.values()))
        total += 2 * sum(map(len, asked.values()))
        with progress.track(total, f"evaluating {loaded.name}") as step:
            found = read_texts(writer, texts, step) if writer else {}
            figures["bits_per_byte"], figures["perplexity"] = bits_of(found), perplexity_of(found)
            if writer and found:
                figures["tokenizer"] = _tokenizer(writer, model)
            for task in tasks:
                given, asking = examples[task.name], Asking(frozenset(), beams)
                by_mean: list[Any] = []
                choice: dict[str, Any] = {}
                if prompt == "native":
                    asking = Asking(frozenset(task.languages), beams)
                elif writer and prompt == "auto":
                    native, choice = choose_prompts(writer, task, asked[task.name], score_task, beams, step)
                    asking = Asking(native, beams)
                if writer and ranks(task, given):
                    predicted, by_mean = rank(writer, task, given, step, asking)
                else:
                    predicted = predict(loaded, task, given, step, asking)
                scores = figures["tasks"][task.name] = score_task(task, given, predicted)
                if by_mean:
                    means = score_task(task, given, by_mean)
                    scores["by_mean"] = means[means["metric"]]
                if choice:
                    scores["prompts"] = choice
                if known := leaked(task, split, languages_of(task, languages)):
                    scores["leaked"] = known
                rows += _rows(task, given, predicted, f"{loaded.name}, {name or model.resolve().name}")
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
            "prompt": prompt,
            "beams": [beams, POWER],
            "name": name,
        },
        inputs=[
            model,
            *([adapter] if adapter else []),
            *([corpus] if corpus else []),
            *_files(tasks, SPLITS[: SPLITS.index(split) + 1]),
        ],
        work=work,
    )
    return provenance["results"]


def evaluate_baselines(
    output: Path,
    tasks: Sequence[Task[Any]],
    split: str = "test",
    languages: Languages = None,
    progress: Progress | None = None,
    splits: Splits | None = None,
) -> dict[str, Any]:
    """Train every baseline on each task and score it into `output`; figures by task and baseline.

    A language with `OWN` training examples is learnt by itself, the others from all languages together.
    """
    _check(split, tasks)
    progress, read = progress or Progress(silent=True), splits or Splits()

    def work(partial: Path) -> dict[str, Any]:
        figures: dict[str, Any] = {}
        rows = []
        data = {task.name: (task.training(), read(task, split, languages)) for task in tasks}
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
        inputs=_files(tasks, ["train", split]),
        work=work,
    )
    return provenance["results"]


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
    languages: Languages = None,
    splits: Splits | None = None,
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
        examples = (splits or Splits())(task, split, languages)
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
    for task in tasks:
        if split not in task.files and not any(one in task.files for one in JUDGED):
            raise BadInput(
                f"the task '{task.name}' has neither a validation nor a test split",
                file=task.place,
                remedy="name files of one under `files:`",
            )


def _files(tasks: Sequence[Task[Any]], splits: Sequence[str]) -> list[Path]:
    return sorted({file for task in tasks for file in task.inputs(splits)})


def _trials(task: Task[Any], examples: Sequence[Any], prompt: str, read: Splits) -> list[Any]:
    """The validation examples that prompts are chosen on, where any are."""
    if prompt != "auto":
        return []
    return read(task, "validation", languages_in(examples))


def _tokenizer(model: LanguageModel, path: Path) -> dict[str, Any]:
    """Whose tokens perplexity is per."""
    file = path / "tokenizer.json"
    found: dict[str, Any] = {"tokens": model.vocab_size}
    return {**found, "sha256": artifacts.digest_path(file)} if file.is_file() else found


def _rows(
    task: Task[Any], examples: Sequence[Any], predicted: Sequence[Any], system: str
) -> list[dict[str, Any]]:
    return [
        {
            "task": task.name,
            "language": one.language,
            "line": one.line,
            "text": one.words if isinstance(one, Tagged) else one.text,
            "system": system,
            "expected": expected(task, one),
            "predicted": answer,
        }
        for one, answer in zip(examples, predicted, strict=True)
    ]


def _write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    artifacts.write_text(path, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows))
