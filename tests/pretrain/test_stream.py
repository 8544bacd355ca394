import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from edgelm.corpus.shards import languages_of, read_texts
from edgelm.errors import BadInput
from edgelm.model.decoder import IGNORE
from edgelm.pretrain.stream import (
    Batch,
    CorpusSource,
    Fair,
    Item,
    Packer,
    Shuffled,
    TokenShard,
    corpus_source,
    make_item,
    tokenise,
)
from edgelm.tokenizer.text import TextTokenizer

PAD = 2


def shard(first: int, lengths: list[int]) -> TokenShard:
    """Documents of ever new ids, so that each token says where it is from."""
    return TokenShard(np.arange(first, first + sum(lengths)), np.cumsum([0, *lengths]))


LENGTHS = {"zul": [3, 0, 7, 12, 1, 30, 5, 9, 2, 4], "xho": [6, 6, 1, 8, 2], "eng": [25]}
SHARDS = {code: shard(1000 * (n + 1), lengths) for n, (code, lengths) in enumerate(LENGTHS.items())}


def source(tokenizer: TextTokenizer, *codes: str, seed: int = 0, temperature: float = 1.0) -> CorpusSource:
    chosen = {code: SHARDS[code] for code in codes or SHARDS}
    return CorpusSource(chosen, tokenizer, seed=seed, temperature=temperature)


def text_of(item: Item) -> tuple[int, ...]:
    return tuple(number for number in item.ids.tolist() if number >= 1000)


def joined(batches: list[Batch]) -> tuple[list[int], list[int]]:
    """Tokens and targets of batches, one after another, padding left out."""
    tokens, targets, documents = (torch.cat([batch[n].flatten() for batch in batches]) for n in range(3))
    return tokens[documents >= 0].tolist(), targets[documents >= 0].tolist()


def test_every_document_once_an_epoch(tokenizer: TextTokenizer) -> None:
    one = source(tokenizer, "zul")
    expected = Counter(
        tuple(range(1000 + end - length, 1000 + end))
        for length, end in zip(LENGTHS["zul"], np.cumsum(LENGTHS["zul"]).tolist(), strict=True)
    )
    orders = []
    for epoch in range(4):
        assert one.epochs() == {"zul": float(epoch)}
        items = [one.next_item() for _ in LENGTHS["zul"]]
        orders.append([text_of(item) for item in items])
        assert Counter(orders[-1]) == expected
        assert all(item.ids[0] == tokenizer.bos and item.ids[-1] == tokenizer.eos for item in items)
    assert len({str(order) for order in orders}) == 4  # another order every epoch


def test_nothing_is_discarded_by_packing(tokenizer: TextTokenizer) -> None:
    """The blocks, end to end, are the items, end to end; each token but an item's first is a target once."""
    packer = Packer(source(tokenizer), batch=3, context=16, pad=PAD)
    tokens, targets = joined([packer.next_batch() for _ in range(12)])
    assert len(tokens) == 12 * 3 * 16  # no padding
    again, items = source(tokenizer), []
    while sum(len(item.ids) for item in items) < len(tokens):
        items.append(again.next_item())
    assert tokens == np.concatenate([item.ids for item in items])[: len(tokens)].tolist()
    assert targets == np.concatenate([item.targets for item in items])[: len(tokens)].tolist()
    for place, target in enumerate(targets[:-1]):
        assert target in (tokens[place + 1], IGNORE)
        if target == IGNORE:  # only where a document ends or the next token is a tag
            assert tokens[place] == tokenizer.eos or place % 16 == 15 or tokens[place] == tokenizer.bos


def test_blocks_number_their_documents(tokenizer: TextTokenizer) -> None:
    packer = Packer(source(tokenizer), batch=4, context=16, pad=PAD)
    for _ in range(5):
        batch = packer.next_batch()
        assert [part.dtype for part in batch] == [torch.int64] * 3 + [torch.float32]
        assert (batch.weights == 1).all()
        assert {part.shape for part in batch} == {(4, 16)}
        for tokens, documents in zip(batch.tokens, batch.documents, strict=True):
            starts = (tokens == tokenizer.bos).long()
            starts[0] = 0
            assert documents.tolist() == starts.cumsum(0).tolist()


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


def test_tags_come_every_second_time_and_are_no_targets(tokenizer: TextTokenizer) -> None:
    one = source(tokenizer, "zul", "xho")
    tags = {tokenizer.language("zul"), tokenizer.language("xho")}
    seen: dict[tuple[int, ...], list[bool]] = {}
    for _ in range(200):
        item = one.next_item()
        text = text_of(item)
        tagged = int(item.ids[1]) in tags
        assert tags.isdisjoint(item.targets.tolist())
        if tagged:
            assert item.ids[1] == tokenizer.language("zul" if not text or text[0] < 2000 else "xho")
            assert item.targets[0] == IGNORE
        else:
            assert item.targets[0] == item.ids[1]
        assert item.targets[-1] == IGNORE
        assert item.targets[1:-1].tolist() == item.ids[2:].tolist()
        seen.setdefault(text, []).append(tagged)
    first = [visits[0] for visits in seen.values()]
    assert True in first
    assert False in first
    for visits in seen.values():
        assert visits == [visits[0] ^ bool(n % 2) for n in range(len(visits))]


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_languages_share_tokens_by_temperature(tokenizer: TextTokenizer, temperature: float) -> None:
    one = source(tokenizer, temperature=temperature)
    served: Counter[str] = Counter()
    names = {1: "zul", 2: "xho", 3: "eng"}
    for _ in range(3000):
        item = one.next_item()
        text = text_of(item)
        served[names[text[0] // 1000] if text else "zul"] += len(item.ids)
    weights = {code: sum(lengths) ** (1 / temperature) for code, lengths in LENGTHS.items()}
    for code, weight in weights.items():
        share = served[code] / served.total()
        assert share == pytest.approx(weight / sum(weights.values()), abs=0.003), code


def test_a_share_holds_from_the_beginning() -> None:
    fair = Fair({"a": 3.0, "b": 1.0})
    turns = []
    for _ in range(8):
        turns.append(fair.turn())
        fair.served[turns[-1]] += 10
    assert Counter(turns[:4]) == {"a": 3, "b": 1}
    assert Counter(turns) == {"a": 6, "b": 2}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("stop", range(24))
def test_a_stream_continues_from_its_state(tokenizer: TextTokenizer, stop: int, whole: bool) -> None:
    """At 24 points over several epochs, also in the middle of a document and of a block."""
    packer, other = (
        Packer(source(tokenizer, seed=5, temperature=2.0), batch=1, context=13, pad=PAD, whole=whole)
        for _ in range(2)
    )
    for _ in range(stop):
        packer.next_batch()
    state = packer.state()
    written = json.dumps(state)
    expected = [packer.next_batch() for _ in range(12)]
    assert json.dumps(state) == written  # a state does not follow the stream it was taken from
    other.restore(json.loads(written))
    for batch in expected:
        for part, same in zip(batch, other.next_batch(), strict=True):
            assert torch.equal(part, same)


def test_order_depends_on_seed_language_and_epoch() -> None:
    orders = [Shuffled(50, key).order.tolist() for key in ([0, 0], [0, 1], [1, 0], [0, 0])]
    assert orders[0] == orders[3]
    assert len({str(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_whole_items_are_not_broken() -> None:
    class Lengths:
        def __init__(self) -> None:
            self.left = [4, 5, 3, 9, 10, 1, 25, 2, 2, 2, 2, 2, 2, 2, 2]
            self.number = 0

        def next_item(self) -> Item:
            self.number += 1
            ids = [100 * self.number + place for place in range(self.left.pop(0))]
            return make_item(ids, weight=self.number / 2)

        def state(self) -> dict[str, int]:
            return {}

        def restore(self, state: dict[str, int]) -> None: ...

    packer = Packer(Lengths(), batch=7, context=10, pad=PAD, whole=True)
    batch = packer.next_batch()
    rows = [
        [int(token) // 100 for token, number in zip(tokens, numbers, strict=True) if number >= 0]
        for tokens, numbers in zip(batch.tokens, batch.documents, strict=True)
    ]
    assert rows == [
        [1] * 4 + [2] * 5,
        [3] * 3,
        [4] * 9,
        [5] * 10,
        [6],
        [7] * 10,  # longer than a block: it has to be broken
        [7] * 10,
    ]
    padding = batch.documents < 0
    assert (batch.tokens[padding] == PAD).all()
    assert (batch.targets[padding] == IGNORE).all()
    assert padding.sum() == 1 + 7 + 1 + 9
    weights = torch.tensor([[item / 2 for item in row] + [0.0] * (10 - len(row)) for row in rows])
    assert torch.equal(batch.weights, weights)


def test_items() -> None:
    assert make_item([5, 6, 7]).targets.tolist() == [6, 7, IGNORE]
    assert make_item([5, 6, 7, 8], learn_from=3).targets.tolist() == [IGNORE, IGNORE, 8, IGNORE]
    assert make_item([5]).targets.tolist() == [IGNORE]


def test_a_corpus_is_tokenised_once(tmp_path: Path, corpus: Path, tokenizer: TextTokenizer) -> None:
    texts = list(read_texts(corpus, "zul", "train"))
    (tmp_path / "zul.bin").write_bytes(b"half of it")  # what a kill leaves
    shard = tokenise(corpus, "zul", tokenizer, tmp_path)
    assert shard is not None
    assert isinstance(shard.ids, np.memmap)
    assert shard.ids.dtype == np.uint16
    assert [shard.ids[a:b].tolist() for a, b in zip(shard.offsets, shard.offsets[1:], strict=False)] == [
        tokenizer.encode(text) for text in texts
    ]
    before = (tmp_path / "zul.bin").stat().st_mtime_ns
    again = tokenise(corpus, "zul", tokenizer, tmp_path)
    assert again is not None
    assert again.offsets.tolist() == shard.offsets.tolist()
    assert (tmp_path / "zul.bin").stat().st_mtime_ns == before
    assert {path.name for path in tmp_path.iterdir()} == {"zul.bin", "zul.npy"}


def test_held_out_documents_are_not_streamed(tmp_path: Path, corpus: Path, tokenizer: TextTokenizer) -> None:
    one = corpus_source(corpus, languages_of(corpus), tokenizer, tmp_path / "tokens", seed=0, temperature=1.0)
    held_out = {
        tuple(tokenizer.encode(text))
        for code in languages_of(corpus)
        for split in ("validation", "test")
        for text in read_texts(corpus, code, split)
    }
    control = {tokenizer.bos, tokenizer.eos, *(tokenizer.language(code) for code in languages_of(corpus))}
    seen = {tuple(t for t in one.next_item().ids.tolist() if t not in control) for _ in range(600)}
    every = {
        tuple(tokenizer.encode(text))
        for code in languages_of(corpus)
        for text in read_texts(corpus, code, "train")
    }
    assert seen == every
    assert seen.isdisjoint(held_out)
    assert min(one.epochs().values()) > 1


def test_languages_without_training_documents(tmp_path: Path, corpus: Path, tokenizer: TextTokenizer) -> None:
    one = corpus_source(corpus, ["zul", "ven"], tokenizer, tmp_path / "one", seed=0, temperature=1.0)
    assert list(one.epochs()) == ["zul"]
    with pytest.raises(BadInput, match=r"has no training documents\. Build it from more text\."):
        corpus_source(corpus, ["ven"], tokenizer, tmp_path / "two", seed=0, temperature=1.0)
