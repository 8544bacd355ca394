import json
from pathlib import Path

import pytest

from edgelm import resources
from edgelm.corpus.recipe import load_recipe
from edgelm.errors import BadInput
from edgelm.languages import get_language

REASONS = [
    "too_short", "too_long", "word_length", "few_letters", "many_digits", "capitals", "repeated_lines",
    "repetitive",
]  # fmt: skip


def write(folder: Path, **changes: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(
        json.dumps({"name": "mine", "extends": "default", "sources": [{"path": "texts"}]} | changes)
    )
    return path


def test_the_default_recipe_over_a_folder(tmp_path):
    recipe = load_recipe(tmp_path)
    assert [one.path for one in recipe.sources] == [tmp_path.resolve()]
    assert [one.reason for one in recipe.filters] == REASONS


def test_a_recipe_of_ones_own_extends_the_default(tmp_path):
    recipe = load_recipe(
        write(
            tmp_path,
            text_field="body",
            split={"test": {"share": 0.1, "max_bytes": 5}} | {"validation": {"share": 0, "max_bytes": 0}},
        )
    )
    assert recipe.name == "mine"
    assert recipe.text_field == "body"
    assert recipe.sources[0].path == tmp_path / "texts"
    assert [one.reason for one in recipe.filters] == REASONS
    assert (recipe.test.share, recipe.test.max_bytes, recipe.validation.share) == (0.1, 5, 0)


def test_the_sample_recipe_reads_the_embedded_sample():
    recipe = load_recipe("sample")
    assert recipe.sources[0].path == resources.path("corpus", "sample")
    assert recipe.sources[0].licence == "CC0-1.0"


def test_conjunctive_languages_have_bounds_of_their_own():
    bounds = {one.reason: one for one in load_recipe("default").filters}
    zul, tsn = get_language("zul"), get_language("tsn")
    assert bounds["too_short"].bounds(zul) == (3, float("inf"))
    assert bounds["too_short"].bounds(tsn) == bounds["too_short"].bounds(None) == (5, float("inf"))
    assert bounds["word_length"].bounds(zul) == (3.5, 14)
    assert bounds["word_length"].bounds(tsn) == (2.5, 10)
    assert bounds["capitals"].bounds(zul) == (float("-inf"), 0.5)


def test_config_does_not_hold_the_place(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, two = load_recipe(write(tmp_path / "a")), load_recipe(write(tmp_path / "b"))
    assert one.sources != two.sources
    assert json.dumps(one.config()) == json.dumps(two.config())


SPLIT = {"validation": {"share": 0.1, "max_bytes": 9}, "test": {"share": 0.1, "max_bytes": 9}}


@pytest.mark.parametrize(
    ("changes", "key", "problem"),
    [
        ({"sources": None}, "sources", "NoneType"),
        ({"sources": [{"licence": "CC0"}]}, "sources", "path"),
        ({"sources": [{"path": "x", "license": "CC0"}]}, "sources", "license"),
        ({"filters": [{"reason": "x", "column": "wrods"}]}, "filters", "no column 'wrods'"),
        (
            {"filters": [{"reason": "x", "column": "words", "min": "five"}]},
            "filters",
            "'five' is not a number",
        ),
        ({"filters": [{"reason": "x", "column": "words", "max": True}]}, "filters", "True is not a number"),
        ({"filters": [{"reason": "x", "column": "words", "conjunctive": {"mim": 3}}]}, "filters", "no 'mim'"),
        ({"filters": [{"reason": False, "column": "words"}]}, "filters", "False is not text"),
        ({"split": {"test": SPLIT["test"]}}, "split", "validation"),
        ({"split": {**SPLIT, "test": {"share": 1.5, "max_bytes": 9}}}, "split", "share 1.5"),
        ({"split": {**SPLIT, "test": {"share": "much", "max_bytes": 9}}}, "split", "str"),
        ({"split": {**SPLIT, "test": {"share": 0.1, "max_bytes": -1}}}, "split", "max_bytes -1"),
    ],
)
def test_a_wrong_key_is_named(tmp_path, changes, key, problem):
    path = write(tmp_path, **changes)
    with pytest.raises(BadInput) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: the key '{key}' is missing or wrong (")
    assert problem in str(caught.value)
    assert "start from corpus/recipes/default.yaml" in str(caught.value).lower()


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("name: mine\nsources: [\n", 3, "not YAML"),
        ("- a\n", None, "is not a recipe"),
        ("\xff", None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path, text, line, problem):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput) as caught:
        load_recipe(path)
    assert problem in str(caught.value)
    assert (caught.value.file, caught.value.line) == (path, line)
    assert str(caught.value).count(". ") >= 1, "a remedy"


@pytest.mark.parametrize("name", ["nowhere", "nowhere.yaml", "default/../default"])
def test_a_recipe_that_does_not_exist(name):
    with pytest.raises(BadInput, match=name.replace(".", r"\.")):
        load_recipe(name)
