from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelm.corpus.recipe import Mix, Recipe, SplitRule
from edgelm.corpus.splits import FEWEST_TO_SPLIT, TEST, TRAIN, VALIDATION, assign_splits, mixture
from edgelm.corpus.statistics import text_keys

RECIPE = Recipe("test", (), (), validation=SplitRule(0.1, 10**9), test=SplitRule(0.2, 10**9))
KEYS = st.lists(st.integers(0, 2**63 - 1), unique=True, max_size=60)


def documents(keys, language="zul", size=10, claimed=None):
    return [{"key": int(key), "language": language, "bytes": size, "claimed": claimed} for key in keys]


def random_keys(count, seed=0):
    return np.random.default_rng(seed).integers(0, 2**63, count)


def test_shares_are_about_those_asked_for_in_every_language(make_table):
    rows = documents(random_keys(4000)) + documents(random_keys(3000, 1), "eng")
    split = assign_splits(make_table(rows), np.ones(7000, dtype=bool), RECIPE)
    for own in (split[:4000], split[4000:]):
        shares = np.bincount(own, minlength=3) / len(own)
        assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.02)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(KEYS, st.integers(0, 200), st.randoms())
def test_the_order_of_documents_does_not_matter_and_caps_hold(make_table, keys, cap, draw):
    recipe = replace(RECIPE, validation=SplitRule(0.3, cap), test=SplitRule(0.4, 2 * cap))
    rows = documents(keys) + documents(keys, "eng", size=7)
    if not rows:
        return
    kept = np.array([draw.random() < 0.8 for _ in rows])
    split = assign_splits(make_table(rows), kept, recipe)
    order = draw.sample(range(len(rows)), len(rows))
    moved = assign_splits(make_table([rows[place] for place in order], 3), kept[order], recipe)
    assert moved.tolist() == split[order].tolist()
    size = np.array([row["bytes"] for row in rows])
    english = np.array([row["language"] == "eng" for row in rows])
    assert (split[~kept] == TRAIN).all(), "what is rejected takes no place"
    for own in (english, ~english):
        many = (own & kept).sum() >= FEWEST_TO_SPLIT
        for name, most in ((VALIDATION, cap), (TEST, 2 * cap)):
            taken = own & (split == name)
            # at least one document of a language large enough, even if it is above the cap
            assert size[taken].sum() <= most or taken.sum() == 1
            assert taken.any() or not many


def test_a_split_takes_the_smallest_hashes_so_that_texts_stay_when_others_come(make_table):
    keys = random_keys(600)
    one = assign_splits(make_table(documents(keys[:300])), np.ones(300, dtype=bool), RECIPE)
    two = assign_splits(make_table(documents(keys)), np.ones(600, dtype=bool), RECIPE)
    assert two[:300].tolist() == one.tolist()


def test_what_a_record_claims_is_honoured_and_does_not_count_for_the_cap(make_table):
    rows = documents(random_keys(50), claimed="test", size=100) + documents(random_keys(50, 1), size=10)
    rows += documents(random_keys(3, 2), claimed="validation") + documents(random_keys(2, 3), claimed="train")
    recipe = replace(RECIPE, test=SplitRule(0.2, 50), validation=SplitRule(0, 0))
    split = assign_splits(make_table(rows), np.ones(105, dtype=bool), recipe)
    assert (split[:50] == TEST).all()
    assert 1 <= (split[50:100] == TEST).sum() <= 5
    assert (split[100:103] == VALIDATION).all()
    assert (split[103:] == TRAIN).all()
    assert not (split[50:100] == VALIDATION).any()


def test_a_small_language_has_something_held_out(make_table):
    recipe = replace(RECIPE, test=SplitRule(1e-9, 1000), validation=SplitRule(1e-9, 1000))
    for count, expected in ((FEWEST_TO_SPLIT - 1, [9, 0, 0]), (FEWEST_TO_SPLIT, [8, 1, 1])):
        split = assign_splits(make_table(documents(random_keys(count))), np.ones(count, dtype=bool), recipe)
        assert np.bincount(split, minlength=3).tolist() == expected


def test_mixture_by_temperature():
    """sqrt(100) : sqrt(400) : sqrt(2500) is 1 : 2 : 5; epochs so that as much is seen as there is."""
    found = mixture({"b": 400, "a": 100, "c": 2500, "none": 0}, Mix(temperature=2))
    assert {code: (one["bytes"], one["share"], one["epochs"]) for code, one in found.items()} == {
        "a": (100, 0.125, 3.75),
        "b": (400, 0.25, 1.875),
        "c": (2500, 0.625, 0.75),
    }
    even = mixture({"a": 1, "b": 10**6}, Mix(temperature=1e9))
    assert even["a"]["share"] == pytest.approx(0.5, abs=1e-4)
    assert {one["epochs"] for one in mixture({"a": 5, "b": 70}, Mix(temperature=1)).values()} == {1}


def test_mixture_by_unimax():
    """Of 3000 bytes an even share is 1000: `a` can give 400 in 4 epochs, the rest is divided evenly."""
    found = mixture({"a": 100, "b": 400, "c": 2500}, Mix(unimax_epochs=4))
    assert {code: (one["share"], one["epochs"]) for code, one in found.items()} == {
        "a": (round(400 / 3000, 6), 4),
        "b": (round(1300 / 3000, 6), 3.25),
        "c": (round(1300 / 3000, 6), 0.52),
    }


@given(
    st.dictionaries(st.sampled_from(["afr", "eng", "nbl", "tso", "zul"]), st.integers(0, 10**12)),
    st.one_of(
        st.builds(Mix, temperature=st.floats(1, 100)), st.builds(Mix, unimax_epochs=st.floats(1, 1000))
    ),
)
def test_a_mixture_is_one(sizes, mix):
    found = mixture(sizes, mix)
    assert list(found) == sorted(code for code, size in sizes.items() if size)
    if not found:
        return
    assert sum(one["share"] for one in found.values()) == pytest.approx(1, abs=1e-5)
    total = sum(sizes.values())
    for code, one in found.items():
        assert one["epochs"] * sizes[code] / total == pytest.approx(
            one["share"], abs=1e-4 * sizes[code] / total + 1e-6
        )
    if mix.unimax_epochs:
        few = max(one["epochs"] for one in found.values())
        assert few <= mix.unimax_epochs * 1.001 + 1e-4
    shares = [found[code]["share"] for code in sorted(found, key=sizes.__getitem__)]
    assert shares == sorted(shares), "a larger language is never seen less"


# in whole builds


def test_duplicates_go_before_splitting_and_the_first_stays(tmp_path, prose, write_file, build, rows):
    texts = prose(300)
    copies = [text.upper().replace(" ", "  ").replace(".", "!?") for text in texts]
    write_file(tmp_path / "in" / "a" / "zul.jsonl", [{"text": text} for text in texts])
    write_file(tmp_path / "in" / "b" / "zul.jsonl", [{"text": text, "split": "test"} for text in copies])
    write_file(tmp_path / "in" / "c" / "xho.txt.gz", [{"text": text} for text in texts])
    manifest = build(tmp_path / "in", tmp_path / "out", filters=())
    assert manifest["languages"]["zul"]["rejected"] == {"duplicate": 300}
    assert manifest["languages"]["xho"]["rejected"] == {"duplicate": 300}
    assert manifest["clusters"]["sizes"]["3-4"] == 300
    kept = rows(tmp_path / "out")
    assert {row["text"] for row in kept} == set(texts)
    assert {row["cluster_size"] for row in kept} == {3}
    splits = {
        name: {row["text"] for row in kept if row["split"] == name}
        for name in ("train", "validation", "test")
    }
    assert all(splits.values())
    assert sum(map(len, splits.values())) == 300, "no text is in two splits"


def test_near_duplicates_never_meet_across_splits(tmp_path, prose, write_file, build, rows):
    """Each text comes four times, with a word changed or added; one of the four, the longest, is kept."""
    texts = prose(60, words=60)
    variants = [
        [
            text,
            text.replace(" ", " kale ", 1),
            " ".join(text.split()[:-1]),
            text.replace(".", " name zanu bona."),
        ]
        for text in texts
    ]
    for number in range(4):
        records = [{"text": one[number], "split": ("train", "test")[number % 2]} for one in variants]
        write_file(tmp_path / "in" / f"{number}" / "zul.jsonl", records)
    manifest = build(tmp_path / "in", tmp_path / "out")
    assert manifest["languages"]["zul"]["rejected"] == {"near_duplicate": 180}
    assert sorted(row["text"] for row in rows(tmp_path / "out")) == sorted(one[3] for one in variants)
    kept = {row["cluster"] for row in rows(tmp_path / "out")}
    assert kept == {row["cluster"] for row in rows(tmp_path / "out", "rejected")}


def test_splits_have_about_their_share_and_never_more_than_their_bytes(tmp_path, prose, write_file, build):
    for seed, code in enumerate(("zul", "eng")):
        write_file(tmp_path / "in" / f"{code}.txt", [{"text": text} for text in prose(2000, seed)])
    wide, narrow = SplitRule(0.1, 10**9), SplitRule(0.1, 2000)
    free = build(tmp_path / "in", tmp_path / "free", test=wide, validation=wide, filters=())["languages"]
    capped = build(tmp_path / "in", tmp_path / "capped", test=narrow, validation=narrow, filters=())[
        "languages"
    ]
    for code in ("zul", "eng"):
        for name in ("test", "validation"):
            assert 0.07 < free[code]["splits"][name]["documents"] / 2000 < 0.13
            assert 1800 < capped[code]["splits"][name]["bytes"] <= 2000
        assert sum(one["documents"] for one in capped[code]["splits"].values()) == 2000


def test_a_text_stays_in_its_split_when_others_come(tmp_path, prose, write_file, build, rows):
    texts = prose(400)
    write_file(tmp_path / "in" / "zul.txt", [{"text": text} for text in texts[:200]])
    build(tmp_path / "in", tmp_path / "one")
    write_file(tmp_path / "in" / "zul.txt", [{"text": text} for text in texts[::-1]])
    build(tmp_path / "in", tmp_path / "two")
    before = {row["text"]: row["split"] for row in rows(tmp_path / "one")}
    after = {row["text"]: row["split"] for row in rows(tmp_path / "two")}
    assert before.items() <= after.items()
    assert set(before.values()) == {"train", "validation", "test"}


def test_an_explicit_split_is_honoured(tmp_path, prose, write_file, build, rows):
    texts = prose(90)
    names = ("train", "validation", "test")
    records = [{"text": text, "split": names[number % 3]} for number, text in enumerate(texts)]
    write_file(tmp_path / "in" / "zul.parquet", records)
    build(tmp_path / "in", tmp_path / "out")
    found = {row["text"]: row["split"] for row in rows(tmp_path / "out")}
    assert found == {text: names[number % 3] for number, text in enumerate(texts)}
    for name in names:
        assert (tmp_path / "out" / "data" / "zul" / f"{name}-00000.parquet").is_file()


def test_the_draw_is_that_of_the_text_as_it_is_written(tmp_path, prose, write_file, build, rows):
    """What is drawn is the key in the row, so that anyone can repeat it."""
    write_file(tmp_path / "zul.txt", [{"text": text} for text in prose(300)])
    rule = SplitRule(0.2, 10**9)
    build(tmp_path / "zul.txt", tmp_path / "out", test=rule, validation=SplitRule(0, 0))
    kept = rows(tmp_path / "out")
    assert text_keys([row["text"] for row in kept]).tolist() == [row["key"] for row in kept]
    draw = {row["text"]: row["key"] * 0x9E3779B97F4A7C15 % 2**64 / 2**64 for row in kept}
    assert {row["text"] for row in kept if row["split"] == "test"} == {
        text for text in draw if draw[text] < 0.2
    }
