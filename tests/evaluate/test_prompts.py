"""The language of prompts: English, the text's own, or the better one on validation and never on test."""

import json
from pathlib import Path
from typing import Any

import made_up_tasks
import numpy as np
import pytest
from scripted import ASSISTANT, VOCAB_SIZE, ByteModel

from edgelm.errors import BadInput
from edgelm.evaluate.evaluate import Splits, evaluate, evaluate_baselines, score_task, write_results
from edgelm.evaluate.predict import Asking, predict
from edgelm.evaluate.prompts import choose_prompts
from edgelm.tasks.task import Task, load_task

FILES = {split: f"{{language}}/{split}.jsonl" for split in ("train", "validation", "test")}
WORDS = {"zul": ["jabula", "lusizi"], "eng": ["glad", "sad"]}


def mood(folder: Path, **changes: Any) -> Task[Any]:
    """Texts whose first letter says the mood: `a` glad, `b` sad."""
    lines = "".join(
        made_up_tasks.line(f"{letter} text {number}", label)
        for number in range(6)
        for letter, label in (("a", "glad"), ("b", "sad"))
    )
    contents: dict[str, str | bytes] = {
        f"{name}/{split}.jsonl": lines for name in ("zulu", "english") for split in FILES
    }
    value = {
        "files": FILES,
        "prompts": {"eng": "{text} mood?", "zul": "{text} umoya?"},
        "verbalisers": {"zul": dict(zip(("glad", "sad"), WORDS["zul"], strict=True))},
    }
    return load_task(made_up_tasks.write_task(folder, contents, **(value | changes)))


def knowing(asked: bytes) -> ByteModel:
    """A model that knows the mood when some words are in the prompt, and says the opposite without."""

    def after(ids: list[int]) -> np.ndarray:
        logits = np.zeros(VOCAB_SIZE)
        text = bytes(one for one in ids if one < 256)
        glad = (b"a text" in text) == (asked in text)
        if ids[-1] == ASSISTANT:
            words = WORDS["zul" if b"umoya" in text else "eng"]
            logits[ord(words[0 if glad else 1][0])] = 9.0
        return logits

    return ByteModel(after, 100)


def test_the_prompt_is_in_the_language_asked_for(tmp_path: Path) -> None:
    task = mood(tmp_path)
    examples = task.examples("test")
    right = [one.label for one in examples]
    for native in (frozenset[str](), frozenset({"zul"}), frozenset({"zul", "eng"})):
        found = predict(knowing(b"umoya"), task, examples, asking=Asking(native))
        good = [a == b for a, b in zip(found, right, strict=True)]
        assert good == [one.language == "zul" and "zul" in native for one in examples]


@pytest.mark.parametrize(("asked", "chosen"), [(b"umoya", {"zul"}), (b"mood", set()), (b"none", set())])
def test_the_better_prompt_is_chosen(tmp_path: Path, asked: bytes, chosen: set[str]) -> None:
    task, steps = mood(tmp_path), []
    examples = task.validation()
    native, said = choose_prompts(
        knowing(asked), task, examples, score_task, 1, lambda done, note="": steps.append(done)
    )
    assert native == chosen
    assert sum(steps) == 2 * len(examples)
    assert list(said) == ["eng", "zul"]
    assert said["eng"]["prompt"] == "english"
    assert set(said["eng"]["validation"]) == {"english"}  # its own prompt is the English one
    assert said["zul"]["prompt"] == ("native" if chosen else "english")
    expected = {b"umoya": (0.0, 1.0), b"mood": (1.0, 0.0), b"none": (0.0, 0.0)}[asked]
    assert (said["zul"]["validation"]["english"], said["zul"]["validation"]["native"]) == expected


def test_the_choice_is_made_on_validation_and_recorded(tmp_path: Path, tiny_model_dir: Path) -> None:
    task, asked = mood(tmp_path / "task"), []

    class Watched(Splits):
        def __call__(self, task: Task[Any], split: str, languages: Any) -> list[Any]:
            asked.append(split)
            return super().__call__(task, split, languages)

    found = evaluate(tiny_model_dir, tmp_path / "out", tasks=[task], prompt="auto", splits=Watched())
    assert asked == ["test", "validation"]
    prompts = found["tasks"]["mood"]["prompts"]
    assert set(prompts) == {"eng", "zul"}
    kept = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert kept["tasks"]["mood"]["prompts"] == prompts
    english = evaluate(tiny_model_dir, tmp_path / "english", tasks=[task])["tasks"]["mood"]
    native = evaluate(tiny_model_dir, tmp_path / "native", tasks=[task], prompt="native")["tasks"]["mood"]
    assert "prompts" not in english
    other = native if prompts["zul"]["prompt"] == "native" else english
    assert found["tasks"]["mood"]["languages"]["zul"] == other["languages"]["zul"]


def test_auto_is_refused_where_there_is_nothing_to_choose_on(tmp_path: Path, tiny_model_dir: Path) -> None:
    none = mood(tmp_path / "none", files={split: FILES[split] for split in ("train", "test")})
    some = mood(tmp_path / "some", without={"eng": ["validation"]})
    for task, changes, problem in (
        (none, {}, "'mood' has no validation split in zul, eng"),
        (some, {}, "'mood' has no validation split in eng"),
        (mood(tmp_path / "all"), {"split": "validation"}, "judged on"),
        (none, {"prompt": "zulu"}, "unknown prompt 'zulu'"),
        (none, {"prompt": "english", "beams": 0}, "0 beams"),
    ):
        with pytest.raises(BadInput, match=problem):
            evaluate(tiny_model_dir, tmp_path / "out", tasks=[task], **({"prompt": "auto"} | changes))  # type: ignore[arg-type]
    evaluate(tiny_model_dir, tmp_path / "zul", tasks=[some], languages=["zul"], prompt="auto")


def test_a_split_is_read_once(tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = mood(tmp_path / "task")
    read: list[str] = []
    real = type(task).examples
    monkeypatch.setattr(
        type(task), "examples", lambda self, split, *rest: (read.append(split), real(self, split, *rest))[1]
    )
    splits = Splits()
    evaluate(tiny_model_dir, tmp_path / "model", tasks=[task], splits=splits)
    evaluate_baselines(tmp_path / "baselines", [task], splits=splits)
    write_results(tmp_path, [tmp_path / "model"], tmp_path / "baselines", [task], splits=splits)
    assert read == ["test"]
