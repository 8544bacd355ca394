import os
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgelm.corpus.near_duplicates import BoilerplateLines

pytest.importorskip("numba", reason="lines are counted by compiled code")
from edgelm.corpus.lines import LineCounter, boilerplate, line_keys, merge, strip

MENU = ["Ekhaya", "Izindaba", "Xhumana nathi", "Imephu yendawo"]
TEXTS = st.lists(st.text(st.characters(codec=None) | st.sampled_from("\n\n|ab1")), max_size=6)


def article(draw: random.Random, lines: int = 6) -> list[str]:
    return [
        " ".join(f"{draw.choice('bdgk')}a{draw.randrange(10**6):06x}o" for _ in range(9))
        for _ in range(lines)
    ]


def count(texts: list[str], batch: int = 7) -> LineCounter:
    counter = LineCounter()
    for at in range(0, len(texts), batch):
        counter.add(texts[at : at + batch])
    return counter


def keys_of(texts: list[str], rule: BoilerplateLines) -> np.ndarray:
    counter = count(texts)
    return boilerplate(*counter.counts(), counter.documents, rule)


def test_a_menu_goes_and_the_articles_stay() -> None:
    draw = random.Random(0)
    articles = [article(draw) for _ in range(40)]
    texts = ["\n".join([*MENU[:2], "| * |", *lines, *MENU[2:]]) for lines in articles]
    kept, removed = strip(texts, keys_of(texts, BoilerplateLines()))
    assert kept == ["\n".join(lines) for lines in articles]
    assert removed.tolist() == [5] * 40
    assert removed.dtype == np.int32


def test_what_is_common_beside_other_lines_each_time_stays() -> None:
    draw = random.Random(0)
    texts = []
    for number in range(300):
        lines = article(draw)
        if number % 15 == 0:  # in 20 of 300 stories
            lines.insert(draw.randrange(1, 5), "“Yebo!”")
        texts.append("\n".join(lines))
    rule = BoilerplateLines(documents=10, share=0.1)
    assert len(keys_of(texts, rule)) == 0
    everywhere = [
        "\n".join([lines.split("\n")[0], "Ikhasi 7", *lines.split("\n")[1:]]) for lines in texts[:30]
    ]
    keys = keys_of(everywhere, rule)
    assert len(keys) == 1
    assert strip(everywhere, keys)[0] == texts[:30]
    assert len(keys_of(everywhere[:19], rule)) == 0  # in all of them, but they are few


def test_a_line_goes_only_where_it_stands_beside_its_neighbour() -> None:
    draw = random.Random(0)
    pages = ["\n".join([*article(draw), *MENU[:2]]) for _ in range(10)]
    inside = "\n".join(["Isihloko", "Izindaba", *article(draw)])
    rest = ["\n".join(article(draw)) for _ in range(200)]
    keys = keys_of([*pages, inside, *rest], BoilerplateLines())
    kept, removed = strip([*pages, inside], keys)
    assert removed.tolist() == [2] * 10 + [0]
    assert kept[-1] == inside


def test_copies_of_an_article_do_not_make_it_boilerplate() -> None:
    draw = random.Random(0)
    story = article(draw, 12)
    copies = ["\n".join([f"xhosa.{number}.{chr(97 + number)}", *story]) for number in range(20)]
    rest = ["\n".join(article(draw)) for _ in range(20)]
    counter = count(copies + rest)
    assert counter.documents == 21
    assert len(boilerplate(*counter.counts(), counter.documents)) == 0


def test_a_line_repeated_within_a_document_counts_once_and_is_no_pair() -> None:
    draw = random.Random(0)
    texts = ["\n".join(["Ha! Ha!"] * 5 + article(draw)) for _ in range(12)]
    keys, counts = count(texts).counts()
    assert Counter(counts.tolist()) == {
        12: 1,
        1: 12 * (6 + 5 + 1),
    }  # the line; lines, pairs, and pairs with it
    assert int(keys[counts == 12][0]) & 1 == 0


@given(
    st.lists(st.lists(st.sampled_from(["a", "B!", "b", "c 1", "c 22", "", "--"]), max_size=7), max_size=12)
)
@settings(deadline=None)
def test_counts_are_those_of_a_plain_count(documents: list[list[str]]) -> None:
    fold = {"a": "a", "B!": "b", "b": "b", "c 1": "c0", "c 22": "c0", "": "", "--": ""}
    expected: Counter = Counter()
    seen, counted = set(), 0
    for lines in documents:
        folded = [fold[line] for line in lines if fold[line]]
        longest = list(dict.fromkeys(sorted(folded, key=lambda line: -len(line))))[:2]
        if len(longest) < 2 or tuple(longest) in seen:
            continue
        seen.add(tuple(longest))
        counted += 1
        expected.update(set(folded) | {pair for pair in pairwise(folded) if len(set(pair)) == 2})
    counter = count(["\n".join(lines) for lines in documents], batch=3)
    keys, counts = counter.counts()
    assert counter.documents == counted
    assert sorted(counts.tolist()) == sorted(expected.values())
    assert (np.diff(keys.astype(object)) > 0).all()
    lines = sum(isinstance(one, str) for one in expected)
    assert (keys & np.uint64(1) == 0).sum() == lines


def test_line_keys_name_the_lines_of_texts_that_have_two() -> None:
    texts = ["One\n\nTWO\n***\none!", "alone", "", "Ikhasi 3\nIkhasi 44\n"]
    keys, documents = line_keys(texts)
    assert documents.tolist() == [0, 0, 0, 3, 3]
    assert keys[0] == keys[2] != keys[1]
    assert keys[3] == keys[4]


@given(TEXTS, st.integers(0, 3))
@example(["\ud800\n\udfff\n1\n1", "\n\n", "a\r\nb\x85c"], 1)
@settings(deadline=None)
def test_strip_never_fails_and_keeps_other_lines_byte_for_byte(texts: list[str], skip: int) -> None:
    counter = count(texts)
    keys, _ = counter.counts()
    wanted = keys[skip::3]
    kept, removed = strip(texts, wanted)
    for text, left, lost in zip(texts, kept, removed, strict=True):
        before, after = text.split("\n"), left.split("\n")
        places = iter(before)
        assert all(line in places for line in after) or left == ""  # a subsequence: same lines, same order
        assert len(before) - len(after) == lost or left == ""
        if lost == 0:
            assert left == text
    untouched, none = strip(texts, np.empty(0, dtype=np.uint64))
    assert untouched == texts
    assert not none.any()


def test_what_has_nothing_left_is_empty_and_one_line_is_never_touched() -> None:
    counter = count(["\n".join(MENU)])
    keys, _ = counter.counts()
    kept, removed = strip(["***\n" + "\n".join(MENU) + "\n  ", MENU[0], "***\n" + MENU[0]], keys)
    assert kept == ["", MENU[0], "***\n" + MENU[0]]
    assert removed.tolist() == [5, 0, 0]


def test_bars_and_rules_go_with_the_line_above_them() -> None:
    keys, _ = count(["\n".join(MENU)]).counts()
    text = "***\nIndaba\n---\nEkhaya\n|\n====\nIzindaba\n\nUmbhalo\n---\nisiphelo"
    assert strip([text], keys)[0] == ["***\nIndaba\n---\nUmbhalo\n---\nisiphelo"]


def test_a_line_dropped_twice_is_dropped_in_the_whole_document() -> None:
    keys, _ = count(["\n".join(MENU)]).counts()
    twice = [*MENU[:2], "one", *MENU[1:3], "two", MENU[1], "three"]
    once = [*MENU[:2], "one", MENU[1], "two"]
    kept, removed = strip(["\n".join(twice), "\n".join(once)], keys[keys & np.uint64(1) == 1])
    assert kept == ["one\ntwo\nthree", "one\nIzindaba\ntwo"]
    assert removed.tolist() == [5, 2]


def test_counts_of_several_counters_add_up() -> None:
    draw = random.Random(0)
    texts = ["\n".join([*MENU, *article(draw)]) for _ in range(30)]
    whole = count(texts).counts()
    parts = merge(
        [
            count(texts[:11]).counts(),
            count(texts[11:12]).counts(),
            count([]).counts(),
            count(texts[12:]).counts(),
        ]
    )
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    assert merge([])[0].dtype == np.uint64
    before = whole[1].copy()
    merge([whole, whole])
    np.testing.assert_array_equal(whole[1], before)


def test_a_full_counter_forgets_the_rarest_and_says_how_many() -> None:
    draw = random.Random(0)
    texts = ["\n".join([*MENU, *article(draw)]) for _ in range(200)]
    counter = LineCounter(room=500)
    for at in range(0, 200, 10):
        counter.add(texts[at : at + 10])
    keys, counts = counter.counts()
    exact = dict(zip(*count(texts).counts(), strict=True))
    assert len(keys) <= 500
    assert counter.forgotten > 0
    for key, number in zip(keys, counts, strict=True):
        assert exact[key] - counter.forgotten <= number <= exact[key]
    assert len(boilerplate(keys, counts, counter.documents)) == len(MENU) + len(MENU) - 1


@pytest.mark.skipif("EDGELM_DATA" not in os.environ, reason="EDGELM_DATA names no folder of real text")
def test_real_pages_lose_their_navigation_and_stories_lose_nothing() -> None:
    import json
    import lzma

    def read(name: str) -> list[str]:
        with lzma.open(Path(os.environ["EDGELM_DATA"]) / "raw" / name, "rt", encoding="utf-8") as file:
            return [json.loads(line)["text"] for line in file]

    pages = read("nchlt_genre_nglueni/zul.jsonl.xz")
    kept, removed = strip(pages, keys_of(pages, BoilerplateLines()))
    lines = Counter(line.strip() for text in kept for line in text.split("\n"))
    menu = ["Ulwazi ngoHulumeni www.gov.za", "Khetha ulwimi", "Printa leli khasi", "Imephu yendawo"]
    assert all(lines[line] <= 2 for line in menu)  # 176 pages had them
    assert 5_000 < removed.sum() < 8_000
    assert 0.05 < 1 - sum(map(len, kept)) / sum(map(len, pages)) < 0.1
    assert not any(
        len(before) > 3_000 and len(after) < len(before) / 2
        for before, after in zip(pages, kept, strict=True)
    )
    for language in ("zul", "eng", "afr"):
        assert len(keys_of(read(f"asp_african_storybook/{language}.jsonl.xz"), BoilerplateLines())) == 0
