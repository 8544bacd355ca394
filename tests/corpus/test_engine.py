"""The same bytes for any number of workers, here or on a Ray cluster; what is said when a worker fails."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edgelm.corpus import engine as engine_module
from edgelm.corpus.engine import open_engine
from edgelm.errors import BadInput, EdgelmError

SIZE = 10**9  # large enough for processes of their own


def triple(number: int) -> int:
    return 3 * number


def refuse(path: Path) -> None:
    raise BadInput("is no good", file=path, line=7, remedy="mend it")


def die() -> None:
    os._exit(9)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, prose, write_file) -> Path:
    """More than 2 MB in five files, with duplicates and near-duplicates across them."""
    folder = tmp_path_factory.mktemp("large") / "texts"
    texts = {code: prose(1100, seed, words=80) for seed, code in enumerate(("afr", "eng", "xho", "zul"))}
    texts["xho"][:50] = [text.replace(" ", " kale ", 1) for text in texts["zul"][:50]]
    texts["eng"][-50:] = texts["zul"][50:100]
    for code, own in texts.items():
        write_file(folder / "web" / f"{code}.jsonl", [{"text": text} for text in own])
    write_file(
        folder / "radio" / "zul.txt.xz", [{"text": text[:-9] + " lana."} for text in texts["zul"][100:150]]
    )
    assert sum(file.stat().st_size for file in folder.rglob("*.jsonl")) > 2_000_000
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, large, build) -> Path:
    """The corpus that one process builds."""
    output: Path = tmp_path_factory.mktemp("alone") / "corpus"
    manifest = build(large, output, workers=1)
    assert manifest["clusters"]["removed"] == {"duplicate": 50, "near_duplicate": 100}
    return output


def assert_same(one: dict[str, bytes], two: dict[str, bytes]) -> None:
    assert list(one) == list(two)
    assert all(one[name] == two[name] for name in one)
    assert len(one) > 12


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_gives_the_same_bytes(
    tmp_path, large, alone, build, content, monkeypatch, workers
):
    started = []
    pool = engine_module.ProcessPoolExecutor

    def counted(count, *options):
        started.append(count)
        return pool(count, *options)

    monkeypatch.setattr(engine_module, "ProcessPoolExecutor", counted)
    build(large, tmp_path / "out", workers=workers)
    assert started == [workers]
    assert_same(content(alone), content(tmp_path / "out"))


def test_a_bad_file_among_good_ones_is_named_by_a_worker_too(tmp_path, large, build):
    source = tmp_path / "in"
    source.mkdir()
    for file in large.rglob("*.jsonl"):
        os.link(file, source / file.name)
    (source / "tso.txt.gz").write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(BadInput) as caught:
        build(source, tmp_path / "out", workers=2)
    assert str(caught.value).startswith(f"{source / 'tso.txt.gz'}: the compressed data is damaged")
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == ["in"]


def test_answers_come_with_the_number_of_their_job(tmp_path):
    for workers, size in ((1, SIZE), (2, SIZE), (2, 1)):
        with open_engine("local", workers) as run:
            assert sorted(run.map(triple, [(4,), (5,), (6,)], size)) == [(0, 12), (1, 15), (2, 18)]
            assert list(run.map(triple, [], size)) == []


def test_what_a_worker_raises_arrives_whole(tmp_path):
    with open_engine("local", 2) as run, pytest.raises(BadInput) as caught:
        list(run.map(refuse, [(tmp_path / "x",), (tmp_path / "y",)], SIZE))
    assert str(caught.value) in {f"{tmp_path / name}, line 7: is no good. Mend it." for name in "xy"} | {
        f"{tmp_path / name}:7: is no good. Mend it." for name in "xy"
    }
    assert (caught.value.line, caught.value.exit_code) == (7, 2)


def test_a_worker_that_dies_is_one_line(tmp_path):
    with (
        open_engine("local", 2) as run,
        pytest.raises(EdgelmError, match=r"was killed, most likely for lack") as caught,
    ):
        list(run.map(die, [(), ()], SIZE))
    assert "\n" not in str(caught.value)


def test_an_engine_there_is_not():
    with (
        pytest.raises(BadInput, match=r"no engine 'spark'\. Choose one of: local, ray"),
        open_engine("spark"),
    ):
        pass


# Ray


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of two workers on this machine."""
    ray = pytest.importorskip("ray", reason="needs the extra 'ray'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error",
            object_store_memory=100_000_000,
        )  # fmt: skip
        yield
        ray.shutdown()


def test_a_ray_cluster_of_two_workers_gives_the_same_bytes(tmp_path, large, alone, cluster, build, content):
    import ray

    build(large, tmp_path / "out", engine="ray")
    assert_same(content(alone), content(tmp_path / "out"))
    assert ray.is_initialized(), "the cluster is left as it was found"


def test_what_a_ray_task_raises_arrives_whole(tmp_path, cluster, build):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "tso.txt.gz").write_bytes(b"\x1f\x8b\x08\x00")
    (tmp_path / "in" / "zul.txt").write_text("Umfana omncane uyahamba esikoleni.\n")
    with pytest.raises(BadInput) as caught:
        build(tmp_path / "in", tmp_path / "out", engine="ray")
    assert str(caught.value).startswith(f"{tmp_path / 'in' / 'tso.txt.gz'}: the compressed data is damaged")


def test_a_ray_task_that_fails(tmp_path, cluster):
    def triple(number: int) -> int:  # nested, as Ray's workers cannot import this file
        return 3 * number

    def fill(path: str) -> None:
        raise OSError(28, "No space left on device", path)

    def end() -> None:
        os._exit(9)

    with open_engine("ray") as run:
        assert sorted(run.map(triple, [(4,), (5,)], SIZE)) == [(0, 12), (1, 15)]
        with pytest.raises(OSError, match="No space left") as full_disk:
            list(run.map(fill, [(str(tmp_path / "x"),)], SIZE))
        assert full_disk.value.filename == str(tmp_path / "x")
        with pytest.raises(EdgelmError, match=r"killed, most likely for lack of memory") as dead:
            list(run.map(end, [()], SIZE))
        assert "\n" not in str(dead.value)


def test_no_ray_cluster_is_one_line(monkeypatch):
    problem = r"no Ray cluster answers at (ray://)?127\.0\.0\.1:1 \(Connection refused\)\. Start one"
    ray = pytest.importorskip("ray", reason="needs the extra 'ray'")
    ray.shutdown()
    with pytest.raises(EdgelmError, match=problem) as caught, open_engine("ray", address="127.0.0.1:1"):
        pass
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:1")
    with pytest.raises(EdgelmError, match=problem) as caught, open_engine("ray"):
        pass
    assert "\n" not in str(caught.value)


def test_workers_that_rested_are_followed_by_others():
    def workers() -> list[psutil.Process]:
        return [one for one in psutil.Process().children() if "spawn_main" in " ".join(one.cmdline())]

    with open_engine("local", 2) as engine:
        for _ in "ab":
            assert sorted(engine.map(triple, [(1,), (2,)], SIZE)) == [(0, 3), (1, 6)]
            assert len(workers()) == 2
            engine.rest()
            assert not workers()
