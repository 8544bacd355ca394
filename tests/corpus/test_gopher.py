import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.corpus.gopher import COUNTS, QUALITY, REPETITION, quality, repetition
from edgelm.corpus.tokens import split_words

TROUBLE = (
    "\n",
    "\n\n",
    " \n",
    "\r\n",
    "\u2028",
    "...",
    "…",
    "- ",
    "• ",
    "#",
    "\ud800",
    "🙂",
    "ḓi",
    "12",
    "i-ANC.",
)
ANY = st.lists(st.one_of(st.characters(codec=None), st.sampled_from(TROUBLE))).map("".join)
# words of one length, so that n-grams with nothing between their words are told apart as well
REPEATING = st.lists(st.sampled_from(["ab ", "cd ", "ef ", "ab\n", "cd\n", "\n"]), max_size=60).map("".join)
BOUNDED = [name for name in REPETITION if "top" not in name]
SHARES = [name for name in QUALITY if name.endswith("lines") or name == "gopher_alphabetic_words"]


def one(columns: dict[str, np.ndarray]) -> dict[str, float]:
    return {name.removeprefix("gopher_"): pytest.approx(values[0].item()) for name, values in columns.items()}


def test_repeated_paragraphs_and_lines() -> None:
    # 23 characters; paragraphs "ab", "ab", "c\nab\nc", "ab" and "x": the second and the fourth repeat
    found = one(repetition(["\nab\n\nab\n\n\nc\nab\nc\n\nab\n\nx"]))
    assert found["duplicate_paragraphs"] == 2 / 5
    assert found["duplicate_paragraph_characters"] == 4 / 23
    # lines "" (before the first line feed), ab, ab, c, ab, c, ab, x: ab repeats thrice, c once
    assert found["duplicate_lines"] == 4 / 8
    assert found["duplicate_line_characters"] == 7 / 23


def test_a_line_feed_at_the_end_makes_an_empty_line_that_can_repeat() -> None:
    # "", "a", "": the last repeats the first, with no characters; one paragraph, for the text is stripped
    found = one(repetition(["\na\n"]))
    assert found["duplicate_lines"] == 1 / 3
    assert found["duplicate_line_characters"] == found["duplicate_paragraphs"] == 0


def test_the_commonest_n_gram() -> None:
    # 15 characters; "a bc" and "bc a" occur twice: 2 * 4; "a bc a" twice: 2 * 6; all 4-grams once: the first
    # is "a bc a d", 8
    found = one(repetition(["a bc a d a bc a"]))
    assert found["top_2_gram"] == 2 * 4 / 15
    assert found["top_3_gram"] == 2 * 6 / 15
    assert found["top_4_gram"] == 8 / 15


def test_the_commonest_n_gram_may_be_longer_than_the_text() -> None:
    # tokens ( ( ( ( of 4 characters: "( (" thrice, "( ( (" twice, "( ( ( (" once
    found = one(repetition(["(((("]))
    assert (found["top_2_gram"], found["top_3_gram"], found["top_4_gram"]) == (9 / 4, 10 / 4, 7 / 4)


def test_where_no_pair_repeats_the_first_n_grams_count() -> None:
    found = one(repetition(["ab c d"]))
    assert (found["top_2_gram"], found["top_3_gram"], found["top_4_gram"]) == (4 / 6, 6 / 6, 0)


def test_repeated_n_grams_do_not_overlap() -> None:
    # 15 times "a", 29 characters: the 5-gram at 0 is new, those at 1 and 6 repeat it, the next would begin at
    # 11 and end behind the text. Of 7-grams those at 1 and 8 repeat, of 8-grams the one at 1 only
    found = one(repetition([" ".join("a" * 15)]))
    assert found["duplicate_5_grams"] == 10 / 29
    assert found["duplicate_6_grams"] == 12 / 29
    assert found["duplicate_7_grams"] == 14 / 29
    assert found["duplicate_8_grams"] == 8 / 29
    assert found["duplicate_10_grams"] == 10 / 29


def test_repeated_n_grams_are_compared_with_nothing_between_their_tokens() -> None:
    # "ab c d e f" and "a bc d e f", 6 of 33 characters; "d e f x" occurs twice
    assert one(repetition(["ab c d e f x y d e f x a bc d e f"]))["duplicate_5_grams"] == 6 / 33
    # nothing of four tokens occurs twice, so that longer ones are not looked at
    assert one(repetition(["ab c d e f x a bc d e f"]))["duplicate_5_grams"] == 0


def test_quality() -> None:
    # tokens i'Afrika # uyahamba ... - 12 amanzi …, of which four are words, of 8 + 8 + 2 + 6 characters
    assert one(quality(["i'Afrika # uyahamba...\n - 12 amanzi… \n"])) == {
        "words": 4,
        "mean_word_length": 24 / 4,
        "hashes": 1 / 8,
        "ellipses": 2 / 8,
        "bullet_lines": 1 / 2,
        "ellipsis_lines": 2 / 2,
        "alphabetic_words": 3 / 8,
    }


def test_ellipses_do_not_overlap_and_lines_end_where_python_ends_them() -> None:
    # 7 dots are two; the tokens are ....... a ... • b …; the lines "....... a...", "• b", "…"
    found = one(quality([".......\x20a...\r\n• b\u2028…"]))
    assert found["ellipses"] == 4 / 6
    assert found["bullet_lines"] == 1 / 3
    assert found["ellipsis_lines"] == 2 / 3


@pytest.mark.parametrize("text", ["", "?!", "🙂", " \n\n "])
def test_nothing_to_count(text: str) -> None:
    found = one(repetition([text]) | quality([text]))
    assert found["alphabetic_words"] == 0
    assert found["words"] == (text == "🙂")
    assert found["duplicate_paragraphs"] == found["duplicate_5_grams"] == 0


@settings(deadline=None)  # the first example may compile
@given(ANY)
def test_any_text_gives_values_in_range(text: str) -> None:
    found = repetition([text]) | quality([text])
    assert all(0 <= found[name][0] < 1 for name in BOUNDED), found
    assert all(0 <= found[name][0] <= 1 for name in SHARES), found
    assert all(0 <= found[f"gopher_top_{n}_gram"][0] < 2 * n for n in (2, 3, 4)), found
    assert all(values.dtype == (np.int32 if name in COUNTS else np.float32) for name, values in found.items())


@settings(deadline=None)  # the first example may compile
@given(st.lists(st.one_of(ANY, REPEATING), max_size=4))
def test_a_batch_is_measured_as_its_texts_are(texts: list[str]) -> None:
    for measure in (repetition, quality):
        alone = [measure([text]) for text in texts]
        for name, values in measure(texts).items():
            assert values.tolist() == [found[name][0] for found in alone]


@settings(deadline=None)  # the first example may compile
@given(REPEATING)
def test_repetition_follows_its_definitions(text: str) -> None:
    expected: dict[str, float] = {}
    size = max(len(text), 1)
    for name, pieces in (("paragraph", re.split("\n\n+", text.strip())), ("line", re.split("\n+", text))):
        repeats = [piece for at, piece in enumerate(pieces) if piece in pieces[:at]]
        expected[f"duplicate_{name}s"] = len(repeats) / len(pieces)
        expected[f"duplicate_{name}_characters"] = sum(map(len, repeats)) / size
    [words] = split_words([text])
    for n in range(2, 11):
        n_grams = [words[at : at + n] for at in range(len(words) - n + 1)]
        if n < 5:
            counts = Counter(" ".join(n_gram) for n_gram in n_grams)
            best = max(counts, key=counts.__getitem__, default="")
            expected[f"top_{n}_gram"] = len(best) * counts[best] / size
        else:
            seen, at, characters = [], 0, 0
            while at < len(n_grams):
                repeats_one = n_grams[at] in seen
                seen.append(n_grams[at])
                characters += repeats_one * len("".join(n_grams[at]))
                at += n if repeats_one else 1
            expected[f"duplicate_{n}_grams"] = characters / size
    assert one(repetition([text])) == expected
