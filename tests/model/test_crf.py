import json
import random
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgelm.errors import BadInput
from edgelm.model import crf
from edgelm.model.crf import (
    CrfTagger,
    form_attributes,
    load_crf,
    save_crf,
    sentence_attributes,
    spelling_attributes,
)

TAGS = ("O", "B-PER", "I-PER", "B-LOC")


def sentences(count: int, seed: int = 0) -> list[tuple[list[str], list[str]]]:
    """Made-up words and tags; capitals are names, with `e` before them places."""
    draw = random.Random(seed)
    syllables = [a + b for a in "bdhklmnstwz" for b in "aeiouê"]
    found = []
    for _ in range(count):
        words: list[str] = []
        tags: list[str] = []
        for _ in range(draw.randint(1, 12)):
            word = "".join(draw.choices(syllables, k=draw.randint(1, 4)))
            kind = draw.random()
            if kind < 0.25:
                words.append(f"u{word.capitalize()}")
                tags.append("B-PER")
                if draw.random() < 0.5:
                    words.append("".join(draw.choices(syllables, k=2)).capitalize())
                    tags.append("I-PER")
            elif kind < 0.4:
                words.append(f"e{word.capitalize()}")
                tags.append("B-LOC")
            else:
                words.append(
                    draw.choice([word, word, "2026", ".", "-", "👩🏾", "w:x=y --> z", "a\\b:1", "İ"])
                )
                tags.append("O")
        found.append((words, tags))
    return found


@pytest.fixture(scope="module")
def fitted() -> Any:
    """CRFsuite's model of the made-up sentences."""
    suite = pytest.importorskip("sklearn_crfsuite", reason="CRFsuite trains and is compared with")
    noise = random.Random(1)
    train = [
        (words, [one if noise.random() < 0.9 else noise.choice(TAGS) for one in tags])
        for words, tags in sentences(200)
    ]
    model = suite.CRF(algorithm="lbfgs", c1=0.01, c2=0.01, max_iterations=40, all_possible_transitions=True)
    model.fit([sentence_attributes(words) for words, _ in train], [tags for _, tags in train])
    return model


@pytest.fixture(scope="module")
def tagger(fitted: Any) -> CrfTagger:
    from edgelm.finetune.crf import from_crfsuite

    return from_crfsuite(fitted, "CRF, c1=0.01, c2=0.01", half=False)


def test_tags_as_crfsuite_does(fitted: Any, tagger: CrfTagger) -> None:
    unseen = [words for words, _ in sentences(800, seed=2)]
    theirs = fitted.predict([sentence_attributes(words) for words in unseen])
    assert tagger.tag(unseen) == [list(one) for one in theirs]


def test_marginals_are_crfsuite_s(fitted: Any, tagger: CrfTagger) -> None:
    for words, _ in sentences(60, seed=3):
        ours = tagger.marginals(words)
        theirs = fitted.predict_marginals_single(sentence_attributes(words))
        assert np.abs(ours - [[one[tag] for tag in tagger.tags] for one in theirs]).max() < 1e-3
        assert np.allclose(ours.sum(axis=1), 1)


def test_viterbi_finds_the_best_of_all_sequences() -> None:
    random_numbers = np.random.default_rng(0)
    words = ["a", "b", "c", "d"]
    tagger = CrfTagger(
        tags=("x", "y", "z"),
        attributes=tuple(f"0:w={one}" for one in words),
        states=random_numbers.normal(size=(4, 3)).astype(np.float32),
        transitions=random_numbers.normal(size=(3, 3)).astype(np.float32),
    )
    scores = {}
    for first, second, third, fourth in np.ndindex(3, 3, 3, 3):
        path = (first, second, third, fourth)
        total = sum(float(tagger.states[place, tag]) for place, tag in enumerate(path))
        scores[path] = total + sum(float(tagger.transitions[pair]) for pair in pairwise(path))
    best = max(scores, key=scores.__getitem__)
    assert tagger.tag([words]) == [[tagger.tags[tag] for tag in best]]
    weights = {path: np.exp(score) for path, score in scores.items()}
    expected = np.zeros((4, 3))
    for path, weight in weights.items():
        for place, tag in enumerate(path):
            expected[place, tag] += weight / sum(weights.values())
    assert np.allclose(tagger.marginals(words), expected, atol=1e-6)


def test_long_sentences_do_not_overflow(tagger: CrfTagger) -> None:
    words = ["uBade"] * 3000
    assert np.isfinite(tagger.marginals(words)).all()
    assert len(tagger.tag([words])[0]) == 3000
    heavy = CrfTagger(
        ("x", "y"), ("0:w=a",), np.array([[1e4, -1e4]], np.float32), np.zeros((2, 2), np.float32)
    )
    assert heavy.marginals(["a", "a"]).tolist() == [[1, 0], [1, 0]]


def test_nothing_to_tag(tagger: CrfTagger) -> None:
    assert tagger.tag([]) == []
    assert tagger.tag([[], ["."]])[0] == []
    assert tagger.marginals([]).shape == (0, 4)


def test_what_a_word_is_described_by() -> None:
    assert form_attributes("uNomsa-1") == ["w=uNomsa-1", "l=unomsa-1", "shape=xXxxxx-d", "short=xXx-d"]
    assert set(spelling_attributes("uZik")) == {
        "p1=u", "p2=uz", "p3=uzi", "p4=uzik", "s1=k", "s2=ik", "s3=zik", "s4=uzik", "head=u", "stem=zik",
    }  # fmt: skip
    assert {"head=e-", "stem=kapa", "p5=e-kap", "s5=-kapa"} <= set(spelling_attributes("e-Kapa"))
    assert not any(one.startswith("p6") for one in spelling_attributes("e-Kapa"))
    assert {"head=", "stem=kapa"} <= set(spelling_attributes("Kapa"))
    assert {"head=u", "stem=nomsa"} <= set(spelling_attributes("UNomsa"))
    assert {"head=i", "stem=sabc"} <= set(spelling_attributes("iSABC"))
    assert {"head=", "stem=sabc"} <= set(spelling_attributes("SABC"))
    assert not any(one.startswith("stem=") for one in spelling_attributes("ikapa"))
    assert "digit" in spelling_attributes("12-a")
    assert "mark" in spelling_attributes("...")


def test_a_tag_sees_two_words_on_either_side() -> None:
    first, second, *_ = sentence_attributes(["one", "two", "three", "four"])
    assert {"-2:<s>", "-1:<s>", "0:w=one", "1:w=two", "2:w=three"} <= set(first)
    assert {"-1:w=one", "2:w=four", "pair=one two"} <= set(second)
    assert not any("four" in one for one in first)
    assert {"0:s2=ne"} <= set(first)
    assert not any(
        one.startswith(("1:s", "1:p")) and "shape" not in one and "short" not in one for one in first
    )


def test_words_are_made_fit_for_a_file() -> None:
    (only,) = sentence_attributes(["a\n b\0\ud800"])
    assert "0:w=ab?" in only
    assert "\n" not in "".join(only)


def test_a_full_memory_of_words_changes_nothing(tagger: CrfTagger, monkeypatch: pytest.MonkeyPatch) -> None:
    unseen = [words for words, _ in sentences(30, seed=4)]
    before = tagger.tag(unseen)
    tagger._seen.clear()
    monkeypatch.setattr(crf, "REMEMBERED", 3)
    assert tagger.tag(unseen) == before
    assert len(tagger._seen) <= 3


def test_comes_back_from_disk_and_runs_on_numpy_alone(tagger: CrfTagger, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    save_crf(tagger, folder)
    assert {one.name for one in folder.iterdir()} == {
        "config.json", "attributes.txt", "model.safetensors", "README.md",
    }  # fmt: skip
    again = load_crf(folder)
    unseen = [words for words, _ in sentences(50, seed=5)]
    assert (again.tags, again.attributes) == (tagger.tags, tagger.attributes)
    assert again.tag(unseen) == tagger.tag(unseen)
    code = (
        "import sys\n"
        "for one in ('sklearn_crfsuite', 'pycrfsuite', 'sklearn', 'torch'): sys.modules[one] = None\n"
        "from pathlib import Path; from edgelm.model.crf import load_crf\n"
        f"print(load_crf(Path({str(folder)!r})).tag([['uBade', 'ba']]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tagger.tag([["uBade", "ba"]]))


def test_five_hundred_sentences_a_second(tagger: CrfTagger) -> None:
    unseen = [a + b for (a, _), (b, _) in zip(sentences(500, seed=6), sentences(500, seed=7), strict=True)]
    tagger._seen.clear()
    started = time.process_time()
    tagger.tag(unseen)
    assert len(unseen) / (time.process_time() - started) > 500


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("other kind", "is of the kind 'edgelm-linear'"),
        ("tags", "states is"),
        ("tag type", "is not a tagger's"),
        ("no key", "is not a tagger's"),
        ("twice", "stands twice"),
        ("not UTF-8", "attributes.txt: cannot be read"),
        ("not a number", "not a number"),
        ("other weights", "holds states, not states, transitions"),
    ],
)
def test_damage_is_one_line(tagger: CrfTagger, tmp_path: Path, what: str, says: str) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "saved"
    save_crf(tagger, folder)
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    lines = (folder / "attributes.txt").read_bytes().split(b"\n")
    match what:
        case "other kind":
            config["model_type"] = "edgelm-linear"
        case "tags":
            config["tags"] = config["tags"][1:]
        case "tag type":
            config["tags"] = [1, 2, 3, 4]
        case "no key":
            del config["tags"]
        case "twice":
            lines[0] = lines[1]
        case "not UTF-8":
            lines[0] = b"\xff"
        case "not a number":
            weights["states"][0, 0] = np.inf
        case "other weights":
            del weights["transitions"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "attributes.txt").write_bytes(b"\n".join(lines))
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(BadInput) as caught:
        load_crf(folder)
    assert says in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
