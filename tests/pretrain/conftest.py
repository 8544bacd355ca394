from collections.abc import Iterator
from pathlib import Path

import made_up
import pytest
import torch

from edgelm.tokenizer.text import TextTokenizer


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small matrices: a second thread waits for longer than it works where another process is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_corpus(tmp_path_factory.mktemp("made-up"))


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    return made_up.make_tokenizer(tmp_path_factory.mktemp("made-up"), corpus)


@pytest.fixture(scope="session")
def tokenizer(tokenizer_dir: Path) -> TextTokenizer:
    return TextTokenizer(tokenizer_dir)
