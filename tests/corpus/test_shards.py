from pathlib import Path

import pytest

from edgelm.corpus.shards import languages_of, read_texts
from edgelm.errors import BadInput


@pytest.fixture
def corpus(tmp_path: Path, prose, write_file, build) -> Path:
    texts = prose(30)
    write_file(tmp_path / "in" / "zul.jsonl", [{"text": text, "split": "train"} for text in texts])
    write_file(tmp_path / "in" / "xho.txt", [{"text": "kwa"}])
    build(tmp_path / "in", tmp_path / "corpus")
    return tmp_path / "corpus"


def test_texts_in_order(corpus, prose):
    assert list(read_texts(corpus, "zul", "train")) == prose(30)
    assert list(read_texts(corpus, "zul", "test")) == []
    assert list(read_texts(corpus, "xho", "train")) == []


def test_languages_are_those_with_documents_kept(corpus):
    assert languages_of(corpus) == ["zul"]


@pytest.mark.parametrize("kept", [0, 100, -10])
def test_a_damaged_shard_is_named(corpus, kept):
    shard = corpus / "data" / "zul" / "train-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:kept])
    with pytest.raises(BadInput, match=r"cannot be read .*Build the corpus again") as caught:
        list(read_texts(corpus, "zul", "train"))
    assert caught.value.file == shard
    assert "\n" not in str(caught.value)


def test_a_missing_shard_is_named(corpus):
    shard = corpus / "data" / "zul" / "train-00000.parquet"
    shard.unlink()
    with pytest.raises(BadInput, match="no such file") as caught:
        languages_of(corpus)
    assert caught.value.file == shard
