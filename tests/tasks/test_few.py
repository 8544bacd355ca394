"""A few examples: even over labels, the same every time, and more of them hold the fewer."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import made_up_tasks
import pytest

from edgelm.tasks.examples import Labelled, Tagged
from edgelm.tasks.few import few
from edgelm.tasks.task import load_task

LABELS = ["glad"] * 90 + ["sad"] * 9 + ["calm"]
MANY = [
    Labelled(f"{code} {number}", label, code)
    for code in ("xho", "zul")
    for number, label in enumerate(LABELS)
]


@pytest.mark.parametrize("count", [3, 6, 16, 64])
def test_labels_come_in_turn_in_each_language(count: int) -> None:
    found = few(MANY, count)
    for code in ("xho", "zul"):
        had = Counter(one.label for one in found if one.language == code)
        assert sum(had.values()) == count
        assert had["calm"] == 1
        assert had["sad"] == min(9, count // 3 if count < 4 else (count - 1) // 2)
    assert found == [one for one in MANY if one in found]
    assert set(found) <= set(few(MANY, count + 5))


def test_all_where_there_are_no_more_and_sentences_too() -> None:
    assert few(MANY, 100) == MANY
    sentences = [Tagged((str(number),), ("a",), "zul") for number in range(40)]
    assert len(few(sentences, 16)) == 16
    assert few(sentences, 16) != sentences[:16]


def test_a_task_gives_few_for_training_only(tmp_path: Path) -> None:
    rows = "text\tlabel\n" + "".join(f"line {number}\t{LABELS[number]}\n" for number in range(100))
    place = made_up_tasks.write_task(
        tmp_path,
        {f"{split}.tsv": rows for split in ("train", "validation")},
        made_up_tasks.COMMON,
        family="classification",
        files={"train": "train.tsv", "validation": "validation.tsv"},
        fields={"text": "text", "label": "label"},
        languages={"zul": "zulu"},
        labels=["glad", "sad", "calm"],
    )
    task = load_task(place)
    less = replace(task, few=16)
    assert len(less.examples("train")) == 16
    assert len(less.examples("validation")) == 100
    assert less.config() == {**task.config(), "few": 16}
