"""Character n-grams: probabilities, smoothing and what the highest order remembers."""

import math
import random
from collections import Counter, defaultdict

import pytest

from edgelm.evaluate.kneser_ney import CODE_POINTS, KneserNey
from edgelm.tokenizer.texts import sample_texts

TEXTS = ["abracadabra", "abba cabra", "ḓo ḽa", ""]


@pytest.mark.parametrize("history", ["", "a", "abr", "zzzz", "dabra ca"])
def test_probabilities_of_what_may_come_next_add_up_to_one(history):
    model = KneserNey(TEXTS)
    before = model.bits(history)
    known = sorted(set("".join(TEXTS)))
    shares = [2 ** (before - model.bits(history + letter)) for letter in known]
    unseen = 2 ** (before - model.bits(history + "\U0001f40d")) * CODE_POINTS
    assert sum(shares) + unseen == pytest.approx(1)


def plain(texts, order, text):
    """The same in the words of the paper, one probability at a time."""
    counts = defaultdict(Counter)
    for one in texts:
        padded = ["<s>"] * (order - 1) + list(one)
        for at in range(order - 1, len(padded)):
            counts[order][tuple(padded[at - order + 1 : at + 1])] += 1
    for size in range(order, 1, -1):
        for gram, count in counts[size].items():
            shorter = gram[1:]
            counts[size - 1][shorter] += count if len(shorter) > 1 and shorter[0] == "<s>" else 1
    known = {letter for one in texts for letter in one}

    def discount(size, count):
        number = Counter(counts[size].values())
        left = number[1] / (number[1] + 2 * number[2]) if number[1] else 0.5
        at = min(count, 3)
        raw = at - (at + 1) * left * number[at + 1] / max(number[at], 1)
        return min(max(raw, 0.1), at - 0.1)

    def probability(letter, history, size):
        if size == 0:
            return 1 / (len(known) + 1)
        history = history[len(history) - size + 1 :]
        seen = {gram[-1]: count for gram, count in counts[size].items() if gram[:-1] == history}
        lower = probability(letter, history, size - 1)
        if not seen:
            return lower
        total = sum(seen.values())
        back = sum(discount(size, count) for count in seen.values()) / total
        own = (seen[letter] - discount(size, seen[letter])) / total if letter in seen else 0
        return own + back * lower

    padded = ["<s>"] * (order - 1) + list(text)
    return -sum(
        math.log2(probability(padded[at], tuple(padded[at - order + 1 : at]), order))
        for at in range(order - 1, len(padded))
    )


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_it_is_what_the_paper_says(order):
    made = random.Random(0)
    texts = ["".join(made.choices("abcd e", [9, 5, 3, 1, 4, 2], k=40)) for _ in range(12)]
    model = KneserNey(texts, order)
    for text in ("abc", "eeee d", texts[3], ""):
        assert model.bits(text) == pytest.approx(plain(texts, order, text))


def test_a_longer_history_helps_and_its_own_language_is_easier():
    texts = {code: one for code, one in sample_texts().items() if code in ("zul", "eng")}
    train, held_out = texts["zul"][:-20], texts["zul"][-20:]
    bits = [sum(map(KneserNey(train, order).bits, held_out)) for order in (1, 2, 3)]
    assert bits[0] > bits[1] > bits[2]
    assert bits[2] < sum(map(KneserNey(texts["eng"], 3).bits, held_out))


def test_without_any_text_every_character_costs_its_code_point():
    assert KneserNey([]).bits("ab") == pytest.approx(2 * math.log2(CODE_POINTS))
