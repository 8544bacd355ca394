"""Graphs that keep their key-value cache in place: the same numbers whatever way the tokens come."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import exported
import numpy as np
import pytest

from edgelm.errors import BadInput
from edgelm.runtime import LanguageModel, load, onnx_shared
from edgelm.runtime.onnx_shared import SharedOnnxModel, SharedOnnxSession
from edgelm.runtime.sampling import log_softmax

USE = """
import sys
import edgelm
for path in sys.argv[1:]:
    model = edgelm.load(path)
    print(model.backend, *model.score(model.prompt("a"), model.tokenize(" b")))
    print("".join(model.generate("Namhlanje", language="zul", max_tokens=12, temperature=0)).encode())
"""


@pytest.fixture(scope="module")
def exact(genai_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedOnnxModel]:
    """The model in 8 bits, its activations left in float32: then only rounding depends on how it is asked."""
    onnx = pytest.importorskip("onnx", reason="graphs are changed with onnx")
    folder = Path(
        shutil.copytree(genai_dir / "onnx" / "int8-genai", tmp_path_factory.mktemp("exact") / "exact")
    )
    graph = onnx.load(folder / "model.onnx", load_external_data=False)
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = 1
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    model = load(folder)
    assert isinstance(model, SharedOnnxModel)
    yield model
    model.close()


@pytest.fixture(scope="module")
def reference(model_dir: Path) -> LanguageModel:
    return load(model_dir)


def ids_of(model: LanguageModel, count: int, seed: int = 0) -> list[int]:
    return [model.bos, *np.random.default_rng(seed).integers(40, model.vocab_size, count - 1).tolist()]


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


def test_it_is_the_model_in_pytorch(exact: SharedOnnxModel, reference: LanguageModel) -> None:
    ids = ids_of(exact, exact.context)
    ours, theirs = exact.session().feed(ids), reference.session().feed(ids)
    assert ours.shape == (len(ids), exact.vocab_size)
    assert ours.dtype == np.float32
    p, q = log_softmax(theirs), log_softmax(ours)
    assert 0 < (np.exp(p) * (p - q)).sum(axis=-1).mean() < 2e-3
    assert (ours.argmax(axis=-1) == theirs.argmax(axis=-1)).mean() > 0.97


def test_pieces_make_the_whole(exact: SharedOnnxModel) -> None:
    ids = ids_of(exact, 60)
    whole, session = exact.session().feed(ids), exact.session()
    found = [session.feed(ids[:1]), session.feed(ids[1:9]), session.feed(ids[9:10]), session.feed(ids[10:11])]
    found += [session.feed(ids[11:50])]
    close(np.concatenate(found), whole[:50])
    last = session.feed(ids[50:], last_only=True)
    assert last.shape == (1, exact.vocab_size)
    close(last, whole[-1:])
    close(exact.session().feed(ids, last_only=True), whole[-1:])


def test_what_was_answered_stays(exact: SharedOnnxModel) -> None:
    session = exact.session()
    first = session.feed([5])
    before = first.copy()
    session.feed([6])
    assert (first == before).all()


def test_rewinding(exact: SharedOnnxModel) -> None:
    ids, other = ids_of(exact, 40), ids_of(exact, 40, seed=1)
    whole, session = exact.session().feed(ids), exact.session()
    session.feed(ids[:20])
    session.feed(other[:15])
    session.rewind(20)
    close(session.feed(ids[20:]), whole[20:])
    session.rewind(0)
    close(session.feed(ids), whole)
    session.rewind(1)
    close(session.feed(ids[1:2]), whole[1:2])


def test_two_sequences_at_once(exact: SharedOnnxModel) -> None:
    a, b = ids_of(exact, 12, seed=2), ids_of(exact, 12, seed=3)
    one, two = exact.session(), exact.session()
    pairs = [(one.feed([x]), two.feed([y])) for x, y in zip(a, b, strict=True)]
    close(np.concatenate([first for first, _ in pairs]), exact.session().feed(a))
    close(np.concatenate([second for _, second in pairs]), exact.session().feed(b))


def test_the_context_is_the_end(exact: SharedOnnxModel) -> None:
    ids = ids_of(exact, exact.context)
    session = exact.session()
    session.feed(ids[:-1], last_only=True)
    close(session.feed(ids[-1:]), exact.session().feed(ids)[-1:])
    with pytest.raises(
        BadInput, match=rf"{exact.context + 1} tokens do not fit the context of {exact.context}"
    ):
        session.feed([5])
    session.rewind(exact.context - 1)
    close(session.feed(ids[-1:]), exact.session().feed(ids)[-1:])
    with pytest.raises(BadInput, match="do not fit"):
        exact.session().feed([*ids, 5], last_only=True)


def test_no_token_copies_the_cache(exact: SharedOnnxModel) -> None:
    session = exact.session()
    places = {name: one.data_ptr() for name, one in session.caches.items()}
    session.feed(ids_of(exact, 30))
    session.feed([7])
    for name, cache in session.caches.items():
        assert cache.data_ptr() == places[name]
        assert cache.shape()[2] == exact.context
        assert np.abs(cache.numpy()[0, :, :31]).max(axis=(0, 2)).min() > 0  # written there, and nowhere else
    bound = dict(
        zip([one.name for one in exact.engine.get_outputs()], session.step.get_outputs(), strict=False)
    )
    assert {one.data_ptr() for one in bound.values()} >= set(places.values())


def test_room_grows_with_the_text(exact: SharedOnnxModel, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = ids_of(exact, exact.context)
    whole = exact.session().feed(ids)
    monkeypatch.setattr(onnx_shared, "ROOM", 8)
    monkeypatch.setattr(onnx_shared, "PORTION", 10)
    session = exact.session()
    found, rooms = [], []
    for begin, end in ((0, 3), (3, 8), (8, 9), (9, 10), (10, 40), (40, 41), (41, exact.context - 1)):
        found.append(session.feed(ids[begin:end]))
        rooms.append({one.shape()[2] for one in session.caches.values()})
    assert rooms == [{8}, {8}, {16}, {16}, {64}, {64}, {exact.context}]
    close(np.concatenate(found), whole[:-1])
    close(session.feed(ids[-1:]), whole[-1:])
    session.rewind(20)
    close(session.feed(ids[20:60], last_only=True), whole[59:60])
    close(exact.session().feed(ids, last_only=True), whole[-1:])


def test_a_long_context_takes_no_memory_before_it_is_used(tmp_path: Path, genai_dir: Path) -> None:
    folder = Path(shutil.copytree(genai_dir / "onnx" / "int4", tmp_path / "long"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 131_072}))
    model = load(folder)
    session = model.session()
    session.feed(ids_of(model, 50))
    assert model.context == 131_072
    assert isinstance(session, SharedOnnxSession)
    assert {one.shape()[2] for one in session.caches.values()} == {onnx_shared.ROOM}
    assert session.seen.shape == (1, onnx_shared.ROOM)


def test_branches(exact: SharedOnnxModel) -> None:
    ids = ids_of(exact, 20)
    branches = exact.branches()
    close(branches.start(ids), exact.session().feed(ids)[-1:])
    close(branches.step([0, 0], [50, 60]), both(exact, [[*ids, 50], [*ids, 60]]))
    close(
        branches.step([1, 0, 1], [70, 80, 90]), both(exact, [[*ids, 60, 70], [*ids, 50, 80], [*ids, 60, 90]])
    )


def both(model: LanguageModel, rows: list[list[int]]) -> np.ndarray:
    return np.concatenate([model.session().feed(ids)[-1:] for ids in rows])


def test_choices(exact: SharedOnnxModel, reference: LanguageModel) -> None:
    prompts = [ids_of(exact, size, seed=size) for size in (3, 30, 11)]
    choices = [[[5, 6, 7], [5, 6], [8]], [[9, 9], [9]], [[40, 41, 42, 43], [40, 41]]]
    found = exact.score_choices_many(prompts, choices)
    for prompt, own, one in zip(prompts, choices, found, strict=True):
        close(one.sums, np.array([exact.score(prompt, choice).sum() for choice in own]))
        np.testing.assert_allclose(one.sums, reference.score_choices(prompt, own), atol=0.5)


@pytest.mark.parametrize("kind", ["int4", "int4-all", "int8-genai"])
def test_threads_do_not_change_the_text(genai_dir: Path, kind: str) -> None:
    texts = set()
    for threads in (1, 2, None):
        model = load(genai_dir / "onnx" / kind, threads=threads)
        texts.add("".join(model.generate("Namhlanje", language="zul", temperature=0, max_tokens=20)))
        model.close()
    assert len(texts) == 1


def test_it_runs_with_nothing_but_onnxruntime(genai_dir: Path) -> None:
    paths = [str(genai_dir / "onnx" / "int4"), str(genai_dir / "ort" / "int4")]
    blocked = ("onnxruntime_genai", "onnx", "onnx_ir", "torch", "transformers", "optimum")
    command = exported.python(USE, *paths, blocked=blocked)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert lines[0].split()[0] == "onnx"
    np.testing.assert_allclose(float(lines[0].split()[1]), float(lines[2].split()[1]), atol=0.05)


def test_a_graph_of_another_shape_is_refused(tmp_path: Path, genai_dir: Path) -> None:
    for field, value in (
        ("num_key_value_heads", 1),
        ("vocab_size", 1000),
        ("vocab_size", 4000),
        ("head_dim", 32),
    ):
        folder = Path(shutil.copytree(genai_dir / "onnx" / "int4", tmp_path / f"{field}{value}"))
        text = (folder / "config.json").read_text(encoding="utf-8")
        config = json.loads(text)
        (folder / "config.json").write_text(json.dumps({**config, field: value}), encoding="utf-8")
        with pytest.raises(BadInput) as caught:
            load(folder)
        assert "\n" not in str(caught.value)


def test_a_context_longer_than_the_graph_knows(
    tmp_path: Path, genai_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(genai_dir / "onnx" / "int4", tmp_path / "long"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    longer = {**config, "max_position_embeddings": 4 * config["max_position_embeddings"]}
    (folder / "config.json").write_text(json.dumps(longer), encoding="utf-8")
    model, context = load(folder), config["max_position_embeddings"]
    session = model.session()
    session.feed(ids_of(model, context), last_only=True)
    for ids in ([5], [5, 6]):
        with pytest.raises(BadInput, match=f"cannot read token {context + len(ids)} ") as caught:
            session.feed(ids)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_sessions_are_of_this_kind(exact: SharedOnnxModel) -> None:
    assert isinstance(exact.session(), SharedOnnxSession)
