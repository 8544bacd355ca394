"""Heads learn what can be learnt, are judged on validation, and are evaluated as they were trained."""

import json
import random
from dataclasses import replace
from pathlib import Path

import made_up_tasks
import numpy as np
import pytest
from safetensors.numpy import load_file

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.evaluate.evaluate import evaluate, evaluate_baselines, write_results
from edgelm.finetune.config import FinetuneConfig
from edgelm.finetune.finetune import finetune
from edgelm.finetune.head import finetune_head, head_item
from edgelm.model.decoder import IGNORE
from edgelm.model.head_config import HeadConfig
from edgelm.runtime import load_labeller
from edgelm.tasks.examples import Labelled, Tagged
from edgelm.tasks.task import Task, load_task
from edgelm.tokenizer.text import TextTokenizer

CONFIG = FinetuneConfig(steps=40, batch=4, learning_rate=0.01, warmup=5, precision="fp32", compile="off")
TAGGING = {
    "family": "tagging",
    "languages": {"zul": "zulu"},
    "labels": ["EARLY", "LAST", "STOP"],
    "scheme": "flat",
}
WORDS = ("bana", "dilo", "fega", "guma", "kofi")


def sentences(split: str, count: int) -> str:
    """A word has the tag `LAST` before a full stop and `EARLY` elsewhere: what follows a word decides."""
    draw = random.Random(split)
    blocks = []
    for _ in range(count):
        words = [draw.choice(WORDS) for _ in range(draw.randint(2, 6))]
        words = [part for word in words for part in ([word, "."] if draw.random() < 0.4 else [word])]
        tags = [
            "STOP" if word == "." else "LAST" if after == "." else "EARLY"
            for word, after in zip(words, [*words[1:], ""], strict=True)
        ]
        blocks.append("".join(f"{word} {tag}\n" for word, tag in zip(words, tags, strict=True)))
    return "\n".join(blocks)


@pytest.fixture(scope="module")
def tagging(tmp_path_factory: pytest.TempPathFactory) -> Task:
    files = {split: f"{{language}}/{split}.txt" for split in ("train", "validation", "test")}
    contents: dict[str, str | bytes] = {
        f"zulu/{split}.txt": sentences(split, 120 if split == "train" else 20) for split in files
    }
    return load_task(
        made_up_tasks.write_task(
            tmp_path_factory.mktemp("tagging"),
            contents,
            {**made_up_tasks.COMMON, **TAGGING},
            files=files,
        )
    )


def test_targets_stand_where_labels_are_asked_for(tokenizer: TextTokenizer) -> None:
    item = head_item(tokenizer, Tagged(("bana", "."), ("b", "a"), "zul"), HeadConfig("token", ("a", "b")), 99)
    assert item.targets[item.targets != IGNORE].tolist() == [1, 0]
    assert len(item.ids) == len(item.targets)
    assert item.targets[-1] == 0
    text = head_item(tokenizer, Labelled("bana dilo", "b", "zul"), HeadConfig("sequence", ("a", "b")), 99)
    assert np.flatnonzero(text.targets != IGNORE).tolist() == [len(text.ids) - 1]
    assert text.targets[-1] == 1


@pytest.mark.parametrize("word", ["e-bana", "bana"])
def test_a_head_knows_whether_its_words_keep_marks(
    tmp_path: Path, base_model: Path, tagging: Task, word: str
) -> None:
    kept = tagging.path("train", "zul").read_text().replace("bana", word)
    place = made_up_tasks.write_task(
        tmp_path / "task",
        {"zulu/train.txt": kept},
        {**made_up_tasks.COMMON, **TAGGING, "files": {"train": "{language}/train.txt"}},
    )
    config = FinetuneConfig(steps=1, batch=1, warmup=1, precision="fp32", compile="off")
    finetune_head(base_model, load_task(place), tmp_path / "out", config=config)
    labeller = load_labeller(tmp_path / "out")
    assert labeller is not None
    assert labeller.whole is (word == "e-bana")


def test_reading_both_ways_a_head_learns_what_hangs_on_the_next_word(
    tmp_path: Path, base_model: Path, tagging: Task
) -> None:
    found = {
        both_ways: finetune_head(
            base_model, tagging, tmp_path / str(both_ways), config=CONFIG, both_ways=both_ways
        )["tasks"]["made-up"]["accuracy"]
        for both_ways in (False, True)
    }
    assert found[True] > 0.98
    assert found[False] < found[True] - 0.1

    model = load_labeller(tmp_path / "True")
    assert model is not None
    assert model.label([Tagged(("guma", ".", "bana", "dilo"), (), "zul")]) == [
        ["LAST", "STOP", "EARLY", "EARLY"]
    ]
    assert model.label([Tagged((), (), "zul")]) == [[]]
    assert model.context < 400
    (labels,) = model.label([Tagged(("guma", ".", "bana", "dilo") * 100, (), "zul")])
    assert len(labels) == 400
    assert labels[:4] == ["LAST", "STOP", "EARLY", "EARLY"]

    evaluate(tmp_path / "True", tmp_path / "out" / "model", tasks=[tagging])
    evaluate_baselines(tmp_path / "out" / "baselines", [tagging])
    entries = write_results(
        tmp_path / "out", [tmp_path / "out" / "model"], tmp_path / "out" / "baselines", [tagging]
    )
    assert {one["system"]: one["baseline"] for one in entries} == {
        "PyTorch fp32, True": False,
        "most frequent tag": True,
        "CRF": True,
    }
    assert "| made-up | zul | PyTorch fp32, True |" in (tmp_path / "out" / "results.md").read_text(
        encoding="utf-8"
    )
    assert json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert r"\toprule" in (tmp_path / "out" / "results.tex").read_text(encoding="utf-8")


def test_a_head_on_texts_and_the_best_step(tmp_path: Path, base_model: Path, task_file: Path) -> None:
    task = load_task(task_file)
    config = FinetuneConfig(
        steps=60, batch=2, learning_rate=0.005, warmup=5, precision="fp32", compile="off", select="best"
    )
    found = finetune_head(base_model, task, tmp_path / "head", config=config, validate_every=10)
    scores = found["tasks"]["made-up"]
    lines = (tmp_path / "head" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    errors = [line["validation"] for line in map(json.loads, lines) if "validation" in line]
    assert len(errors) == 6
    assert min(one["mean"] for one in errors) == pytest.approx(1 - scores["macro_f1"], abs=1e-4)
    assert set(errors[0]) == {"eng", "xho", "zul", "mean"}
    assert scores["macro_f1"] > 0.7
    assert not list((tmp_path / "head").glob("best-*"))

    again = evaluate(tmp_path / "head", tmp_path / "evaluation", tasks=[task], split="validation")
    assert again["tasks"]["made-up"] == scores
    assert again["bits_per_byte"] == {}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, base_model: Path, tagging: Task) -> None:
    config = FinetuneConfig(steps=3, batch=2, precision="fp32", compile="off", dropout=0.1)
    for name in ("one", "two"):
        finetune_head(base_model, tagging, tmp_path / name, config=config)
    assert artifacts.digest_path(tmp_path / "one") == artifacts.digest_path(tmp_path / "two")


def test_what_has_no_labels_has_no_head(tmp_path: Path, base_model: Path) -> None:
    task = load_task("instructions")
    with pytest.raises(BadInput, match="no labels for a head"):
        finetune_head(base_model, task, tmp_path / "out", config=CONFIG)


def test_a_model_is_evaluated_on_what_it_can_do(
    tmp_path: Path, base_model: Path, tagging: Task, task_file: Path
) -> None:
    config = FinetuneConfig(steps=1, batch=1, precision="fp32", compile="off")
    finetune_head(base_model, tagging, tmp_path / "head", config=config)
    with pytest.raises(BadInput, match="gives other labels than those of 'made-up'"):
        evaluate(tmp_path / "head", tmp_path / "out", tasks=[load_task(task_file)])


def test_what_is_chosen_by_validation_needs_some(tmp_path: Path, base_model: Path, tagging: Task) -> None:
    place = made_up_tasks.write_task(
        tmp_path / "task",
        {"zulu/train.txt": tagging.path("train", "zul").read_text()},
        {**made_up_tasks.COMMON, **TAGGING, "files": {"train": "{language}/train.txt"}},
    )
    config = FinetuneConfig(steps=1, batch=1, precision="fp32", compile="off", patience=1)
    for train in (
        lambda: finetune_head(base_model, load_task(place), tmp_path / "out", config=config),
        lambda: finetune(base_model, [load_task(place)], tmp_path / "out", config=config),
    ):
        with pytest.raises(BadInput, match="--patience needs a validation split"):
            train()


def test_a_head_goes_on_learning_or_begins_anew(tmp_path: Path, base_model: Path, tagging: Task) -> None:
    """With a rate too small to change anything, what was learnt is still there; other labels start again."""
    first = finetune_head(base_model, tagging, tmp_path / "first", config=CONFIG, both_ways=True)
    still = replace(CONFIG, steps=1, learning_rate=1e-9)
    again = finetune_head(tmp_path / "first", tagging, tmp_path / "again", config=still)
    assert again["tasks"]["made-up"]["accuracy"] == first["tasks"]["made-up"]["accuracy"] > 0.9
    labeller = load_labeller(tmp_path / "again")
    assert labeller is not None
    assert labeller.head.both_ways, "what learnt to read both ways goes on doing so"
    old, new = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "again"))
    assert np.abs(old["score.weight"] - new["score.weight"]).max() < 1e-6

    other = replace(tagging, labels=tuple(reversed(tagging.labels)), name="other")
    finetune_head(tmp_path / "first", other, tmp_path / "other", config=still)
    new = load_file(tmp_path / "other" / "model.safetensors")
    assert np.abs(old["score.weight"] - new["score.weight"]).max() > 0.01
    name = "model.layers.0.self_attn.q_proj.weight"
    assert np.abs(old[name] - new[name]).max() < 1e-6, "the decoder below it is taken over"
    with pytest.raises(BadInput, match="has a head: it labels and cannot write"):
        finetune(tmp_path / "first", [tagging], tmp_path / "out", config=still)
