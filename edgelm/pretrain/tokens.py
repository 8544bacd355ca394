"""A corpus as token ids, memory-mapped: tokenised once and kept beside the corpus for every later run.

The hidden folder `CORPUS/.tokens/<digest of the tokenizer>/` holds one artifact a language, `ids.bin` (16 or
32 bits a token) and `offsets.npy`. Another tokenizer has a folder of its own; a corpus that has changed is
tokenised again; a kill leaves nothing that could be mistaken for the whole. It may be deleted at any time.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from filelock import Timeout

from edgelm import artifacts
from edgelm.corpus.report import read_manifest
from edgelm.corpus.shards import read_texts
from edgelm.errors import BadInput, EdgelmError
from edgelm.progress import Progress, Step
from edgelm.tokenizer.text import TextTokenizer

FOLDER = ".tokens"
BATCH = 4096  # documents handed to all cores at once
BATCH_CHARACTERS = 4 << 20  # of them, or the first document beyond: encoding takes 50 times their size


@dataclass(slots=True)
class TokenShard:
    """One language's documents as token ids, memory-mapped; number i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: np.ndarray
    offsets: np.ndarray

    @property
    def documents(self) -> int:
        return len(self.offsets) - 1

    @property
    def tokens(self) -> int:
        """Tokens of one epoch: the texts, BOS, EOS and, every second time, the language's tag."""
        return len(self.ids) + 2 * self.documents + self.documents // 2


def tokenised(
    corpus: Path,
    languages: list[str],
    tokenizer: TextTokenizer,
    fallback: Path,
    progress: Progress | None = None,
) -> dict[str, TokenShard]:
    """The training documents of a corpus, by language; languages without any are left out.

    Processes may call it together: one tokenises a language and the others wait for it.

    Args:
        fallback: a folder for the tokens where the corpus cannot be written.

    Raises:
        BadInput: the corpus is damaged or has no training document.
    """
    counts = read_manifest(corpus)["languages"]
    sizes = {code: counts[code]["splits"]["train"]["documents"] for code in languages if code in counts}
    digest = artifacts.digest_of(tokenizer.tokenizer.to_str())
    kind = np.dtype(np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32)
    found = {}
    with (progress or Progress(silent=True)).track(sum(sizes.values()), "tokenising") as step:
        for code in (code for code, documents in sizes.items() if documents):
            files = sorted((corpus / "data" / code).glob("train-*.parquet"))

            def make(folder: Path, code: str = code, files: list[Path] = files) -> bool:
                _, made = artifacts.build(
                    folder / code,
                    command="tokens",
                    config={"tokenizer": digest, "language": code, "split": "train", "ids": kind.name},
                    inputs=files,
                    work=lambda partial: _write(partial, corpus, code, tokenizer, kind, step),
                )
                return made

            folder, made = _in_first(make, corpus / FOLDER / digest[:16], fallback, code)
            if not made:
                step(sizes[code], code)
            path = folder / code / "ids.bin"
            if path.stat().st_size:
                found[code] = TokenShard(
                    np.memmap(path, dtype=kind, mode="r"),
                    np.load(folder / code / "offsets.npy", mmap_mode="r"),
                )
    if not found:
        raise BadInput("has no training documents", file=corpus, remedy="build it from more text")
    return found


def batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts together, as far as `BATCH` and `BATCH_CHARACTERS` let."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if len(batch) == BATCH or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _in_first(make: Callable[[Path], bool], beside: Path, fallback: Path, code: str) -> tuple[Path, bool]:
    """Make a language's tokens `beside` the corpus, or in `fallback` where nothing can be written there.

    Returns:
        the folder, and whether they had to be made.
    """
    folder = beside
    while True:
        try:
            return folder, make(folder)
        except EdgelmError as error:
            if isinstance(error.__context__, Timeout):  # another process is at it
                with artifacts.held(folder / f".{code}.lock", timeout=-1):  # until it has ended
                    pass
            elif isinstance(error.__cause__, OSError) and folder != fallback:
                shutil.rmtree(beside / f".{code}.partial", ignore_errors=True)  # of a disk that is full
                folder = fallback
            else:
                raise


def _write(
    folder: Path, corpus: Path, language: str, tokenizer: TextTokenizer, kind: np.dtype, step: Step
) -> dict[str, Any]:
    """Fill `folder` with `ids.bin` and `offsets.npy`."""
    lengths = [0]
    texts = read_texts(corpus, language, "train")
    with (folder / "ids.bin").open("wb") as stream:
        for batch in batches(texts):
            encoded = tokenizer.encode_batch(batch)
            lengths += map(len, encoded)
            np.fromiter(chain.from_iterable(encoded), dtype=kind).tofile(stream)
            step(len(batch), language)
    offsets = np.cumsum(lengths)
    np.save(folder / "offsets.npy", offsets)
    return {"documents": len(lengths) - 1, "tokens": int(offsets[-1])}
