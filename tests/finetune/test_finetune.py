import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_up_tasks
import pytest
import yaml

from edgelm.errors import BadInput
from edgelm.evaluate.bits_per_byte import bits_per_byte, corpus_texts
from edgelm.evaluate.metrics import classification_scores
from edgelm.evaluate.predict import predict
from edgelm.finetune.config import FinetuneConfig
from edgelm.finetune.finetune import finetune
from edgelm.model.directory import load_model
from edgelm.runtime.torch import TorchModel
from edgelm.tasks.task import Task, load_task
from edgelm.tokenizer.text import TextTokenizer

CONFIG = FinetuneConfig(steps=30, batch=8, learning_rate=0.005, warmup=5, seed=2, precision="fp32")
SHORT = FinetuneConfig(steps=3, batch=2, learning_rate=0.003, seed=2, precision="fp32")


@pytest.fixture(scope="module")
def task(task_file: Path) -> Task:
    return load_task(task_file)


def run(folder: Path, *arguments: Any, **options: Any) -> tuple[Path, dict[str, Any]]:
    return folder, finetune(*arguments[:2], folder, **options)


@pytest.fixture(scope="module")
def with_replay(
    tmp_path_factory: pytest.TempPathFactory, base_model: Path, replay_corpus: Path, task: Task
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("runs") / "with"
    return run(folder, base_model, [task], config=CONFIG, replay=replay_corpus)


@pytest.fixture(scope="module")
def without_replay(
    tmp_path_factory: pytest.TempPathFactory, base_model: Path, task: Task
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("runs") / "without"
    return run(folder, base_model, [task], config=CONFIG)


def quality(model: Path, corpus: Path) -> dict[str, float]:
    runtime = TorchModel(load_model(model), TextTokenizer(model))
    return bits_per_byte(runtime, corpus_texts(corpus, "validation", 50_000))


def test_replay_keeps_the_language(
    base_model: Path,
    replay_corpus: Path,
    with_replay: tuple[Path, dict[str, Any]],
    without_replay: tuple[Path, dict[str, Any]],
) -> None:
    before = quality(base_model, replay_corpus)["mean"]
    kept = quality(with_replay[0], replay_corpus)
    lost = quality(without_replay[0], replay_corpus)["mean"]
    assert kept["mean"] < before + 0.1
    assert kept["mean"] < lost - 0.3
    assert with_replay[1]["validation_bits_per_byte"] == pytest.approx(kept, abs=2e-4)
    assert without_replay[1]["validation_bits_per_byte"] == {}


def test_the_task_is_learnt_and_its_scores_reported(
    base_model: Path, task: Task, with_replay: tuple[Path, dict[str, Any]]
) -> None:
    folder, figures = with_replay
    held_out = task.examples("validation")
    truth = [one.label for one in held_out]
    runtime = TorchModel(load_model(folder), TextTokenizer(folder))
    predicted = predict(runtime, task, held_out)
    scores = figures["tasks"]["made-up"]
    languages = scores.pop("languages")
    assert scores == classification_scores(truth, predicted, task.labels)
    assert scores["items"] == len(held_out) == 21
    assert set(languages) == {"eng", "xho", "zul"}
    assert scores["macro_f1"] > 0.6
    untrained = TorchModel(load_model(base_model), TextTokenizer(base_model))
    before = predict(untrained, task, held_out)
    assert classification_scores(truth, before, task.labels)["macro_f1"] < scores["macro_f1"] - 0.2


def test_the_model_answers_with_a_label_and_ends(
    task: Task, with_replay: tuple[Path, dict[str, Any]]
) -> None:
    runtime = TorchModel(load_model(with_replay[0]), TextTokenizer(with_replay[0]))
    answers = [
        "".join(runtime.generate(one.text, chat=True, temperature=0, max_tokens=12))
        for one in task.examples("validation")
    ]
    assert sum(answer in task.labels for answer in answers) / len(answers) > 0.8, answers
    assert len(set(answers)) > 1


def test_what_is_left_on_disk(with_replay: tuple[Path, dict[str, Any]], base_model: Path) -> None:
    folder, _ = with_replay
    names = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json", "README.md"}
    names |= {"generation_config.json", "model.safetensors", "metrics.jsonl", "edgelm.json"}
    names |= {"speed.jsonl", "curve.html"}
    assert {path.name for path in folder.iterdir()} == names
    for name in ("config.json", "tokenizer.json"):
        assert (folder / name).read_bytes() == (base_model / name).read_bytes()
    provenance = json.loads((folder / "edgelm.json").read_text(encoding="utf-8"))
    assert provenance["config"]["replay"] == 0.5
    assert provenance["config"]["tasks"][0]["name"] == "made-up"


def test_the_same_seed_gives_the_same_bytes(
    tmp_path: Path, base_model: Path, replay_corpus: Path, task: Task
) -> None:
    weights = []
    for name, seed in (("one", 2), ("two", 2), ("three", 3)):
        config = FinetuneConfig(steps=3, batch=2, learning_rate=0.003, seed=seed, precision="fp32")
        finetune(base_model, [task], tmp_path / name, config=config, replay=replay_corpus)
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_one_language(tmp_path: Path, base_model: Path, task: Task) -> None:
    figures = finetune(base_model, [task], tmp_path / "mono", config=SHORT, languages=["zul"])
    scores = figures["tasks"]["made-up"]
    assert set(scores["languages"]) == {"zul"}
    assert scores["items"] == len(task.examples("validation", ["zul"]))
    card = (tmp_path / "mono" / "README.md").read_text(encoding="utf-8")
    assert '- "zu"\n' in card
    assert "- xh\n" not in card
    with pytest.raises(BadInput, match="has no language ven"):
        finetune(base_model, [task], tmp_path / "ven", config=SHORT, languages=["ven"])


def test_several_tasks(tmp_path: Path, base_model: Path, task_file: Path) -> None:
    value = json.loads(task_file.read_text(encoding="utf-8"))
    other = task_file.with_name("other.yaml")
    other.write_text(json.dumps({**value, "name": "other"}), encoding="utf-8")
    tasks = [load_task(task_file), load_task(other)]
    figures = finetune(base_model, tasks, tmp_path / "both", config=SHORT)
    assert list(figures["tasks"]) == ["made-up", "other"]
    assert "finetuned on made-up, other" in (tmp_path / "both" / "README.md").read_text(encoding="utf-8")


def without(split: str, folder: Path, task_file: Path) -> Task:
    """The task without the examples of a split."""
    value = json.loads(task_file.read_text(encoding="utf-8"))
    (folder / "documents").mkdir()
    for file in (task_file.parent / "documents").iterdir():
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if f'"{split}"' not in line]
        (folder / "documents" / file.name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "hollow.yaml").write_text(json.dumps({**value, "name": "hollow"}), encoding="utf-8")
    return load_task(folder / "hollow.yaml")


def test_a_task_without_examples(tmp_path: Path, base_model: Path, task_file: Path) -> None:
    """It is told before any training."""
    task = without("train", tmp_path, task_file)
    with pytest.raises(BadInput, match="the task 'hollow' has no train examples"):
        finetune(base_model, [task], tmp_path / "output", config=SHORT)
    assert not (tmp_path / "output").exists()
    assert not list(tmp_path.rglob("checkpoint-*"))


def test_without_validation_there_is_no_score(tmp_path: Path, base_model: Path, task_file: Path) -> None:
    task = without("validation", tmp_path, task_file)
    assert finetune(base_model, [task], tmp_path / "output", config=SHORT, validate_every=1)["tasks"] == {}


def test_training_ends_when_the_task_is_learnt_no_better(
    tmp_path: Path, base_model: Path, task: Task
) -> None:
    """The weights given out are those of the best validation."""
    config = replace(CONFIG, steps=40, learning_rate=0.02, patience=2, dropout=0.0)
    figures = finetune(base_model, [task], tmp_path / "out", config=config, validate_every=4)
    lines = (tmp_path / "out" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    errors = [line["validation"] for line in map(json.loads, lines) if "validation" in line]
    best = min(range(len(errors)), key=lambda place: errors[place]["mean"])
    assert len(errors) == best + 3 < 10
    assert set(errors[0]) == {"made-up", "mean"}
    assert figures["tasks"]["made-up"]["macro_f1"] == pytest.approx(1 - errors[best]["mean"], abs=1e-4)


def test_bad_input(tmp_path: Path, base_model: Path, task: Task) -> None:
    with pytest.raises(BadInput, match="no task was given"):
        finetune(base_model, [], tmp_path / "output", config=SHORT)
    with pytest.raises(BadInput, match=r"is not a model\. Give a \.gguf file, or a directory"):
        finetune(tmp_path, [task], tmp_path / "output", config=SHORT)
    with pytest.raises(BadInput, match=r"manifest\.json"):
        finetune(base_model, [task], tmp_path / "output", config=SHORT, replay=base_model)
    assert not (tmp_path / "output").exists()


def test_a_model_is_judged_in_the_languages_it_learnt(
    tmp_path: Path, base_model: Path, task_file: Path
) -> None:
    description = yaml.safe_load(task_file.read_text(encoding="utf-8"))
    some, *others = description["languages"]
    description["without"] = {code: ["train"] for code in others}
    place = task_file.with_name("one-trained.yaml")
    place.write_text(yaml.safe_dump(description), encoding="utf-8")
    config = FinetuneConfig(steps=1, batch=1, precision="fp32", compile="off")
    found = finetune(base_model, [load_task(place)], tmp_path / "out", config=config)
    assert list(found["tasks"]["made-up"]["languages"]) == [some]


def test_a_card_remembers_what_the_model_below_saw(tmp_path: Path, base_model: Path, task_file: Path) -> None:
    description = yaml.safe_load(task_file.read_text(encoding="utf-8"))
    place = task_file.with_name("reserved.yaml")
    place.write_text(
        yaml.safe_dump({**description, "name": "kept", "measurement_only": True}), encoding="utf-8"
    )
    config = FinetuneConfig(steps=1, batch=1, precision="fp32", compile="off")
    below = base_model
    for name, task in (("one", place), ("two", task_file), ("three", task_file)):
        finetune(below, [load_task(task)], tmp_path / name, config=config)
        below = tmp_path / name
        card = (below / "README.md").read_text(encoding="utf-8")
        assert "for measurement only (kept); do not give it away" in " ".join(card.split())
        assert "license: other" in card


def test_slots_are_learnt_and_filled_in(tmp_path: Path, base_model: Path) -> None:
    """A name never seen comes out letter by letter."""
    task = load_task(made_up_tasks.write_triples(tmp_path))
    config = FinetuneConfig(steps=60, batch=2, learning_rate=0.01, warmup=5, precision="fp32", compile="off")
    finetune(base_model, [task], tmp_path / "out", config=config)
    model = TorchModel(load_model(tmp_path / "out"), TextTokenizer(tmp_path / "out"))
    first, second = task.examples("train")
    assert predict(model, task, [first, second]) == ["iBana inoZodwa.", "ILuya: uBala."]
    other = replace(first, parts={**first.parts, "value": "Qhubeka-99"})
    assert predict(model, task, [other]) == ["iBana inoQhubeka-99."]
