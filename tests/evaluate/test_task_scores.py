import json
from typing import Any

import numpy as np
import pytest

from edgelm.errors import BadInput
from edgelm.evaluate.metrics import classification_scores
from edgelm.evaluate.scores import compare, score
from edgelm.tasks.examples import Chat, Choice, Labelled, Pair, Tagged

LABELS = ("rain", "bread", "goat")


def labelled(items: int) -> tuple[list[Labelled], dict[str, list[str]]]:
    """Texts in two languages, and what three systems say of them: right, mostly right, always the same."""
    random = np.random.default_rng(5)
    labels = [str(one) for one in random.choice(LABELS, items)]
    examples = [Labelled("x", label, "zul" if i % 3 else "xho") for i, label in enumerate(labels)]
    good = [label if random.random() < 0.8 else "goat" for label in labels]
    return examples, {"right": labels, "good": good, "constant": ["rain"] * items}


@pytest.mark.parametrize(
    ("example", "predicted", "scheme", "main", "value"),
    [
        (Labelled("x", "rain", "zul"), "rain", "flat", "macro_f1", 1.0),
        (Tagged(("a", "b"), ("B-PER", "O"), "zul"), ("B-PER", "O"), "bio", "span_f1", 1.0),
        (Tagged(("a", "b"), ("B-PER", "O"), "zul"), ("O", "O"), "bio", "span_f1", 0.0),
        (Tagged(("a", "b"), ("NOUN", "VERB"), "zul"), ["NOUN", "NOUN"], "flat", "accuracy", 0.5),
        (Pair("x", ("imvula iyana", "iyana"), "zul"), "iyana", "flat", "chrf", 100.0),
        (Choice("x", ("a", "b"), 1, "zul"), 1, "flat", "accuracy", 1.0),
        (Chat((("user", "x"), ("assistant", "iyana")), "zul"), "iyana", "flat", "chrf", 100.0),
    ],
)
def test_the_main_metric_of_each_family(
    example: Any, predicted: Any, scheme: str, main: str, value: float
) -> None:
    found = score([example], [predicted], labels=LABELS if main == "macro_f1" else (), scheme=scheme)
    assert next(iter(found)) == found["metric"] == main
    assert found[main] == pytest.approx(value)
    assert found["interval"] == pytest.approx([value, value])
    assert found["languages"]["zul"][main] == found[main]
    assert json.loads(json.dumps(found)) == found


def test_each_language_is_scored_as_if_alone() -> None:
    examples, systems = labelled(90)
    found = score(examples, systems["good"], labels=LABELS)
    assert list(found["languages"]) == ["xho", "zul"]
    for code, scores in found["languages"].items():
        rows = [place for place, one in enumerate(examples) if one.language == code]
        assert scores == classification_scores(
            [examples[place].label for place in rows], [systems["good"][place] for place in rows], LABELS
        )
    together = classification_scores([one.label for one in examples], systems["good"], LABELS)
    assert {name: value for name, value in found.items() if name != "languages"} == together


def test_systems_are_compared_item_by_item() -> None:
    examples, systems = labelled(300)
    random = np.random.default_rng(9)
    near = [one if random.random() < 0.97 else "bread" for one in systems["good"]]
    found = compare("topics", examples, {"model": near, **systems}, {"good", "constant"}, labels=LABELS)
    assert [one["language"] for one in found] == ["all"] * 4 + ["xho"] * 4 + ["zul"] * 4
    model, right, good, _ = found[:4]
    assert (model["task"], model["system"], model["baseline"], good["baseline"]) == (
        "topics",
        "model",
        False,
        True,
    )
    assert set(right["differences"]) == {"good", "constant"}
    assert set(good["differences"]) == {"constant"}
    paired = model["differences"]["good"]
    assert paired["difference"] == pytest.approx(model["scores"]["macro_f1"] - good["scores"]["macro_f1"])
    low, high = paired["interval"]
    assert low <= paired["difference"] <= high
    alone = np.diff([one["scores"]["interval"] for one in (model, good)]).sum()
    assert high - low < alone / 4  # the same items: most of the noise is in both
    assert compare("topics", examples, {"a": near, "b": near}, {"b"}, labels=LABELS)[0]["differences"] == {
        "b": {"difference": 0.0, "interval": [0.0, 0.0]}
    }


def test_one_language_has_one_entry_a_system() -> None:
    examples = [Pair("x", ("imvula iyana",), "zul"), Pair("y", ("umoya",), "zul")]
    found = compare("weather", examples, {"copy": ["x", "y"], "model": ["imvula", "umoya"]}, {"copy"})
    assert [(one["language"], one["system"]) for one in found] == [("zul", "copy"), ("zul", "model")]
    assert found[1]["differences"]["copy"]["difference"] > 0


def test_families_are_not_mixed() -> None:
    with pytest.raises(BadInput, match="several families"):
        score([Labelled("x", "rain", "zul"), Pair("x", ("y",), "zul")], ["rain", "y"])
    with pytest.raises(BadInput, match="nothing to score"):
        score([], [])
