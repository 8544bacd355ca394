"""`edgelm quickstart`: every stage once, at sizes that two cores finish in minutes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from edgelm import artifacts
from edgelm.bench.files import model_bytes
from edgelm.bench.speed import decode_speed
from edgelm.corpus.build import build_corpus
from edgelm.corpus.recipe import load_recipe
from edgelm.corpus.shards import languages_of
from edgelm.errors import MissingExtra
from edgelm.evaluate.evaluate import evaluate, evaluate_baselines
from edgelm.extras import require
from edgelm.languages import load_languages
from edgelm.machine import PeakMemory, release_memory
from edgelm.model.config import get_preset
from edgelm.progress import Progress
from edgelm.runtime import load
from edgelm.tasks.task import load_task
from edgelm.tokenizer.train import train_tokenizer

PRESET = "nano"
VOCAB_SIZE = 2048
BATCH = 16
LEARNING_RATE = 0.002
EPOCHS = 4  # of the corpus, or fewer: nano learns a small text by heart soon after
MAX_STEPS = 300  # two cores take 80 s for them
FINETUNE_STEPS = 120
FORMATS = {"gguf": ("gguf:F16", "gguf:Q8_0", "gguf:Q4_K_M"), "onnx": ("onnx:fp32", "onnx:int8")}
SAMPLE_TOKENS = 24


@dataclass(slots=True)
class Result:
    """What the command prints."""

    title: str
    header: list[str]
    rows: list[list[str]]
    verdict: str
    samples: list[tuple[str, str, str]]
    closing: str
    next_commands: list[str]


@dataclass(slots=True)
class Made:
    """What the stages left and measured; the lists are as long as each other."""

    task: str
    split: str
    files: list[Path]
    scores: list[dict[str, Any]]
    speeds: list[float]
    baselines: dict[str, Any]
    verification: dict[str, Any]
    samples: list[tuple[str, str, str]]
    missing: list[str]


def quickstart(
    output: Path,
    *,
    source: str | None = None,
    task: str = "topic",
    seed: int = 0,
    progress: Progress | None = None,
) -> Result:
    """Run the stages in `output`, each skipped where it is up to date; the table is in `results.json` too.

    Args:
        source: folder or file of documents, or a recipe; the embedded sample by default.

    Raises:
        BadInput: the source or the task cannot be used.
        MissingExtra: an extra that training needs is not installed.
    """
    for module, extra in (("pyarrow", "corpus"), ("torch", "train"), ("sklearn", "train")):
        require(module, extra)
    started = time.monotonic()
    with PeakMemory() as memory:
        made = _run_stages(output, source or "sample", task, seed, progress or Progress(silent=True))
    seconds = time.monotonic() - started

    rows = []
    for file, one, speed in zip(made.files, made.scores, made.speeds, strict=True):
        bits = one["bits_per_byte"].get("mean")
        row = [one["name"], f"{model_bytes(file) / 1e6:.2f}", f"{speed:,.0f}", f"{bits:.3f}" if bits else "-"]
        rows.append([*row, *_f1(one["tasks"][made.task])])
    rows += [[name, "-", "-", "-", *_f1(one)] for name, one in made.baselines.items()]
    artifacts.write_json(
        output / "results.json",
        {
            "artifacts": [
                {
                    "file": str(file.relative_to(output)),
                    "bytes": model_bytes(file),
                    "tokens_per_second": speed,
                    **one,
                }
                for file, one, speed in zip(made.files, made.scores, made.speeds, strict=True)
            ],
            "baselines": made.baselines,
            "verification": made.verification,
            "samples": made.samples,
            "seconds": round(seconds, 1),
            "peak_memory_bytes": memory.bytes,
        },
    )
    closing = (
        f"Finished in {seconds:.0f} s with at most {memory.bytes / 1e9:.1f} GB of memory, all in {output}/."
    )
    return Result(
        title=f"{PRESET} on {source or 'the embedded sample'}, task '{made.task}' ({made.split})",
        header=["artifact", "MB", "tokens/s", "bits per byte", "macro-F1", "95 %"],
        rows=rows,
        verdict=_verdict(made.scores[0]["tasks"][made.task]["macro_f1"], made.baselines),
        samples=made.samples,
        closing="\n".join([closing, *made.missing]),
        next_commands=_next_commands(output, made.files),
    )


def _run_stages(output: Path, source: str, task: str, seed: int, progress: Progress) -> Made:
    from edgelm.export.export import artifact_name, export
    from edgelm.finetune.config import FinetuneConfig
    from edgelm.finetune.finetune import finetune
    from edgelm.pretrain.pretrain import pretrain

    chosen = load_task(task)
    split = "test" if "test" in chosen.files else "validation"
    corpus, tokenizer, base = output / "corpus", output / "tokenizer", output / "base"
    model, exported, evaluation = output / "model", output / "export", output / "evaluation"

    languages = build_corpus(load_recipe(source), corpus, progress=progress)["languages"].values()
    train_tokenizer(corpus, tokenizer, vocab_size=VOCAB_SIZE, progress=progress)
    release_memory()
    steps = pretraining_steps(sum(one["splits"]["train"]["bytes"] for one in languages))
    settings = FinetuneConfig(steps, BATCH, LEARNING_RATE, weight_decay=0.5, dropout=0.1, seed=seed)
    pretrain(corpus, tokenizer, base, preset=PRESET, config=settings, validate_every=0, progress=progress)
    release_memory()
    settings = replace(settings, steps=FINETUNE_STEPS)
    finetune(base, [chosen], model, config=settings, replay=corpus, progress=progress)
    release_memory()
    formats, missing = _available()
    text = "sample" if source == "sample" else corpus
    verification = export(model, exported, formats, text=text, progress=progress) if formats else {}

    files = [model, *(exported / artifact_name(name) for name in formats)]
    places = [evaluation / file.relative_to(output).as_posix().replace("/", "-") for file in files]
    measured_on = corpus if any(one["splits"][split]["documents"] for one in languages) else None
    return Made(
        task=chosen.name,
        split=split,
        files=files,
        scores=[
            evaluate(file, place, corpus=measured_on, tasks=[chosen], split=split, progress=progress)
            for file, place in zip(files, places, strict=True)
        ],
        speeds=decode_speed(files, progress),
        baselines=evaluate_baselines(evaluation / "baselines", [chosen], split, progress=progress)[
            chosen.name
        ],
        verification=verification,
        samples=_samples(files, corpus),
        missing=missing,
    )


def pretraining_steps(train_bytes: int) -> int:
    """Steps that read the corpus `EPOCHS` times at about 2.5 bytes a token, between 20 and `MAX_STEPS`."""
    tokens = EPOCHS * train_bytes / 2.5
    return min(max(round(tokens / (BATCH * get_preset(PRESET).context)), 20), MAX_STEPS)


def _available() -> tuple[list[str], list[str]]:
    """The formats that can be written and run here, and a line on those that cannot."""
    from edgelm.export.export import check_packages

    formats: list[str] = []
    missing: dict[str, list[str]] = {}
    for name in chain(*FORMATS.values()):
        try:
            check_packages([name])
            formats.append(name)
        except MissingExtra as error:
            missing.setdefault(str(error), []).append(name)
    return formats, [f"Not written: {', '.join(names)}. {error}" for error, names in missing.items()]


def _f1(scores: dict[str, Any]) -> list[str]:
    low, high = scores["interval"]
    return [f"{scores['macro_f1']:.3f}", f"{low:.2f}-{high:.2f}"]


def _verdict(best: float, baselines: dict[str, Any]) -> str:
    name, strongest = max(baselines.items(), key=lambda item: item[1]["macro_f1"])
    score = strongest["macro_f1"]
    if best > score:
        return (
            f"On this task the model beats its strongest baseline, {name} ({best:.3f} against {score:.3f})."
        )
    return (
        f"On this task the model does not beat {name} ({best:.3f} against {score:.3f}): "
        "for this task alone, the baseline is the better choice."
    )


def _samples(files: list[Path], corpus: Path) -> list[tuple[str, str, str]]:
    """A short continuation in every language of the corpus, by the smallest file."""
    smallest = min(files[1:] or files, key=model_bytes)
    model = load(smallest)
    registry = load_languages()
    found = []
    for code in languages_of(corpus):
        if code in registry:
            language = registry[code]
            text = "".join(
                model.generate(
                    language.prompt, language=code, max_tokens=SAMPLE_TOKENS, temperature=0.5, seed=1
                )
            )
            found.append((language.autonym, language.prompt, " ".join(text.split())))
    model.close()
    return found


def _next_commands(output: Path, files: list[Path]) -> list[str]:
    file = files[-1] if len(files) == 1 else min(files[1:], key=model_bytes)
    quoted: Callable[[Path], str] = lambda path: f"'{path}'" if " " in str(path) else str(path)  # noqa: E731
    return [
        f"edgelm run {quoted(file)} 'Namhlanje ekuseni' --language zul",
        f"edgelm demo {quoted(output)}",
        "edgelm quickstart --source YOUR_FOLDER -o my-model",
        "edgelm doctor",
    ]
