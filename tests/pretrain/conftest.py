from pathlib import Path

import made_up
import pytest
from single import one_thread  # noqa: F401 (a fixture)

from edgelm.tokenizer.text import TextTokenizer


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_corpus(tmp_path_factory.mktemp("made-up"))


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    return made_up.make_tokenizer(tmp_path_factory.mktemp("made-up"), corpus)


@pytest.fixture(scope="session")
def tokenizer(tokenizer_dir: Path) -> TextTokenizer:
    return TextTokenizer(tokenizer_dir)
