import json
from typing import Any

import pytest

from edgelm.evaluate.scores import compare
from edgelm.evaluate.tables import HEADER, latex, markdown, rows, to_json
from edgelm.tasks.examples import Labelled, Pair


def entry(system: str, value: float, *, baseline: bool = False, **changes: Any) -> dict[str, Any]:
    scores = {
        "macro_f1": value,
        "interval": [value - 0.05, value + 0.05],
        "accuracy": 0.5,
        "metric": "macro_f1",
        "intervals": {"accuracy": [0.4, 0.6]},
        "chance": {"uniform": {"macro_f1": 0.25, "accuracy": 0.2}, "majority": {"macro_f1": 0.1}},
        "items": 40,
    }
    found = {"task": "news", "language": "xho", "system": system, "baseline": baseline, "scores": scores}
    return found | changes


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def test_a_row_has_score_chance_items_and_comparison() -> None:
    ours = entry("tiny", 0.8, differences={"SVM": {"difference": 0.1, "interval": [0.02, 0.18]}})
    table = cells(markdown([ours, entry("SVM", 0.7, baseline=True), entry("majority", 0.1, baseline=True)]))
    assert table[0] == list(HEADER)
    assert set(table[1]) == {"---"}
    assert table[2] == [
        "news",
        "xho",
        "tiny",
        "macro-F1 0.800 [0.750, 0.850]",
        "accuracy 0.500",
        "uniform 0.250, majority 0.100",
        "40",
        "+0.100 [+0.020, +0.180] on SVM",
    ]
    assert (table[3][2], table[3][-1]) == ("SVM (baseline)", "-")
    assert len(table) == 5


@pytest.mark.parametrize(
    ("value", "said", "verdict"),
    [
        (0.69, "loses by 0.010 to SVM", "loses"),
        (0.7, "equals SVM", "equals"),
        (0.71, "+0.010 on SVM", "beats"),
    ],
)
def test_who_loses_is_said_to_lose(value: float, said: str, verdict: str) -> None:
    entries = [entry("majority", 0.1, baseline=True), entry("SVM", 0.7, baseline=True), entry("tiny", value)]
    assert cells(markdown(entries))[-1][-1] == said
    assert rows(entries)[-1]["against"] == {
        "baseline": "SVM",
        "difference": pytest.approx(value - 0.7),
        "interval": None,
        "verdict": verdict,
    }


def test_a_loss_has_its_interval() -> None:
    ours = entry("tiny", 0.6, differences={"SVM": {"difference": -0.1, "interval": [-0.15, 0.01]}})
    said = cells(markdown([ours, entry("SVM", 0.7, baseline=True)]))[2][-1]
    assert said == "loses by 0.100 [-0.150, +0.010] to SVM"


def test_only_baselines_of_the_same_task_and_language_count() -> None:
    entries = [
        entry("tiny", 0.5),
        entry("SVM", 0.9, baseline=True, task="other"),
        entry("SVM", 0.9, baseline=True, language="zul"),
        entry("SVM", 0.4, baseline=True),
        entry("tiny", 0.3, language="zul"),
    ]
    found = [(one["task"], one["language"], one["system"], one["against"]) for one in rows(entries)]
    assert [one[:3] for one in found] == [
        ("news", "xho", "tiny"),
        ("news", "xho", "SVM"),
        ("news", "zul", "SVM"),
        ("news", "zul", "tiny"),
        ("other", "xho", "SVM"),
    ]
    assert [one[3] and one[3]["verdict"] for one in found] == ["beats", None, None, "loses", None]
    assert rows([entry("tiny", 0.5)])[0]["against"] is None
    assert cells(markdown([entry("tiny", 0.5)]))[-1][-1] == "-"


def test_markdown_cells_stay_cells() -> None:
    table = markdown([entry("a|b\nc", 0.5), entry("x", 0.5, language="all")])
    assert "| a\\|b c |" in table
    assert "| all languages |" in table
    assert len(table.splitlines()) == 4


def test_json_has_what_the_table_says() -> None:
    ours = entry("tiny ṱ", 0.8, differences={"SVM": {"difference": 0.1, "interval": [0.02, 0.18]}})
    entries = [ours, entry("SVM", 0.7, baseline=True)]
    text = to_json(entries)
    assert "tiny ṱ" in text
    assert json.loads(text) == rows(entries)
    assert json.loads(text)[0] == {
        "task": "news",
        "language": "xho",
        "system": "tiny ṱ",
        "baseline": False,
        "metric": "macro_f1",
        "score": 0.8,
        "interval": [0.75, 0.8500000000000001],
        "others": {"accuracy": 0.5},
        "chance": {"uniform": 0.25, "majority": 0.1},
        "items": 40,
        "against": {"baseline": "SVM", "difference": 0.1, "interval": [0.02, 0.18], "verdict": "beats"},
    }


def test_latex_is_escaped_booktabs() -> None:
    table = latex([entry(r"50% & a_b {x} #1 $2 ~ ^ \it", 0.5), entry("SVM", 0.4, baseline=True)])
    lines = table.splitlines()
    assert lines[:2] == [r"\begin{tabular}{llllllrl}", r"\toprule"]
    assert lines[3] == r"\midrule"
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    assert (
        r"50\% \& a\_b \{x\} \#1 \$2 \textasciitilde{} \textasciicircum{} \textbackslash{}it & macro-F1"
        in table
    )
    assert [line.count(" & ") for line in (lines[2], *lines[4:-2])] == [len(HEADER) - 1] * 3
    assert all(line.endswith(r" \\") for line in (lines[2], *lines[4:-2]))


def test_from_predictions_to_a_table() -> None:
    topics = [Labelled("x", "rain", "xho"), Labelled("y", "goat", "zul")] * 5
    labels = [one.label for one in topics]
    entries = compare(
        "topics", topics, {"model": ["rain"] * 10, "SVM": labels}, {"SVM"}, labels=("rain", "goat")
    )
    pairs = [Pair("x", ("imvula iyana",), "zul")] * 4
    entries += compare("headlines", pairs, {"model": ["imvula iyana"] * 4, "copy": ["x"] * 4}, {"copy"})
    table = cells(markdown(entries))
    assert table[2][-1].startswith("loses by 0.667 [")
    assert table[2][-1].endswith("] to SVM")
    assert table[-2][3] == "chrF 100.0 [100.0, 100.0]"
    assert (
        table[-2][4] == "chrF++ 100.0, BLEU 0.0, BLEU (HF) 0.0, ROUGE-1 100.0, ROUGE-2 100.0, ROUGE-L 100.0"
    )
    assert table[-2][5] == "-"
    assert table[-2][-1] == "+100.0 [+100.0, +100.0] on copy"
    assert latex(json.loads(json.dumps(entries))) == latex(entries)
