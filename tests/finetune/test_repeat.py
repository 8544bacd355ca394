"""The same training for each language, with several seeds, and at several learning rates."""

import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.finetune.config import FinetuneConfig
from edgelm.finetune.finetune import finetune
from edgelm.finetune.repeat import (
    FACTORS,
    Training,
    languages_of,
    main_score,
    search,
    seconds_of,
    spread,
    train_languages,
    train_seeds,
    with_best_rate,
)
from edgelm.tasks.task import load_task

SHORT = FinetuneConfig(steps=2, batch=2, precision="fp32", compile="off", seed=5)


class Pretended:
    """Leaves a folder as training does, at once; the score tells which rate and how many steps it had."""

    def __init__(self, seconds_a_step: float = 1.0, validated: bool = True):
        self.runs: list[tuple[float, int]] = []
        self.seconds_a_step, self.validated = seconds_a_step, validated

    def __call__(self, folder: Path, config: FinetuneConfig, languages: list[str] | None) -> dict[str, Any]:
        self.runs.append((config.learning_rate, config.steps))
        folder.mkdir(parents=True)
        seconds = config.steps * self.seconds_a_step
        artifacts.write_json(folder / artifacts.PROVENANCE, {"digest": "", "seconds": seconds})
        score = 1 - abs(config.learning_rate - 0.02)
        tasks = {"made-up": {"metric": "macro_f1", "macro_f1": score, "interval": [0, 1], "items": 9}}
        return {"tasks": tasks if self.validated else {}}


def pretended(run: Pretended, **settings: Any) -> Training:
    return Training(run, FinetuneConfig(**{"steps": 1000, "learning_rate": 0.01, **settings}), {}, [])


def test_a_search_finds_the_best_rate_within_its_time(tmp_path: Path) -> None:
    run = Pretended()
    found = search(pretended(run), tmp_path / "rates", seconds=1050)
    assert found == {
        "rate": 0.02,
        "steps": 200,
        "scores": {"0.01": 0.99, "0.005": 0.985, "0.02": 1.0, "0.0025": 0.9825, "0.04": 0.98},
        "metrics": ["macro_f1"],
    }
    assert run.runs[0] == (0.01, 50)  # says how long a step takes
    assert [steps for _, steps in run.runs[1:]] == [200] * len(FACTORS)
    assert sum(steps for _, steps in run.runs) == 1050
    with_best_rate(pretended(run), found)(tmp_path / "out", None)
    assert run.runs[-1] == (0.02, 1000)


def test_a_search_is_made_once_and_keeps_no_models(tmp_path: Path) -> None:
    run = Pretended()
    first = search(pretended(run), tmp_path / "rates", seconds=1050)
    made = len(run.runs)
    assert search(pretended(run), tmp_path / "rates", seconds=1050) == first
    assert len(run.runs) == made
    assert [path.name for path in (tmp_path / "rates").iterdir()] == [artifacts.PROVENANCE]
    search(pretended(run, dropout=0.1), tmp_path / "rates", seconds=1050)
    assert len(run.runs) == 2 * made


def test_a_search_stops_when_its_time_is_up(tmp_path: Path) -> None:
    run = Pretended()
    found = search(pretended(run), tmp_path / "rates", seconds=120)
    assert run.runs == [(0.01, 50), (0.005, 50)]  # a third would not have fitted
    assert found["rate"] == 0.01
    run = Pretended()
    assert (
        search(pretended(run, steps=10), tmp_path / "short", seconds=1e6)["steps"] == 10
    )  # no more than the run


def test_a_search_needs_something_to_validate_on(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no validation split to choose a rate on"):
        search(pretended(Pretended(validated=False)), tmp_path / "rates", seconds=100)


def test_several_seeds_and_their_spread(tmp_path: Path, base_model: Path, task_file: Path) -> None:
    task = load_task(task_file)

    def run(folder: Path, config: FinetuneConfig, languages: list[str] | None) -> dict[str, Any]:
        return finetune(base_model, [task], folder, config=config, languages=languages)

    training = Training(run, SHORT, {}, [])
    found = train_seeds(training, tmp_path / "out", 2, ["zul"])
    assert list(found) == ["seed-5", "seed-6"]
    alone = run(tmp_path / "alone", replace(SHORT, seed=6), ["zul"])
    assert found["seed-6"]["tasks"] == alone["tasks"]
    assert artifacts.digest_path(tmp_path / "out" / "seed-6") == artifacts.digest_path(tmp_path / "alone")
    kept = json.loads((tmp_path / "out" / "seeds.json").read_text(encoding="utf-8"))
    assert kept == spread(found)
    values = [one["tasks"]["made-up"]["macro_f1"] for one in found.values()]
    assert kept["made-up"]["scores"] == dict(zip(found, values, strict=True))
    with pytest.raises(BadInput, match="holds a model, and several are to be written below it"):
        train_seeds(training, tmp_path / "alone", 2, ["zul"])


def test_spread_is_of_a_sample() -> None:
    scores = [0.5, 0.6, 0.8]
    found = {
        f"seed-{seed}": {"tasks": {"one": {"metric": "accuracy", "accuracy": score}}}
        for seed, score in enumerate(scores)
    }
    one = spread(found)["one"]
    assert one["mean"] == pytest.approx(statistics.mean(scores), abs=1e-4)
    assert one["sd"] == pytest.approx(0.1528, abs=1e-4)
    assert one["range"] == [0.5, 0.8]


def test_a_model_for_each_language(tmp_path: Path, base_model: Path, task_file: Path) -> None:
    task = load_task(task_file)
    assert languages_of(task, None) == ["eng", "xho", "zul"]
    assert languages_of(task, ["zul"]) == ["zul"]

    def run(folder: Path, languages: list[str] | None) -> dict[str, Any]:
        return finetune(base_model, [task], folder, config=SHORT, languages=languages)

    found = train_languages(run, tmp_path / "out", ["xho", "zul"])
    assert {code: list(one["tasks"]["made-up"]["languages"]) for code, one in found.items()} == {
        "xho": ["xho"],
        "zul": ["zul"],
    }
    stamp = (tmp_path / "out" / "xho" / "edgelm.json").stat().st_mtime_ns
    train_languages(run, tmp_path / "out", ["xho", "zul"])
    assert (tmp_path / "out" / "xho" / "edgelm.json").stat().st_mtime_ns == stamp  # not made again


def test_scores_of_texts_are_percentages() -> None:
    assert main_score({"metric": "chrf", "chrf": 50.0}) == 0.5
    assert main_score({"metric": "macro_f1", "macro_f1": 0.5}) == 0.5


def test_seconds_are_those_of_all_beginnings(tmp_path: Path) -> None:
    artifacts.write_json(tmp_path / artifacts.PROVENANCE, {"digest": "", "seconds": 2.5})
    assert seconds_of(tmp_path) == 2.5
    (tmp_path / "speed.jsonl").write_text('{"seconds": 4}\n{"seconds": 70.0}\n', encoding="utf-8")
    assert seconds_of(tmp_path) == 70.0


def test_a_trial_of_all_steps_is_the_run_itself(tmp_path: Path) -> None:
    """Warm-up too, which shorter trials cut: or the run's score would be another than the table's."""
    seen: list[FinetuneConfig] = []

    class Noting(Pretended):
        def __call__(self, folder: Path, config: FinetuneConfig, languages: Any) -> dict[str, Any]:
            seen.append(config)
            return super().__call__(folder, config, languages)

    training = pretended(Noting(), steps=30)
    best = with_best_rate(training, search(training, tmp_path / "rates", seconds=9999)).config
    assert best in seen
    assert best.warmup == 20
