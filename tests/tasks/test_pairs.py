from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.tasks.pairs import fold, split_pairs

SHARES = {"validation": 0.2, "test": 0.1}
KEYS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from(["xho", "zul"])).map(
        lambda one: (("eng", f"s{one[0]}"), (one[2], f"{one[2]} {one[1]}"))
    ),
    max_size=40,
)


@settings(deadline=None)
@given(KEYS)
def test_no_sentence_stands_in_two_splits(keys):
    assigned = split_pairs(keys, SHARES)
    assert set(assigned) == set(keys)
    splits: dict = {}
    for key, split in assigned.items():
        for sentence in key:
            assert splits.setdefault(sentence, split) == split


@settings(deadline=None)
@given(KEYS, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(keys, random):
    shuffled = list(keys)
    random.shuffle(shuffled)
    assert split_pairs(shuffled, SHARES) == split_pairs(keys, SHARES)


def test_shares_of_single_pairs_and_of_groups():
    single = [(("eng", f"s{number}"), ("zul", f"z{number}")) for number in range(4000)]
    groups = [(("eng", f"s{number // 8}"), ("zul", f"z{number}")) for number in range(16_000)]
    for keys in (single, groups):
        count = Counter(split_pairs(keys, SHARES).values())
        assert abs(count["validation"] / len(keys) - 0.2) < 0.03
        assert abs(count["test"] / len(keys) - 0.1) < 0.03


def test_a_pair_keeps_its_split_when_others_come():
    single = [(("eng", f"s{number}"), ("zul", f"z{number}")) for number in range(200)]
    before, after = split_pairs(single[:100], SHARES), split_pairs(single, SHARES)
    assert before.items() <= after.items()


def test_case_and_blanks_make_no_other_sentence():
    assert fold(" The  Vaal\n") == fold("the vaal")
    assert fold("the vaal.") != fold("the vaal")
