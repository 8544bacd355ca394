"""What `edgelm finetune` prints."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgelm.cli.options import print_table

if TYPE_CHECKING:
    from edgelm.finetune.regime import Pair

Found = dict[str, dict[str, Any]]
"""Figures of runs by the folder below the output; the output itself is ""."""


def show_mixture(pairs: "Sequence[Pair]") -> None:
    """What the general regime comes to."""
    rows = [
        [one.task, one.language, f"{one.examples:,}", f"{one.share:.1%}", f"{one.epochs:.1f}"]
        for one in pairs
    ]
    print_table(
        ["task", "language", "examples", "share", "epochs"], rows, "The mixture, in shares of the tokens"
    )


def show_search(found: dict[str, Any], steps: int, seeds: int) -> None:
    """What learning rates came to, and why the run that follows has another score.

    Args:
        found: what `edgelm.finetune.repeat.search` gave.
        steps: of the run that follows.
    """
    from edgelm.tasks.generation import Generation

    metrics = found.get("metrics", [])
    scale = 100 if len(metrics) == 1 and metrics[0] in Generation.METRICS else 1
    rows = [[rate, f"{scale * score:.3f}"] for rate, score in found["scores"].items()]
    tried = found["steps"]
    title = f"Validation after {tried} steps" + (f" of the run's {steps}" if tried < steps else "")
    print_table(["learning rate", metrics[0] if len(metrics) == 1 else "mean score"], rows, title)
    if tried < steps:
        print(
            f"The best rate, {found['rate']:g}, now trains for {steps} steps: its score will be another. "
            "These only rank the rates."
        )
    elif seeds == 1:
        print(
            f"The best rate, {found['rate']:g}, now trains with the same steps: its score will be the same."
        )


def report(found: Found) -> None:
    """Scores on validation, how they spread over seeds, and what was compared."""
    rows = []
    for folder, figures in found.items():
        for name, one in figures["tasks"].items():
            score = f"{one[one['metric']]:.3f}"
            interval = f"{one['interval'][0]:.2f}-{one['interval'][1]:.2f}"
            rows.append([folder, name, one["metric"], score, interval, str(one["items"])])
    header = ["model", "task", "metric", "score", "95 %", "items"]
    if list(found) == [""]:
        header, rows = header[1:], [row[1:] for row in rows]
    if rows:
        print_table(header, rows, "Validation")
    else:
        print("There is no validation split in these languages, so there is no score.")
    _report_seeds(found)
    for folder, figures in found.items():
        if "candidates" in figures:
            _report_candidates(folder, figures)
        elif "alone" in figures:
            alone = ", ".join(f"{name} {score:.3f}" for name, score in figures["alone"].items())
            print(f"{folder + ', alone' if folder else 'Alone'}: {alone}.")
            _report_better_part(folder, figures)


def _report_better_part(folder: str, figures: dict[str, Any]) -> None:
    """Say so where one of two models does better by itself than with the other."""
    best = max(figures["alone"], key=lambda name: figures["alone"][name])
    scores = [one[one["metric"]] for one in figures["tasks"].values()]
    if scores and figures["alone"][best] > scores[0]:
        part = f"{folder}/{best}" if folder else best
        print(f"The {best} is better alone: use {part} in the output folder.")


def _report_seeds(found: Found) -> None:
    from edgelm.finetune.repeat import spread

    groups: dict[str, Found] = {}
    for folder, figures in found.items():
        above, _, name = folder.rpartition("/")
        if name.startswith("seed-"):
            groups.setdefault(above, {})[name] = figures
    rows = [
        [
            above or "all seeds",
            task,
            one["metric"],
            f"{one['mean']:.3f} ± {one['sd']:.3f}",
            *map(str, one["range"]),
        ]
        for above, runs in groups.items()
        for task, one in spread(runs).items()
    ]
    if rows:
        print_table(["model", "task", "metric", "mean ± sd", "least", "most"], rows, "Over the seeds")


def _report_candidates(folder: str, figures: dict[str, Any]) -> None:
    rows = []
    for name, one in figures["candidates"].items():
        behind = "the best"
        if "difference" in one:
            low, high = one["difference_interval"]
            behind = f"{one['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
        interval = f"{one['interval'][0]:.2f}-{one['interval'][1]:.2f}"
        size = f"{one['bytes'] / 1e6:.1f}"
        rows.append([name, f"{one['score']:.3f}", interval, f"{one['seconds']:.0f}", size, behind])
    print_table(["method", "score", "95 %", "seconds", "MB", "against the best"], rows, folder or None)
    earns = "earns" if figures["chosen"] in ("head", "ensemble") else "does not earn"
    print(f"The language model {earns} its megabytes; the model is the one of --method {figures['chosen']}.")
