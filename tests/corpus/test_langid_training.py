from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgelm.corpus import langid_training
from edgelm.corpus.characters import flatten
from edgelm.corpus.langid import FOLD, KEY_BITS, MAX_FEATURES, OTHER, keys_of, load
from edgelm.corpus.langid_descent import seen_in_one_line
from edgelm.corpus.langid_text import Labelled, checksum, crops, held_out, read_labelled, read_other
from edgelm.corpus.langid_training import Material, Settings, clean, main, naive_bayes, train
from edgelm.errors import BadInput

AFRIKAANS = "die kinders stap soggens skool toe en lees hulle nuwe boeke by groot tafels in ons huis".split()
ENGLISH = (
    "the children walk to school every morning and read their new books at large tables in our house".split()
)
GERMAN = (
    "die Kinder gehen jeden Morgen zur Schule und lesen ihre neuen Bücher am großen Tisch im Haus".split()
)
QUICK = Settings(steps=4000, features=2000, least=1)


def lines(words: list[str], count: int, seed: int = 0) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(words, size=8)) for _ in range(count)]


@pytest.fixture
def labelled() -> Labelled:
    return {
        (language, source): lines(words, 60, seed)
        for language, words in (("afr", AFRIKAANS), ("eng", ENGLISH))
        for seed, source in enumerate(("news", "stories"))
    }


def test_training_is_deterministic_and_tells_the_languages_apart(labelled: Labelled, tmp_path: Path) -> None:
    models = [train(labelled, {"deu": lines(GERMAN, 60)}, {}, QUICK) for _ in range(2)]
    for number, model in enumerate(models):
        model.save(tmp_path / f"{number}.xz")
    assert (tmp_path / "0.xz").read_bytes() == (tmp_path / "1.xz").read_bytes()
    assert models[0].languages == ("afr", "eng", OTHER)
    assert len(models[0].keys) <= QUICK.features
    for words, language in ((AFRIKAANS, "afr"), (ENGLISH, "eng"), (GERMAN, OTHER)):
        answer = models[0].probabilities(lines(words, 50, seed=9)).argmax(axis=1)
        assert (answer == models[0].languages.index(language)).mean() > 0.95
    two, three = (
        train(labelled, {}, {}, replace(QUICK, vocabulary_share=0.0, seed=seed), calibrate=False)
        for seed in (2, 3)
    )
    assert not np.array_equal(two.weights, three.weights), "the seed says which crops are drawn"


def test_a_line_in_the_wrong_language_is_left_out() -> None:
    labelled = {("afr", "news"): lines(AFRIKAANS, 600), ("eng", "news"): lines(ENGLISH, 600)}
    wrong = lines(ENGLISH, 1, seed=7)
    kept = clean({**labelled, ("afr", "news"): labelled["afr", "news"] + wrong}, QUICK)
    assert not set(wrong) & set(kept["afr", "news"])
    assert sum(map(len, kept.values())) >= 1195


def test_held_out_lines_are_not_trained_on(labelled: Labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    gather = langid_training.gather

    def spy(labelled: Labelled, *rest: object) -> Material:
        seen.extend(line for lines in labelled.values() for line in lines)
        return gather(labelled, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(langid_training, "gather", spy)
    train(labelled, {}, {}, QUICK, calibrate=False)
    kept_back = [line for lines in labelled.values() for line in held_out(lines)]
    assert kept_back
    assert seen
    assert not set(kept_back) & set(seen)


def test_labels_come_from_the_record_or_the_name_and_tests_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "news"
    folder.mkdir()
    (folder / "afr.txt").write_text("Die kinders stap skool toe.\nDie kinders stap skool toe.\n")
    (folder / "mixed.jsonl").write_text(
        '{"text": "Abantwana baya esikolweni.", "language": "zul"}\n'
        '{"text": "Abazali basebenza edolobheni.", "language": "zul", "split": "test"}\n'
    )
    assert read_labelled([folder]) == {
        ("afr", "news"): ["Die kinders stap skool toe."],
        ("zul", "news"): ["Abantwana baya esikolweni."],
    }
    (folder / "notes.txt").write_text("Whose words are these?\n")
    with pytest.raises(BadInput, match="language is not known"):
        read_labelled([folder])


def test_other_languages_are_read_from_text_and_html_but_never_those_told_apart(tmp_path: Path) -> None:
    (tmp_path / "sna.txt").write_text("Vana vanoenda kuchikoro.\n")
    (tmp_path / "nya_chechewa.html").write_text(
        "<h1>Ufulu wa anthu</h1><p>Anthu onse ndi\nofanana &amp; omasuka</p>"
    )
    (tmp_path / "zul.html").write_text("<p>Abantu bonke bazalwa bekhululekile</p>")
    assert read_other([tmp_path], {"zul"}) == {
        "nya": sorted(["Ufulu wa anthu", "Anthu onse ndi ofanana & omasuka"], key=checksum),
        "sna": ["Vana vanoenda kuchikoro."],
    }


def test_crops_begin_with_a_word_and_are_no_longer_than_asked() -> None:
    texts = lines(ENGLISH, 40)
    for size in (12, 15, 30):
        pieces = crops(texts, size)
        assert len(pieces) > 30
        assert pieces == crops(texts, size)
        for text, piece in zip(texts, pieces, strict=True):
            assert len(piece) <= size
            assert f" {piece}" in f" {text}"


def test_the_command_writes_a_model_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for source in ("news", "stories"):
        (tmp_path / source).mkdir()
        for name, words in (("afr", AFRIKAANS), ("eng", ENGLISH)):
            (tmp_path / source / f"{name}.txt").write_text("\n".join(lines(words, 60, len(source))))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "deu.txt").write_text("\n".join(lines(GERMAN, 60)))
    monkeypatch.setattr(langid_training, "Settings", lambda: QUICK)
    model = tmp_path / "model.xz"
    main([*map(str, (tmp_path / "news", tmp_path / "stories", "--other", tmp_path / "other", "-o", model))])
    assert load(model).languages == ("afr", "eng", OTHER)
    assert load(model).temperature != ((1.0, 1.0), (1e6, 1.0)), "calibrated on the source left out"
    assert "features" in capsys.readouterr().out


def test_features_of_a_single_line_are_marked() -> None:
    texts = ["aa bb", "aa cc", "aa cc cc"]
    codes, starts = flatten(texts)
    unused = np.zeros(1)
    index, keys = np.full(1 << KEY_BITS, -1, dtype=np.int32), np.zeros(MAX_FEATURES, dtype=np.uint32)
    rows = {}
    for row, letter in enumerate("abc"):
        assert keys_of(np.array([ord(letter)], dtype=np.uint32), 1, keys) == 1
        rows[letter], index[keys[0]] = row, row
    once = np.zeros(3, dtype=np.uint8)
    arrays = (codes, starts, unused, unused, unused, unused, FOLD)
    seen_in_one_line(arrays, 0, len(texts), index, once)
    assert [once[rows[letter]] for letter in "abc"] == [0, 1, 0]


def test_naive_bayes_takes_what_is_not_seen_from_the_most_similar_class() -> None:
    drawn = np.array([[900, 10, 9], [10, 900, 0], [90, 90, 0], [0, 0, 1]], dtype=np.float32)
    weights = naive_bayes(drawn, np.array([10**7, 10**7, 10]))
    assert weights.mean(axis=1) == pytest.approx(np.zeros(4), abs=1e-5)
    assert weights[0, 0] > weights[0, 1]
    assert abs(weights[1, 2] - weights[1, 0]) < abs(weights[1, 2] - weights[1, 1])
    assert weights[3, 2] > weights[3, 0]
