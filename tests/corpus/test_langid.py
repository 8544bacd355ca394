import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgelm import resources
from edgelm.corpus.langid import (
    HEAD,
    MAX_FEATURES,
    OTHER,
    SAMPLE,
    SPACE,
    WINDOW,
    Identifier,
    default_identifier,
    keys_of,
    load,
)
from edgelm.corpus.langid_text import crops, sentences
from edgelm.errors import BadInput

SAMPLE_FILES = sorted(resources.path("corpus", "sample").glob("*.jsonl"))
MODEL = resources.path("corpus", "langid", "model.xz")
OTHERS = sorted((Path(__file__).parent / "langid").glob("*.txt"))


@pytest.fixture(scope="module")
def identifier() -> Identifier:
    return default_identifier()


@pytest.fixture(scope="module")
def held_out() -> dict[str, list[str]]:
    """Sentences of the test documents of the embedded sample, by language."""
    texts: dict[str, list[str]] = {}
    for path in SAMPLE_FILES:
        documents = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        texts[path.stem] = [
            sentence
            for d in documents
            if d["split"] == "test"
            for sentence in d["text"].split(". ")
            if len(sentence) > 25
        ]
    return texts


def test_the_shipped_model_is_small_and_knows_the_languages_of_the_sample(identifier: Identifier) -> None:
    assert MODEL.stat().st_size <= 4_000_000
    assert identifier.languages == (*(path.stem for path in SAMPLE_FILES), OTHER)
    assert len(identifier.keys) == len(identifier.weights) > 50_000
    assert (np.diff(identifier.keys.astype(np.int64)) > 0).all()


def test_held_out_sentences_are_told_apart(identifier: Identifier, held_out: dict[str, list[str]]) -> None:
    for language, texts in held_out.items():
        assert len(texts) > 40
        right = identifier.probabilities(texts).argmax(axis=1) == identifier.languages.index(language)
        assert right.mean() >= 0.9, language
    every = [text for texts in held_out.values() for text in texts]
    labels = [identifier.languages.index(language) for language, texts in held_out.items() for _ in texts]
    assert (identifier.probabilities(every).argmax(axis=1) == labels).mean() >= 0.97


def test_probabilities_can_be_believed(identifier: Identifier, held_out: dict[str, list[str]]) -> None:
    sure, right = [], []
    for language, texts in held_out.items():
        for size in (15, 30, 1000):
            answer = identifier.probabilities(crops(texts, size) if size < 1000 else texts)
            sure.append(answer.max(axis=1))
            right.append(answer.argmax(axis=1) == identifier.languages.index(language))
    gap = np.concatenate(sure).mean() - np.concatenate(right).mean()
    assert abs(gap) < 0.05


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_other_languages_are_other(identifier: Identifier, path: Path) -> None:
    texts = path.read_text(encoding="utf-8").splitlines()
    assert len(texts) == 60
    answer = identifier.probabilities(texts).argmax(axis=1)
    # Zimbabwean Ndebele shares most of its words with isiZulu, and little of it was there to train on
    floor = 0.15 if path.stem == "nde" else 0.95
    assert (answer == identifier.languages.index(OTHER)).mean() >= floor


def test_texts_of_other_languages_were_not_trained_on() -> None:
    assert len(OTHERS) == 9
    for path in OTHERS:
        seen = resources.path("corpus", "langid", "other", path.name).read_text(encoding="utf-8").splitlines()
        assert len(seen) >= 150
        assert not {text.lower() for text in seen} & {t.lower() for t in path.read_text("utf-8").splitlines()}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(), max_size=5))
@example(["\ud800", "\U0010ffff", "\x00", "ḓḽṅṋṱ", "e\u0301", "\u00ad", "a" * 10_000, "\n" * 5000])
@example([chr(code) * 7000 for code in (32, 97, 0x4E00, 0x1F600)])
def test_any_text_has_probabilities(texts: list[str]) -> None:
    answer = default_identifier().probabilities(texts)
    assert answer.shape == (len(texts), 12)
    assert answer.dtype == np.float32
    assert np.isfinite(answer).all()
    assert (answer >= 0).all()
    assert answer.sum(axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)
    for text, row in zip(texts, answer, strict=True):
        assert np.array_equal(default_identifier().probabilities([text])[0], row)


def test_a_text_without_letters_tells_nothing(identifier: Identifier) -> None:
    for text in ("", " ", "\n\t", "2024-01-31 12:30", "… — !?", "€ 5,00", "\u200b"):
        assert identifier.probabilities([text])[0] == pytest.approx(np.full(12, 1 / 12))
        assert identifier.identify(text) == (OTHER, pytest.approx(1 / 12))
    assert identifier.identify("a")[1] < 0.9, "one letter decides nothing"


def test_case_digits_punctuation_and_marks_change_nothing(identifier: Identifier) -> None:
    plain = identifier.identify("umntwana uya esikolweni ekuseni")
    assert identifier.identify("  UMNTWANA uya\tesikolweni (08:30), ekuseni!\n") == plain
    assert identifier.identify("umn\u00adtwana uya esi\u200bkolweni ekuseni") == plain
    assert identifier.identify("umn\u0301twana uya esikolweni ekuseni") == plain
    assert plain[1] > 0.5


def test_a_line_of_two_languages_is_less_sure_than_either(identifier: Identifier) -> None:
    zulu = "Ngakho-ke izingane zihamba ngebhasi uma ziya esikoleni ekuseni"
    english = "and the children walk back home in the afternoon"
    columns = [identifier.languages.index(language) for language in ("zul", "eng")]
    alone = identifier.probabilities([zulu, english])
    mixed = identifier.probabilities([f"{zulu} {english}"])[0]
    assert alone[0, columns[0]] > 0.8
    assert alone[1, columns[1]] > 0.95
    assert mixed[columns].sum() > 0.8
    assert mixed.max() < alone.max(axis=1).min()


def test_a_long_text_is_judged_by_its_beginning_middle_and_end(identifier: Identifier) -> None:
    english = "The children walk to school in the morning and read their books. "
    afrikaans = "Die kinders stap soggens skool toe en lees hulle boeke. "
    long = english * 2000
    assert identifier.identify(long)[0] == "eng"
    unread = HEAD + 3 * SAMPLE
    assert np.array_equal(
        identifier.probabilities([long]),
        identifier.probabilities([long[:unread] + "x" * 100 + long[unread + 100 :]]),
    )
    column = identifier.languages.index("afr")
    middle = (len(long) + HEAD) // 2 - SAMPLE
    for place in (slice(0, HEAD), slice(middle, middle + SAMPLE), slice(len(long) - SAMPLE, len(long))):
        changed = long[: place.start] + (afrikaans * 100)[: place.stop - place.start] + long[place.stop :]
        assert identifier.logits([changed])[0][0, column] > identifier.logits([long])[0][0, column]


def test_features_are_runs_words_and_pairs_and_fit_their_buffer() -> None:
    def keys(text: str) -> list[int]:
        folded = np.array([SPACE if c == " " else ord(c) for c in text], dtype=np.uint32)
        found = np.zeros(MAX_FEATURES, dtype=np.uint32)
        return found[: keys_of(folded, len(folded), found)].tolist()

    # " ab ": runs of 1 to 4 without the space alone are 4 + 3 + 2 + 1 - 2
    assert len(keys(" ab ")) == 8
    assert len(keys(" abcd ")) == 6 + 5 + 4 + 3 + 2 + 1 - 2 + 1, "a word of four letters counts once more"
    assert set(keys(" ab ")) < set(keys(" ab cd "))
    assert len(keys(" ab cd ")) == 7 + 6 + 5 + 4 + 3 + 2 - 3 + 1, "two neighbouring words count once more"
    assert len(keys(" " + "ab " * ((WINDOW - 1) // 3))) <= MAX_FEATURES


def test_a_model_is_the_same_after_saving(identifier: Identifier, tmp_path: Path) -> None:
    small = replace(identifier, keys=identifier.keys[:5000], weights=identifier.weights[:5000])
    small.save(tmp_path / "model.xz")
    again = load(tmp_path / "model.xz")
    assert np.array_equal(again.keys, small.keys)
    assert np.array_equal(again.weights, small.weights)
    assert again.temperature == small.temperature
    assert again.identify("Ke a leboga") == small.identify("Ke a leboga")


def test_a_file_that_is_no_model_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "model.xz"
    with pytest.raises(BadInput, match="cannot be read"):
        load(path)
    for data in (b"", b"no xz", MODEL.read_bytes()[:1000]):
        path.write_bytes(data)
        with pytest.raises(BadInput, match="is no language model"):
            load(path)


def test_sentences_of_a_document() -> None:
    assert sentences("Ja nee.\n\nDie kinders   stap skool toe.") == ["Die kinders stap skool toe."]
    assert len(sentences("Die kinders stap skool toe. " * 20)) == 20
