"""Cards say what a model learnt from and how well, and the hub can read what stands before."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from made_up_tasks import COMMON, MOOD, line, write_task

from edgelm.model.card import METHODS, about_decoder, finetuned_card, table
from edgelm.model.config import get_preset
from edgelm.tasks.task import Task, load_task

TAGS: dict[str, Any] = COMMON | {
    "name": "names",
    "family": "tagging",
    "files": {"train": "{language}/train.txt"},
    "labels": ["PER"],
    "scheme": "bio",
    "licence": "CC-BY-2.5-ZA",
}


def score(value: float) -> dict[str, Any]:
    return {"macro_f1": value, "metric": "macro_f1", "interval": [value - 0.1, value + 0.1], "items": 20}


def make(folder: Path, **changes: Any) -> Task[Any]:
    folder.mkdir(exist_ok=True)
    return load_task(write_task(folder, {"zulu/train.jsonl": line("Yebo")}, MOOD, **changes))


def parts(card: str) -> tuple[dict[str, Any], str]:
    _, front, body = card.split("---\n", 2)
    return yaml.safe_load(front), body


def test_it_names_data_sizes_method_score_and_limits(tmp_path: Path) -> None:
    task = make(tmp_path)
    scores = {"mood": {**score(0.75), "languages": {"zul": score(0.7), "eng": score(0.8)}}}
    card = finetuned_card(
        [task], "linear", ["eng", "zul"], {"mood": (1234, 56)}, scores, ["It is small."], library="edgelm"
    )
    head, body = parts(card)
    assert head == {
        "license": "cc0-1.0",
        "library_name": "edgelm",
        "pipeline_tag": "text-classification",
        "language": ["en", "zu"],
        "tags": ["edgelm", "linear", "mood"],
    }
    assert "| mood | classification | CC0-1.0 | nobody | 1,234 | 56 |" in body
    assert "| mood | all | macro_f1 | 0.750 | 0.650 to 0.850 | 20 |" in body
    assert "| mood | zul | macro_f1 | 0.700 | 0.600 to 0.800 | 20 |" in body
    for words in (
        "It is small.",
        METHODS["linear"],
        'edgelm run . "some text"\n',
        "## Limits",
        "decide about",
    ):
        assert words in body
    assert "measurement" not in card


def test_data_for_measurement_only_is_said_plainly(tmp_path: Path) -> None:
    tasks = [make(tmp_path / "a"), make(tmp_path / "b", name="other", measurement_only=True)]
    sizes = {"mood": (1, 0), "other": (2, 0)}
    head, body = parts(finetuned_card(tasks, "full", ["zul"], sizes, {}, about_decoder(get_preset("nano"))))
    assert body.split("\n\n")[1] == (
        "**Trained on data that is for measurement only (other); do not give it away.**"
    )
    assert (head["license"], head["license_name"]) == ("other", "measurement-only")
    assert "None: there are no validation examples" in body
    assert 'edgelm run . "some text" --chat' in body


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["Apache-2.0", "apache-2.0"], {"license": "apache-2.0"}),
        (["CC-BY-2.5-ZA"], {"license": "other", "license_name": "as-its-data"}),
        (["CC0-1.0", "CC-BY-4.0"], {"license": "other", "license_name": "as-its-data"}),
    ],
)
def test_the_licence_is_one_that_the_hub_knows(
    tmp_path: Path, licences: list[str], expected: dict[str, str]
) -> None:
    tasks = [make(tmp_path / str(n), name=f"task{n}", licence=licence) for n, licence in enumerate(licences)]
    sizes = {task.name: (1, 1) for task in tasks}
    head, _ = parts(finetuned_card(tasks, "full", [], sizes, {}, []))
    assert {key: value for key, value in head.items() if key.startswith("license")} == expected


def test_a_head_says_what_it_does(tmp_path: Path) -> None:
    task = load_task(write_task(tmp_path, {"zulu/train.txt": "Sipho B-PER\n"}, TAGS))
    head, _ = parts(finetuned_card([task], "head", ["nor"], {"names": (1, 0)}, {}, []))
    assert head["pipeline_tag"] == "token-classification"
    assert head["library_name"] == "transformers"


def test_the_hub_reads_it(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="its reader of cards is in the extra 'export'")
    task = make(tmp_path, name="no", attribution="A | B: 'c'")
    card = finetuned_card([task], "crf", ["no", "zul"], {"no": (1, 1)}, {}, ["x"], bits_per_byte={"zul": 1.5})
    data = hub.ModelCard(card).data.to_dict()
    assert data["tags"] == ["edgelm", "crf", "no"]
    assert data["language"] == ["no", "zu"]
    assert "| A / B: 'c' |" in card
    assert "| isiZulu | 1.500 |" in card


def test_a_table() -> None:
    assert table(["a", "b"], [[1, "x|y"]]) == ["| a | b |", "| --- | --- |", "| 1 | x/y |"]
