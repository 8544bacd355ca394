from pathlib import Path

import pytest
from single import one_thread  # noqa: F401 (a fixture)
from tokenizers import pre_tokenizers, trainers

from edgelm.languages import load_languages
from edgelm.tokenizer.train import new_tokenizer, save_tokenizer


@pytest.fixture(scope="session")
def bytes_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer directory without merges: the special tokens and the 256 bytes."""
    folder = tmp_path_factory.mktemp("bytes")
    tokenizer, special = new_tokenizer(sorted(load_languages()))
    alphabet = trainers.BpeTrainer(
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        vocab_size=256 + len(special),
        show_progress=False,
    )
    tokenizer.train_from_iterator([], alphabet)
    save_tokenizer(tokenizer, folder)
    return folder
