import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgelm.corpus.shards import languages_of, read_texts
from edgelm.errors import BadInput


@pytest.fixture(scope="module")
def built(tmp_path_factory, prose, write_file, build) -> Path:
    folder: Path = tmp_path_factory.mktemp("shards")
    write_file(folder / "in" / "zul.jsonl", [{"text": text, "split": "train"} for text in prose(30)])
    write_file(folder / "in" / "xho.txt", [{"text": "kwa"}])
    build(folder / "in", folder / "corpus")
    return folder / "corpus"


@pytest.fixture
def corpus(tmp_path: Path, built: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(built, tmp_path / "corpus"))


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


def test_shards_and_reports_are_read_without_a_compiler():
    """Where a model is trained there may be no numba, nor anything else of the corpus builder but pyarrow."""
    code = "import sys, edgelm.corpus.shards, edgelm.corpus.report; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("False\n", "")
