"""One text for a model that writes: asked and answered as in evaluation."""

import itertools
from pathlib import Path
from typing import Any

import made_up_tasks
import numpy as np
import pytest
from scripted import ASSISTANT, END, VOCAB_SIZE, ByteModel

from edgelm.errors import BadInput
from edgelm.evaluate.ask import ask
from edgelm.evaluate.predict import predict
from edgelm.runtime import LanguageModel, load
from edgelm.runtime.generation import Generation
from edgelm.tasks.examples import Labelled, Tagged
from edgelm.tasks.task import Task, load_task


@pytest.fixture
def tiny(tiny_model_dir: Path) -> LanguageModel:
    return load(tiny_model_dir, threads=1)


def saying(script: str) -> ByteModel:
    """A model that writes `script` for an answer."""

    def after(ids: list[int]) -> np.ndarray:
        logits = np.zeros(VOCAB_SIZE)
        done = len(ids) - ids.index(ASSISTANT) - 1 if ASSISTANT in ids else 0
        logits[script.encode()[done] if done < len(script.encode()) else END] = 30
        return logits

    return ByteModel(after, 400)


def made_up(folder: Path, **changes: Any) -> Task[Any]:
    return load_task(made_up_tasks.write_task(folder, {}, made_up_tasks.COMMON, **changes))


def test_labels_have_the_likelihoods_that_evaluation_ranks_by(tiny: LanguageModel) -> None:
    task, text = load_task("topic"), "Geza izandla zakho ngensipho."
    (found,) = ask(tiny, task, text, "zul")
    assert [found["label"]] == predict(tiny, task, [Labelled(text, "", "zul")])
    assert set(found["labels"]) == set(task.labels)
    values = list(found["labels"].values())
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1, abs=1e-3)
    assert found["measure"] == "probability"


def test_sentences_come_one_by_one_with_the_tags_of_evaluation(tiny: LanguageModel, tmp_path: Path) -> None:
    task = made_up(tmp_path, family="tagging", scheme="bio", labels=["PER"], files={"test": "x"})
    found = list(ask(tiny, task, "UThabo uhleka. USipho uyalala.", "zul"))
    assert [len(one["sentences"]) for one in found] == [1, 2]
    words = ("UThabo", "uhleka", ".")
    first = found[-1]["sentences"][0]
    assert first["words"] == list(words)
    assert [first["tags"]] == predict(tiny, task, [Tagged(words, ("O",) * 3, "zul")])
    assert all(set(one) == {"words", "tags", "spans"} for one in found[-1]["sentences"])


def test_text_streams_and_ends_as_evaluation_has_it(tmp_path: Path) -> None:
    task = load_task(made_up_tasks.write_triples(tmp_path))
    report = Generation()
    model = saying("I{entity} inayo: {value}.")
    found = [one["text"] for one in ask(model, task, "Bana | river |Zodwa", "xho", report=report)]
    assert found[-1] == "IBana inayo: Zodwa."
    assert len(found) > 5
    assert all(len(earlier) <= len(later) + 8 for earlier, later in itertools.pairwise(found))
    assert report.tokens == len("I{entity} inayo: {value}.")


def test_a_text_that_does_not_suit_the_task_is_a_sentence(tiny: LanguageModel, tmp_path: Path) -> None:
    triples = load_task(made_up_tasks.write_triples(tmp_path))
    for text in ("Bana", "Bana | river", "a | b | c | d", "a | | c"):
        with pytest.raises(BadInput, match=r"not 3 parts.*Write entity \| relation \| value"):
            next(ask(tiny, triples, text, "xho"))
    with pytest.raises(BadInput, match="empty"):
        next(ask(tiny, load_task("topic"), " \n", "zul"))
    with pytest.raises(BadInput, match="asks for more than a text"):
        next(ask(tiny, load_task("instructions"), "Sawubona", "eng"))


def test_it_is_asked_in_the_language_that_the_model_was_taught_in(tmp_path: Path) -> None:
    asked: list[str] = []

    class Listening(ByteModel):
        def tokenize(self, text: str) -> list[int]:
            asked.append(text)
            return super().tokenize(text)

    task = made_up(
        tmp_path,
        family="generation",
        fields={"text": "t", "references": "r"},
        prompts={"eng": "{text}\n\nHeadline:", "zul": "{text}\n\nIsihloko:"},
    )
    for native in (False, True):
        list(ask(Listening(lambda ids: np.eye(VOCAB_SIZE)[END], 200), task, "Sawubona", "zul", native=native))
    assert asked == ["Sawubona\n\nHeadline:", "Sawubona\n\nIsihloko:"]
