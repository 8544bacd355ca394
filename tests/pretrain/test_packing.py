import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgelm.model.config import ModelConfig
from edgelm.model.decoder import IGNORE, Decoder
from edgelm.pretrain.packing import LOOK_AHEAD, Batch, Item, Packer, Piece, State, make_item
from edgelm.pretrain.sampling import CorpusSource
from edgelm.pretrain.tokens import TokenShard
from edgelm.tokenizer.text import TextTokenizer

PAD = 2
LENGTHS = {"zul": [3, 0, 7, 12, 1, 30, 5, 9, 2, 4], "xho": [6, 6, 1, 8, 2], "eng": [25]}


def shard(first: int, lengths: list[int]) -> TokenShard:
    """Documents of ever new ids, so that each token says where it is from."""
    return TokenShard(np.arange(first, first + sum(lengths)), np.cumsum([0, *lengths]))


SHARDS = {code: shard(1000 * (n + 1), lengths) for n, (code, lengths) in enumerate(LENGTHS.items())}


def source(tokenizer: TextTokenizer, *codes: str, seed: int = 0) -> CorpusSource:
    return CorpusSource({code: SHARDS[code] for code in codes or SHARDS}, tokenizer, seed=seed)


class Numbered:
    """Items of given lengths, over and over; token n of item m is 1000 m + n, items counted from 1."""

    def __init__(self, lengths: list[int]):
        self.lengths, self.number, self.begun = lengths, 0, 0

    def next_piece(self, limit: int) -> Piece:
        self.number += not self.begun
        start, total = self.begun, self.lengths[(self.number - 1) % len(self.lengths)]
        length = min(total - start, limit)
        self.begun = (start + length) % total
        return Piece([self.number, start], length)

    def read(self, piece: Piece) -> Item:
        number, start = piece.key
        total = self.lengths[(number - 1) % len(self.lengths)]
        whole = make_item(1000 * number + np.arange(total), weight=number / 2)
        return whole.piece(start, piece.length)

    def state(self) -> State:
        return {"number": self.number, "begun": self.begun}

    def restore(self, state: State) -> None:
        self.number, self.begun = state["number"], state["begun"]


def inputs(batches: list[Batch]) -> Counter[int]:
    return Counter(torch.cat([batch.tokens[batch.documents >= 0] for batch in batches]).tolist())


def waiting(packer: Packer) -> Counter[int]:
    found: Counter[int] = Counter()
    for piece in packer.waiting:
        found.update(packer.source.read(piece).ids.tolist())
    return found


@pytest.mark.parametrize("context", [13, 16, 64])
def test_every_token_of_every_epoch_is_an_input_once(tokenizer: TextTokenizer, context: int) -> None:
    """What blocks hold and what waits are, together, so many whole epochs of the corpus and a part of one."""
    one = source(tokenizer)
    packer = Packer(one, batch=3, context=context, pad=PAD)
    batches = [packer.next_batch() for _ in range(200)]
    expected: Counter[int] = Counter()
    for code, documents in SHARDS.items():
        order = one.orders[code]
        assert order.epoch > 10
        texts = [documents.ids[a:b].tolist() for a, b in pairwise(documents.offsets)]
        expected.update(dict.fromkeys(documents.ids.tolist(), order.epoch))
        for index in order.order[: order.position].tolist():
            expected.update(texts[index])
        whole = order.epoch * order.size + order.position
        if order.begun:  # a part of a document, its end not reached
            index = order.index()
            expected.update(texts[index][: max(order.begun - 1 - (index + order.epoch) % 2, 0)])
        expected.update({tokenizer.bos: whole + (order.begun > 0), tokenizer.eos: whole})
    found = inputs(batches) + waiting(packer)
    for code in SHARDS:
        assert found.pop(int(tokenizer.language(code) or 0)) > 10
    assert found == expected


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=60),
    st.integers(1, 50),
    st.integers(1, 5),
    st.integers(1, 12),
)
def test_packing_of_any_lengths(lengths: list[int], context: int, batch: int, count: int) -> None:
    one = Numbered(lengths)
    packer = Packer(one, batch=batch, context=context, pad=PAD)
    batches = [packer.next_batch() for _ in range(count)]
    found = inputs(batches) + waiting(packer)
    assert found == {
        1000 * number + place: 1
        for number in range(1, one.number + 1)
        for place in range(
            one.begun if number == one.number and one.begun else lengths[(number - 1) % len(lengths)]
        )
    }  # each token once, none left out
    for tokens, targets, documents, weights in (
        rows for batch in batches for rows in zip(*batch, strict=True)
    ):
        used = int((documents >= 0).sum())
        assert used > 0
        assert (documents[used:] == -1).all()  # padding comes last
        assert (tokens[used:] == PAD).all()
        assert (targets[used:] == IGNORE).all()
        assert (weights[used:] == 0).all()
        assert documents[:used].unique_consecutive().tolist() == list(range(int(documents[used - 1]) + 1))
        for number in range(int(documents[used - 1]) + 1):
            ids = tokens[documents == number]
            item, start = int(ids[0]) // 1000, int(ids[0]) % 1000
            total = lengths[(item - 1) % len(lengths)]
            assert start % context == 0
            assert ids.tolist() == [1000 * item + start + n for n in range(min(context, total - start))]
            following = [*ids[1:].tolist(), int(ids[-1]) + 1 if start + len(ids) < total else IGNORE]
            assert targets[documents == number].tolist() == following
            assert (weights[documents == number] == item / 2).all()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(8, 40))
def test_a_block_begins_with_what_has_waited_longest(lengths: list[int], context: int) -> None:
    packer = Packer(Numbered(lengths), batch=1, context=context, pad=PAD)
    given: set[tuple[int, int]] = set()
    oldest = (1, 0)
    for _ in range(40):
        batch = packer.next_batch()
        places = [divmod(int(token), 1000) for token in batch.tokens[batch.documents >= 0].tolist()]
        assert places[0] == oldest
        given.update(places)
        following = [tuple(piece.key) for piece in packer.waiting]
        assert following == sorted(following)
        assert given.isdisjoint(following)
        oldest = following[0] if following else (packer.source.number + 1, 0)  # type: ignore[attr-defined]


def test_no_item_waits_for_ever() -> None:
    """A short item among long ones that leave no room for it, a long one among short ones."""
    for lengths in ([9, *[60] * 30], [60, *[9] * 30]):
        packer = Packer(Numbered(lengths), batch=1, context=64, pad=PAD)
        seen: dict[int, int] = {}
        for block in range(600):
            batch = packer.next_batch()
            for token in batch.tokens[batch.documents >= 0].tolist():
                seen.setdefault(token // 1000, block)
            newest = packer.source.number  # type: ignore[attr-defined]
            late = set(range(1, newest - 2 * LOOK_AHEAD)) - set(seen)
            assert not late


def test_little_is_left_empty() -> None:
    """Of documents of 1 to 120 tokens, all lengths alike, less than one per cent."""
    lengths = np.random.default_rng(1).integers(1, 120, 3000).tolist()
    for context in (256, 512, 2048):
        packer = Packer(Numbered(lengths), batch=max(1, 20000 // context), context=context, pad=PAD)
        batches = [packer.next_batch() for _ in range(4)]
        empty = sum(int((batch.documents < 0).sum()) for batch in batches)
        assert empty / sum(batch.tokens.numel() for batch in batches) < 0.01, context


def test_short_items_fill_a_long_block() -> None:
    """There have to be more of them at hand than the look-ahead, or the block stays half empty."""
    packer = Packer(Numbered([2, 3]), batch=2, context=2000, pad=PAD)
    for _ in range(3):
        assert (packer.next_batch().documents >= 0).all()


def test_an_exact_fit_goes_before_an_older_piece() -> None:
    packer = Packer(Numbered([4, 5, 3, 9, 10, 6, 25, 7, 1, *[8] * 200]), batch=6, context=10, pad=PAD)
    batch = packer.next_batch()
    rows = [
        [int(token) // 1000 for token in tokens[numbers >= 0]]
        for tokens, numbers in zip(batch.tokens, batch.documents, strict=True)
    ]
    assert rows == [
        [1] * 4 + [6] * 6,  # not [1] * 4 + [2] * 5
        [2] * 5 + [7] * 5,  # the last piece of one longer than a block
        [3] * 3 + [8] * 7,
        [4] * 9 + [9],
        [5] * 10,
        [7] * 10,
    ]


def test_blocks_number_their_documents(tokenizer: TextTokenizer) -> None:
    packer = Packer(source(tokenizer), batch=4, context=40, pad=PAD)
    for _ in range(5):
        batch = packer.next_batch()
        assert [part.dtype for part in batch] == [torch.int64] * 3 + [torch.float32]
        assert {part.shape for part in batch} == {(4, 40)}
        assert torch.equal(batch.weights, (batch.documents >= 0).float())
        for tokens, documents in zip(batch.tokens, batch.documents, strict=True):
            filled = documents >= 0
            assert tokens[0] == tokenizer.bos  # every document fits
            assert documents[filled].tolist() == ((tokens == tokenizer.bos).cumsum(0) - 1)[filled].tolist()


def test_targets_stay_inside_a_document(tokenizer: TextTokenizer) -> None:
    packer = Packer(source(tokenizer), batch=2, context=16, pad=PAD)
    found = 0
    for _ in range(20):
        batch = packer.next_batch()
        ends = batch.tokens == tokenizer.eos
        found += int(ends.sum())
        assert (batch.targets[ends] == IGNORE).all()
        assert not (batch.targets == tokenizer.bos).any()
    assert found > 40


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_processes_that_share_a_batch_see_all_of_it(tokenizer: TextTokenizer, parts: int) -> None:
    whole = Packer(source(tokenizer), batch=8, context=16, pad=PAD)
    size = 8 // parts
    ranks = [
        Packer(source(tokenizer), batch=8, context=16, pad=PAD, rows=slice(rank * size, (rank + 1) * size))
        for rank in range(parts)
    ]
    for _ in range(20):
        batches = [rank.next_batch() for rank in ranks]
        for part, shares in zip(whole.next_batch(), zip(*batches, strict=True), strict=True):
            assert torch.equal(part, torch.cat(shares))
    states = {json.dumps(packer.state()) for packer in [whole, *ranks]}
    assert len(states) == 1


def test_a_packed_loss_is_that_of_the_documents_alone(tokenizer: TextTokenizer) -> None:
    """Of documents that fit a block: neither their neighbours nor their place in it may matter."""
    model = Decoder(ModelConfig(512, 64, 128, 2, 4, 2, 64))
    model.init_weights(torch.Generator().manual_seed(0))
    for weight in model.parameters():
        weight.data *= 8 if weight.dim() == 2 else 1  # attention must have something to say
    lengths = [5 + (7 * n) % 40 for n in range(60)]
    ids = np.random.default_rng(0).integers(30, 512, sum(lengths))
    one = CorpusSource({"zul": TokenShard(ids, np.cumsum([0, *lengths]))}, tokenizer, seed=0)
    packer = Packer(one, batch=4, context=64, pad=PAD)
    for _ in range(3):
        batch = packer.next_batch()
        assert batch.documents.max() >= 1
        total, count = 0.0, 0
        for tokens, targets, documents, _ in zip(*batch, strict=True):
            for number in range(int(documents.max()) + 1):
                row = documents == number
                assert tokens[row][0] == tokenizer.bos
                assert tokens[row][-1] == tokenizer.eos
                learnt = int((targets[row] != IGNORE).sum())
                with torch.no_grad():
                    total += float(model.loss(tokens[row][None], targets[row][None])) * learnt
                count += learnt
        with torch.no_grad():
            packed = float(model.loss(*batch))
            mixed = float(model.loss(batch.tokens, batch.targets, None, batch.weights))
        assert packed == pytest.approx(total / count, abs=1e-4)
        assert abs(mixed - packed) > 0.01  # else nothing was shown


@pytest.mark.parametrize("context", [13, 64])
@pytest.mark.parametrize("stop", range(24))
def test_a_stream_continues_from_its_state(tokenizer: TextTokenizer, stop: int, context: int) -> None:
    """At 24 points over several epochs, also in the middle of a document."""
    packer, other = (Packer(source(tokenizer, seed=5), batch=1, context=context, pad=PAD) for _ in range(2))
    for _ in range(stop):
        packer.next_batch()
    state = packer.state()
    written = json.dumps(state)
    assert len(written) < 6000
    expected = [packer.next_batch() for _ in range(12)]
    assert json.dumps(state) == written  # a state does not follow the stream it was taken from
    other.next_batch()  # what it did before must not matter
    other.restore(json.loads(written))
    for batch in expected:
        for part, same in zip(batch, other.next_batch(), strict=True):
            assert torch.equal(part, same)
    assert packer.state() == other.state()


def test_long_documents_take_turns(tokenizer: TextTokenizer) -> None:
    """The pieces of a document as long as all others together do not come in a row."""
    shards = {"eng": shard(1000, [3000]), "zul": shard(4000, [20] * 150)}
    packer = Packer(CorpusSource(shards, tokenizer, seed=0), batch=1, context=50, pad=PAD)
    counts = []
    for _ in range(60):
        tokens = packer.next_batch().tokens
        counts.append(int(((tokens >= 1000) & (tokens < 4000)).sum()))
    for first, last in pairwise(range(0, 61, 10)):
        assert sum(counts[first:last]) == pytest.approx(250, abs=60)


def test_items() -> None:
    assert make_item([5, 6, 7]).targets.tolist() == [6, 7, IGNORE]
    assert make_item([5, 6, 7, 8], learn_from=3).targets.tolist() == [IGNORE, IGNORE, 8, IGNORE]
    assert make_item([5]).targets.tolist() == [IGNORE]
    piece = make_item([5, 6, 7, 8], weight=2.0).piece(1, 2)
    assert (piece.ids.tolist(), piece.targets.tolist(), piece.weight) == ([6, 7], [7, 8], 2.0)
