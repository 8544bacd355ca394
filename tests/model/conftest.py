from pathlib import Path

import pytest
from single import one_thread  # noqa: F401 (a fixture)

from edgelm.languages import load_languages
from edgelm.tokenizer.special import special_tokens
from edgelm.tokenizer.train import save_tokenizer, train_on


@pytest.fixture(scope="session")
def bytes_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer directory without merges: the special tokens and the 256 bytes."""
    folder = tmp_path_factory.mktemp("bytes")
    special = special_tokens(sorted(load_languages()))
    save_tokenizer(train_on(iter(()), 256 + len(special)), folder)
    return folder
