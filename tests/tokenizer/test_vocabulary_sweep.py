import json
from itertools import pairwise
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from edgelm.errors import BadInput
from edgelm.model.config import get_preset
from edgelm.tokenizer.special import special_tokens
from edgelm.tokenizer.sweep import sweep, table, truncate
from edgelm.tokenizer.train import sample_sizes, train_on, training_sample


def trained(corpus: Path, size: int) -> Tokenizer:
    return train_on(training_sample(corpus, sample_sizes(corpus, 2, 16)), size)


@pytest.fixture(scope="module")
def largest(sample_corpus: Path) -> Tokenizer:
    return trained(sample_corpus, 6000)


@pytest.mark.parametrize("size", [288, 289, 700, 2048, 5999, 6000])
def test_a_cut_tokenizer_is_one_trained_for_that_size(
    sample_corpus: Path, largest: Tokenizer, size: int
) -> None:
    cut, direct = (
        json.loads(one.to_str()) for one in (truncate(largest, size), trained(sample_corpus, size))
    )
    assert len(cut["model"]["vocab"]) == size
    assert cut == direct


def test_merges_to_a_token_that_is_there_already() -> None:
    """`abc` comes of two merges; what follows the last token's first merge belongs to a larger vocabulary."""
    vocabulary = {token: number for number, token in enumerate(["a", "b", "c", "ab", "bc", "abc", "ca"])}
    merges = [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc"), ("c", "a")]
    whole = Tokenizer(models.BPE(vocabulary, merges))
    kept = {size: len(json.loads(truncate(whole, size).to_str())["model"]["merges"]) for size in range(3, 8)}
    assert kept == {3: 0, 4: 1, 5: 2, 6: 3, 7: 5}


def test_a_sweep(sample_corpus: Path) -> None:
    rows = sweep(sample_corpus, [1024, 512, 2048, 512], preset="nano")
    assert [row.result.tokenizer.vocab_size for row in rows] == [512, 1024, 2048]
    tokens = [row.result.total.tokens for row in rows]
    assert tokens == sorted(tokens, reverse=True)
    for row in rows:
        shape = get_preset("nano", row.result.tokenizer.vocab_size)
        assert row.embedding == shape.vocab_size * 256
        assert row.share == row.embedding / shape.parameters
        assert row.result.total.changed == 0
    header, cells = table(rows, "nano")
    assert {len(row) for row in cells} == {len(header)}
    assert [row[-3] for row in cells] == ["-", *(f"{1 - b / a:.1%}" for a, b in pairwise(tokens))]


def test_what_a_sweep_refuses(sample_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--sizes 100 is too small"):
        sweep(sample_corpus, [100, 2048])
    with pytest.raises(BadInput, match="unknown preset 'huge'"):
        sweep(sample_corpus, [2048], preset="huge")
    with pytest.raises(BadInput, match="is not a corpus"):
        sweep(tmp_path, [2048])
    assert 256 + len(special_tokens([])) < 288
