"""Batches of packed documents, endless, in an order that a seed decides and a checkpoint can take up again.

A source hands out items (token ids and their targets); a `Packer` lays them end to end into blocks. Every
token is an input once and every token but an item's first is a target once; nothing is discarded. Attention
stays inside an item, by the item numbers that go with the tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from edgelm.corpus.report import read_manifest
from edgelm.corpus.shards import read_texts
from edgelm.errors import BadInput
from edgelm.model.decoder import IGNORE
from edgelm.progress import Progress, Step
from edgelm.tokenizer.text import TextTokenizer

State = dict[str, Any]
TOKENISE_BATCH = 1000  # documents handed to all cores at once


class Batch(NamedTuple):
    """Tensors of shape [batch, context]: ids, next ids (or `IGNORE`), numbers of the items, all int64; and
    how much each target counts, float32."""

    tokens: Tensor
    targets: Tensor
    documents: Tensor
    weights: Tensor


class Item(NamedTuple):
    """Ids and targets of one document or example, equally long, and the weight of each target in the loss."""

    ids: np.ndarray
    targets: np.ndarray
    weight: float = 1.0


class Source(Protocol):
    """An endless supply of items."""

    def next_item(self) -> Item: ...
    def state(self) -> State: ...
    def restore(self, state: State) -> None: ...


def make_item(ids: Sequence[int], learn_from: int = 1, weight: float = 1.0) -> Item:
    """An item whose targets begin with the token at `learn_from`: 1 for all, more to learn an answer only."""
    tokens = np.asarray(ids, dtype=np.int64)
    targets = np.append(tokens[1:], IGNORE)
    targets[: learn_from - 1] = IGNORE
    return Item(tokens, targets, weight)


class Packer:
    """Blocks of `context` tokens from a source.

    Args:
        whole: start an item that does not fit on the next block and pad, instead of breaking it in two.
    """

    def __init__(self, source: Source, *, batch: int, context: int, pad: int, whole: bool = False):
        self.source, self.batch, self.context, self.pad, self.whole = source, batch, context, pad, whole
        self.rest: Item | None = None  # what is left of an item

    def next_batch(self) -> Batch:
        shape = (self.batch, self.context)
        tokens = np.full(shape, self.pad, dtype=np.int64)
        targets = np.full(shape, IGNORE, dtype=np.int64)
        documents = np.full(shape, -1, dtype=np.int64)
        weights = np.zeros(shape, dtype=np.float32)
        for row in range(self.batch):
            used = number = 0
            while used < self.context:
                item = self.rest or self.source.next_item()
                self.rest = None
                room = self.context - used
                if self.whole and used and len(item.ids) > room:
                    self.rest = item
                    break
                taken = min(len(item.ids), room)
                tokens[row, used : used + taken] = item.ids[:taken]
                targets[row, used : used + taken] = item.targets[:taken]
                documents[row, used : used + taken] = number
                weights[row, used : used + taken] = item.weight
                if taken < len(item.ids):
                    self.rest = Item(item.ids[taken:], item.targets[taken:], item.weight)
                used += taken
                number += 1
        return Batch(*map(torch.from_numpy, (tokens, targets, documents, weights)))

    def state(self) -> State:
        rest = self.rest and [self.rest.ids.tolist(), self.rest.targets.tolist(), self.rest.weight]
        return {"source": self.source.state(), "rest": rest}

    def restore(self, state: State) -> None:
        self.source.restore(state["source"])
        rest = state["rest"]
        self.rest = rest and Item(np.array(rest[0], np.int64), np.array(rest[1], np.int64), rest[2])


class Shuffled:
    """Indices 0..n-1 in a fresh order every epoch; the order depends on nothing but `key` and the epoch."""

    def __init__(self, size: int, key: Sequence[int]):
        self.size, self.key = size, list(key)
        self.epoch, self.position = 0, 0
        self.order = self._order()

    def _order(self) -> np.ndarray:
        return np.random.default_rng([*self.key, self.epoch]).permutation(self.size)

    def next_index(self) -> int:
        if self.position == self.size:
            self.epoch, self.position = self.epoch + 1, 0
            self.order = self._order()
        self.position += 1
        return int(self.order[self.position - 1])

    def state(self) -> State:
        return {"epoch": self.epoch, "position": self.position}

    def restore(self, state: State) -> None:
        self.epoch, self.position = state["epoch"], state["position"]
        self.order = self._order()


class Fair:
    """Says whose turn it is, so that the tokens handed out approach the given shares."""

    def __init__(self, shares: dict[str, float]):
        self.shares = shares
        self.served = dict.fromkeys(shares, 0)

    def turn(self) -> str:
        return min(self.shares, key=lambda name: (self.served[name] / self.shares[name], name))


@dataclass(slots=True)
class TokenShard:
    """One language's documents as token ids, memory-mapped; number i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: np.ndarray
    offsets: np.ndarray


class CorpusSource:
    """Documents of a tokenised corpus; languages share tokens in proportion to size ** (1 / temperature).

    Every second time a document is seen it carries its language's tag, so that the model writes with and
    without.
    """

    def __init__(
        self, shards: dict[str, TokenShard], tokenizer: TextTokenizer, *, seed: int, temperature: float = 1.0
    ):
        self.shards, self.tokenizer = shards, tokenizer
        self.fair = Fair({code: len(shard.ids) ** (1 / temperature) for code, shard in shards.items()})
        self.orders = {
            code: Shuffled(len(shards[code].offsets) - 1, [seed, number])
            for number, code in enumerate(sorted(shards))
        }

    def next_item(self) -> Item:
        code = self.fair.turn()
        order, shard = self.orders[code], self.shards[code]
        index = order.next_index()
        tag = self.tokenizer.language(code) if (index + order.epoch) % 2 else None
        text = shard.ids[shard.offsets[index] : shard.offsets[index + 1]].tolist()
        item = make_item(
            [self.tokenizer.bos, *([] if tag is None else [tag]), *text, self.tokenizer.eos],
            learn_from=1 if tag is None else 2,
        )
        self.fair.served[code] += len(item.ids)
        return item

    def epochs(self) -> dict[str, float]:
        """How often each language's documents have been seen."""
        return {
            code: round(order.epoch + order.position / order.size, 2) for code, order in self.orders.items()
        }

    def state(self) -> State:
        return {
            "served": dict(self.fair.served),
            "orders": {code: order.state() for code, order in self.orders.items()},
        }

    def restore(self, state: State) -> None:
        self.fair.served = dict(state["served"])
        for code, order in self.orders.items():
            order.restore(state["orders"][code])


def tokenise(
    corpus: Path, language: str, tokenizer: TextTokenizer, folder: Path, step: Step | None = None
) -> TokenShard | None:
    """The training documents of a language as a `TokenShard` in `folder`; None if there are none."""
    kind = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
    path, offsets_path = folder / f"{language}.bin", folder / f"{language}.npy"
    if not offsets_path.exists():
        offsets = [0]
        with path.open("wb") as stream:
            texts = read_texts(corpus, language, "train")
            while batch := list(islice(texts, TOKENISE_BATCH)):
                for ids in tokenizer.encode_batch(batch):
                    stream.write(np.asarray(ids, dtype=kind).tobytes())
                    offsets.append(offsets[-1] + len(ids))
                if step:
                    step(len(batch), language)
        part = folder / f".{language}.part.npy"
        np.save(part, np.asarray(offsets, dtype=np.int64))
        part.replace(offsets_path)
    if path.stat().st_size == 0:
        return None
    return TokenShard(np.memmap(path, dtype=kind, mode="r"), np.load(offsets_path))


def corpus_source(
    corpus: Path,
    languages: list[str],
    tokenizer: TextTokenizer,
    folder: Path,
    *,
    seed: int,
    temperature: float,
    progress: Progress | None = None,
) -> CorpusSource:
    """A source over the training split of a corpus, tokenised into `folder` once.

    Raises:
        BadInput: the corpus has no training document.
    """
    folder.mkdir(exist_ok=True)
    counts = read_manifest(corpus)["languages"]
    documents = sum(counts[code]["splits"]["train"]["documents"] for code in languages if code in counts)
    with (progress or Progress(silent=True)).track(documents, "tokenising") as step:
        shards = {code: tokenise(corpus, code, tokenizer, folder, step) for code in languages}
    found = {code: shard for code, shard in shards.items() if shard is not None}
    if not found:
        raise BadInput("has no training documents", file=corpus, remedy="build it from more text")
    return CorpusSource(found, tokenizer, seed=seed, temperature=temperature)
