from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm.corpus.shards import languages_of, read_texts
from edgelm.errors import BadInput
from edgelm.mixture import temperature_shares, unimax_shares
from edgelm.model.decoder import IGNORE
from edgelm.pretrain.packing import Item
from edgelm.pretrain.sampling import (
    CorpusSource,
    Fair,
    Shuffled,
    corpus_source,
)
from edgelm.pretrain.tokens import TokenShard
from edgelm.tokenizer.text import TextTokenizer

LENGTHS = {"zul": [3, 0, 7, 12, 1, 30, 5, 9, 2, 4], "xho": [6, 6, 1, 8, 2], "eng": [25]}
SHARDS = {
    code: TokenShard(np.arange(1000 * n, 1000 * n + sum(lengths)), np.cumsum([0, *lengths]))
    for n, (code, lengths) in enumerate(LENGTHS.items(), start=1)
}  # ever new ids, so that each token says where it is from
NAMES = {1: "zul", 2: "xho", 3: "eng"}
LONG = 1000  # a limit that breaks no document


def source(
    tokenizer: TextTokenizer, *codes: str, seed: int = 0, shares: dict[str, float] | None = None
) -> CorpusSource:
    return CorpusSource({code: SHARDS[code] for code in codes or SHARDS}, tokenizer, seed=seed, shares=shares)


def next_item(one: CorpusSource, limit: int = LONG) -> Item:
    return one.read(one.next_piece(limit))


def text_of(item: Item) -> tuple[int, ...]:
    return tuple(number for number in item.ids.tolist() if number >= 1000)


def test_every_document_once_an_epoch(tokenizer: TextTokenizer) -> None:
    one = source(tokenizer, "zul")
    expected = Counter(
        tuple(range(1000 + end - length, 1000 + end))
        for length, end in zip(LENGTHS["zul"], np.cumsum(LENGTHS["zul"]).tolist(), strict=True)
    )
    orders = []
    for epoch in range(4):
        assert one.epochs() == {"zul": float(epoch)}
        items = [next_item(one) for _ in LENGTHS["zul"]]
        orders.append([text_of(item) for item in items])
        assert Counter(orders[-1]) == expected
        assert all(item.ids[0] == tokenizer.bos and item.ids[-1] == tokenizer.eos for item in items)
    assert len({str(order) for order in orders}) == 4  # another order every epoch


def test_tags_come_every_second_time_and_are_no_targets(tokenizer: TextTokenizer) -> None:
    one = source(tokenizer, "zul", "xho")
    tags = {tokenizer.language("zul"), tokenizer.language("xho")}
    seen: dict[tuple[int, ...], list[bool]] = {}
    for _ in range(200):
        item = next_item(one)
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


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 31])
def test_pieces_of_a_document_are_the_document(tokenizer: TextTokenizer, limit: int) -> None:
    """End to end they are the whole, targets too: the next piece's first token is learnt."""
    whole, broken = source(tokenizer, "zul"), source(tokenizer, "zul")
    for _ in range(40):
        item = next_item(whole)
        pieces = [next_item(broken, limit)]
        while pieces[-1].ids[-1] != tokenizer.eos:
            pieces.append(next_item(broken, limit))
        assert [len(piece.ids) for piece in pieces[:-1]] == [limit] * (len(pieces) - 1)
        assert len(pieces[-1].ids) <= limit
        assert np.concatenate([piece.ids for piece in pieces]).tolist() == item.ids.tolist()
        assert np.concatenate([piece.targets for piece in pieces]).tolist() == item.targets.tolist()
    assert whole.epochs() == broken.epochs()


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("limit", [6, LONG])
def test_languages_share_tokens_by_temperature(
    tokenizer: TextTokenizer, temperature: float, limit: int
) -> None:
    shares = temperature_shares({code: sum(lengths) for code, lengths in LENGTHS.items()}, temperature)
    one = source(tokenizer, shares=shares)
    served: Counter[str] = Counter()
    for _ in range(3000):
        piece = one.next_piece(limit)
        served[piece.key[0]] += len(one.read(piece).ids)
        assert set(text_of(one.read(piece))) <= set(SHARDS[piece.key[0]].ids.tolist())
    weights = {code: sum(lengths) ** (1 / temperature) for code, lengths in LENGTHS.items()}
    for code, weight in weights.items():
        share = served[code] / served.total()
        assert share == pytest.approx(weight / sum(weights.values()), abs=0.003), code


def test_a_share_holds_from_the_beginning() -> None:
    fair = Fair({"a": 3.0, "b": 1.0})
    turns = []
    for _ in range(8):
        turns.append(fair.turn())
        fair.serve(turns[-1], 10)
    assert Counter(turns[:4]) == {"a": 3, "b": 1}
    assert Counter(turns) == {"a": 6, "b": 2}


SIZES = {"afr": 5000, "zul": 1000, "ven": 100, "nbl": 10}


def test_unimax_is_equal_up_to_the_cap() -> None:
    """Worked by hand: 10 and 100 tokens reach three epochs, what they leave goes to the others."""
    shares = unimax_shares(SIZES, budget=4000, max_epochs=3)
    assert list(shares) == list(SIZES)
    given = {code: share * 4000 for code, share in shares.items()}
    assert given == pytest.approx({"nbl": 30, "ven": 300, "zul": 1835, "afr": 1835})
    assert unimax_shares(SIZES, budget=40, max_epochs=3) == pytest.approx(dict.fromkeys(SIZES, 0.25))


def test_unimax_beyond_the_cap_follows_the_sizes() -> None:
    shares = unimax_shares(SIZES, budget=1e6, max_epochs=3)
    assert shares == pytest.approx({code: size / 6110 for code, size in SIZES.items()})


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 10**9), min_size=1),
    st.floats(1, 1e12),
    st.floats(0.5, 50),
)
def test_unimax_keeps_to_the_cap(sizes: dict[str, int], budget: float, cap: float) -> None:
    shares = unimax_shares(sizes, budget, cap)
    assert sum(shares.values()) == pytest.approx(1)
    if budget > cap * sum(sizes.values()):
        return
    capped = {code for code in sizes if shares[code] * budget > sizes[code] * cap * (1 - 1e-9)}
    assert all(shares[code] * budget < sizes[code] * cap * (1 + 1e-6) for code in capped)
    others = {shares[code] for code in sizes if code not in capped}
    if others:
        assert max(others) == pytest.approx(min(others))
        assert max(others) >= max((shares[code] for code in capped), default=0) * (1 - 1e-6)


def test_no_language_is_seen_more_often_than_unimax_allows(tokenizer: TextTokenizer) -> None:
    sizes = {code: shard.tokens for code, shard in SHARDS.items()}
    budget = 2 * sum(sizes.values())
    one = source(tokenizer, shares=unimax_shares(sizes, budget, max_epochs=2.5))
    handed_out = 0
    while handed_out < budget:
        handed_out += one.next_piece(LONG).length
    epochs = one.epochs()
    assert epochs["eng"] == pytest.approx(2.5, abs=1)  # it is one document
    assert epochs["xho"] == pytest.approx(2.5, abs=0.3)
    assert epochs["zul"] < 2


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 10**12), min_size=1), st.floats(1, 100))
def test_temperature_makes_shares_more_equal(sizes: dict[str, int], temperature: float) -> None:
    shares = temperature_shares(sizes, temperature)
    assert sum(shares.values()) == pytest.approx(1)
    for one in sizes:
        for two in sizes:
            expected = (sizes[one] / sizes[two]) ** (1 / temperature)
            assert shares[one] / shares[two] == pytest.approx(expected)


def test_order_depends_on_seed_language_and_epoch() -> None:
    orders = [Shuffled(50, key).order.tolist() for key in ([0, 0], [0, 1], [1, 0], [0, 0])]
    assert orders[0] == orders[3]
    assert len({str(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_a_seed_decides_the_order(tokenizer: TextTokenizer) -> None:
    def first(seed: int) -> list[tuple[int, ...]]:
        one = source(tokenizer, seed=seed)
        return [text_of(next_item(one)) for _ in range(30)]

    assert first(3) == first(3)
    assert first(3) != first(4)


def test_held_out_documents_are_not_sampled(tmp_path: Path, corpus: Path, tokenizer: TextTokenizer) -> None:
    one = corpus_source(corpus, languages_of(corpus), tokenizer, tmp_path, seed=0)
    held_out = {
        tuple(tokenizer.encode(text))
        for code in languages_of(corpus)
        for split in ("validation", "test")
        for text in read_texts(corpus, code, split)
    }
    control = {tokenizer.bos, tokenizer.eos, *(tokenizer.language(code) for code in languages_of(corpus))}
    seen = {tuple(t for t in next_item(one).ids.tolist() if t not in control) for _ in range(600)}
    every = {
        tuple(tokenizer.encode(text))
        for code in languages_of(corpus)
        for text in read_texts(corpus, code, "train")
    }
    assert seen == every
    assert seen.isdisjoint(held_out)
    assert min(one.epochs().values()) > 1


def test_languages_can_be_chosen_and_weighed(tmp_path: Path, corpus: Path, tokenizer: TextTokenizer) -> None:
    def shares(languages: list[str], weights: dict[str, float] | None = None) -> dict[str, float]:
        one = corpus_source(corpus, languages, tokenizer, tmp_path, seed=0, temperature=2.0, weights=weights)
        total = sum(one.fair.shares.values())
        return {code: share / total for code, share in one.fair.shares.items()}

    assert set(shares(["eng", "zul"])) == {"eng", "zul"}
    plain, weighed = shares(["eng", "xho", "zul"]), shares(["eng", "xho", "zul"], {"eng": 3.0})
    assert weighed["eng"] / weighed["zul"] == pytest.approx(3 * plain["eng"] / plain["zul"])
    assert weighed["xho"] / weighed["zul"] == pytest.approx(plain["xho"] / plain["zul"])
    assert set(shares(["eng", "zul"], {"eng": 0})) == {"zul"}
    with pytest.raises(BadInput, match=r"a weight is given for ven, which is not among the languages"):
        shares(["eng", "zul"], {"ven": 2.0})


def test_a_corpus_source_samples_as_it_is_told(
    tmp_path: Path, corpus: Path, tokenizer: TextTokenizer
) -> None:
    languages = languages_of(corpus)
    one = corpus_source(corpus, languages, tokenizer, tmp_path, seed=0, temperature=1.0)
    sizes = {
        code: len(offsets) * 2 - 2 + (len(offsets) - 1) // 2 + len(one.ids[code])
        for code, offsets in one.offsets.items()
    }
    assert one.fair.shares == pytest.approx(temperature_shares(sizes, 1.0))
    budget = 3.6 * min(sizes.values())
    two = corpus_source(
        corpus, languages, tokenizer, tmp_path, seed=0, sampling="unimax", budget=budget, max_epochs=1.0
    )
    assert two.fair.shares == pytest.approx(unimax_shares(sizes, budget, 1.0))
    assert len({round(share, 6) for share in two.fair.shares.values()}) == 2  # one at the cap


def test_languages_without_training_documents(tmp_path: Path, corpus: Path, tokenizer: TextTokenizer) -> None:
    one = corpus_source(corpus, ["zul", "ven"], tokenizer, tmp_path, seed=0)
    assert list(one.epochs()) == ["zul"]
    with pytest.raises(BadInput, match=r"has no training documents\. Build it from more text\."):
        corpus_source(corpus, ["ven"], tokenizer, tmp_path, seed=0)


def test_a_size_is_that_of_an_epoch(tokenizer: TextTokenizer) -> None:
    for code, shard in SHARDS.items():
        one = source(tokenizer, code)
        tokens = [sum(one.next_piece(LONG).length for _ in LENGTHS[code]) for _ in range(2)]
        assert shard.tokens == pytest.approx(sum(tokens) / 2, abs=0.5)
    assert [len(list(pairwise(shard.offsets))) for shard in SHARDS.values()] == [10, 5, 1]
    assert [shard.documents for shard in SHARDS.values()] == [10, 5, 1]
