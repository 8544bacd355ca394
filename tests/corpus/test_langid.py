import json

import numpy as np
import pytest

from edgelm import resources
from edgelm.corpus.langid import default_identifier, train

SAMPLE = sorted(resources.path("corpus", "sample").glob("*.jsonl"))


def test_the_default_identifier_knows_the_languages_of_the_sample() -> None:
    assert default_identifier().languages == tuple(path.stem for path in SAMPLE)


def test_held_out_documents_are_told_apart() -> None:
    right = total = 0
    for path in SAMPLE:
        for line in path.read_text(encoding="utf-8").splitlines():
            document = json.loads(line)
            if document["split"] == "test":
                total += 1
                right += default_identifier().identify(document["text"])[0] == path.stem
    assert total >= len(SAMPLE) * 4
    assert right / total > 0.97


def test_posterior_is_a_probability_and_the_answer_does_not_depend_on_case() -> None:
    identify = default_identifier().identify
    language, probability = identify("The children walk to school in the morning")
    assert language == "eng"
    assert 0.9 < probability <= 1
    assert identify("na") == identify("NA")
    assert identify("na")[1] < 0.99, "two letters decide nothing"
    for other in ("", " ", "x", "漢字", "1234", "a" * 100_000):
        assert 0 < identify(other)[1] <= 1


def test_training_is_deterministic_and_takes_any_languages() -> None:
    texts = {"qab": ["lumi sato lumi", "sato"], "qaa": ["кот ток", "окот"]}
    one, two = train(texts), train(texts)
    assert one.languages == ("qaa", "qab")
    assert np.array_equal(one.log_probability, two.log_probability)
    assert np.exp(one.log_probability.astype(float)).sum(axis=1) == pytest.approx([1, 1], abs=1e-3)
    assert [one.identify(text)[0] for text in ("lumi", "токот")] == ["qab", "qaa"]
