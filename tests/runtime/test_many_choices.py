"""Choices ranked together: the scores of one at a time, in the order asked, in bounded memory."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import uniform

from edgelm.errors import BadInput
from edgelm.model.head_config import HeadConfig
from edgelm.runtime import LanguageModel, load
from edgelm.runtime.base import LanguageModel as Base
from edgelm.runtime.choices import batches, choice_tree, padded

Ids = list[list[int]]


def draw(model: LanguageModel, seed: int) -> tuple[Ids, list[Ids]]:
    """Prompts and choices of many lengths: single tokens, shared beginnings, one that fills the context."""
    random = np.random.default_rng(seed)

    def ids(length: int) -> list[int]:
        return [int(one) for one in random.integers(30, model.vocab_size, length)]

    stem = ids(3)
    shared = [[*stem, *ids(2)], [*stem[:2], *ids(1)], stem, ids(1), ids(1), [*stem, *ids(4)], ids(6)]
    prompts = [[model.bos, *ids(int(size))] for size in random.integers(0, 60, 9)]
    choices = [shared, *([ids(int(size)) for size in random.integers(1, 7, 3)] for _ in range(8))]
    full = [model.bos, *ids(model.context - 1 - 6)]
    return [*prompts, full, [model.bos]], [*choices, shared, [ids(1), ids(1)]]


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_one_at_a_time(model: LanguageModel, seed: int) -> None:
    prompts, choices = draw(model, seed)
    assert len(prompts[-2]) + 7 - 1 == model.context
    done: list[float] = []
    ranked = model.score_choices_many(prompts, choices, lambda one, note="": done.append(one))
    together = [one.sums for one in ranked]
    alone = [model.score_choices(*one) for one in zip(prompts, choices, strict=True)]
    assert done == [1] * len(prompts)
    for ours, theirs, own in zip(together, alone, choices, strict=True):
        assert ours.shape == (len(own),)
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)
    backwards = [one.sums for one in model.score_choices_many(prompts[::-1], choices[::-1])[::-1]]
    np.testing.assert_allclose(np.concatenate(backwards), np.concatenate(alone), atol=1e-4, rtol=0)


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_small_portions_change_nothing(
    models: dict[str, LanguageModel], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import edgelm.runtime.onnx
    import edgelm.runtime.torch

    model = models[backend]
    prompts, choices = draw(model, 5)
    whole = model.score_choices_many(prompts, choices)
    runtime = {"torch": edgelm.runtime.torch, "onnx": edgelm.runtime.onnx}[backend]
    monkeypatch.setattr(runtime, "LOGITS", 3 * model.vocab_size)
    monkeypatch.setattr(runtime, "COPIES", 1, raising=False)
    monkeypatch.setattr(runtime, "batches", lambda sizes: batches(sizes, 1))
    for ours, theirs in zip(model.score_choices_many(prompts, choices), whole, strict=True):
        np.testing.assert_allclose(ours.sums, theirs.sums, atol=1e-4, rtol=0)
        assert ours.greedy.tolist() == theirs.greedy.tolist()


def test_what_is_quantised_together_is_read_alone(export_dir: Path) -> None:
    model = load(export_dir / "onnx" / "int8")
    prompts, choices = draw(model, 1)
    prompts, choices = prompts[:3], choices[:3]
    for ours, one in zip(
        model.score_choices_many(prompts, choices), zip(prompts, choices, strict=True), strict=True
    ):
        assert ours.sums.tolist() == model.score_choices(*one).tolist()
    model.close()


def test_what_the_model_would_write_is_known(model: LanguageModel) -> None:
    prompt = model.prompt("Umfana", language="zul")
    session, greedy = model.session(), []
    new = prompt
    for _ in range(4):
        greedy.append(int(session.feed(new, last_only=True)[-1].argmax()))
        new = greedy[-1:]
    other = 40 if greedy[2] != 40 else 41
    choices = [greedy, greedy[:1], [*greedy[:2], other], [other, *greedy], greedy[1:]]
    for found in model.score_choices_many([prompt, prompt[:-1]], [choices, choices])[:1]:
        assert found.greedy.tolist() == [True, True, False, greedy[0] == other, greedy[1] == greedy[0]]


def test_several_are_read_at_once(models: dict[str, LanguageModel], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("one at a time")

    for backend in ("torch", "onnx"):
        monkeypatch.setattr(models[backend], "_rank", refuse)
        prompts, choices = draw(models[backend], 2)
        models[backend].score_choices_many(prompts, choices)


def test_bad_choices_are_named(model: LanguageModel) -> None:
    good = [model.bos, 40]
    for prompts, choices, problem in (
        ([good, []], [[[5]], [[5]]], "the prompt has no tokens"),
        ([good, good], [[[5]], [[5], []]], "a choice has no tokens"),
        ([good, [40] * model.context], [[[5]], [[5, 6]]], f"{model.context + 1} tokens do not fit"),
    ):
        with pytest.raises(BadInput, match=problem):
            model.score_choices_many(prompts, choices)
    assert model.score_choices_many([], []) == []


def test_any_model_can_rank() -> None:
    found = uniform().score_choices_many([[1, 2], [1]], [[[3], [4, 5]], [[6, 7, 8]]])
    assert [len(one.sums) for one in found] == [2, 1]
    np.testing.assert_allclose(found[0].sums[1], 2 * found[0].sums[0], rtol=1e-6)
    assert uniform().score_choices_many.__func__ is Base.score_choices_many  # type: ignore[attr-defined]


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 200))
def test_batches_hold_what_they_may(sizes: list[int], cells: int) -> None:
    found = batches(sizes, cells)
    assert sorted(place for batch in found for place in batch) == list(range(len(sizes)))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(sizes[one] for one in batch) <= cells
    firsts = [sizes[batch[0]] for batch in found]
    assert firsts == sorted(firsts, reverse=True)


def test_items_of_one_size_share_a_batch() -> None:
    assert batches([4, 9, 4, 9, 4], 18) == [[1, 3], [0, 2, 4]]


def test_what_choices_share_is_read_once() -> None:
    tree = choice_tree(((7, 8, 1), (7, 8, 2), (7, 9), (3,), (7, 8, 1)))
    assert tree.tokens.tolist() == [7, 8]
    assert tree.depth.tolist() == [0, 1]
    assert tree.sees.tolist() == [[True, False], [True, True]]
    each = np.arange(len(tree.target))
    ranked = tree.ranked(each.astype(float), each != 4)
    assert [place for place, one in enumerate(ranked.greedy) if not one] == [tree.choice[4]]
    assert ranked.sums.tolist() == [sum(each[tree.choice == number]) for number in range(5)]
    assert tree.target[tree.choice == 2].tolist() == [7, 9]
    assert tree.place[tree.choice == 2].tolist() == [0, 1]


def test_rows_are_filled_up() -> None:
    assert padded([[1, 2, 3], [], range(4, 5)]).tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]]
    assert padded([]).shape == (0, 0)


@pytest.mark.parametrize("both_ways", [True, False])
def test_a_head_reads_several_texts_as_each_alone(
    tmp_path: Path, tiny_model_dir: Path, both_ways: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="ONNX files are written with the extra 'export'")
    from edgelm.export.head import write_head_onnx
    from edgelm.model.directory import load_model
    from edgelm.model.heads import save_labeller, with_head
    from edgelm.runtime import onnx_labeller, torch_labeller

    head = HeadConfig("token", ("a", "b", "c"), both_ways)
    labeller = with_head(load_model(tiny_model_dir), head, seed=1)
    save_labeller(labeller, tiny_model_dir, tmp_path / "model", "# a head\n")
    (tmp_path / "onnx").mkdir()
    write_head_onnx(labeller, tmp_path / "onnx" / "model.onnx")
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / "onnx" / name).write_bytes((tmp_path / "model" / name).read_bytes())
    random = np.random.default_rng(3)
    texts = [random.integers(30, 512, size).tolist() for size in (9, 40, 3, 40, 1, 17, 40)]
    for model in (
        torch_labeller.TorchLabeller.open(tmp_path / "model", head),
        onnx_labeller.OnnxLabeller.open(tmp_path / "onnx", head),
    ):
        assert not getattr(model, "alone", False)
        runtime = torch_labeller if model.backend == "torch" else onnx_labeller
        calls: list[list[list[int]]] = []
        monkeypatch.setattr(
            runtime, "padded", lambda rows, calls=calls: (calls.append(rows), padded(rows))[1]
        )
        together = model.logits(texts)
        assert max(map(len, calls)) == len(texts)
        for ours, text in zip(together, texts, strict=True):
            assert ours.shape == (len(text), 3)
            np.testing.assert_allclose(ours, model.logits([text])[0], atol=1e-5, rtol=0)


def test_a_head_in_eight_bits_reads_each_text_alone(tmp_path: Path, tiny_model_dir: Path) -> None:
    pytest.importorskip("onnx", reason="ONNX files are written with the extra 'export'")
    from edgelm.export.head import write_head_onnx
    from edgelm.export.onnx import quantize_onnx
    from edgelm.model.directory import load_model
    from edgelm.model.heads import with_head
    from edgelm.runtime.onnx_labeller import OnnxLabeller

    head = HeadConfig("token", ("a", "b", "c"))
    (tmp_path / "fp32").mkdir()
    write_head_onnx(with_head(load_model(tiny_model_dir), head, seed=1), tmp_path / "fp32" / "model.onnx")
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / "fp32" / name).write_bytes((tiny_model_dir / name).read_bytes())
    quantize_onnx(tmp_path / "fp32", tmp_path / "int8")
    model = OnnxLabeller.open(tmp_path / "int8", head)
    texts = [list(range(30, 40)), list(range(40, 60)), [31]]
    for ours, text in zip(model.logits(texts), texts, strict=True):
        assert ours.tolist() == model.logits([text])[0].tolist()
