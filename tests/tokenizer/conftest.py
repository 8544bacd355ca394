from pathlib import Path

import pytest

from edgelm.corpus.build import build_corpus
from edgelm.corpus.recipe import load_recipe
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.train import train_tokenizer

VOCAB_SIZE = 2048


@pytest.fixture(scope="session")
def sample_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded sample, built as quickstart builds it."""
    folder = tmp_path_factory.mktemp("sample") / "corpus"
    build_corpus(load_recipe("sample"), folder)
    return folder


@pytest.fixture(scope="session")
def sample_tokenizer_dir(tmp_path_factory: pytest.TempPathFactory, sample_corpus: Path) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "tokenizer"
    train_tokenizer(sample_corpus, folder, vocab_size=VOCAB_SIZE)
    return folder


@pytest.fixture(scope="session")
def sample_tokenizer(sample_tokenizer_dir: Path) -> TextTokenizer:
    return TextTokenizer(sample_tokenizer_dir)
