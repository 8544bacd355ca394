"""Validations while training read the same drawn examples, and say what they cost; the last one reads all."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from edgelm.finetune import finetune as writing
from edgelm.finetune import head as labelling
from edgelm.finetune.config import FinetuneConfig
from edgelm.finetune.watching import RANKED, WRITTEN, telling, watched
from edgelm.progress import Progress
from edgelm.tasks.examples import Labelled, Pair
from edgelm.tasks.task import load_task

SHORT = FinetuneConfig(steps=4, batch=2, learning_rate=0.01, precision="fp32", compile="off")


def test_what_is_looked_at_depends_on_how_it_is_answered(task_file: Path) -> None:
    ranked, written = load_task(task_file), load_task("instructions")
    labelled = [Labelled(str(number), "rain", "zul") for number in range(500)]
    texts = [Pair(str(number), ("a",), "zul") for number in range(500)]
    assert len(watched(ranked, labelled)) == RANKED
    some = watched(load_task("sona", data=False), texts)
    assert len(some) == WRITTEN
    assert some == watched(load_task("sona", data=False), texts), "drawn once"
    places = [int(one.text) for one in some]
    assert places == sorted(places)
    assert max(places) > 300, "from all over the split"
    assert watched(written, texts[:50]) == texts[:50]
    assert watched(ranked, labelled, 0) == labelled
    assert len(watched(ranked, labelled, 7)) == 7


@pytest.mark.parametrize("room", [writing, labelling])
def test_the_same_part_each_time_and_all_at_the_end(
    tmp_path: Path, base_model: Path, task_file: Path, monkeypatch: pytest.MonkeyPatch, room: Any
) -> None:
    task, read, said = load_task(task_file), [], []
    real = room.predict

    def noting(model: Any, one: Any, given: list[Any], *more: Any) -> Any:
        read.append([example.text for example in given])
        return real(model, one, given, *more)

    monkeypatch.setattr(room, "predict", noting)
    monkeypatch.setattr(Progress, "say", lambda self, text: said.append(text))
    how: dict[str, Any] = {"config": SHORT, "validate_every": 2, "validation_examples": 5}
    if room is writing:
        writing.finetune(base_model, [task], tmp_path / "out", **how, progress=Progress(silent=True))
    else:
        labelling.finetune_head(base_model, task, tmp_path / "out", **how, progress=Progress(silent=True))
    every = [one.text for one in task.validation()]
    assert [len(texts) for texts in read] == [5, 5, len(every)]
    assert read[0] == read[1]
    assert set(read[0]) < set(every)
    assert read[2] == every
    told = [text for text in said if text.startswith("a validation reads")]
    assert len(told) == 1
    assert told[0].startswith(f"a validation reads 5 of {len(every)} examples and took ")
    config = json.loads((tmp_path / "out" / "edgelm.json").read_text(encoding="utf-8"))["config"]
    assert config["validation_examples"] == 5


def test_a_dear_validation_says_how_to_spend_less() -> None:
    said: list[str] = []

    def slow(model: object) -> dict[str, float]:
        time.sleep(0.05)
        return {"mean": 0.5}

    run = telling(slow, [[1]], [[1, 2]], said.append)
    assert run(None) == {"mean": 0.5}  # type: ignore[arg-type]
    assert said[0].endswith("fewer --validation-examples or a larger --validate-every cost less")
    said.clear()
    run = telling(lambda model: {"mean": 0.5}, [[1]], [[1, 2]], said.append)
    time.sleep(0.05)
    run(None)  # type: ignore[arg-type]
    assert said[0].startswith("a validation reads 1 of 2 examples and took 0.0 s, ")
    assert "cost less" not in said[0]
