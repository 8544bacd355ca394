"""A model that writes gives every word one of the task's tags, the one it holds likeliest, and no more."""

import itertools
from pathlib import Path

import made_up_tasks
import numpy as np
import pytest
from scripted import ASSISTANT, END, VOCAB_SIZE, ByteModel

from edgelm.evaluate.constrained import TagWriter
from edgelm.evaluate.predict import Asking, predict
from edgelm.runtime import LanguageModel, load
from edgelm.tasks.examples import Tagged
from edgelm.tasks.tagging import Tagging
from edgelm.tasks.task import load_task

KINDS = ["PER", "LOC"]


def tagging(folder: Path, scheme: str = "bio", labels: list[str] = KINDS, **more: object) -> Tagging:
    path = made_up_tasks.write_task(
        folder,
        {"zulu/test.txt": "Thabo B-PER\n"},
        made_up_tasks.COMMON,
        family="tagging",
        files={"test": "{language}/test.txt"},
        languages={"zul": "zulu"},
        labels=labels,
        scheme=scheme,
        **more,
    )
    task = load_task(path)
    assert isinstance(task, Tagging)
    return task


def sentence(*words: str) -> Tagged:
    return Tagged(words, ("O",) * len(words), "zul")


def answered(ids: list[int]) -> bytes:
    """What has been written so far."""
    return bytes(ids[ids.index(ASSISTANT) + 1 :]) if ASSISTANT in ids else b""


def wishing(script: str, strength: float = 30.0, context: int = 200) -> ByteModel:
    """A model that wants to write `script` after the assistant's turn, whatever stands there."""

    def after(ids: list[int]) -> np.ndarray:
        logits = np.zeros(VOCAB_SIZE)
        written = answered(ids)
        if ASSISTANT in ids and script.encode()[: len(written)] == written:
            wanted = script.encode()[len(written) : len(written) + 1]
            logits[wanted[0] if wanted else END] = strength
        return logits

    return ByteModel(after, context)


def test_what_the_model_wants_and_may_is_written(tmp_path: Path) -> None:
    task = tagging(tmp_path)
    example = sentence("Thabo", "Mbeki", "uya", "eThekwini")
    for wanted in ("B-PER I-PER O B-LOC", "O O O O", "B-LOC B-LOC I-LOC I-LOC"):
        assert TagWriter(wishing(wanted), task).write(example) == wanted.split()
        assert predict(wishing(wanted), task, [example, example]) == [wanted.split()] * 2


def test_every_word_gets_one_valid_tag_whatever_the_model_says(tmp_path: Path) -> None:
    task = tagging(tmp_path)
    random = np.random.default_rng(0)
    table = random.normal(size=(VOCAB_SIZE, VOCAB_SIZE)) * 5
    for nonsense in (
        ByteModel(lambda ids: table[ids[-1]], 200),
        wishing("I-PER I-LOC I-PER"),
        wishing("free text, no tags at all"),
        wishing(""),  # it would end at once
    ):
        for count in (1, 2, 5, 7):
            found = TagWriter(nonsense, task).write(sentence(*["a"] * count))
            assert len(found) == count
            assert set(found) <= set(task.tags)
            for before, tag in zip(["O", *found], found, strict=False):
                assert not tag.startswith("I-") or before in (f"B-{tag[2:]}", tag)
    assert TagWriter(nonsense, task).write(sentence()) == []


def test_each_tag_is_the_likeliest_of_those_allowed(tmp_path: Path, model_dir: Path) -> None:
    task, model = tagging(tmp_path), load(model_dir)
    example = sentence("Thabo", "uya", "eThekwini", ".")
    found = TagWriter(model, task).write(example)
    ids = model.message(model.tokenize(task.prompt(example)))
    for place, tag in enumerate(found):
        before = "".join(f"{one} " for one in found[:place]).rstrip()
        head = [*ids, *model.tokenize(before)]
        allowed = [
            one
            for one in task.tags
            if not one.startswith("I-") or (place and found[place - 1][2:] == one[2:])
        ]
        said = [model.tokenize(f" {one}" if place else one) for one in allowed]
        assert tag == allowed[int(model.score_choices(head, said).argmax())]
    model.close()


def test_all_runtimes_write_the_same_tags(tmp_path: Path, model_dir: Path, export_dir: Path) -> None:
    task, found = tagging(tmp_path), []
    for path in (model_dir, export_dir / "onnx" / "fp32", export_dir / "model-F32.gguf"):
        model: LanguageModel = load(path)
        found.append(predict(model, task, [sentence("Thabo", "uya", "eThekwini"), sentence("Yebo", "!")]))
        model.close()
    assert found[0] == found[1] == found[2]


def test_a_tag_that_begins_another_does_not_win_by_being_short(tmp_path: Path) -> None:
    task = tagging(tmp_path, "flat", ["N", "NUM", "NUMBER"])
    for wanted in itertools.product(task.tags, repeat=2):
        assert TagWriter(wishing(" ".join(wanted)), task).write(sentence("a", "b")) == list(wanted)


def test_few_tokens_are_read_where_the_model_is_sure(tmp_path: Path) -> None:
    fed: list[int] = []
    model = wishing("O O O O O O")
    after = model.logits_after
    model.logits_after = lambda ids: (fed.append(len(ids)), after(ids))[1]
    example = sentence(*"abcdef")
    TagWriter(model, tagging(tmp_path)).write(example)
    prompt = len(model.message(model.tokenize(example.text)))
    # the first O; four times a look at the blank, then the blank and O; and a look at the last blank
    assert len(fed) - prompt == 1 + 4 * 3 + 1


def test_a_sentence_too_long_is_written_in_parts(tmp_path: Path) -> None:
    task = tagging(tmp_path)
    seen: list[int] = []
    model = wishing("B-PER" + 39 * " O", context=64)
    after = model.logits_after
    model.logits_after = lambda ids: (seen.append(len(ids)), after(ids))[1]
    words = [f"w{number}" for number in range(40)]
    found = TagWriter(model, task).write(Tagged(tuple(words), (), "zul"))
    assert len(found) == 40
    assert max(seen) <= 64
    parts = sum(tag.startswith("B-") for tag in found)
    assert parts > 3  # each part begins with what the model says after the assistant's turn
    assert found.count("O") == 40 - parts
    long = TagWriter(model, task).write(sentence("x" * 500))
    assert len(long) == 1


def test_the_prompt_is_in_the_language_asked_for(tmp_path: Path) -> None:
    task = tagging(tmp_path, prompts={"eng": "tags of {text}", "zul": "amathegi {text}"})
    seen: list[int] = []

    def after(ids: list[int]) -> np.ndarray:
        seen[:] = ids
        return np.zeros(VOCAB_SIZE)

    for native, said in ((frozenset[str](), b"tags of"), (frozenset({"zul"}), b"amathegi")):
        predict(ByteModel(after, 100), task, [sentence("a")], asking=Asking(native))
        assert said in bytes(one for one in seen if one < 256)


@pytest.mark.parametrize("text", ["O O B-PER I-PER O", "B-LOC I-LOC", "O"])
def test_tags_are_spelt_as_the_answer_is_taught(model_dir: Path, tmp_path: Path, text: str) -> None:
    model, task = load(model_dir), tagging(tmp_path)
    writer, tags = TagWriter(model, task), text.split()
    spelt = [*writer.first[tags[0]], *(one for tag in tags[1:] for one in writer.later[tag])]
    taught = task.answer(Tagged(tuple("a" for _ in tags), tuple(tags), "zul"))
    assert spelt == model.tokenize(taught)
    model.close()
