"""The general regime gives every pair of task and language its share."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import made_up_tasks
import pytest

from edgelm.errors import BadInput
from edgelm.finetune.config import FinetuneConfig
from edgelm.finetune.examples import answer_item
from edgelm.finetune.finetune import finetune, fitting, taught
from edgelm.finetune.regime import Mixing, Pair, languages_by_task, mix
from edgelm.pretrain.packing import Item, make_item
from edgelm.tasks.examples import Tagged
from edgelm.tasks.task import Task, load_task
from edgelm.tokenizer.text import TextTokenizer

SHORT = FinetuneConfig(steps=2, batch=2, precision="fp32", compile="off")


def items(first: int, count: int, length: int = 10) -> list[Item]:
    return [make_item([first] * length) for _ in range(count)]


SIZES = {("news", "xho"): items(1, 400), ("news", "zul"): items(2, 100), ("tags", "zul"): items(3, 25)}


def test_shares_are_by_weight_and_a_power_of_the_examples() -> None:
    _, pairs = mix(SIZES, Mixing(0.5, {"tags": 3.0}, 0, 1), tokens=10_000, seed=0)
    sizes = [20.0, 10.0, 15.0]
    assert [one.share for one in pairs] == pytest.approx([size / 45 for size in sizes], abs=1e-4)
    assert [(one.task, one.language, one.examples) for one in pairs] == [
        ("news", "xho", 400),
        ("news", "zul", 100),
        ("tags", "zul", 25),
    ]


def test_epochs_are_what_the_share_comes_to_and_what_is_served() -> None:
    source, pairs = mix(SIZES, Mixing(0.5), tokens=10_000, seed=0)
    served: Counter[int] = Counter()
    for _ in range(1000):
        piece = source.next_piece(100)
        item = source.read(piece)
        served[int(item.ids[0])] += len(item.ids)
    assert served.total() == 10_000
    for number, one in enumerate(pairs, 1):
        assert served[number] / 10_000 == pytest.approx(one.share, abs=0.002)
        assert served[number] / 10 / one.examples == pytest.approx(one.epochs, abs=0.05)


def test_bounds_hold() -> None:
    _, pairs = mix(SIZES, Mixing(1.0, smallest=0.1, largest=0.5), tokens=10_000, seed=0)
    assert [one.share for one in pairs] == pytest.approx([0.5, 0.4, 0.1], abs=1e-4)
    _, pairs = mix(SIZES, Mixing(0.0, epochs=4.0), tokens=3_000, seed=0)
    assert [one.epochs for one in pairs] == pytest.approx([0.25, 1, 4], rel=0.02)
    _, pairs = mix(SIZES, Mixing(0.0, epochs=1.0), tokens=10_500, seed=0)
    assert [one.epochs for one in pairs] == pytest.approx([2, 2, 2], rel=0.01)  # no more to give


def test_a_least_share_leaves_room_for_many_pairs() -> None:
    many = {("news", str(number)): items(number, 1 + 100 * (number == 0)) for number in range(100)}
    _, pairs = mix(many, Mixing(1.0), tokens=1000, seed=0)
    assert sum(one.share for one in pairs) == pytest.approx(1, abs=0.01)
    assert pairs[0].share > 0.4
    assert pairs[1].share == pytest.approx(0.005, abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"exponent": 2}, "--exponent 2 is out of range"),
        ({"smallest": -1}, "--min-share -1 is out of range"),
        ({"largest": 0}, "--max-share 0 is out of range"),
        ({"epochs": -1}, "--max-epochs -1 is out of range"),
        ({"weights": {"news": 0.0}}, "--weight news 0 is out of range"),
    ],
)
def test_settings_out_of_range(settings: dict, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Mixing(**settings)


@pytest.fixture
def two(tmp_path: Path, task_file: Path) -> list[Task]:
    """The made-up task and a smaller one with native prompts."""
    value = json.loads(task_file.read_text(encoding="utf-8"))
    other = task_file.with_name("native.yaml")
    prompts = {"eng": "{text} - topic?", "zul": "{text} - sihloko?"}
    changed = {**value, "name": "native", "languages": {"zul": "zul", "xho": "xho"}, "prompts": prompts}
    changed["verbalisers"] = {"zul": {"rain": "imvula"}}
    other.write_text(json.dumps(changed), encoding="utf-8")
    return [load_task(task_file), load_task(other)]


def test_the_mixture_is_shown_before_training_and_kept(
    tmp_path: Path, base_model: Path, two: list[Task]
) -> None:
    shown: list[Pair] = []

    def show(pairs: list[Pair]) -> None:
        assert not list(tmp_path.rglob("metrics.jsonl"))
        shown.extend(pairs)

    figures = finetune(base_model, two, tmp_path / "out", config=SHORT, mixing=Mixing(), show=show)
    assert [(one.task, one.language) for one in shown] == [
        ("made-up", "eng"),
        ("made-up", "xho"),
        ("made-up", "zul"),
        ("native", "xho"),
        ("native", "zul"),
    ]
    assert sum(one.share for one in shown) == pytest.approx(1, abs=1e-3)
    assert [one["share"] for one in figures["mixture"]] == [one.share for one in shown]
    shown.clear()
    finetune(
        base_model,
        two,
        tmp_path / "zul",
        config=SHORT,
        mixing=Mixing(),
        languages=["eng", "zul"],
        show=shown.extend,
    )
    assert [(one.task, one.language) for one in shown] == [
        ("made-up", "eng"),
        ("made-up", "zul"),
        ("native", "zul"),
    ]
    with pytest.raises(BadInput, match="a weight is given for 'others', which is not among the tasks"):
        finetune(base_model, two, tmp_path / "no", config=SHORT, mixing=Mixing(weights={"others": 2.0}))


def test_each_task_in_the_languages_it_has(two: list[Task]) -> None:
    assert languages_by_task(two, None) == {"made-up": None, "native": None}
    assert languages_by_task(two, ["zul", "eng"]) == {"made-up": ["zul", "eng"], "native": ["zul"]}
    untrained = replace(two[1], without={"zul": ("train",)})
    assert languages_by_task([untrained], ["xho"]) == {"native": ["xho"]}
    with pytest.raises(BadInput, match="'native' has nothing to train on in zul"):
        languages_by_task([untrained], ["zul"])
    with pytest.raises(BadInput, match="'native' has nothing to train on in eng"):
        languages_by_task(two, ["eng"])
    with pytest.raises(BadInput, match="no task has anything to train on in ven"):
        languages_by_task(two, ["zul", "ven"])


def test_prompts_in_english_natively_or_both(two: list[Task]) -> None:
    _, native = two
    examples = native.examples("train")
    english, own = (taught(native, examples, kind, 0) for kind in ("english", "native"))
    assert all(prompt.endswith(" - topic?") for ((_, prompt),), _ in english)
    for one, (((role, prompt),), answer) in zip(examples, own, strict=True):
        assert role == "user"
        assert prompt.endswith(" - sihloko?" if one.language == "zul" else " - topic?")
        assert answer == ("imvula" if (one.language, one.label) == ("zul", "rain") else one.label)
    both, again, other = (taught(native, examples, "both", seed) for seed in (0, 0, 1))
    assert both == again != other
    zulu = [place for place, one in enumerate(examples) if one.language == "zul"]
    natively = sum(both[place] == own[place] for place in zulu) / len(zulu)
    assert 0.35 < natively < 0.65
    assert all(said in pair for said, *pair in zip(both, english, own, strict=True))


def test_native_prompts_that_nobody_wrote(tmp_path: Path, base_model: Path, two: list[Task]) -> None:
    with pytest.raises(BadInput, match="the task 'made-up' has no prompt and no answers in eng, xho, zul"):
        finetune(base_model, two[:1], tmp_path / "out", config=SHORT, prompts="native")
    assert not (tmp_path / "out").exists()


def test_a_long_sentence_is_taught_in_parts(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    path = made_up_tasks.write_task(
        tmp_path,
        {},
        made_up_tasks.COMMON,
        family="tagging",
        languages={"zul": "zulu"},
        labels=["NOUN", "VERB"],
        scheme="flat",
    )
    task = load_task(path)
    words = tuple(f"bana{number}" for number in range(40))
    sentence = Tagged(words, ("NOUN", "VERB") * 20, "zul")
    parts = fitting(task, sentence, tokenizer, 128)
    assert len(parts) > 1
    assert sum((one.words for one in parts), ()) == words
    assert sum((one.tags for one in parts), ()) == sentence.tags
    for one in parts:
        item = answer_item(task.messages(one), task.answer(one), tokenizer, 10_000)
        assert len(item.ids) <= 128
    assert fitting(task, sentence, tokenizer, 10_000) == [sentence]


def test_tags_are_learnt_as_words_are_written(tmp_path: Path, base_model: Path) -> None:
    lines = "bana NOUN\nfega VERB\n.\tSTOP\n\n".replace("\t", " ") * 30
    path = made_up_tasks.write_task(
        tmp_path,
        {"zulu/train.txt": lines, "zulu/validation.txt": "fega VERB\nbana NOUN\n. STOP\n"},
        made_up_tasks.COMMON,
        family="tagging",
        files={split: f"{{language}}/{split}.txt" for split in ("train", "validation")},
        languages={"zul": "zulu"},
        labels=["NOUN", "VERB", "STOP"],
        scheme="flat",
    )
    config = FinetuneConfig(steps=20, batch=4, learning_rate=0.005, precision="fp32", compile="off")
    figures = finetune(base_model, [load_task(path)], tmp_path / "out", config=config)
    (scores,) = figures["tasks"].values()
    assert (scores["metric"], scores["items"]) == ("accuracy", 1)
