import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.corpus.readers import SPLITS
from edgelm.corpus.shards import read_texts
from edgelm.errors import BadInput
from edgelm.tokenizer.texts import read_source, sample_texts, size_of, spread

unhurried = settings(deadline=None, max_examples=100, derandomize=True, database=None)
texts_of_any_length = st.lists(st.text(alphabet="aḓ", min_size=1, max_size=40), min_size=1, max_size=60)


@unhurried
@given(texts=texts_of_any_length, rate=st.floats(0.05, 5))
def test_a_spread_sample_has_the_size_wanted(texts: list[str], rate: float) -> None:
    size = sum(len(text.encode()) for text in texts)
    longest = max(len(text.encode()) for text in texts)
    taken = list(spread(texts, size, rate * size))
    assert abs(sum(len(text.encode()) for text in taken) - rate * size) <= longest + 1
    if rate >= 1:
        assert set(taken) == set(texts)


def test_a_spread_sample_leaves_no_part_out() -> None:
    texts = [f"{number:04}" for number in range(1000)]
    taken = list(spread(texts, 4000, 400))
    assert taken == [f"{number:04}" for number in range(0, 1000, 10)]
    assert list(spread(texts, 4000, 4000)) == texts
    assert list(spread(texts[:2], 8, 24)) == [texts[0]] * 3 + [texts[1]] * 3
    assert list(spread([], 0, 100)) == []


def test_whether_a_document_is_taken_does_not_depend_on_its_length() -> None:
    """Long documents and short ones in turn: both are taken at the same rate."""
    texts = ["x" * (1 if number % 2 else 100) for number in range(4000)]
    size = sum(map(len, texts))
    taken = list(spread(texts, size, size * 0.3))
    long = sum(len(text) == 100 for text in taken)
    assert sum(map(len, taken)) == pytest.approx(0.3 * size, rel=0.01)
    assert long == pytest.approx(600, rel=0.02)


def test_the_embedded_sample_is_parallel() -> None:
    texts = sample_texts()
    assert len(texts) == 11
    assert {len(documents) for documents in texts.values()} == {64}
    digits = {code: [sum(map(str.isdigit, text)) for text in documents] for code, documents in texts.items()}
    assert sum(a == b for a, b in zip(digits["eng"], digits["zul"], strict=True)) > 40


def test_the_embedded_sample_by_split() -> None:
    every = sample_texts()["zul"]
    parts = {split: sample_texts(split)["zul"] for split in SPLITS}
    assert {split: len(texts) for split, texts in parts.items()} == {"train": 40, "validation": 8, "test": 16}
    assert sorted(text for texts in parts.values() for text in texts) == sorted(every)


def test_a_corpus_by_split(sample_corpus: Path) -> None:
    found = list(read_source(sample_corpus))
    assert [text for code, text in found if code == "ven"] == list(read_texts(sample_corpus, "ven", "test"))
    counts = {split: len(list(read_source(sample_corpus, split))) for split in SPLITS}
    every = list(read_source(sample_corpus, "all"))
    assert len(every) == sum(counts.values())
    assert size_of(sample_corpus, "all") == sum(len(text.encode()) for _, text in every)
    assert size_of(sample_corpus) == sum(len(text.encode()) for _, text in found)


def test_files_of_text(tmp_path: Path) -> None:
    (tmp_path / "zul.txt").write_text("Umfana\n\nuyahamba\n", encoding="utf-8")
    records = [
        {"text": "Ndi ḓo ya", "language": "Venda"},
        {"text": "hm"},
        {"text": "x", "language": "tlh"},
        {"text": " "},
    ]
    (tmp_path / "mixed.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    assert list(read_source(tmp_path)) == [
        ("ven", "Ndi ḓo ya"),
        ("?", "hm"),
        ("tlh", "x"),
        ("zul", "Umfana"),
        ("zul", "uyahamba"),
    ]
    assert size_of(tmp_path) == size_of(None) == 0
    assert next(read_source(tmp_path / "zul.txt")) == ("zul", "Umfana")


def test_no_text(tmp_path: Path, sample_corpus: Path) -> None:
    with pytest.raises(BadInput, match="nowhere"):
        list(read_source(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match=r"no documents in the split 'dev'\. Give --split all\."):
        list(read_source(_without(sample_corpus, tmp_path), "dev"))


def _without(corpus: Path, folder: Path) -> Path:
    """The manifest of a corpus with a split of no documents."""
    manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
    for one in manifest["languages"].values():
        one["splits"]["dev"] = {"documents": 0, "bytes": 0}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
