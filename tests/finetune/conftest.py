import json
from pathlib import Path

import made_up
import pytest
import torch
from single import one_thread  # noqa: F401 (a fixture)

from edgelm.corpus.shards import languages_of
from edgelm.model.config import ModelConfig
from edgelm.model.decoder import Decoder
from edgelm.model.directory import save_model
from edgelm.pretrain.checkpoint import clear_checkpoints
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.loop import train
from edgelm.pretrain.packing import Packer
from edgelm.pretrain.sampling import corpus_source
from edgelm.progress import Progress
from edgelm.tokenizer.text import TextTokenizer


@pytest.fixture(scope="session")
def replay_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_corpus(tmp_path_factory.mktemp("made-up"))


@pytest.fixture(scope="session")
def task_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_task(tmp_path_factory.mktemp("made-up"))


@pytest.fixture(scope="session")
def blind_task_file(task_file: Path) -> Path:
    """The same task without a validation split."""
    value = json.loads(task_file.read_text(encoding="utf-8"))
    blind = task_file.with_name("blind.yaml")
    blind.write_text(json.dumps({**value, "name": "blind", "files": {"train": "{language}.jsonl"}}))
    return blind


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory, replay_corpus: Path) -> Path:
    """A model of 0.2 M parameters that has learnt the made-up languages a little."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = made_up.make_tokenizer(folder, replay_corpus)
    text = TextTokenizer(tokenizer)
    shape = ModelConfig(text.vocab_size, 128, 256, 2, 4, 2, 128)
    source = corpus_source(
        replay_corpus, languages_of(replay_corpus), text, folder / "tokens", seed=0, temperature=1.0
    )
    model = Decoder(shape)
    model.init_weights(torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    config = TrainConfig(steps=60, batch=8, learning_rate=0.01, precision="fp32")
    train(model, Packer(source, batch=8, context=128, pad=2), config, folder, Progress(silent=True), "")
    torch.set_num_threads(threads)
    clear_checkpoints(folder)
    save_model(model, tokenizer, folder / "model", "# a base for tests\n")
    return folder / "model"


@pytest.fixture(scope="session")
def tokenizer(base_model: Path) -> TextTokenizer:
    return TextTokenizer(base_model)
