import numpy as np
import pytest

from edgelm.corpus import summary
from edgelm.corpus.decide import decide
from edgelm.corpus.recipe import Filter, Recipe, SplitRule
from edgelm.languages import load_languages

NONE = SplitRule(0, 0)
RECIPE = Recipe(
    "test", (), (Filter("short", "words", min=3), Filter("digits", "digits", max=0.5)), NONE, NONE
)


def document(**values):
    usual = {"language": "zul", "source": "radio", "reading": None, "claimed": None, "identified": "zul"}
    usual |= {
        "words": 5,
        "bytes": 50,
        "letters": 40,
        "key": 1,
        "cluster": 0,
        "cluster_size": 1,
        "digits": 0.0,
    }
    usual |= {"read_words": 6, "read_bytes": 60, "redacted_email": 0, "repaired_joins": 0}
    return usual | values


@pytest.fixture
def rows():
    made = [
        document(redacted_email=2, repaired_joins=1),
        document(words=1, bytes=10, digits=0.9, identified="xho"),
        document(source="web", bytes=70, key=2),
        document(language="eng", identified="zul", bytes=7, key=3),
        document(language="eng", digits=0.75, identified=None),
        document(language="unknown", reading="empty", words=0, bytes=0, identified=None),
    ]
    made = [one | {"cluster": place} for place, one in enumerate(made)]
    made += [document(cluster=0, letters=3), document(cluster=0, key=9, letters=3)]
    return made


def test_counts_by_language_source_and_reason(make_table, rows):
    table = make_table(rows)
    decisions = decide(table, RECIPE, load_languages())
    splits = np.array([0, 0, 2, 1, 0, 0, 0, 0], dtype=np.int8)
    found = summary.summarise(table, decisions, splits, RECIPE)
    assert (found["documents"], found["kept"], found["bytes"]) == (8, 3, 127)
    zulu = found["languages"]["zul"]
    assert (zulu["documents"], zulu["kept"], zulu["words"], zulu["bytes"]) == (5, 2, 10, 120)
    assert zulu["read"] == {"words": 30, "bytes": 300}
    assert zulu["rejected"] == {"duplicate": 1, "near_duplicate": 1, "short": 1}
    assert zulu["failed"] == {"short": 1, "digits": 1}, "whatever the first reason was"
    assert zulu["splits"] == {
        "train": {"documents": 1, "bytes": 50},
        "validation": {"documents": 0, "bytes": 0},
        "test": {"documents": 1, "bytes": 70},
    }
    assert (zulu["redacted"], zulu["repaired"]) == ({"email": 2}, {"joins": 1})
    assert found["languages"]["unknown"]["rejected"] == {"empty": 1}
    assert found["sources"] == {
        "radio": {"documents": 7, "kept": 2, "bytes": 57,
                  "languages": {"eng": [2, 1, 7], "unknown": [1, 0, 0], "zul": [4, 1, 50]}},
        "web": {"documents": 1, "kept": 1, "bytes": 70, "languages": {"zul": [1, 1, 70]}},
    }  # fmt: skip
    assert found["clusters"] == {
        "sizes": {"2": 0, "3-4": 1, "5-9": 0, "10-99": 0, "100-999": 0, "1000 and more": 0},
        "largest": 3, "removed": {"duplicate": 1, "near_duplicate": 1},
    }  # fmt: skip
    assert found["mix"] == {"zul": {"bytes": 50, "share": 1, "epochs": 1}}, "only what is trained on"


def test_confusion_counts_what_was_identified(make_table, rows):
    assert summary.confusion(make_table(rows)) == {"eng": {"zul": 1}, "zul": {"xho": 1, "zul": 4}}
    without = [{name: value for name, value in row.items() if name != "identified"} for row in rows]
    assert summary.confusion(make_table(without)) == {}


def test_distributions_hold_every_document_that_was_measured(make_table):
    draw = np.random.default_rng(0)
    rows = [
        document(language=("eng", "zul")[place % 2], cluster=place, words=int(draw.integers(0, 30)),
                 digits=float("nan") if place % 5 == 0 else float(draw.random()))
        for place in range(300)
    ]  # fmt: skip
    table = make_table(rows)
    decisions = decide(table, RECIPE, load_languages())
    found = summary.distributions(table, decisions, RECIPE)
    assert set(found) == {"words", "digits"}
    for column, one in found.items():
        assert one["low"] < one["high"]
        for code, (kept, rejected) in one["languages"].items():
            own = [row for row in rows if row["language"] == code and row[column] == row[column]]
            assert len(kept) == len(rejected) == summary.BINS
            assert sum(kept) + sum(rejected) == len(own)
    words = found["words"]
    edge = words["low"] + (words["high"] - words["low"]) / summary.BINS * np.arange(summary.BINS)
    first_kept = np.flatnonzero(np.array(words["languages"]["zul"][0]))[0]
    assert edge[first_kept] == pytest.approx(3, abs=(words["high"] - words["low"]) / summary.BINS)


def test_samples_are_drawn_of_each_language_and_reason(make_table):
    rows = [
        document(language=("eng", "zul")[place % 2], cluster=place, words=(1, 5, 5)[place % 3])
        for place in range(120)
    ]
    table = make_table(rows)
    decisions = decide(table, RECIPE, load_languages())
    chosen = summary.choose_samples(table, decisions)
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    for code in ("eng", "zul"):
        own = [rows[row] for row in chosen if rows[row]["language"] == code]
        assert sum(row["words"] == 5 for row in own) == summary.SAMPLES_KEPT
        assert sum(row["words"] == 1 for row in own) == summary.SAMPLES_REJECTED
    assert chosen.max() > 40, "not only the first ones"
    shown = {int(row): {"id": str(row), "source": "s", "text": "t"} for row in chosen}
    described = summary.describe_samples(shown, table, decisions)
    assert {code: {reason: len(one) for reason, one in own.items()} for code, own in described.items()} == {
        code: {"kept": summary.SAMPLES_KEPT, "short": summary.SAMPLES_REJECTED} for code in ("eng", "zul")
    }
