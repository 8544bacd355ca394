"""One table of several systems, tasks and languages: Markdown, LaTeX (booktabs) and JSON.

An entry is a plain dict, as `edgelm.evaluate.scores.compare` makes it and JSON keeps it:

    {
        "task": "masakhanews",
        "language": "xho",            # or "all"
        "system": "tiny, full",
        "baseline": false,            # may be left out
        "scores": {                   # of `edgelm.evaluate.bootstrap.summarise`
            "metric": "macro_f1",     # the main metric; higher is better
            "macro_f1": 0.812,
            "interval": [0.771, 0.85],
            "accuracy": 0.84,         # every other metric
            "chance": {"uniform": {"macro_f1": 0.13}, "majority": {"macro_f1": 0.06}},   # or null
            "items": 297
        },
        "differences": {"majority": {"difference": 0.75, "interval": [0.7, 0.8]}}   # may be left out
    }

A system that is no baseline is set against the baseline with the highest main metric on the same task and
language, and is said to lose where it loses. The interval of the difference stands beside it where
`differences` has that baseline.
"""

import json
from collections.abc import Sequence
from typing import Any

from edgelm.evaluate.scores import ALL

# metric: name in a table, decimals
METRICS = {
    "macro_f1": ("macro-F1", 3),
    "micro_f1": ("micro-F1", 3),
    "weighted_f1": ("weighted F1", 3),
    "accuracy": ("accuracy", 3),
    "span_f1": ("span F1", 3),
    "span_precision": ("span precision", 3),
    "span_recall": ("span recall", 3),
    "chrf": ("chrF", 1),
    "chrf++": ("chrF++", 1),
    "bleu": ("BLEU", 1),
    "bleu_hf": ("BLEU (HF)", 1),
    "rouge1": ("ROUGE-1", 1),
    "rouge2": ("ROUGE-2", 1),
    "rougeL": ("ROUGE-L", 1),
}
HEADER = (
    "task",
    "language",
    "system",
    "score",
    "other metrics",
    "chance",
    "items",
    "against the best baseline",
)
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    }
)


def rows(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the table says of each entry: entries of one task and language together, in order of appearance.

    Each has `task`, `language`, `system`, `baseline`, `metric`, `score`, `interval`, `others`, `chance` (of
    the main metric, by way of guessing), `items`, and `against`: None for a baseline or where there is none,
    else `baseline`, `difference`, `interval` or None and `verdict` (`beats`, `loses`, `equals`).
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in entries:
        groups.setdefault((entry["task"], entry["language"]), []).append(entry)
    tasks = list(dict.fromkeys(task for task, _ in groups))
    found = []
    for _, group in sorted(groups.items(), key=lambda item: tasks.index(item[0][0])):
        baselines = [one for one in group if one.get("baseline")]
        best = max(baselines, key=_main, default=None)
        for entry in group:
            scores = entry["scores"]
            metric = scores["metric"]
            chance = scores.get("chance") or {}
            found.append(
                {
                    "task": entry["task"],
                    "language": entry["language"],
                    "system": entry["system"],
                    "baseline": bool(entry.get("baseline")),
                    "metric": metric,
                    "score": scores[metric],
                    "interval": scores["interval"],
                    "others": {
                        name: value
                        for name, value in scores.items()
                        if name not in (metric, "items") and isinstance(value, int | float)
                    },
                    "chance": {way: figures[metric] for way, figures in chance.items()},
                    "items": scores["items"],
                    "against": None if best is None or entry.get("baseline") else _against(entry, best),
                }
            )
    return found


def markdown(entries: Sequence[dict[str, Any]]) -> str:
    """A table with a row for each entry, ending in a newline."""
    table = [HEADER, ["---"] * len(HEADER), *(cells(row) for row in rows(entries))]
    lines = [[" ".join(cell.replace("|", r"\|").split()) for cell in line] for line in table]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(entries: Sequence[dict[str, Any]]) -> str:
    """The same table as a `tabular` that needs the package booktabs; text is escaped."""
    body = [cells(row) for row in rows(entries)]
    lines = [[cell.translate(LATEX) for cell in line] for line in (HEADER, *body)]
    written = [" & ".join(line) + r" \\" for line in lines]
    return "\n".join(
        [
            r"\begin{tabular}{llllllrl}",
            r"\toprule",
            written[0],
            r"\midrule",
            *written[1:],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def to_json(entries: Sequence[dict[str, Any]]) -> str:
    """`rows` as JSON."""
    return json.dumps(rows(entries), ensure_ascii=False, indent=2) + "\n"


def verdict(row: dict[str, Any]) -> str:
    """How a row does against the best baseline, in words; empty where there is nothing to say."""
    against, (_, decimals) = row["against"], METRICS[row["metric"]]
    if against is None:
        return ""
    if against["verdict"] == "equals":
        return f"equals {against['baseline']}"
    size, bounds = f"{abs(against['difference']):.{decimals}f}", against["interval"]
    between = f" [{bounds[0]:+.{decimals}f}, {bounds[1]:+.{decimals}f}]" if bounds else ""
    if against["verdict"] == "loses":
        return f"loses by {size}{between} to {against['baseline']}"
    return f"+{size}{between} on {against['baseline']}"


def _against(entry: dict[str, Any], best: dict[str, Any]) -> dict[str, Any]:
    known = entry.get("differences", {}).get(best["system"], {})
    difference = round(_main(entry) - _main(best), 4)
    return {
        "baseline": best["system"],
        "difference": difference,
        "interval": known.get("interval"),
        "verdict": "beats" if difference > 0 else "loses" if difference < 0 else "equals",
    }


def _main(entry: dict[str, Any]) -> float:
    return float(entry["scores"][entry["scores"]["metric"]])


def cells(row: dict[str, Any]) -> list[str]:
    name, decimals = METRICS[row["metric"]]
    low, high = row["interval"]
    others = (
        f"{METRICS[other][0]} {value:.{METRICS[other][1]}f}"
        for other, value in row["others"].items()
        if other in METRICS
    )
    return [
        row["task"],
        "all languages" if row["language"] == ALL else row["language"],
        row["system"] + (" (baseline)" if row["baseline"] else ""),
        f"{name} {row['score']:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]",
        ", ".join(others),
        ", ".join(f"{way} {value:.{decimals}f}" for way, value in row["chance"].items()) or "-",
        str(row["items"]),
        verdict(row) or "-",
    ]
