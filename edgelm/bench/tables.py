"""The tables of `edgelm bench`, as rows of text for a terminal or a page."""

from collections.abc import Mapping
from typing import Any

from edgelm.bench.pareto import fastest

SAMPLE = "the embedded sample"
Rows = tuple[list[str], list[list[str]]]


def pareto_table(figures: Mapping[str, Any]) -> Rows:
    """Quality beside size, speed and memory, and in which pair no other model beats each."""
    tasks = sorted({name for one in figures["models"] for name in one.get("tasks", {})})
    writing = _titles(figures, "tg")
    header = [
        "model",
        "MB",
        "bits per byte",
        *tasks,
        writing,
        "peak MB",
        "not beaten in",
    ]
    rows = [
        [
            one["name"],
            f"{one['bytes'] / 1e6:.2f}",
            f"{one['bits_per_byte']['mean']:.4f}",
            *(f"{one['tasks'][name]['score']:.3f}" for name in tasks),
            _mean(fastest(one)),
            f"{one['peak_bytes'] / 1e6:.0f}",
            _fronts(one["unbeaten"]),
        ]
        for one in figures["models"]
    ]
    return header, rows


def speed_table(figures: Mapping[str, Any]) -> Rows:
    """Tokens/s by threads, and how long one waits."""
    reading, writing = (_titles(figures, kind) for kind in ("pp", "tg"))
    header = ["model", "threads", reading, writing, "first token ms", "load ms", "J/token"]
    rows = []
    for one in figures["models"]:
        for waits in one["latency"]:
            threads, joules = waits["threads"], waits["joules_per_token"]
            rows.append(
                [
                    one["name"],
                    str(threads),
                    _speed(one, threads, "pp"),
                    _speed(one, threads, "tg"),
                    _milliseconds(waits["first_token_seconds"]),
                    _milliseconds(waits["load_seconds"]),
                    f"{joules['mean']:.3g}" if joules else "-",
                ]
            )
    return header, rows


def language_table(figures: Mapping[str, Any], what: str) -> Rows:
    """A column a language: `bits_per_byte`, or `characters_per_second` threads as suits a model best."""
    codes = list(figures["bytes_of_text"])
    rows = [
        [
            one["name"],
            *(
                f"{one[what][code]:.3f}"
                if what == "bits_per_byte"
                else f"{one[what][code][str(fastest(one)['threads'])]:.0f}"
                for code in codes
            ),
        ]
        for one in figures["models"]
    ]
    return ["model", *codes], rows


def notes(figures: Mapping[str, Any]) -> list[str]:
    """What a reader of the tables must know: text that models have learnt, contexts shorter than asked."""
    wanted = figures["settings"]["prompt"], figures["settings"]["new"]
    said = []
    if figures["text"] == SAMPLE:
        said.append(
            f"{SAMPLE} flatters models that were trained on it, as quickstart's are: give other --text"
        )
    for one in figures["models"]:
        read, written = (
            next(test["tokens"] for test in one["tests"] if test["test"].startswith(kind))
            for kind in ("pp", "tg")
        )
        if (read, written) != wanted:
            said.append(
                f"{one['name']}: the context holds {one['context']} tokens, so pp{read} and tg{written} "
                "were measured"
            )
    return said


def _titles(figures: Mapping[str, Any], kind: str) -> str:
    """`pp512`, or the two names where contexts differ."""
    names = {
        test["test"]: None
        for one in figures["models"]
        for test in one["tests"]
        if test["test"].startswith(kind)
    }
    return "/".join(names) + " tokens/s"


def _speed(entry: Mapping[str, Any], threads: int, kind: str) -> str:
    found = next(
        test for test in entry["tests"] if test["threads"] == threads and test["test"].startswith(kind)
    )
    return _mean(found)


def _mean(found: Mapping[str, Any]) -> str:
    return f"{found['mean']:.0f} ± {found['sd']:.0f}"


def _milliseconds(found: Mapping[str, Any]) -> str:
    return f"{found['mean'] * 1e3:.0f} ± {found['sd'] * 1e3:.0f}"


def _fronts(names: list[str]) -> str:
    return " and ".join(names) or "-"
