"""The tokens of a corpus, kept beside it. Every test has a corpus of its own to write to."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import made_up
import numpy as np
import pytest
from filelock import FileLock

from edgelm import artifacts
from edgelm.corpus.shards import languages_of, read_texts
from edgelm.errors import BadInput, EdgelmError
from edgelm.pretrain import tokens
from edgelm.pretrain.tokens import FOLDER, TokenShard, batches, tokenised
from edgelm.progress import Progress
from edgelm.tokenizer.text import TextTokenizer

SIZES = {"xho": 24, "zul": 48}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_corpus(tmp_path_factory.mktemp("small"), SIZES)


@pytest.fixture
def own(tmp_path: Path, small: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "corpus"))


def cache_of(corpus: Path) -> Path:
    (found,) = (corpus / FOLDER).iterdir()
    return found


def times(folder: Path) -> dict[str, int]:
    return {
        str(file.relative_to(folder)): file.stat().st_mtime_ns
        for file in folder.rglob("*")
        if file.is_file() and file.name[0] != "."
    }


def documents(shard: TokenShard) -> list[list[int]]:
    return [shard.ids[a:b].tolist() for a, b in pairwise(shard.offsets)]


def expected(corpus: Path, code: str, tokenizer: TextTokenizer) -> list[list[int]]:
    return [tokenizer.encode(text) for text in read_texts(corpus, code, "train")]


def test_a_corpus_is_tokenised_once(tmp_path: Path, own: Path, tokenizer: TextTokenizer) -> None:
    before = artifacts.digest_path(own)
    shards = tokenised(own, ["xho", "zul"], tokenizer, tmp_path / "tokens")
    for code, shard in shards.items():
        assert isinstance(shard.ids, np.memmap)
        assert shard.ids.dtype == np.uint16
        assert documents(shard) == expected(own, code, tokenizer)
    folder = cache_of(own)
    made = times(folder)
    assert set(made) == {
        f"{code}/{name}" for code in SIZES for name in ("ids.bin", "offsets.npy", "edgelm.json")
    }
    again = tokenised(own, ["xho", "zul"], tokenizer, tmp_path / "tokens")
    assert {code: documents(shard) for code, shard in again.items()} == {
        code: documents(shard) for code, shard in shards.items()
    }
    assert times(folder) == made
    assert not (tmp_path / "tokens").exists()
    assert artifacts.digest_path(own) == before  # to a stage that reads the corpus it is the same


def test_only_languages_asked_for_are_tokenised(tmp_path: Path, own: Path, tokenizer: TextTokenizer) -> None:
    assert list(tokenised(own, ["zul"], tokenizer, tmp_path / "tokens")) == ["zul"]
    folder = cache_of(own)
    first = times(folder)
    assert {Path(name).parts[0] for name in first} == {"zul"}
    tokenised(own, ["xho", "zul"], tokenizer, tmp_path / "tokens")
    assert {name: when for name, when in times(folder).items() if name.startswith("zul")} == first


def test_another_tokenizer_has_its_own(
    tmp_path: Path, own: Path, small: Path, tokenizer: TextTokenizer
) -> None:
    tokenised(own, ["zul"], tokenizer, tmp_path / "tokens")
    first = times(cache_of(own))
    other = TextTokenizer(made_up.make_tokenizer(tmp_path, small))
    assert documents(tokenised(own, ["zul"], other, tmp_path / "tokens")["zul"]) == expected(
        own, "zul", other
    )
    assert len(list((own / FOLDER).iterdir())) == 2
    assert any(times(folder) == first for folder in (own / FOLDER).iterdir())


def test_a_corpus_that_changed_is_tokenised_again(
    tmp_path: Path, own: Path, tokenizer: TextTokenizer
) -> None:
    tokenised(own, ["xho", "zul"], tokenizer, tmp_path / "tokens")
    folder = cache_of(own)
    first = times(folder)
    shutil.copy(own / "data" / "xho" / "train-00000.parquet", own / "data" / "zul" / "train-00000.parquet")
    shards = tokenised(own, ["xho", "zul"], tokenizer, tmp_path / "tokens")
    assert documents(shards["zul"]) == expected(own, "xho", tokenizer)
    changed = {name for name, when in times(folder).items() if when != first[name]}
    assert changed == {"zul/ids.bin", "zul/offsets.npy", "zul/edgelm.json"}


def test_a_rebuilt_corpus_may_hold_tokens(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    """A corpus build replaces the folder, tokens and all, without taking them for someone else's files."""
    own = made_up.make_corpus(tmp_path, {"zul": 12})
    tokenised(own, ["zul"], tokenizer, tmp_path / "tokens")
    made_up.make_corpus(tmp_path, {"zul": 24})
    assert not (own / FOLDER).exists()
    shards = tokenised(own, ["zul"], tokenizer, tmp_path / "tokens")
    assert documents(shards["zul"]) == expected(own, "zul", tokenizer)


@pytest.mark.parametrize("left", ["half of the ids", "ids but no offsets", "a finished folder cut short"])
def test_what_a_kill_leaves_is_not_taken_for_tokens(
    tmp_path: Path, own: Path, tokenizer: TextTokenizer, left: str
) -> None:
    tokenised(own, ["zul"], tokenizer, tmp_path / "tokens")
    folder = cache_of(own)
    digest = (artifacts.read_provenance(folder / "zul") or {})["digest"]
    if left == "a finished folder cut short":
        os.truncate(folder / "zul" / "ids.bin", 10)
    else:
        (folder / "zul" / "edgelm.json").unlink()
        partial = (folder / "zul").rename(folder / ".zul.partial")
        (partial / ".digest").write_text(digest)
        if left == "half of the ids":
            os.truncate(partial / "ids.bin", 10)
        else:
            (partial / "offsets.npy").unlink()
    shards = tokenised(own, ["zul"], tokenizer, tmp_path / "tokens")
    assert documents(shards["zul"]) == expected(own, "zul", tokenizer)
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["zul"]


DRIVER = """
import sys, time
from contextlib import nullcontext
from pathlib import Path
from edgelm.pretrain import tokens
from edgelm.progress import Progress
from edgelm.tokenizer.text import TextTokenizer

class Slow(Progress):
    def track(self, total, title):
        return nullcontext(lambda done, note="": time.sleep(0.1 if note == "zul" else 0))

tokens.BATCH = 1
corpus, tokenizer, fallback = map(Path, sys.argv[1:])
tokens.tokenised(corpus, ["xho", "zul"], TextTokenizer(tokenizer), fallback, Slow())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_killed_while_tokenising(
    tmp_path: Path, own: Path, tokenizer_dir: Path, tokenizer: TextTokenizer
) -> None:
    command = [sys.executable, "-c", DRIVER, str(own), str(tokenizer_dir), str(tmp_path / "tokens")]
    process = subprocess.Popen(command, env={**os.environ, "RAYON_NUM_THREADS": "1"})
    until = time.monotonic() + 60
    while not list(own.glob(f"{FOLDER}/*/.zul.partial/ids.bin")) and time.monotonic() < until:
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    folder = cache_of(own)
    assert (folder / "xho" / "edgelm.json").exists()
    assert not (folder / "zul").exists()
    finished = times(folder / "xho")
    shards = tokenised(own, ["xho", "zul"], tokenizer, tmp_path / "tokens")
    assert documents(shards["zul"]) == expected(own, "zul", tokenizer)
    assert times(folder / "xho") == finished


def test_a_corpus_that_cannot_be_written(tmp_path: Path, own: Path, tokenizer: TextTokenizer) -> None:
    (own / FOLDER).write_text("in the way, as a read-only disk would be")
    fallback = tmp_path / "run" / "tokens"
    shards = tokenised(own, ["xho", "zul"], tokenizer, fallback)
    for code, shard in shards.items():
        assert documents(shard) == expected(own, code, tokenizer)
    made = times(fallback)
    assert {Path(name).parts[0] for name in made} == {"xho", "zul"}
    tokenised(own, ["xho", "zul"], tokenizer, fallback)
    assert times(fallback) == made
    other = TextTokenizer(made_up.make_tokenizer(tmp_path, own))
    assert documents(tokenised(own, ["zul"], other, fallback)["zul"]) == expected(own, "zul", other)
    with pytest.raises(EdgelmError, match=r"File exists|Not a directory"):
        tokenised(own, ["xho"], tokenizer, own / FOLDER)


def test_a_disk_that_fills_up_keeps_no_half(tmp_path: Path, own: Path, tokenizer: TextTokenizer) -> None:
    """Writing fails in the middle: the half is removed, the run's own folder gets the whole."""
    tokenised(own, ["zul"], tokenizer, tmp_path / "tokens")
    folder = cache_of(own)
    digest = (artifacts.read_provenance(folder / "zul") or {})["digest"]
    shutil.rmtree(folder / "zul")
    (folder / ".zul.partial" / "ids.bin").mkdir(parents=True)  # opening it to write fails
    (folder / ".zul.partial" / ".digest").write_text(digest)
    shards = tokenised(own, ["zul"], tokenizer, tmp_path / "tokens")
    assert documents(shards["zul"]) == expected(own, "zul", tokenizer)
    assert (tmp_path / "tokens" / "zul" / "ids.bin").exists()
    assert list(folder.iterdir()) == []


def test_tokens_of_a_corpus_that_is_read_only_by_now(
    tmp_path: Path, own: Path, tokenizer: TextTokenizer
) -> None:
    tokenised(own, ["zul"], tokenizer, tmp_path / "tokens")
    lock = cache_of(own) / ".zul.lock"
    lock.mkdir()  # cannot be opened, as on a read-only disk
    tokenised(own, ["zul"], tokenizer, tmp_path / "tokens")
    assert not (tmp_path / "tokens").exists()


def test_the_second_process_waits_for_the_first(tmp_path: Path, own: Path, tokenizer: TextTokenizer) -> None:
    tokenised(own, ["zul"], tokenizer, tmp_path / "tokens")
    folder = cache_of(own)
    finished = (folder / "zul").rename(tmp_path / "finished")
    found: list[dict[str, TokenShard]] = []
    waiter = threading.Thread(
        target=lambda: found.append(tokenised(own, ["zul"], tokenizer, tmp_path / "tokens"))
    )
    with FileLock(folder / ".zul.lock"):
        waiter.start()
        time.sleep(0.5)
        assert waiter.is_alive()
        finished.rename(folder / "zul")
        made = times(folder)
    waiter.join(10)
    assert documents(found[0]["zul"]) == expected(own, "zul", tokenizer)
    assert times(folder) == made
    assert not (tmp_path / "tokens").exists()


def test_a_large_vocabulary_takes_32_bits(tmp_path: Path, own: Path, tokenizer: TextTokenizer) -> None:
    class Large(TextTokenizer):
        vocab_size = (1 << 16) + 1

        def __init__(self) -> None:
            self.tokenizer = tokenizer.tokenizer

        def encode_batch(self, texts):  # type: ignore[no-untyped-def]
            return [[1 << 16, *ids] for ids in tokenizer.encode_batch(texts)]

    shard = tokenised(own, ["zul"], Large(), tmp_path / "tokens")["zul"]
    assert shard.ids.dtype == np.uint32
    assert documents(shard) == [[1 << 16, *ids] for ids in expected(own, "zul", tokenizer)]


def test_progress_counts_documents(tmp_path: Path, own: Path, tokenizer: TextTokenizer) -> None:
    seen: list[tuple[float, str]] = []

    class Counting(Progress):
        def track(self, total: float, title: str):  # type: ignore[no-untyped-def]
            seen.append((total, title))
            return nullcontext(lambda done, note="": seen.append((done, note)))

    for _ in range(2):
        seen.clear()
        tokenised(own, ["xho", "zul"], tokenizer, tmp_path / "tokens", Counting())
        count = {code: len(expected(own, code, tokenizer)) for code in SIZES}
        assert seen == [(sum(count.values()), "tokenising"), (count["xho"], "xho"), (count["zul"], "zul")]


def test_no_documents(tmp_path: Path, own: Path, tokenizer: TextTokenizer) -> None:
    with pytest.raises(BadInput, match=r"has no training documents\. Build it from more text\."):
        tokenised(own, ["ven"], tokenizer, tmp_path / "tokens")
    assert set(tokenised(own, ["ven", *languages_of(own)], tokenizer, tmp_path / "tokens")) == set(SIZES)


def test_long_documents_are_encoded_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoding takes many times the memory of the text."""
    monkeypatch.setattr(tokens, "BATCH", 4)
    monkeypatch.setattr(tokens, "BATCH_CHARACTERS", 10)
    lengths = [1, 2, 3, 1, 1, 9, 2, 30, 1]
    texts = ["x" * length for length in lengths]
    found = list(batches(iter(texts)))
    assert [list(map(len, batch)) for batch in found] == [[1, 2, 3, 1], [1, 9], [2, 30], [1]]
    assert list(batches([])) == []
