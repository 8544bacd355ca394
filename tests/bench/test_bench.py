"""Models side by side: what is measured, in what order, and what an interrupted run keeps."""

import json
import os
import signal
import statistics
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up
import numpy as np
import pytest

from edgelm.bench import bench as module
from edgelm.bench.bench import Settings, bench, quality_texts
from edgelm.bench.worker import measure_quality, measure_speed
from edgelm.errors import BadInput, EdgelmError
from edgelm.evaluate.bits_per_byte import bits_per_byte
from edgelm.evaluate.evaluate import evaluate
from edgelm.machine import usable_cores
from edgelm.progress import Progress
from edgelm.runtime import load
from edgelm.tasks.task import load_task
from edgelm.tokenizer.texts import sample_texts

ONE = Settings(prompt=512, new=8, repetitions=2, threads=(1,))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, tiny_gguf: Path, tiny_model_dir: Path) -> Path:
    """A GGUF file and the model directory it came from, with a task."""
    folder = tmp_path_factory.mktemp("bench")
    task = load_task(made_up.make_task(folder))
    bench([tiny_gguf, tiny_model_dir], folder / "out", ONE, tasks=[task])
    return folder


@pytest.fixture
def figures(measured: Path) -> dict[str, Any]:
    return json.loads((measured / "out" / "bench.json").read_text(encoding="utf-8"))


def test_speed_is_mean_and_deviation_of_all_repetitions(figures: dict[str, Any], tiny_gguf: Path) -> None:
    gguf, directory = figures["models"]
    assert (gguf["name"], gguf["backend"]) == (tiny_gguf.name, "llama.cpp")
    assert directory["backend"] == "torch"
    assert [(one["test"], one["tokens"], one["threads"]) for one in gguf["tests"]] == [
        ("pp256", 256, 1),  # its context holds no 512
        ("tg8", 8, 1),
    ]
    for test in gguf["tests"] + directory["tests"]:
        assert len(test["samples"]) == 2
        assert test["mean"] == pytest.approx(statistics.fmean(test["samples"]))
        assert test["sd"] == pytest.approx(statistics.stdev(test["samples"]))
        assert 1 < test["mean"] < 1e6
    waits = gguf["latency"][0]
    assert 0 < waits["first_token_seconds"]["mean"] < 5
    assert 0 < waits["load_seconds"]["mean"] < waits["first_token_seconds"]["mean"] + 30
    assert gguf["bytes"] == tiny_gguf.stat().st_size
    assert directory["peak_bytes"] > gguf["peak_bytes"] > gguf["model_bytes"] > gguf["bytes"]


def test_a_reader_gets_characters_and_languages(figures: dict[str, Any], tiny_gguf: Path) -> None:
    found, texts = figures["models"][0], quality_texts(None)
    model = load(tiny_gguf)
    assert set(found["characters_per_second"]) == set(texts) == set(figures["bytes_of_text"])
    for code in ("ven", "zul"):
        tokens = sum(len(model.tokenize(text)) for text in texts[code])
        characters = sum(len(unicodedata.normalize("NFC", text)) for text in texts[code])
        size = sum(len(text.encode("utf-8")) for text in texts[code])
        assert found["characters_per_token"][code] == pytest.approx(characters / tokens, abs=1e-3)
        assert found["bytes_per_token"][code] == pytest.approx(size / tokens, abs=1e-3)
        speed = found["tests"][1]["mean"] * found["characters_per_token"][code]
        assert found["characters_per_second"][code]["1"] == pytest.approx(speed, abs=0.06)
    assert found["characters_per_token"]["ven"] < found["bytes_per_token"]["ven"]  # ḓ ṱ have three bytes
    wanted = bits_per_byte(model, {"ven": texts["ven"]})["ven"]
    model.close()
    assert found["bits_per_byte"]["ven"] == pytest.approx(wanted, abs=2e-4)


def test_scores_are_those_of_an_evaluation(measured: Path, figures: dict[str, Any], tiny_gguf: Path) -> None:
    task = load_task(measured / "made-up.yaml")
    found = evaluate(tiny_gguf, measured / "evaluation", tasks=[task])["tasks"]["made-up"]
    for one in figures["models"]:
        assert one["tasks"]["made-up"]["metric"] == found["metric"]
    assert figures["models"][0]["tasks"]["made-up"]["score"] == found[found["metric"]]
    assert not [one for one in (measured / "out").iterdir() if one.name.startswith(".")]


def test_one_thread_and_all() -> None:
    assert Settings().counts == tuple(sorted({1, usable_cores()}))
    assert Settings(threads=(3,)).counts == (3,)


def test_text_that_models_are_judged_by(tmp_path: Path) -> None:
    sample = sample_texts()
    assert quality_texts(None)["zul"] == sample["zul"][:3]
    (tmp_path / "zul.txt").write_text("\n".join(f"Umusho {one}." * 90 for one in range(100)))
    (found,) = quality_texts(tmp_path).values()
    assert 15_000 < sum(len(one.encode()) for one in found) <= 20_000


def test_memory_is_that_of_the_model_alone(tiny_gguf: Path) -> None:
    ballast = np.ones(40_000_000)  # 320 MB here are no business of the process that measures
    found = measure_speed(tiny_gguf, 1, 16, 4)
    assert ballast[-1] == 1
    assert found["peak_bytes"] < 200e6
    assert 0 < found["model_bytes"] < found["peak_bytes"]
    assert (found["prompt_tokens"], found["new_tokens"]) == (16, 4)


def test_a_model_that_cannot_be_measured_is_named(tmp_path: Path, tiny_gguf: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_gguf.read_bytes()[:1000])
    with pytest.raises(BadInput, match=r"broken\.gguf: "):
        measure_quality(broken, {"zul": ["Namhlanje"]})


@pytest.mark.skipif(os.name == "nt", reason="processes are not killed by signals there")
def test_a_process_that_dies_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = tmp_path / "dies"
    dying.write_text(f"#!/bin/sh\nkill -{signal.SIGSEGV.value} $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(dying))
    with pytest.raises(EdgelmError, match=r"model\.gguf: could not be measured \(exit code -11\)"):
        measure_speed(Path("model.gguf"), 1, 16, 4)


def _figures(call: int) -> dict[str, Any]:
    return {
        "name": "x", "backend": "b", "context": 9, "load_seconds": 1, "first_token_seconds": 1,
        "prompt_tokens": 512, "prompt_seconds": 1, "new_tokens": 128, "new_seconds": call, "joules": None,
        "peak_bytes": 2, "model_bytes": 1,
    }  # fmt: skip


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What would be measured; `stop` in it interrupts the next measurement."""
    made: list[tuple[str, int]] = []

    def speed(path: Path, threads: int, prompt: int, new: int, adapter: None) -> dict[str, Any]:
        if made and made[-1] == ("stop", 0):
            raise KeyboardInterrupt
        made.append((path.name, threads))
        return _figures(len(made))

    def quality(path: Path, texts: dict[str, list[str]], adapter: None) -> dict[str, Any]:
        each = dict.fromkeys(texts, 1.0)
        return {
            "bits_per_byte": {**each, "mean": 1.0},
            "characters_per_token": each,
            "bytes_per_token": each,
        }

    monkeypatch.setattr(module, "measure_speed", speed)
    monkeypatch.setattr(module, "measure_quality", quality)
    return made


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    files = [tmp_path / "a.gguf", tmp_path / "b.gguf"]
    for file in files:
        file.write_bytes(b"GGUF")
    return files


def test_models_take_turns_within_every_repetition(
    tmp_path: Path, calls: list[tuple[str, int]], two: list[Path]
) -> None:
    bench(two, tmp_path / "out", Settings(repetitions=2, threads=(1, 4)))
    each = [("a.gguf", 1), ("b.gguf", 1), ("a.gguf", 4), ("b.gguf", 4)]
    assert calls == each * 2


def test_an_interrupted_run_goes_on_and_a_finished_one_begins_anew(
    tmp_path: Path, calls: list[tuple[str, int]], two: list[Path]
) -> None:
    settings, out = Settings(repetitions=3, threads=(1,)), tmp_path / "out"

    class Stopping(Progress):
        def track(self, total: float, title: str) -> Any:  # as Ctrl-C after three measurements
            progress = super().track(total, title)
            inner = progress.__enter__()

            class Tracked:
                def __enter__(self) -> Callable[..., None]:
                    def step(done: float, note: str = "") -> None:
                        inner(done, note)
                        if len(calls) == 3:
                            calls.append(("stop", 0))

                    return step

                def __exit__(self, *error: object) -> None:
                    return None

            return Tracked()

    with pytest.raises(KeyboardInterrupt):
        bench(two, out, settings, progress=Stopping(silent=True))
    assert not out.exists()
    partial = json.loads((tmp_path / ".out.partial" / "bench.json").read_text(encoding="utf-8"))
    assert [len(one["tests"][0]["samples"]) for one in partial["models"]] == [1, 1]
    assert (tmp_path / ".out.partial" / "bench.html").exists(), "what can be looked at meanwhile"
    kept = calls[:3]
    calls.clear()
    found = bench(two, out, settings)
    assert kept + calls == [("a.gguf", 1), ("b.gguf", 1)] * 3  # nothing twice
    assert found["models"][0]["tests"][1]["samples"][0] == 128  # of the first run
    calls.clear()
    bench(two, out, settings)
    assert len(calls) == 6


@pytest.mark.parametrize("damage", ["missing", "empty", "broken"])
def test_a_task_without_data_is_refused_before_anything_is_measured(
    tmp_path: Path, calls: list[Any], two: list[Path], damage: str
) -> None:
    task = load_task(made_up.make_task(tmp_path))
    file = task.path("test", "eng")
    for code in (
        task.languages if damage == "missing" else ()
    ):  # one alone is left out, and the others are read
        task.path("test", code).unlink()
    for one in task.inputs() if damage == "empty" else [file]:
        if damage != "missing":
            one.write_text("" if damage == "empty" else one.read_text() + "{half a line\n")
    settings, out = Settings(repetitions=1, threads=(1,)), tmp_path / "out"
    with pytest.raises(BadInput, match="has no test examples" if damage == "empty" else file.name):
        bench(two, out, settings, tasks=[task])
    assert calls == []
    assert not list(tmp_path.glob(".out*"))
    with pytest.raises(BadInput, match="the name 'made-up' is that of two tasks"):
        bench(two, out, settings, tasks=[task, task])


def test_scores_come_before_the_speeds(
    tmp_path: Path, calls: list[Any], two: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails fails before what takes longest, and what was measured before is kept."""
    seen: list[str] = []
    for name in ("measure_quality", "_scores", "measure_speed"):
        real = {"_scores": lambda *given, **named: {}}.get(name) or getattr(module, name)

        def noted(*given: Any, name: str = name, real: Any = real, **named: Any) -> Any:
            seen.append(name)
            return real(*given, **named)

        monkeypatch.setattr(module, name, noted)
    task = load_task(made_up.make_task(tmp_path))
    bench(two, tmp_path / "out", Settings(repetitions=1, threads=(1,)), tasks=[task])
    assert seen == ["measure_quality"] * 2 + ["_scores"] * 2 + ["measure_speed"] * 2


def test_an_output_of_something_else_stays(tmp_path: Path, calls: list[Any], two: list[Path]) -> None:
    other = tmp_path / "mine"
    other.mkdir()
    (other / "diary.txt").write_text("dear")
    with pytest.raises(BadInput, match="not made by edgelm"):
        bench(two, other, ONE)
    assert (other / "diary.txt").read_text() == "dear"
