"""`edgelm bench`: models side by side in speed, memory, size and quality, after llama-bench's conventions.

Every measurement is a process of its own, and models take turns: a slow moment of the machine hits all alike.
"""

import json
import shutil
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgelm import artifacts
from edgelm.bench.files import find_models, model_bytes
from edgelm.bench.page import page
from edgelm.bench.pareto import mark_unbeaten
from edgelm.bench.picture import write_picture
from edgelm.bench.tables import SAMPLE
from edgelm.bench.worker import measure_quality, measure_speed
from edgelm.errors import BadInput, MissingExtra
from edgelm.evaluate.bits_per_byte import corpus_texts
from edgelm.evaluate.evaluate import TEST_BYTES, Splits, evaluate
from edgelm.evaluate.languages import usual_languages
from edgelm.export.verify import LOGIT_DOCUMENTS
from edgelm.machine import usable_cores
from edgelm.progress import Progress
from edgelm.tasks.task import Task, check_names
from edgelm.tokenizer.texts import is_corpus, read_source, sample_texts

MEASURED = "measured.jsonl"
Runs = dict[str, dict[int, list[dict[str, Any]]]]
"""Of each model by its name, of each number of threads: what each repetition measured."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured: `prompt` tokens are read, `new` ones written, as often as `repetitions` says."""

    prompt: int = 512
    new: int = 128
    repetitions: int = 5
    threads: tuple[int, ...] = ()
    """One and all usable cores where none are given."""

    @property
    def counts(self) -> tuple[int, ...]:
        return self.threads or tuple(sorted({1, usable_cores()}))


def bench(
    models: Sequence[Path],
    output: Path,
    settings: Settings,
    *,
    adapter: Path | None = None,
    text: Path | None = None,
    tasks: Sequence[Task[Any]] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure models into `output`: `bench.json`, `bench.html` and, with matplotlib, `bench.png`.

    A run that was interrupted goes on with what it had measured; one that had finished is measured anew.
    After every repetition the three files are written to the partial folder, for who wants to look before the
    end.

    Args:
        models: files, model directories, folders of exports.
        adapter: that all of them are measured with (`edgelm.load`); its bytes count as theirs.
        text: a corpus, whose test text is read, or files; three documents a language of the embedded sample
            by default.

    Returns:
        what `bench.json` holds (docs/benchmarks.md).

    Raises:
        BadInput: a path holds no model, the model labels, there is no text, or a task's files are missing or
            damaged. All but the second show before anything is measured.
    """
    found, progress = find_models(models), progress or Progress(silent=True)
    if adapter:
        found = {f"{name} with {adapter.stem}": path for name, path in found.items()}
    texts, split = quality_texts(text), _split(tasks)
    check_names(tasks)
    read = Splits()
    codes = {
        name: {task.name: usual_languages(adapter or path, task, split)[0] for task in tasks}
        for name, path in found.items()
    }
    for task, own in ((task, own) for own in codes.values() for task in tasks):
        read(task, split, own[task.name])
    finished = artifacts.read_provenance(output)

    def work(partial: Path) -> dict[str, Any]:
        once = Once(partial / MEASURED)
        with progress.track(len(found), "measuring quality") as step:
            quality = {}
            for name, path in found.items():  # first: a model that cannot be read shows at once
                quality[name] = _quality(once, name, path, texts, adapter)
                step(1, name)
        scores: dict[str, dict[str, Any]] = {name: {} for name in found}
        for number, (name, path) in enumerate(found.items() if tasks else ()):
            folder = partial / ".tasks" / str(number)
            asked = {"tasks": tasks, "languages": codes[name], "splits": read, "adapter": adapter}
            scores[name] = {"tasks": _scores(path, folder, split=split, **asked, progress=progress)}
        figures: dict[str, Any] = {
            "settings": {**asdict(settings), "threads": settings.counts},
            "text": str(text or SAMPLE),
            "bytes_of_text": {code: sum(len(one.encode()) for one in own) for code, own in texts.items()},
        }

        def write(runs: Runs) -> None:
            entries = {
                name: _entry(name, path, runs[name], quality[name] | scores[name])
                for name, path in found.items()
            }
            if adapter:
                for entry in entries.values():
                    entry["bytes"] += adapter.stat().st_size
            mark_unbeaten(entries)
            figures["models"] = list(entries.values())
            artifacts.write_json(partial / "bench.json", figures)
            write_plots(figures, partial)

        measure_runs(found, settings, once, progress, adapter, write)
        return figures

    provenance, _ = artifacts.build(
        output,
        command="bench",
        config={**asdict(settings), "counts": settings.counts, "tasks": [task.config() for task in tasks]},
        inputs=[*found.values(), *([adapter] if adapter else []), *([text] if text else [])],
        work=work,
        clean=_clean,
        fresh=finished is not None and finished.get("command") == "bench",
    )
    return provenance["results"]


def _split(tasks: Sequence[Task[Any]]) -> str:
    return "test" if all("test" in task.files for task in tasks) else "validation"


def _clean(partial: Path) -> None:
    shutil.rmtree(partial / ".tasks", ignore_errors=True)
    (partial / MEASURED).unlink(missing_ok=True)


def quality_texts(source: Path | None) -> dict[str, list[str]]:
    """Text that models are judged by, up to 20 kB a language.

    Raises:
        BadInput: there is none.
    """
    if source is None:
        return {code: texts[:LOGIT_DOCUMENTS] for code, texts in sample_texts().items()}
    if is_corpus(source):
        found = corpus_texts(source, "test", TEST_BYTES)
    else:
        found, sizes = {}, dict[str, int]()
        for code, one in read_source(source):
            sizes[code] = sizes.get(code, 0) + len(one.encode("utf-8"))
            if code not in found or sizes[code] <= TEST_BYTES:
                found.setdefault(code, []).append(one)
    if not found:
        raise BadInput("holds no test text", file=source, remedy="give text that no model was trained on")
    return found


class Once:
    """Measures what it has not measured before and keeps it, a line each, for a run that goes on later."""

    def __init__(self, path: Path):
        self.path, self.known = path, {}
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for line in lines:
            try:
                key, found = json.loads(line)
            except ValueError:  # the run was killed in the middle of a line
                continue
            self.known[tuple(key)] = found
        path.write_text("".join(_line(*one) for one in self.known.items()), encoding="utf-8")

    def __call__(self, key: tuple[Any, ...], work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if key not in self.known:
            self.known[key] = work()
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(_line(key, self.known[key]))
        return self.known[key]


def _line(key: tuple[Any, ...], found: dict[str, Any]) -> str:
    return json.dumps([key, found], ensure_ascii=False) + "\n"


def measure_runs(
    models: dict[str, Path],
    settings: Settings,
    once: Once,
    progress: Progress,
    adapter: Path | None = None,
    report: Callable[[Runs], object] = lambda runs: None,
) -> Runs:
    """What `measure_speed` finds of each model; `report` gets it after every repetition."""
    runs: Runs = {name: {} for name in models}
    with progress.track(len(models) * settings.repetitions * len(settings.counts), "measuring speed") as step:
        for number in range(settings.repetitions):
            for threads in settings.counts:
                for name, path in models.items():
                    one = _measured(once, (name, threads, number), path, settings, adapter)
                    runs[name].setdefault(threads, []).append(one)
                    step(1, f"{name}, threads: {threads}")
            report(runs)
    return runs


def _quality(
    once: Once, name: str, path: Path, texts: dict[str, list[str]], adapter: Path | None
) -> dict[str, Any]:
    return once((name, "quality"), lambda: measure_quality(path, texts, adapter))


def _measured(
    once: Once, key: tuple[str, int, int], path: Path, settings: Settings, adapter: Path | None
) -> dict[str, Any]:
    return once(key, lambda: measure_speed(path, key[1], settings.prompt, settings.new, adapter))


def _entry(
    name: str, path: Path, runs: dict[int, list[dict[str, Any]]], quality: dict[str, Any]
) -> dict[str, Any]:
    any_run = next(iter(runs.values()))[0]
    tests = [
        {
            "test": f"{kind}{any_run[tokens]}",
            "threads": threads,
            "tokens": any_run[tokens],
            **of_samples([one[tokens] / one[seconds] for one in found]),
        }
        for threads, found in runs.items()
        for kind, tokens, seconds in (
            ("pp", "prompt_tokens", "prompt_seconds"),
            ("tg", "new_tokens", "new_seconds"),
        )
    ]
    latency = [
        {
            "threads": threads,
            "load_seconds": of_samples([one["load_seconds"] for one in found]),
            "first_token_seconds": of_samples([one["first_token_seconds"] for one in found]),
            "joules_per_token": _joules(found),
        }
        for threads, found in runs.items()
    ]
    speeds = {one["threads"]: one["mean"] for one in tests if one["test"].startswith("tg")}
    every = [one for found in runs.values() for one in found]
    return {
        "name": name,
        "path": str(path),
        "backend": any_run["backend"],
        "context": any_run["context"],
        "bytes": model_bytes(path),
        "peak_bytes": max(one["peak_bytes"] for one in every),
        "model_bytes": max(one["model_bytes"] for one in every),
        "tests": tests,
        "latency": latency,
        **quality,
        "characters_per_second": {
            code: {str(threads): round(speed * each, 1) for threads, speed in speeds.items()}
            for code, each in quality["characters_per_token"].items()
        },
    }


def of_samples(samples: Sequence[float]) -> dict[str, Any]:
    """Mean and standard deviation (of a sample; 0 for one) beside the samples."""
    return {
        "mean": statistics.fmean(samples),
        "sd": statistics.stdev(samples) if len(samples) > 1 else 0.0,
        "samples": list(samples),
    }


def _joules(found: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    if any(one["joules"] is None for one in found):
        return None
    return of_samples([one["joules"] / one["new_tokens"] for one in found])


def _scores(model: Path, folder: Path, *, split: str, **given: Any) -> dict[str, dict[str, Any]]:
    return {
        name: {"metric": one["metric"], "score": one[one["metric"]], "split": split}
        for name, one in evaluate(model, folder, split=split, **given)["tasks"].items()
    }


def write_plots(figures: dict[str, Any], folder: Path) -> None:
    """`bench.html`, and `bench.png` where matplotlib is installed."""
    artifacts.write_text(folder / "bench.html", page(figures))
    with suppress(MissingExtra):
        write_picture(figures, folder / "bench.png")
