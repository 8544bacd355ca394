from pathlib import Path

import pytest

from edgelm.corpus.diff import compare, recipe_changes, table
from edgelm.corpus.recipe import load_recipe
from edgelm.corpus.tune import Tuning
from edgelm.errors import BadInput


@pytest.fixture(scope="module")
def two(tmp_path_factory, prose, write_file, build) -> tuple[Path, Path]:
    """The second corpus lacks a file, has another one, and asks for longer documents."""
    folder: Path = tmp_path_factory.mktemp("diff")
    short, long = prose(10, 1, words=4), prose(10, 2, words=9)
    write_file(folder / "one" / "a" / "zul.txt", [{"text": text} for text in [*short, *long, long[0]]])
    write_file(folder / "one" / "b" / "xho.txt", [{"text": text} for text in prose(5, 3)])
    build(folder / "one", folder / "first")
    (folder / "two" / "a").mkdir(parents=True)
    dressed = (folder / "one" / "a" / "zul.txt").read_text().upper()
    (folder / "two" / "a" / "zul.txt").write_text(dressed)
    write_file(folder / "two" / "c" / "eng.txt", [{"text": text} for text in prose(3, 4)])
    build(folder / "two", folder / "loud", filters=())
    tuning = Tuning(folder / "first")
    tuning.change("too_short.min=6")
    tuning.write(folder / "second")
    return folder / "first", folder / "second"


def test_what_other_thresholds_changed(two):
    found = compare(*two)
    assert found["zul"] == {"both": 10, "first": {"too_short": 10}, "second": {}}
    assert found["xho"] == {"both": 5, "first": {}, "second": {}}
    back = compare(*reversed(two))
    assert back["zul"] == {"both": 10, "first": {}, "second": {"too_short": 10}}
    assert all(one["first"] == one["second"] == {} for one in compare(two[0], two[0]).values())


def test_documents_are_the_same_whatever_their_case(two):
    found = compare(two[0], two[0].with_name("loud"))
    assert found["zul"] == {"both": 20, "first": {}, "second": {}}
    assert found["xho"] == {"both": 0, "first": {"not read": 5}, "second": {}}
    assert found["eng"] == {"both": 0, "first": {}, "second": {"not read": 3}}


def test_table(two):
    header, rows = table(compare(*two))
    assert header == ["language", "kept in both", "only in 1", "2 says", "only in 2", "1 says"]
    assert rows == [["xho", "5", "0", "-", "0", "-"], ["zul", "10", "10", "too_short 10", "0", "-"]]


def test_recipes_differ_in_what_was_set(two):
    short = next(one for one in load_recipe("default").filters if one.reason == "too_short")
    assert recipe_changes(*two) == [
        f"filters.too_short.conjunctive.min: {short.conjunctive['min']} -> not set",
        f"filters.too_short.min: {short.min} -> 6.0",
    ]
    assert recipe_changes(two[0], two[0]) == []
    assert f"filters.too_short.min: {short.min} -> not set" in recipe_changes(
        two[0], two[0].with_name("loud")
    )


def test_a_folder_that_is_no_corpus(two, tmp_path):
    for pair in ((two[0], tmp_path), (tmp_path, two[0])):
        with pytest.raises(BadInput, match="is not a corpus") as caught:
            compare(*pair)
        assert caught.value.file == tmp_path
