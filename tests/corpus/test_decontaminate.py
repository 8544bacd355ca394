import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="texts are compared with the extra 'corpus'")

from edgelm.corpus.decontaminate import Contamination, load_evaluation
from edgelm.errors import BadInput

WORDS = [a + b + c for a in "bdfgkl" for b in "aeiou" for c in ("", "na", "ṱa", "sw")]


def sentence(count: int, seed: int = 0) -> list[str]:
    return random.Random(f"{count} {seed}").sample(WORDS, count)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Contamination]:
    """`load(["a b c d e"], ["f g h i j"])`: the n-grams of files of these lines."""

    def make(*files: list[str], ngram: int = 13) -> Contamination:
        for number, lines in enumerate(files):
            (tmp_path / f"{number}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return load_evaluation([tmp_path / f"{number}.txt" for number in range(len(files))], ngram)

    return make


def test_long_items_are_found_by_any_thirteen_words(load: Callable[..., Contamination]) -> None:
    words = sentence(20)
    found = load([" ".join(words)])
    assert len(found.grams) == 8
    texts = [
        " ".join(words),
        "x " + " ".join(words[3:16]) + " y",
        " ".join(words[3:15]),
        " ".join(words[3:15]) + " x",
        " ".join(words[::-1]),
        "",
    ]
    hits = found.hits(texts)
    assert hits.counts.tolist() == [8, 1, 0, 0, 0, 0]
    assert hits.files.tolist() == [0, 0, -1, -1, -1, -1]
    assert len(hits.grams) == 8
    assert hits.counts.dtype == hits.files.dtype == np.int32


def test_short_items_are_found_whole(load: Callable[..., Contamination]) -> None:
    words = sentence(7)
    found = load([" ".join(words)], [" ".join(sentence(4, 1)), "ka ke ki ko ku"])
    assert found.lengths.tolist() == [5, 7, 13]
    hits = found.hits(
        [
            "x " + " ".join(words) + " y",
            " ".join(words[:6]),
            " ".join(words[1:]),
            " ".join(sentence(4, 1)),
            "ka ke ki ko ku ka ke ki ko ku",
            "ka ke ki ko ku " + " ".join(words),
        ]
    )
    assert hits.counts.tolist() == [1, 0, 0, 0, 2, 2]
    assert hits.files.tolist() == [0, -1, -1, -1, 1, 0]
    assert found.report(hits.grams) == [
        {"file": found.names[0], "items": 1, "hit": 1},
        {"file": found.names[1], "items": 1, "hit": 1},
    ]
    assert found.report(found.hits(["ka ke ki ko ku"]).grams)[0]["hit"] == 0


def test_case_punctuation_and_composition_do_not_matter(load: Callable[..., Contamination]) -> None:
    found = load(["Ndi livhuwa ṱhompho i-HIV, n'wana!"])
    assert load(["ka ke 2010 ki ko"]).hits(["ka ke 2010 ki ko", "ka ke 2011 ki ko"]).counts.tolist() == [1, 0]
    hits = found.hits(["“NDI—livhuwa\nṰHOMPHO (i) hiv … n’wana", "Ndi livhuwa thompho i-HIV, n'wana!"])
    assert hits.counts.tolist() == [1, 0]
    decomposed = load(["Ndi livhuwa t\u032dhompho i-HIV, n'wana!"])
    assert np.array_equal(decomposed.grams, found.grams)


def test_items_in_several_files_belong_to_the_first(load: Callable[..., Contamination]) -> None:
    shared, own = sentence(9, 2), sentence(9, 3)
    found = load([" ".join(shared)], [" ".join(own), " ".join(shared), " ".join(shared)])
    hits = found.hits([" ".join(shared), " ".join(own)])
    assert hits.files.tolist() == [0, 1]
    one = found.hits([" ".join(shared)])
    assert [line["hit"] for line in found.report(one.grams)] == [1, 2]
    assert [line["items"] for line in found.report(one.grams)] == [1, 3]


@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=18), min_size=1, max_size=6),
    st.lists(st.lists(st.sampled_from("abc"), max_size=40), max_size=6),
    st.integers(5, 14),
)
def test_hits_are_those_of_a_plain_search(items: list[list[str]], texts: list[list[str]], ngram: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "set.txt"
        file.write_text("\n".join(" ".join(item) for item in items), encoding="utf-8")
        found = load_evaluation([file], ngram)
    grams = {
        tuple(item[at : at + min(len(item), ngram)])
        for item in items
        if len(item) >= 5
        for at in range(max(1, len(item) - ngram + 1))
    }
    hits = found.hits([" ".join(text) for text in texts])
    expected = [
        sum(
            tuple(text[at : at + len(gram)]) == gram
            for gram in grams
            for at in range(len(text) - len(gram) + 1)
        )
        for text in texts
    ]
    assert hits.counts.tolist() == expected
    assert len(found.grams) == len(grams)
    touched = {
        gram
        for gram in grams
        for text in texts
        for at in range(len(text))
        if tuple(text[at : at + len(gram)]) == gram
    }
    assert len(hits.grams) == len(touched)


@given(st.lists(st.text(st.characters(codec=None))))
def test_any_text_is_searched(texts: list[str]) -> None:
    found = _FIXED
    assert len(found.hits(texts).counts) == len(texts)


def _fixed() -> Contamination:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "set.txt"
        file.write_text("ka ke ki ko ku\n", encoding="utf-8")
        return load_evaluation([file])


_FIXED = _fixed()


def test_saved_sets_are_the_same(tmp_path: Path, load: Callable[..., Contamination]) -> None:
    found = load([" ".join(sentence(30, number)) for number in range(50)])
    found.save(tmp_path / "saved")
    opened = Contamination.load(tmp_path / "saved")
    assert opened.names == found.names
    assert opened.ngram == found.ngram == 13
    assert isinstance(opened.grams, np.memmap)
    texts = [" ".join(sentence(30, number)) for number in range(40, 60)]
    for one, other in zip(opened.hits(texts), found.hits(texts), strict=True):
        assert np.array_equal(one, other)
    assert opened.hits(texts).counts.tolist() == [18] * 10 + [0] * 10
    assert not any(b"pickle" in file.read_bytes() for file in (tmp_path / "saved").iterdir())


def test_an_empty_set_and_a_bad_length(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("short\n", encoding="utf-8")
    found = load_evaluation([tmp_path / "a.txt"])
    assert found.hits(["short", "ka ke ki ko ku"]).counts.tolist() == [0, 0]
    assert found.report(np.zeros(0, dtype=np.int64)) == [
        {"file": str(tmp_path / "a.txt"), "items": 0, "hit": 0}
    ]
    with pytest.raises(BadInput, match="4 words"):
        load_evaluation([tmp_path / "a.txt"], 4)


def test_speed(load: Callable[..., Contamination]) -> None:
    draw = random.Random(1)
    lines = [" ".join(draw.choices(WORDS, k=40)) for _ in range(4000)]
    found = load(lines)
    assert len(found.grams) > 100_000
    texts = [" ".join(draw.choices(WORDS, k=200)) for _ in range(2000)]
    found.hits(texts[:2])
    start = time.process_time()
    found.hits(texts)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    assert (time.process_time() - start) / megabytes < 0.1  # some 15 ms on a quiet machine


@pytest.mark.skipif("EDGELM_DATA" not in os.environ, reason="EDGELM_DATA names no folder of real text")
def test_real_evaluation_sets_find_themselves_and_no_wikipedia() -> None:
    tasks = Path(os.environ["EDGELM_DATA"]) / "tasks"
    found = load_evaluation([tasks / "injongo_intent" / "zul", tasks / "masakhaner2" / "zul"])
    lines = (tasks / "injongo_intent" / "zul" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    long = np.array([len(text.split()) >= 8 for text in texts])
    assert long.sum() > 100
    assert (found.hits(texts).counts[long] > 0).all()
