import math
from collections import Counter
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.errors import BadInput
from edgelm.evaluate.bootstrap import summarise
from edgelm.evaluate.text_metrics import text_counts

WORDS = ["imvula", "iyana", "namhlanje", "kakhulu", "Tshivenḓa", "12,5", "(ebusuku)", "umoya.", "-", "&amp;"]
TEXT = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
ITEMS = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1, max_size=6)
SENTENCES = (
    "Imvula iyana kakhulu namhlanje ebusuku.",
    "Namhlanje iyana imvula, umoya uyavunguza.",
    "Umoya uyavunguza kakhulu namhlanje.",
    "Izingane zidlala emfuleni ekuseni kakhulu.",
    "Izulu liyaduma; imvula iyana ebusuku kakhulu.",
)


def figures(references: list[list[str]], written: list[str]) -> dict[str, float]:
    counts = text_counts(references, written)
    return {name: value[0] for name, value in counts.measure(counts.rows.sum(axis=0)[None]).items()}


def streams(references: list[list[str]]) -> list[list[str | None]]:
    """References as sacreBLEU takes them: the first of each item, the second of each, ..."""
    return [
        [several[place] if place < len(several) else None for several in references]
        for place in range(max(map(len, references)))
    ]


def hf_bleu(references: list[list[str]], written: list[str]) -> float:
    """As Hugging Face evaluate defines it, after Google's nmt: unsmoothed, against the shortest reference."""
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenize = Tokenizer13a()
    shared, possible, length, wanted = [0] * 4, [0] * 4, 0, 0
    for several, text in zip(references, written, strict=True):
        refs, words = [tokenize(one).split() for one in several], tokenize(text).split()
        length, wanted = length + len(words), wanted + min(map(len, refs))
        for n in range(1, 5):
            grams = [Counter(zip(*(one[i:] for i in range(n)), strict=False)) for one in (words, *refs)]
            known: Counter = Counter()
            for one in grams[1:]:
                known |= one
            shared[n - 1] += (grams[0] & known).total()
            possible[n - 1] += grams[0].total()
    if not all(shared):
        return 0.0
    mean = math.exp(sum(math.log(a / b) for a, b in zip(shared, possible, strict=True)) / 4)
    return 100 * mean * min(1.0, math.exp(1 - wanted / length))


@given(ITEMS)
@settings(max_examples=60, deadline=None)
def test_figures_are_those_of_the_libraries(items: list[tuple[str, list[str]]]) -> None:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU, CHRF

    written, references = [one for one, _ in items], [several for _, several in items]
    found = figures(references, written)
    expected = {
        "bleu": BLEU().corpus_score(written, streams(references)).score,
        "bleu_hf": hf_bleu(references, written),
        "chrf": CHRF(6, 0, 2).corpus_score(written, streams(references)).score,
        "chrf++": CHRF(6, 2, 2).corpus_score(written, streams(references)).score,
    }
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    best = [scorer.score_multi(several, text) for text, several in items]
    expected |= {
        name: 100 * float(np.mean([one[name].fmeasure for one in best]))
        for name in ("rouge1", "rouge2", "rougeL")
    }
    assert found == pytest.approx(expected, abs=1e-9)


def test_each_chrf_takes_the_reference_that_is_best_for_it() -> None:
    from sacrebleu.metrics import CHRF

    text, references = "i mvula uyavunguza", ["imvula umoya iyana", "namhlanje i mvula"]
    found = figures([references], [text])
    for name, order, best in (("chrf", 0, 0), ("chrf++", 2, 1)):
        alone = [CHRF(word_order=order).sentence_score(text, [one]).score for one in references]
        assert alone.index(max(alone)) == best
        assert found[name] == pytest.approx(alone[best])


def test_stems_are_cut_as_the_reference_cuts_them() -> None:
    assert figures([["the dogs were walking"]], ["a dog walks"])["rouge1"] == pytest.approx(200 * 2 / 7)


def test_the_two_bleus_differ_by_the_reference_whose_length_they_take() -> None:
    references = [[" ".join(SENTENCES[:2]), "Imvula iyana."]]
    found = figures(references, [SENTENCES[0] + " Umoya uyavunguza."])
    assert found["bleu"] < found["bleu_hf"]
    once = [[SENTENCES[0]]]
    same = figures(once, [SENTENCES[0]])
    assert same["bleu"] == pytest.approx(same["bleu_hf"]) == pytest.approx(100)


@pytest.mark.parametrize("form", ["NFD", "NFC"])
def test_decomposed_letters_score_as_composed_ones(form: str) -> None:
    reference, text = "Tshivenḓa ndi luambo ḽa hashu ṋamusi", "Tshivenḓa ndi luambo ḽa ṋamusi hashu"
    assert normalize("NFD", text) != text
    expected = figures([[reference]], [text])
    assert figures([[reference]], [normalize(form, text)]) == expected
    assert figures([[normalize(form, reference)]], [text]) == expected
    assert figures([[reference]], [normalize(form, reference)])["chrf"] == pytest.approx(100)


def test_empty_texts_score_nothing() -> None:
    assert set(figures([[SENTENCES[0]], [SENTENCES[1]]], ["", ""]).values()) == {0.0}
    half = figures([[SENTENCES[0]], [SENTENCES[1]]], [SENTENCES[0], ""])
    assert 0 < half["bleu"] < 50
    assert half["rougeL"] == 50


def test_intervals_resample_items() -> None:
    from sacrebleu.metrics import BLEU, CHRF

    references = [[SENTENCES[i % 5], SENTENCES[(i + 1) % 5]][: 1 + i % 2] for i in range(9)]
    written = [SENTENCES[(i * i) % 5] for i in range(9)]
    ours = text_counts(references, written).resampled()
    drawn = np.random.default_rng(0).integers(0, 9, (1000, 9))
    for place in range(0, 1000, 100):
        texts, several = ([side[row] for row in drawn[place]] for side in (written, references))
        assert ours["bleu"][place] == pytest.approx(BLEU().corpus_score(texts, streams(several)).score)
        assert ours["bleu_hf"][place] == pytest.approx(hf_bleu(several, texts))
        assert ours["chrf"][place] == pytest.approx(CHRF().corpus_score(texts, streams(several)).score)
    found = summarise(text_counts(references, written), "chrf")
    assert found["interval"][0] < found["chrf"] < found["interval"][1]
    assert found["chance"] is None


def test_what_cannot_be_scored_is_named() -> None:
    for problem, references, written in (
        ("nothing to score", [], []),
        ("item 2 has no reference", [["a"], []], ["a", "b"]),
        ("1 predictions for 2 items", [["a"], ["b"]], ["a"]),
    ):
        with pytest.raises(BadInput, match=problem):
            text_counts(references, written)
