import lzma
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="words are counted with the extra 'corpus'")

from edgelm.corpus import hyphens
from edgelm.corpus.blanks import BROKEN_SHARE, Words, all_words, join_blanks
from edgelm.corpus.hyphens import breaks, count_words, hash_words, is_broken

ANY = st.lists(
    st.one_of(
        st.characters(codec=None),
        st.sampled_from([*"ab'’- \n1.@\u0302", "ema khaya", "kufu -neka", "oku lu ngile"]),
    )
).map("".join)
CORPUS = "emakhaya kufuneka okulungile okulu wa loku khaya " * 99 + "ema kufu ngile ka hle "


def joined(text: str, *corpus: str) -> str:
    return join_blanks([text], all_words([count_words([text, *corpus])]))[0][0]


def test_a_broken_word_is_joined_where_the_joined_one_is_known() -> None:
    assert joined("wa ema khaya.", CORPUS) == "wa emakhaya."
    assert joined("Kufu -neka, “kufu- neka” wa", CORPUS) == "Kufuneka, “kufuneka” wa"
    assert joined("(ema khaya wa) ema khaya", CORPUS) == "(emakhaya wa) emakhaya"
    assert joined("wa oku lu ngile wa", CORPUS) == "wa okulungile wa"
    assert join_blanks(["ema khaya ema khaya", "ema khaya", "wa"], all_words([count_words([CORPUS])]))[
        1
    ].tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("text", "corpus"),
    [
        ("ema khaya", "emakhaya"),  # once is no evidence
        ("ema khaya", "emakhaya " * 15 + "ema khaya"),  # two known words, and not eight times as common
        ("ema Khaya EMA khaya emA khaya", CORPUS),
        ("ema\nkhaya ema, khaya ema  khaya ema - khaya ema – khaya", CORPUS),
        ("ema khaya2 ema_khaya 2ema khaya i-ema khaya", CORPUS),
        ("ema khaya-neka ema khaya's n'ema khaya", CORPUS),
        ("x.ema khaya.za me@ema khaya@ema /ema khaya/wa", CORPUS),
        ("e makhaya emakhay a e m a", CORPUS),
        ("ka hle", "kahle " * 99 + "hle ka " * 13),
        ("ku me", "kume " * 99),  # too short to tell
    ],
)
def test_two_words_stay_two(text: str, corpus: str) -> None:
    assert joined(text, corpus) == text


@given(st.lists(ANY))
def test_only_gaps_go_and_a_second_time_none(texts: list[str]) -> None:
    words = all_words([count_words([CORPUS])])
    once, counts = join_blanks(texts, words)
    again, none = join_blanks(once, words)
    assert again == once
    assert not none.any()
    assert counts.dtype == np.int32
    for before, after, number in zip(texts, once, counts, strict=True):
        assert [one for one in after if one not in " -"] == [one for one in before if one not in " -"]
        assert number <= len(before) - len(after) <= 2 * number


@given(st.lists(ANY, min_size=1), st.integers(0, 9))
def test_a_text_is_mended_alike_in_any_batch(texts: list[str], at: int) -> None:
    words = all_words([count_words([CORPUS])])
    at %= len(texts)
    assert join_blanks(texts, words)[0][at] == join_blanks([texts[at]], words)[0][0]


def test_words_are_added_up_and_rare_ones_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parts = [count_words([text]) for text in ("ka ka ke", "ke ki", "ko")]
    words = all_words(parts)
    assert dict(zip(words.keys.tolist(), words.counts.tolist(), strict=True)) == dict.fromkeys(
        hash_words(["ka", "ke"]).tolist(), 2
    )
    words.save(tmp_path / "words.npz")
    assert np.array_equal(Words.load(tmp_path / "words.npz").keys, words.keys)
    assert np.array_equal(Words.load(tmp_path / "words.npz").counts, words.counts)
    assert not len(all_words([]).keys)
    monkeypatch.setattr(hyphens, "MOST_WORDS", 1)
    parts = [count_words([text]) for text in ("ka ka ke", "ki ki ki", "ke")]
    assert all_words(parts).keys.tolist() == sorted(hash_words(["ka", "ki"]).tolist())


@pytest.mark.parametrize("piece", ["ema khaya ", "ema ", "ema-", "ema -", "aa ", "a" * 50 + " "])
def test_blanks_take_linear_time(piece: str) -> None:
    words = all_words([count_words([CORPUS])])
    start = time.process_time()
    join_blanks([piece * (200_000 // len(piece))], words)
    assert time.process_time() - start < 5


@pytest.mark.skipif("EDGELM_DATA" not in os.environ, reason="EDGELM_DATA names no folder of real text")
def test_a_newspaper_taken_from_pdf_is_mended() -> None:
    raw = Path(os.environ["EDGELM_DATA"]) / "raw"
    texts = {}
    for source in ("vukuzenzele_lid", "tico19"):
        with lzma.open(raw / source / "zul.txt.xz", "rt", encoding="utf-8") as stream:
            texts[source] = stream.read().splitlines()
    parts = {source: count_words(own) for source, own in texts.items()}
    found = breaks(list(parts.values()))
    broken = [one for one, part in parts.items() if is_broken(part, found, BROKEN_SHARE)]
    assert broken == ["vukuzenzele_lid"]
    _, counts = join_blanks(texts["vukuzenzele_lid"], all_words(parts.values()))
    assert 1000 < counts.sum() < 3000
