"""Two models that label together: the arithmetic, and what `config.json` may say."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgelm.errors import BadInput
from edgelm.model.head_config import HeadConfig
from edgelm.runtime import load, load_labeller
from edgelm.runtime.answers import answer
from edgelm.runtime.ensemble import FLOOR, Ensemble, ensemble_config, read_parts
from edgelm.runtime.labeller import LabelModel
from edgelm.tasks.examples import Labelled, Tagged

TEXT = Labelled("Imvula iyana.", "", "")


class Sure(LabelModel):
    """Says the same of every text, or the same of every sentence of as many words."""

    def __init__(self, labels: Sequence[str], rows: Any, measure: str = "probability", scheme: str = "flat"):
        self.head = HeadConfig("token" if scheme == "bio" else "sequence", tuple(labels), scheme=scheme)
        self.rows, self.measure, self.name, self.backend = np.array(rows), measure, labels[0], "numpy"

    def label_together(self, examples: Sequence[Any]) -> list[list[str]]:
        raise AssertionError("an ensemble asks for scores")

    def scores(self, examples: Sequence[Any]) -> list[np.ndarray]:
        return [self.rows[: len(one.words)] if isinstance(one, Tagged) else self.rows for one in examples]


def test_logarithms_are_added_by_weight_whatever_the_order_of_labels() -> None:
    model = Ensemble([Sure(["a", "b"], [[0.7, 0.3]]), Sure(["b", "a"], [[0.8, 0.2]])], [1, 0.5])
    a, b = 0.7 * math.sqrt(0.2), 0.3 * math.sqrt(0.8)
    np.testing.assert_allclose(model.scores([TEXT])[0], [[a / (a + b), b / (a + b)]], rtol=1e-5)
    assert model.label([TEXT, TEXT]) == [["a"], ["a"]]
    assert Ensemble(model.parts, [1, 1]).label([TEXT]) == [["b"]]
    assert (model.name, model.backend, model.head.labels) == ("a + b", "numpy", ("a", "b"))


def test_margins_count_as_they_are() -> None:
    parts = [Sure(["a", "b"], [[0.5, 0.5]]), Sure(["a", "b"], [[-1.0, 1.0]], "margin")]
    (found,) = Ensemble(parts, [1, 0.25]).scores([TEXT])
    np.testing.assert_allclose(found, [[1 / (1 + math.exp(0.5)), 1 / (1 + math.exp(-0.5))]], rtol=1e-5)


def test_no_model_has_a_veto() -> None:
    """A label of probability 0, or unknown, is unlikely and no more."""
    certain = Sure(["a", "b", "c"], [[FLOOR**3, FLOOR**3, 1 - 2 * FLOOR**3]])
    for cheap in (Sure(["a", "b", "c"], [[0.9, 0.1, 0.0]]), Sure(["a", "b"], [[0.9, 0.1]])):
        model = Ensemble([certain, cheap], [1, 0.5])
        assert model.label([TEXT]) == [["c"]]
        assert np.isfinite(model.scores([TEXT])[0]).all()
    unknown = Ensemble([Sure(["a", "b", "c"], [[0.3, 0.3, 0.4]]), Sure(["a", "b"], [[0.9, 0.1]])], [1, 1])
    np.testing.assert_allclose(
        unknown.scores([TEXT])[0], [[0.27 / 0.34, 0.03 / 0.34, 0.04 / 0.34]], rtol=1e-5
    )


def test_tags_of_spans_are_decided_together() -> None:
    labels = ("O", "B-PER", "I-PER")
    rows = [[0.5, 0.4, 0.1], [0.1, 0.1, 0.8]]
    model = Ensemble([Sure(labels, rows, scheme="bio"), Sure(labels, rows, scheme="bio")], [0.5, 0.5])
    name, nothing = Tagged(("UNomsa", "Dlamini"), (), ""), Tagged((), (), "")
    assert model.label([name, nothing]) == [["B-PER", "I-PER"], []]
    np.testing.assert_allclose(model.scores([name])[0], rows, rtol=1e-5)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(ensemble_config("crf", [0.5, 2])))
    assert read_parts(tmp_path) == ([tmp_path / "head", tmp_path / "crf"], [0.5, 2.0])
    with pytest.raises(BadInput, match="labels and writes no text"):
        load(tmp_path)
    (tmp_path / "head").mkdir()
    with pytest.raises(BadInput, match="is not a model that labels"):
        load_labeller(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"parts": ["head", "../crf"]},
        {"parts": ["crf", "head"]},
        {"parts": ["head"]},
        {"parts": "head"},
        {"weights": [1]},
        {"weights": [1, -1]},
        {"weights": [1, math.inf]},
        {"weights": [1, math.nan]},
        {"weights": [1, "much"]},
        {"weights": 1},
        {"weights": [1, None]},
        {"version": 2},
    ],
)
def test_a_damaged_config_is_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**ensemble_config("crf", [1, 1]), **change}))
    with pytest.raises(BadInput) as error:
        load_labeller(tmp_path)
    assert "\n" not in str(error.value)
    assert str(tmp_path / "config.json") in str(error.value)


def test_an_answer_reads_its_sentences_once() -> None:
    asked = []

    class Once(Sure):
        def scores(self, examples: Sequence[Any]) -> list[np.ndarray]:
            asked.extend(one.words for one in examples)
            return super().scores(examples)

    part = Once(["O", "B-X"], [[0.2, 0.8]] * 3, scheme="bio")
    found = answer(Ensemble([part], [1]), "Imvula iyana.\nYebo.")
    assert [one["tags"] for one in found["sentences"]] == [["B-X"] * 3, ["B-X"] * 2]
    assert [one["scores"] for one in found["sentences"]] == [[0.8] * 3, [0.8] * 2]
    assert asked == [("Imvula", "iyana", "."), ("Yebo", ".")]
