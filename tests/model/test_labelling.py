from itertools import product
from pathlib import Path

import numpy as np
import pytest

from edgelm.model.head_config import HeadConfig
from edgelm.model.labelling import decode, encode, parts
from edgelm.tasks.examples import Labelled, Tagged
from edgelm.tokenizer.text import TextTokenizer

SPANS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def allowed(path: tuple[str, ...]) -> bool:
    return all(
        not label.startswith("I-") or before[2:] == label[2:]
        for before, label in zip(("O", *path), path, strict=False)
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_best_sequence_of_spans_by_trying_all(seed: int) -> None:
    logits = np.random.default_rng(seed).normal(size=(5, len(SPANS))).astype(np.float32)
    best = max(
        (path for path in product(SPANS, repeat=5) if allowed(path)),
        key=lambda path: sum(logits[place, SPANS.index(label)] for place, label in enumerate(path)),
    )
    assert decode(logits, HeadConfig("token", SPANS, scheme="bio")) == list(best)


def test_flat_labels_are_each_the_likeliest() -> None:
    logits = np.array([[0.0, 2.0, 1.0], [3.0, 0.0, 1.0]])
    assert decode(logits, HeadConfig("token", ("a", "b", "c"))) == ["b", "a"]


def test_a_span_never_begins_inside() -> None:
    logits = np.array([[0.0, 1.0, 9.0, 0.0, 0.0]])
    assert decode(logits, HeadConfig("token", SPANS, scheme="bio")) == ["B-PER"]


def test_a_text_asks_at_its_last_token_and_loses_its_end(bytes_tokenizer: Path) -> None:
    text, tokenizer = "Umfana omncane uyahamba esikoleni", TextTokenizer(bytes_tokenizer)
    ids = tokenizer.encode(text)
    assert encode(tokenizer, Labelled(text, "a", "zul"), 999) == ([tokenizer.bos, *ids], [len(ids)])
    assert encode(tokenizer, Labelled(text, "a", "zul"), 9) == ([tokenizer.bos, *ids[:8]], [8])


def test_a_sentence_asks_at_each_word(bytes_tokenizer: Path) -> None:
    tokenizer = TextTokenizer(bytes_tokenizer)
    found, places = encode(tokenizer, Tagged(("Umfana", "uyahamba", "."), ("N", "V", "P"), "zul"), 999)
    assert found == [tokenizer.bos, *tokenizer.encode("Umfana uyahamba.")]
    assert tokenizer.decode(found[places[0] + 1 : places[1] + 1]) == " uyahamba"
    assert places[2] == len(found) - 1


@pytest.mark.parametrize("length", [1, 3, 90])
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 30, 333])
def test_a_sentence_is_cut_only_where_it_does_not_fit(bytes_tokenizer: Path, count: int, length: int) -> None:
    tokenizer = TextTokenizer(bytes_tokenizer)
    words = tuple("abcdefghij"[number % 10] * length for number in range(count))
    sentence = Tagged(words, tuple("ab" * count)[:count], "zul", 7)
    found = parts(tokenizer, sentence, 101)
    whole = sum(min(length + (number > 0), 25) for number in range(count))
    assert (found == [sentence]) == (whole <= 100)
    assert sum((one.words for one in found), ()) == words
    assert sum((one.tags for one in found), ()) == sentence.tags
    assert {one.line for one in found} == {7}
    for one in found:
        assert isinstance(one, Tagged)
        assert len(encode(tokenizer, one, 101)[1]) == len(one.words)
        assert sum(min(length + 1, 25) for _ in one.words) <= 101
    text = Labelled("a b " * 999, "a", "zul")
    assert parts(tokenizer, text, 11) == [text]
