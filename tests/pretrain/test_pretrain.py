import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.evaluate.bits_per_byte import bits_per_byte, corpus_texts
from edgelm.model.config import get_preset, read_config
from edgelm.model.directory import load_model
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.pretrain import VALIDATION_BYTES, pretrain
from edgelm.runtime.torch import TorchModel
from edgelm.tokenizer.text import TextTokenizer

CONFIG = TrainConfig(steps=4, batch=1, seed=3, precision="fp32", dropout=0.1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, corpus: Path, tokenizer_dir: Path) -> Path:
    output = tmp_path_factory.mktemp("runs") / "base"
    pretrain(corpus, tokenizer_dir, output, preset="nano", config=CONFIG)
    return output


def test_the_same_seed_gives_the_same_bytes(
    tmp_path: Path, corpus: Path, tokenizer_dir: Path, trained: Path
) -> None:
    pretrain(corpus, tokenizer_dir, tmp_path / "again", preset="nano", config=CONFIG)
    for path in trained.iterdir():
        if path.name != artifacts.PROVENANCE:
            assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_another_seed_gives_other_bytes(
    tmp_path: Path, corpus: Path, tokenizer_dir: Path, trained: Path
) -> None:
    config = TrainConfig(steps=4, batch=1, seed=4, precision="fp32", dropout=0.1)
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
    assert {path.name for path in trained.iterdir()} == names
    assert {path.name for path in trained.parent.iterdir() if not path.name.endswith(".lock")} == {"base"}
    assert read_config(trained) == get_preset("nano", TextTokenizer(tokenizer_dir).vocab_size)


def test_the_figures(trained: Path, corpus: Path) -> None:
    provenance = json.loads((trained / "edgelm.json").read_text(encoding="utf-8"))
    results = provenance["results"]
    assert provenance["command"] == "pretrain"
    assert provenance["seed"] == 3
    assert provenance["config"]["dropout"] == 0.1
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
            lambda c, t, o: pretrain(c, t, o, preset="nano", config=CONFIG, temperature=0.5),
            r"--temperature 0\.5 is too small\. Give at least 1\.",
        ),
        (
            lambda c, t, o: pretrain(c, t, o, preset="nano", config=CONFIG, temperature=float("nan")),
            r"--temperature nan is too small\. Give at least 1\.",
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
