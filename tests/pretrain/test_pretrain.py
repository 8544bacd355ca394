import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.utils import counters

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.evaluate.bits_per_byte import bits_per_byte, corpus_texts
from edgelm.model.config import get_preset, read_config
from edgelm.model.directory import load_model
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.pretrain import VALIDATION_BYTES, DataConfig, pretrain, repeated
from edgelm.progress import Progress, Step
from edgelm.runtime.torch import TorchModel
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.train import train_tokenizer

CONFIG = TrainConfig(steps=4, batch=1, seed=3, precision="fp32", dropout=0.1, compile="off")


@pytest.fixture(autouse=True, scope="module")
def one_core() -> Iterator[None]:
    """Two runs could find another number of threads to be faster, which round differently."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, corpus: Path, tokenizer_dir: Path) -> Path:
    output = tmp_path_factory.mktemp("runs") / "base"
    pretrain(corpus, tokenizer_dir, output, preset="nano", config=CONFIG)
    return output


def test_the_same_seed_gives_the_same_bytes(
    tmp_path: Path, corpus: Path, tokenizer_dir: Path, trained: Path
) -> None:
    pretrain(corpus, tokenizer_dir, tmp_path / "again", preset="nano", config=CONFIG)
    assert {path.name for path in trained.iterdir()} == {path.name for path in (tmp_path / "again").iterdir()}
    for path in trained.iterdir():
        if path.name not in artifacts.CLOCKED:
            assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name
    assert artifacts.digest_path(trained) == artifacts.digest_path(tmp_path / "again")
    speeds = [(folder / "speed.jsonl").read_bytes() for folder in (trained, tmp_path / "again")]
    assert speeds[0] != speeds[1]


def test_another_seed_gives_other_bytes(
    tmp_path: Path, corpus: Path, tokenizer_dir: Path, trained: Path
) -> None:
    config = replace(CONFIG, seed=4)
    pretrain(corpus, tokenizer_dir, tmp_path / "other", preset="nano", config=config)
    whole = [(folder / "model.safetensors").read_bytes() for folder in (trained, tmp_path / "other")]
    assert len(whole[0]) == len(whole[1])
    assert whole[0] != whole[1]
    one, two = (
        load_file(folder / "model.safetensors")["model.layers.0.mlp.up_proj.weight"].flatten()
        for folder in (trained, tmp_path / "other")
    )
    assert (
        abs(float(torch.corrcoef(torch.stack([one, two]))[0, 1])) < 0.3
    )  # other first weights, not only data


def test_what_is_left_on_disk(trained: Path, tokenizer_dir: Path) -> None:
    names = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json", "README.md"}
    names |= {"generation_config.json", "model.safetensors", "metrics.jsonl", "edgelm.json"}
    names |= {"speed.jsonl", "curve.html"}
    assert {path.name for path in trained.iterdir()} == names
    assert {path.name for path in trained.parent.iterdir() if not path.name.endswith(".lock")} == {"base"}
    assert read_config(trained) == get_preset("nano", TextTokenizer(tokenizer_dir).vocab_size)


def test_the_figures(trained: Path, corpus: Path) -> None:
    provenance = json.loads((trained / "edgelm.json").read_text(encoding="utf-8"))
    results = provenance["results"]
    assert provenance["command"] == "pretrain"
    assert provenance["seed"] == 3
    assert provenance["config"]["dropout"] == 0.1
    assert provenance["config"]["validate_every"] == 10
    assert provenance["config"]["shape"]["vocab_size"] == 512
    assert set(provenance["inputs"].values()) == {
        artifacts.digest_path(Path(path)) for path in provenance["inputs"]
    }
    model = load_model(trained)
    assert results["parameters"] == sum(weight.numel() for weight in model.parameters())
    assert set(results["epochs"]) == {"eng", "xho", "zul"}
    assert all(value > 0 for value in results["epochs"].values())
    texts = corpus_texts(corpus, "validation", VALIDATION_BYTES)
    measured = bits_per_byte(TorchModel(model, TextTokenizer(trained)), texts)
    assert results["validation_bits_per_byte"] == pytest.approx(measured, abs=2e-4)
    card = (trained / "README.md").read_text(encoding="utf-8")
    for value in measured.values():
        assert f"| {value:.3f} |" in card


def test_a_finished_run_is_not_repeated(trained: Path, corpus: Path, tokenizer_dir: Path) -> None:
    before = (trained / "model.safetensors").stat().st_mtime_ns
    pretrain(corpus, tokenizer_dir, trained, preset="nano", config=CONFIG)
    assert (trained / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (
            lambda c, t, o: pretrain(c, t, o, preset="giant", config=CONFIG),
            r"unknown preset 'giant'\. Choose one of: nano, ",
        ),
        (
            lambda c, t, o: pretrain(c, t, o, config=CONFIG, data=DataConfig(extend_languages=("ven",))),
            r"--extend-languages needs a model\. Name it with --init-from\.",
        ),
        (lambda c, t, o: pretrain(c, c, o, preset="nano", config=CONFIG), r"tokenizer\.json: no such file"),
        (lambda c, t, o: pretrain(t, t, o, preset="nano", config=CONFIG), r"manifest\.json"),
    ],
)
def test_bad_input(
    tmp_path: Path,
    corpus: Path,
    tokenizer_dir: Path,
    run: Callable[[Path, Path, Path], object],
    message: str,
) -> None:
    with pytest.raises(BadInput, match=message) as error:
        run(corpus, tokenizer_dir, tmp_path / "output")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


class Said(Progress):
    """Keeps what is said, and raises a signal in training at a step."""

    def __init__(self, at: int | None = None):
        super().__init__(silent=True)
        self.lines: list[str] = []
        self.at = at

    def say(self, message: str) -> None:
        self.lines.append(message)

    @contextmanager
    def track(self, total: float, title: str, done: float = 0) -> Iterator[Step]:
        def step(more: float, note: str = "") -> None:
            nonlocal done
            done += more
            if title == "pretraining" and more and done == self.at:
                signal.raise_signal(signal.SIGINT)

        yield step

    def says(self, words: str) -> bool:
        return any(words in line for line in self.lines)


def test_resuming_and_beginning_again(
    tmp_path: Path, corpus: Path, tokenizer_dir: Path, trained: Path
) -> None:
    output, partial = tmp_path / "base", tmp_path / ".base.partial"
    for at, resume in ((2, True), (3, False)):
        said = Said(at)
        with pytest.raises(KeyboardInterrupt):
            pretrain(corpus, tokenizer_dir, output, config=CONFIG, resume=resume, progress=said)
        assert not said.says("resuming")
        assert [path.name for path in partial.glob("checkpoint-*")] == [f"checkpoint-{at:08d}"]
    said = Said()
    pretrain(corpus, tokenizer_dir, output, config=CONFIG, progress=said)
    assert said.says("resuming after step 3 of 4")
    assert artifacts.digest_path(output) == artifacts.digest_path(trained)


def test_going_on_from_a_model(tmp_path: Path, corpus: Path, tokenizer_dir: Path, trained: Path) -> None:
    """Its weights, not its seed's; the schedule and the optimiser begin anew."""
    still = replace(CONFIG, learning_rate=1e-9, seed=5)
    pretrain(corpus, tokenizer_dir, tmp_path / "still", init_from=trained, config=still)
    before, after = (load_file(folder / "model.safetensors") for folder in (trained, tmp_path / "still"))
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, rtol=0, atol=1e-7)
    pretrain(corpus, tokenizer_dir, tmp_path / "further", init_from=trained, config=CONFIG)
    provenance = json.loads((tmp_path / "further" / "edgelm.json").read_text(encoding="utf-8"))
    assert provenance["inputs"][str(trained)] == artifacts.digest_path(trained)
    lines = [json.loads(line) for line in (tmp_path / "further" / "metrics.jsonl").open(encoding="utf-8")]
    first = [json.loads(line) for line in (trained / "metrics.jsonl").open(encoding="utf-8")]
    assert (lines[0]["step"], lines[0]["learning_rate"]) == (0, first[0]["learning_rate"])
    assert lines[0]["loss"] < first[0]["loss"] - 0.01


def test_a_model_brings_its_shape_and_its_tokenizer(
    tmp_path: Path, corpus: Path, tokenizer_dir: Path, trained: Path
) -> None:
    with pytest.raises(BadInput, match=r"--preset and --init-from were both given\. Leave --preset out"):
        pretrain(corpus, tokenizer_dir, tmp_path / "o", preset="nano", init_from=trained, config=CONFIG)
    other = tmp_path / "other"
    train_tokenizer(corpus, other, vocab_size=400)
    with pytest.raises(BadInput) as error:
        pretrain(corpus, other, tmp_path / "o", init_from=trained, config=CONFIG)
    assert str(error.value) == f"{other}: is not the tokenizer of the model. Give {trained} for both."
    shutil.rmtree(other)
    assert [path for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


def test_nano_is_the_preset_unless_another_is_named(corpus: Path, tokenizer_dir: Path, trained: Path) -> None:
    said = Said()
    before = (trained / "model.safetensors").stat().st_mtime_ns
    pretrain(corpus, tokenizer_dir, trained, config=CONFIG, progress=said)
    assert (trained / "model.safetensors").stat().st_mtime_ns == before
    assert said.lines == [f"{trained} was made before with the same settings from the same inputs"]


def test_how_often_the_best_is_looked_for_decides_the_weights(
    tmp_path: Path, corpus: Path, tokenizer_dir: Path
) -> None:
    """So another number is another run."""
    config = replace(CONFIG, select="best")
    for every, again in ((2, True), (2, False), (1, True)):
        said = Said()
        pretrain(corpus, tokenizer_dir, tmp_path / "b", config=config, validate_every=every, progress=said)
        assert said.says("pretraining nano: 0.") is again


def test_what_is_recorded_of_each_language(tmp_path: Path, corpus: Path, tokenizer_dir: Path) -> None:
    pretrain(corpus, tokenizer_dir, tmp_path / "base", config=CONFIG, validate_every=2)
    lines = [json.loads(line) for line in (tmp_path / "base/metrics.jsonl").open(encoding="utf-8")]
    found = [line["validation"] for line in lines if "validation" in line]
    assert [set(one) for one in found] == [{"eng", "xho", "zul", "mean"}] * 2
    assert found[1]["mean"] < found[0]["mean"]
    assert {"loss", "epoch", "tokens", "learning_rate"} < set(lines[0])
    assert "refresh" not in (tmp_path / "base" / "curve.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("epochs", "words"),
    [
        (4.0, None),
        (5.2, "read about 5 times; beyond 4 that helps less than new text would. Give more text"),
        (16.0, "read about 16 times; beyond 4 that helps less"),
        (16.6, "read about 17 times; beyond 16 that hardly helps any more. Give more text, fewer --steps"),
    ],
)
def test_a_warning_about_repetition(epochs: float, words: str | None) -> None:
    found = repeated(epochs)
    assert found is None if words is None else words in found


@pytest.mark.parametrize(("steps", "beyond"), [(1, None), (300, "4"), (1000, "16")])
def test_the_warning_is_given_before_training(
    tmp_path: Path, corpus: Path, tokenizer_dir: Path, steps: int, beyond: str | None
) -> None:
    said = Said(at=1)
    config = replace(CONFIG, steps=steps)
    with suppress(KeyboardInterrupt):
        pretrain(corpus, tokenizer_dir, tmp_path / "base", config=config, progress=said)
    assert said.says("warning: each document will be read about") is (beyond is not None)
    assert beyond is None or said.says(f"beyond {beyond} that")


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling on a CPU needs a C++ compiler: g++")
def test_compiled_layers_learn_the_same(
    tmp_path: Path, corpus: Path, tokenizer_dir: Path, trained: Path
) -> None:
    counters.clear()
    pretrain(corpus, tokenizer_dir, tmp_path / "base", config=replace(CONFIG, compile="on", dropout=0.0))
    assert counters["stats"]["unique_graphs"] > 0
    counters.clear()
    pretrain(corpus, tokenizer_dir, tmp_path / "plain", config=replace(CONFIG, dropout=0.0))
    assert counters["stats"]["unique_graphs"] == 0
    results = [
        json.loads((tmp_path / name / "edgelm.json").read_text(encoding="utf-8"))["results"]
        for name in ("base", "plain")
    ]
    assert results[0]["loss"] == pytest.approx(results[1]["loss"], abs=2e-3)
    bits = [one["validation_bits_per_byte"] for one in results]
    assert bits[0] == pytest.approx(bits[1], abs=5e-3)


def test_a_language_without_validation_text_is_said(
    tmp_path: Path, corpus: Path, tokenizer_dir: Path
) -> None:
    own = tmp_path / "corpus"
    shutil.copytree(corpus, own)
    for file in (own / "data" / "xho").glob("validation-*"):
        file.unlink()
    manifest = json.loads((own / "manifest.json").read_text(encoding="utf-8"))
    manifest["languages"]["xho"]["splits"]["validation"] = {"documents": 0, "bytes": 0}
    (own / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    said = Said(1)
    with pytest.raises(KeyboardInterrupt):
        pretrain(own, tokenizer_dir, tmp_path / "base", config=CONFIG, progress=said)
    assert said.says("no validation text in xho: the figures are of the others")
