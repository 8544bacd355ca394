import json
import threading
import time

import numpy as np
import pytest
import torch

from edgelm.pretrain.packing import Batch, Packer, Piece
from edgelm.pretrain.prefetch import Prefetched
from edgelm.pretrain.sampling import CorpusSource
from edgelm.pretrain.tokens import TokenShard
from edgelm.tokenizer.text import TextTokenizer

LENGTHS = [5 + (7 * n) % 40 for n in range(60)]
SHARDS = {"zul": TokenShard(np.arange(100, 100 + sum(LENGTHS)), np.cumsum([0, *LENGTHS]))}


def packer(tokenizer: TextTokenizer) -> Packer:
    return Packer(CorpusSource(SHARDS, tokenizer, seed=3), batch=2, context=32, pad=2)


def same(one: Batch, two: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def settle(one: Prefetched) -> None:
    while not all(future.done() for future in one.ready):
        time.sleep(0.001)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_batches_and_states_are_the_packers(tokenizer: TextTokenizer, depth: int) -> None:
    plain, ahead = packer(tokenizer), Prefetched(packer(tokenizer), depth)
    assert (ahead.batch, ahead.context) == (2, 32)
    assert ahead.state() == plain.state()
    for _ in range(20):
        assert same(ahead.next_batch(), plain.next_batch())
        settle(ahead)
        assert len(ahead.ready) == depth
        assert ahead.state() == plain.state()  # not that of what is ready
    ahead.close()


@pytest.mark.parametrize("stop", [0, 1, 2, 9])
def test_prefetched_batches_continue_from_a_state(tokenizer: TextTokenizer, stop: int) -> None:
    one, other = (Prefetched(packer(tokenizer)) for _ in range(2))
    for _ in range(stop):
        one.next_batch()
    written = json.dumps(one.state())
    expected = [one.next_batch() for _ in range(5)]
    for _ in range(3):
        other.next_batch()  # what it has ready by now must go
    other.restore(json.loads(written))
    assert json.dumps(other.state()) == written
    for batch in expected:
        assert same(batch, other.next_batch())
    one.close()
    other.close()


def test_batches_are_prepared_before_they_are_asked_for(tokenizer: TextTokenizer) -> None:
    ahead = Prefetched(packer(tokenizer), 2)
    ahead.next_batch()
    settle(ahead)
    before = threading.active_count()
    ready = [future.result()[0] for future in ahead.ready]
    assert [ahead.next_batch() is batch for batch in ready] == [True, True]
    assert threading.active_count() == before  # one thread for all
    ahead.close()
    assert threading.active_count() == before - 1


def test_closing_leaves_the_packer_where_its_user_is(tokenizer: TextTokenizer) -> None:
    plain, inner = packer(tokenizer), packer(tokenizer)
    ahead = Prefetched(inner)
    for _ in range(4):
        assert same(ahead.next_batch(), plain.next_batch())
    ahead.close()
    assert inner.state() == plain.state()
    assert inner.source.epochs() == plain.source.epochs()  # type: ignore[attr-defined]
    assert same(inner.next_batch(), plain.next_batch())


class Broken(CorpusSource):
    left = 200

    def next_piece(self, limit: int) -> Piece:
        self.left -= 1
        if not self.left:
            raise ValueError("the disk is gone")
        return super().next_piece(limit)


def test_an_error_is_raised_where_the_batch_is_asked_for(tokenizer: TextTokenizer) -> None:
    """Not before: the batches that were ready are good, and so is the state after the last of them."""
    broken = Packer(Broken(SHARDS, tokenizer, seed=3), batch=2, context=32, pad=2)
    plain, ahead = packer(tokenizer), Prefetched(broken)
    given = 0
    with pytest.raises(ValueError, match="the disk is gone"):  # noqa: PT012
        while True:
            batch = ahead.next_batch()
            assert same(batch, plain.next_batch())
            given += 1
    assert given > 3
    assert ahead.state() == plain.state()
    ahead.close()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="memory is pinned for a GPU")
def test_batches_are_pinned_for_a_gpu(tokenizer: TextTokenizer) -> None:
    ahead = Prefetched(packer(tokenizer))
    assert all(part.is_pinned() for part in ahead.next_batch())
    ahead.close()
