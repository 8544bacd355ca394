import random
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgelm.corpus.near_duplicates import (
    BoilerplateLines,
    NearDuplicates,
    collision_probability,
    detection_probability,
    fewest_equal,
)
from edgelm.errors import BadInput

pytest.importorskip("numba", reason="near-duplicates are found by compiled code")
from edgelm.corpus import minhash
from edgelm.corpus.minhash import band_columns, band_keys, cluster, compact, signatures

ANY = st.text(st.characters(codec=None))  # half surrogate pairs too
GOLDEN = [
    [241163458, 123578059, 197928261, 99707880],
    [367860371, 1017093381, 3441447623, 2500366905],
    [74310734, 994851956, 391124378, 350824201],
    [2895579126, 3098852476, 1078551924, 3220839872],
]  # seed 3
WORDS = (
    "umntu ngumntu ngabantu batho bana ba kgomo dikgomo motse metse pula dipula vhathu mbilu mbilwini".split()
)


def sentence(draw: random.Random, words: int = 20) -> str:
    ends = ("", "", "a", "oo", "eni", "iii", "u", " 7,", ", 12", "!")
    return " ".join(draw.choice(WORDS) + draw.choice(ends) for _ in range(words))


def shingles(text: str, ngram: int) -> set[str]:
    """Character n-grams after the documented rule, written a second time, in plain Python."""
    folded, pending = "", ""
    for character in text.lower():
        if character.isalpha():
            folded, pending = folded + (pending if folded or pending == "0" else "") + character, ""
        else:
            pending = "0" if character.isdigit() else pending or " "
    folded += pending.strip()
    return {folded[i : i + ngram] for i in range(max(1, len(folded) - ngram + 1))}


def jaccard(one: str, other: str, ngram: int = 5) -> float:
    first, second = shingles(one, ngram), shingles(other, ngram)
    return len(first & second) / len(first | second)


def edited(text: str, edits: int, draw: random.Random) -> str:
    words = text.split()
    for _ in range(edits):
        words[draw.randrange(len(words))] = draw.choice(WORDS)
    return " ".join(words)


@pytest.mark.parametrize("ngram", [3, 5])
def test_the_share_of_equal_values_is_the_jaccard_similarity(ngram: int) -> None:
    draw = random.Random(1)
    pairs = [
        (text, edited(text, edits, draw)) for edits in range(12) for text in (sentence(draw) for _ in "1234")
    ]
    exact = np.array([jaccard(one, other, ngram) for one, other in pairs])
    first, second = (signatures(list(side), ngram, 512) for side in zip(*pairs, strict=True))
    errors = (first == second).mean(axis=1) - exact
    deviations = errors / np.sqrt(np.maximum(exact * (1 - exact), 1e-3) / 512)
    assert np.abs(deviations).max() < 4.5
    assert 0.6 < deviations.std() < 1.4  # as binomial as it should be: the values are independent
    assert abs(deviations.mean()) < 0.5


def test_values_vary_as_much_between_seeds_as_independent_ones() -> None:
    draw = random.Random(2)
    one = sentence(draw, 40)
    other = edited(one, 6, draw)
    both = [signatures([one, other], seed=seed) for seed in range(400)]
    shares = np.array([(pair[0] == pair[1]).mean() for pair in both])
    exact = jaccard(one, other)
    assert abs(shares.mean() - exact) < 4 * np.sqrt(exact * (1 - exact) / 125 / 400)
    assert 0.8 < shares.std() / np.sqrt(exact * (1 - exact) / 125) < 1.2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Molo, mhlaba!", "MOLO MHLABA"),
        ("Ikhasi 3", "Ikhasi 12"),
        ("R 1 200,50 ngenyanga", "R 900 ngenyanga"),
        ("", "…"),
        ("— Molo mhlaba", "molo mhlaba."),
        ("Ṱhoho ya vhathu", "ṱhoho  ya\nvhathu."),
    ],
)
def test_case_punctuation_and_numbers_do_not_count(one: str, other: str) -> None:
    first, second = signatures([one, other])
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("one", "other"), [("Umthetho", "123"), ("ba", "bo"), ("", "a"), ("ṱoho", "toho"), ("1", "")]
)
def test_letters_and_the_presence_of_numbers_count(one: str, other: str) -> None:
    first, second = signatures([one, other])
    assert (first != second).all()
    first, second = compact(np.stack([first, second]))
    assert (first == second).mean() < 0.1
    first, second = signatures([f"Ikhasi {one}, elesibili", f"Ikhasi {other}, elesibili"])
    assert (first != second).any()


def test_values_are_the_same_on_every_machine_and_in_every_batch() -> None:
    texts = ["Umntu ngumntu ngabantu.", "", "Motho ke motho ka batho", "x" * 3000]
    found = signatures(texts, permutations=4, seed=3)
    assert found.tolist() == GOLDEN
    alone = np.concatenate([signatures([text], permutations=4, seed=3) for text in texts])
    np.testing.assert_array_equal(found, alone)
    assert (signatures(texts, permutations=4, seed=4) != found).all()
    np.testing.assert_array_equal(signatures(texts, permutations=40, seed=3)[:, :4], found)
    assert signatures([]).shape == (0, 125)


@settings(deadline=None)  # the first run compiles
@given(st.lists(ANY, max_size=5), st.integers(2, 12))
@example(["\ud800\udfff", "\x00", "𐀀\U0010ffff", "\u0301"], 5)
def test_any_unicode_has_a_signature(texts: list[str], ngram: int) -> None:
    found = signatures(texts, ngram, 10)
    labels = cluster(band_columns(found, 5), found)
    assert found.shape == (len(texts), 10)
    assert (labels <= np.arange(len(texts))).all()


def test_copies_are_clustered_and_others_are_not() -> None:
    draw = random.Random(3)
    base = [sentence(draw, 30) for _ in range(200)]
    texts = base + [text.upper() + " !" for text in base[:50]] + [edited(text, 1, draw) for text in base[:20]]
    found = signatures(texts)
    expected = [*range(200), *range(50), *range(20)]
    assert cluster(band_keys(found).T, found).tolist() == expected
    small = compact(found)
    assert cluster(band_columns(small), small).tolist() == expected


def test_exact_duplicates_are_clustered_by_key_alone() -> None:
    found = signatures([f"{word} {word} {word}" for word in WORDS[:6]])
    keys = np.array([7, -3, 7, 2**62, -3, 7])
    assert cluster(band_keys(found).T, found, keys).tolist() == [0, 1, 0, 3, 1, 0]
    assert cluster([], found, keys).tolist() == [0, 1, 0, 3, 1, 0]


def components(found: np.ndarray, bands: np.ndarray, keys: np.ndarray, needed: int) -> list[int]:
    """Connected components, by joining pairs until nothing changes."""
    labels = list(range(len(found)))
    pairs = [
        (i, j)
        for i, j in combinations(range(len(found)), 2)
        if keys[i] == keys[j] or ((bands[i] == bands[j]).any() and (found[i] == found[j]).sum() >= needed)
    ]
    for _ in range(len(found)):
        for i, j in pairs:
            labels[i] = labels[j] = min(labels[i], labels[j])
    return labels


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 24), st.sampled_from([0.34, 0.5, 0.75, 1.0]))
def test_clusters_are_the_connected_components(seed: int, documents: int, threshold: float) -> None:
    draw = np.random.default_rng(seed)
    found = draw.integers(0, 3, (documents, 12), dtype=np.uint32)
    keys = draw.integers(0, 2 * documents, documents)
    bands = band_keys(found, 4)
    expected = components(found, bands, keys, fewest_equal(12, threshold))
    assert cluster(bands.T, found, keys, threshold).tolist() == expected


def test_band_keys_agree_when_all_values_of_a_band_do() -> None:
    found = np.array([[1, 2, 3, 4], [1, 2, 3, 9], [9, 2, 3, 4]], dtype=np.uint32)
    keys = band_keys(found, 2)
    assert keys[0, 0] == keys[1, 0] != keys[2, 0]
    assert keys[0, 1] == keys[2, 1] != keys[1, 1]
    assert len(np.unique(band_keys(np.ones((1, 4), dtype=np.uint32), 4))) == 4
    with pytest.raises(ValueError, match="4 values cannot be divided over 3 bands"):
        band_keys(found, 3)
    with pytest.raises(ValueError, match="4 values cannot be divided over 0 bands"):
        next(band_columns(found, 0))


def test_columns_come_in_pieces_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = signatures([sentence(random.Random(i), 5) for i in range(10)], permutations=20)
    np.save(tmp_path / "found.npy", found)
    mapped = np.load(tmp_path / "found.npy", mmap_mode="r")
    whole = list(band_columns(found, 4))
    monkeypatch.setattr(minhash, "CHUNK", 3)
    for column, expected in zip(band_columns(mapped, 4), whole, strict=True):
        np.testing.assert_array_equal(column, expected)
    assert cluster(band_columns(mapped, 4), mapped).tolist() == list(range(10))


def test_compact_signatures_allow_for_chance_agreement() -> None:
    draw = np.random.default_rng(0)
    found = draw.integers(0, 2**32, (2, 40_000), dtype=np.uint32)
    assert 0.003 < (compact(found)[0] == compact(found)[1]).mean() < 0.005  # 1 in 256
    found[1, :27_980] = found[0, :27_980]
    small = compact(found)
    assert (small[0] == small[1]).mean() > 0.7
    assert cluster([np.zeros(2, dtype=np.uint64)], small, threshold=0.7).tolist() == [0, 1]


def test_the_chance_to_be_compared_and_found_is_as_computed() -> None:
    rule = NearDuplicates(bands=10, rows=4, threshold=0.6)
    draw = np.random.default_rng(0)
    for similarity in (0.3, 0.5, 0.6, 0.7, 0.9):
        equal = draw.random((20_000, rule.bands, rule.rows)) < similarity
        compared = equal.all(axis=2).any(axis=1)
        enough = equal.sum(axis=(1, 2)) >= fewest_equal(40, 0.6)
        for share, expected in (
            (compared.mean(), collision_probability(similarity, 10, 4)),
            ((compared & enough).mean(), detection_probability(similarity, rule)),
        ):
            assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / 20_000) + 1e-3
    assert detection_probability(np.array([0.0, 1.0]), rule).tolist() == [0, 1]
    assert collision_probability(np.array([0.0, 1.0]), 3, 4).tolist() == [0, 1]


def test_a_hot_bucket_is_quick() -> None:
    draw = random.Random(5)
    texts = ["Kliek op 'n diens vir volledige besonderhede."] * 50_000
    texts[::100] = [f"{sentence(draw, 9)}" for _ in range(500)]
    found = compact(signatures(texts))
    began = time.process_time()
    labels = cluster(band_columns(found), found)
    assert (labels == 1).sum() == 49_500
    shared = [
        np.zeros(len(texts), dtype=np.uint64)
    ] * 3  # all documents in one bucket, and 500 are like no other
    assert (cluster(shared, found) == 1).sum() == 49_500
    assert time.process_time() - began < 5


def test_a_larger_bucket_is_joined_through_its_leaders() -> None:
    found = np.zeros((100, 10), dtype=np.uint32)
    found[::2] = np.arange(1, 11)  # two kinds, in turn
    labels = cluster([np.zeros(100, dtype=np.uint64)], found, threshold=0.8)
    assert labels.tolist() == [0, 1] * 50


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ngram": 1}, "near-duplicates: ngram is 1. Use a whole number from 2 to 64"),
        ({"bands": 0}, "bands is 0"),
        ({"rows": 2.5}, "rows is 2.5"),
        ({"rows": True}, "rows is True"),
        ({"seed": -1}, "seed is -1"),
        ({"threshold": 0}, "threshold is 0. Use a number above 0 and up to 1"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"threshold": "0.7"}, "threshold is '0.7'"),
        ({"bands": 256, "rows": 5}, "256 bands of 5 rows are 1280 values. Use at most 1024"),
    ],
)
def test_settings_out_of_range_are_refused(values: dict, message: str) -> None:
    with pytest.raises(BadInput) as error:
        NearDuplicates(**values)
    assert message in str(error.value)


def test_settings_of_lines_are_checked_too() -> None:
    with pytest.raises(BadInput, match="boilerplate: documents is 1"):
        BoilerplateLines(documents=1)
    with pytest.raises(BadInput, match="boilerplate: share is 2"):
        BoilerplateLines(share=2)


def test_a_chain_in_a_larger_bucket_breaks_where_it_leaves_its_leader() -> None:
    found = np.tril(np.ones((40, 40), dtype=np.uint32), -1)  # each differs from the one before in one value
    together = [np.zeros(40, dtype=np.uint64)]
    assert cluster(together, found, threshold=0.9).tolist() == [row // 5 * 5 for row in range(40)]
    assert not cluster([together[0][:32]], found[:32], threshold=0.9).any()  # where all pairs are compared


def test_compact_signatures_of_single_shingles_differ() -> None:
    texts = [one + other for one in "abcdefghijklmnopqrst" for other in "abcdefghijklmnopqrst"]
    found = compact(signatures(texts))
    assert cluster(band_columns(found), found).tolist() == list(range(400))
