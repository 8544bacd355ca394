import lzma
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="words are counted with the extra 'corpus'")

from edgelm.corpus import hyphens
from edgelm.corpus.hyphens import (
    WordCounter,
    WordCounts,
    breaks,
    count_words,
    hash_words,
    is_broken,
    join_hyphens,
    merge,
)

ANY = st.lists(
    st.one_of(
        st.characters(codec=None),
        st.sampled_from([*"ab'’-\u2010\u0302 \n1.@", "zingqi-namba", "www.", "ab-cd"]),
    )
).map("".join)


def known_from(*texts: str) -> np.ndarray:
    return breaks([count_words(texts)]).keys


def joined(text: str, *corpus: str) -> str:
    return join_hyphens([text], known_from(text, *corpus))[0][0]


def seen(counts: WordCounts, word: str) -> int:
    at = np.searchsorted(counts.words, hash_words([word])[0])
    found = at < len(counts.words) and counts.words[at] == hash_words([word])[0]
    return int(counts.counts[at]) if found else 0


def same(one: WordCounts, other: WordCounts) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("words", "counts", "pairs")
    )


def test_words_are_counted_whole_and_without_case() -> None:
    counts = count_words(
        ["Ngwana wa n'wana, n’WANA 'ngwana'", "ngwana-ke 2ngwana ngwana2 x_ngwana ḓira\nngwana"]
    )
    assert {
        word: seen(counts, word) for word in ("ngwana", "wa", "n'wana", "n’wana", "ḓira", "dira", "ke", "x")
    } == {
        "ngwana": 3,
        "wa": 1,
        "n'wana": 2,
        "n’wana": 2,
        "ḓira": 1,
        "dira": 0,
        "ke": 0,
        "x": 0,
    }
    assert counts.pairs["count"].tolist() == [1]
    assert counts.pairs["pair"] == hash_words(["ngwana-ke"])
    assert counts.pairs["joined"] == hash_words(["NGWANAKE"])


def test_a_broken_word_is_joined_where_it_is_common_unbroken() -> None:
    assert joined("wa zingqi-namba", "zingqinamba Zingqinamba") == "wa zingqinamba"
    assert joined("Zingqi- namba", "zingqinamba " * 10) == "Zingqinamba"
    assert joined("ZINGQI-NAMBA zingqi\u2010namba", "zingqinamba " * 4) == "ZINGQINAMBA zingqinamba"
    assert joined("zingqi-\nnamba", "zingqinamba " * 10) == "zingqinamba"
    assert (
        joined("zi-ngqi-namba", "zingqinamba " * 4, "zi-ngqi zingqi-namba" + " zingqi" * 4) == "zingqinamba"
    )


@pytest.mark.parametrize(
    ("text", "corpus"),
    [
        ("zingqi-namba", "zingqinamba"),  # once is no evidence
        ("zingqi-namba zingqi-namba", "zingqinamba " * 3),  # nor is what is as common broken
        ("well-known", "wellknown " * 9 + "well known " * 9),  # two words, and not ten times as common
        ("ama-awa", "amaawa " * 9),  # two vowels
        ("zingqi- namba", "zingqinamba " * 9),  # a blank
        ("lo-ke", "loke " * 99),  # too short to tell
        ("i-ofisi u-mama", "iofisi umama " * 99),
        ("i-HIV ye-ICAO ngo-2010 i-Afrika", "ihiv yeicao iafrika " * 99),
        ("MIV-infeksie", "mivinfeksie " * 99),
        ("butle-butle gabedi-bedi feto-fetoha", "butlebutle gabedibedi fetofetoha " * 99),
        ("maselamose-lamose", "maselamoselamose " * 99),
        ("tshitshini-tshitshini", "tshitshinitshitshini " * 99),
        ("www.zingqi-namba.za a@zingqi-namba zingqi-namba.gov.za", "zingqinamba " * 99),
        ("ⅳⅳ-nambazi", "nambazi " * 99),
        ("zingqi -namba zingqi--namba zingqi-\n\nnamba", "zingqinamba " * 99),
    ],
)
def test_a_hyphen_that_belongs_stays(text: str, corpus: str) -> None:
    assert joined(text, corpus) == text


def test_ten_times_as_common_overrules_what_speaks_for_a_hyphen() -> None:
    assert joined("ma-okelong", "maokelong " * 10) == "maokelong"
    assert joined("werk-skepping", "werkskepping " * 10 + "werk skepping " * 10) == "werkskepping"
    assert joined("zingqi- namba", "zingqinamba " * 10) == "zingqinamba"


def test_only_files_with_broken_words_are_taken_for_broken() -> None:
    words = [f"zingqi{one}{two}namba" for one in "bcdfghjklm" for two in "abcdefghijklmnoprstu"]
    whole = " ".join(words * 2)
    broken = count_words([" ".join(f"{word[:6]}-{word[6:]}" for word in words), whole])
    meant = count_words([" ".join(f"nodu{word}-bedi" for word in words), "zingqi-banamba", whole])
    found = breaks([broken, meant])
    assert len(found.keys) == len(words)
    assert is_broken(broken, found)
    assert not is_broken(broken, found, share=0.9)
    assert not is_broken(meant, found)
    few = count_words(["zingqi-banamba"])
    assert not is_broken(few, found)
    assert not is_broken(count_words([""]), found)


@given(st.lists(ANY), st.integers(0, 5))
def test_counts_do_not_depend_on_the_batches(texts: list[str], at: int) -> None:
    whole = count_words(texts)
    parts = [count_words(texts[:at]), count_words(texts[at:])]
    assert same(merge(parts), whole)
    assert same(merge(parts[::-1]), whole)
    one, two = breaks([whole]), breaks(parts)
    assert np.array_equal(one.keys, two.keys)
    assert np.array_equal(one.certain, two.certain)


@given(st.lists(ANY))
def test_join_is_idempotent_and_takes_hyphens_only(texts: list[str]) -> None:
    known = known_from(*texts, "zingqinamba abcd " * 99)
    once, counts = join_hyphens(texts, known)
    assert join_hyphens(once, known)[0] == once
    for before, after, number in zip(texts, once, counts, strict=True):
        kept = [one for one in before if one not in "-\u2010 \n"]
        assert [one for one in after if one not in "-\u2010 \n"] == kept
        assert 0 <= len(before) - len(after) <= 2 * number
        assert before.count("-") + before.count("\u2010") - number == after.count("-") + after.count("\u2010")


def test_a_counter_counts_many_batches_and_forgets_what_is_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(5)
    syllables = [a + b for a in "bdfgkl" for b in "aeiou"]
    batches = [
        ["".join(draw.choices(syllables, k=3)) + "-zingqi zingqi " for _ in range(20)] for _ in range(30)
    ]
    counter = WordCounter()
    for batch in batches:
        counter.add(batch)
    assert same(counter.counts(), count_words([text for batch in batches for text in batch]))
    assert same(WordCounter().counts(), count_words([]))
    monkeypatch.setattr(hyphens, "MOST_WORDS", 3)
    small = WordCounter()
    for batch in (["ka ke ke"], ["ki ki ko"], ["ku"]):
        small.add(batch)
    assert [seen(small.counts(), word) for word in ("ka", "ke", "ki", "ko")] == [0, 2, 2, 0]


def test_counts_are_saved_without_pickle(tmp_path: Path) -> None:
    counts = count_words(["wa zingqi-namba zingqinamba"])
    counts.save(tmp_path / "words.npz")
    assert same(WordCounts.load(tmp_path / "words.npz"), counts)


@pytest.mark.parametrize("piece", ["ab-cd", "aba-aba-", "a-", "ab-\ncd", "a.", "a'"])
def test_hyphens_take_linear_time(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    start = time.process_time()
    join_hyphens([text], known_from(text))
    assert time.process_time() - start < 5


@pytest.mark.skipif("EDGELM_DATA" not in os.environ, reason="EDGELM_DATA names no folder of real text")
def test_a_newspaper_taken_from_pdf_is_broken_and_stories_are_not() -> None:
    raw = Path(os.environ["EDGELM_DATA"]) / "raw"
    parts, texts = {}, {}
    for source, name in (
        ("vukuzenzele_lid", "nso.txt.xz"),
        ("tico19", "zul.txt.xz"),
        ("common_voice", "eng.txt.xz"),
    ):
        with lzma.open(raw / source / name, "rt", encoding="utf-8") as stream:
            texts[source] = stream.read().splitlines()
        parts[source] = count_words(texts[source])
    found = breaks(list(parts.values()))
    assert [source for source in parts if is_broken(parts[source], found)] == ["vukuzenzele_lid"]
    _, counts = join_hyphens(texts["vukuzenzele_lid"], found.keys)
    assert 300 < counts.sum() < 700
