import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgelm import resources
from edgelm.corpus.near_duplicates import BoilerplateLines, NearDuplicates
from edgelm.corpus.recipe import Filter, Mix, Proposal, load_recipe
from edgelm.errors import BadInput
from edgelm.languages import get_language

REASONS = [
    "too_short", "too_long", "wrong_language", "mixed_languages", "word_length", "interface_strings",
    "few_letters", "many_digits", "capitals", "foreign_letters", "stripped_diacritics", "list",
    "repeated_lines", "repetitive", "contaminated",
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
    short, length = bounds["too_short"], bounds["word_length"]
    assert short.bounds(zul)[0] < short.bounds(tsn)[0]
    assert short.bounds(zul)[1] == short.bounds(tsn)[1] == float("inf")
    assert short.bounds(None) == short.bounds(tsn)
    assert length.bounds(zul)[0] > length.bounds(tsn)[0]
    own, usual = length.bounds(zul)[1], length.bounds(tsn)[1]
    assert isinstance(own, Proposal)
    assert isinstance(usual, Proposal)
    assert own.between > usual.between
    assert bounds["capitals"].bounds(zul) == (float("-inf"), 0.5)


def test_a_bound_of_a_single_language_comes_before_that_of_its_writing():
    rule = Filter(
        "x", "words", min=5, max=9, conjunctive={"min": 3}, languages={"zul": {"min": 2, "max": None}}
    )
    bounds = {code: rule.bounds(get_language(code)) for code in ("zul", "xho", "eng")}
    assert bounds == {"zul": (2, float("inf")), "xho": (3, 9), "eng": (5, 9)}


def test_the_settings_of_every_stage(tmp_path, monkeypatch):
    monkeypatch.setenv("TESTS_OF", str(tmp_path / "elsewhere"))
    source = {"path": "texts", "licence": "CC BY 4.0", "attribution": "me", "genre": "news", "name": "x"}
    recipe = load_recipe(
        write(
            tmp_path,
            sources=[source, {"hub": "who/what", "config": "zul", "split": "test"}],
            evaluation=["a.txt", "$TESTS_OF/b"],
            near_duplicates={"ngram": 4, "bands": 5, "rows": 3, "threshold": 0.9},
            boilerplate={"documents": 4, "share": 0.5},
            mix={"unimax_epochs": 3},
            repair=["mojibake"],
            identify=False,
        )
    )
    assert recipe.sources[0].path == tmp_path / "texts"
    assert (recipe.sources[0].licence, recipe.sources[0].genre) == ("CC BY 4.0", "news")
    assert (recipe.sources[1].hub, recipe.sources[1].path, recipe.sources[1].split) == (
        "who/what",
        None,
        "test",
    )
    assert recipe.evaluation == (tmp_path / "a.txt", tmp_path / "elsewhere" / "b")
    assert recipe.near_duplicates == NearDuplicates(4, 5, 3, 0.9)
    assert recipe.boilerplate == BoilerplateLines(4, 0.5)
    assert recipe.mix == Mix(unimax_epochs=3)
    assert (recipe.repair, recipe.identify, recipe.redact) == (("mojibake",), False, "tags")
    config = json.loads(json.dumps(recipe.config()))
    assert config["evaluation"] == ["a.txt", "b"]
    assert str(tmp_path) not in json.dumps(config)


def test_stages_can_be_left_out(tmp_path):
    recipe = load_recipe(write(tmp_path, near_duplicates=None, boilerplate=None, repair=None))
    assert (recipe.near_duplicates, recipe.boilerplate, recipe.repair) == (None, None, None)
    (tmp_path / "off.yaml").write_text("name: x\nextends: default\nsources: [{path: texts}]\nredact: off\n")
    assert load_recipe(tmp_path / "off.yaml").redact == "off", "a bare off is false to YAML"


def test_another_recipe_over_a_folder(tmp_path):
    recipe = load_recipe(tmp_path, "mzansitext")
    assert (recipe.name, [one.path for one in recipe.sources]) == ("mzansitext", [tmp_path.resolve()])
    assert recipe == replace(load_recipe("mzansitext"), sources=recipe.sources)
    with pytest.raises(BadInput, match=r"sample: is no folder or file of documents\. --recipe is for those"):
        load_recipe("sample", "mzansitext")


def test_config_does_not_hold_the_place(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, two = load_recipe(write(tmp_path / "a")), load_recipe(write(tmp_path / "b"))
    assert one.sources != two.sources
    assert json.dumps(one.config()) == json.dumps(two.config())


PROPOSAL = {"quantile": 0.9, "between": [1, 9], "otherwise": 4}
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
        ({"near_duplicate": {"bands": 2}}, "near_duplicate", "near_duplicates"),
        ({"near_duplicates": {"bands": 0}}, "near_duplicates", "bands is 0"),
        ({"near_duplicates": {"band": 2}}, "near_duplicates", "band"),
        ({"boilerplate": {"share": 2}}, "boilerplate", "share is 2"),
        ({"mix": {"temperature": 2, "unimax_epochs": 1}}, "mix", "either"),
        ({"mix": {"temperature": 0.5}}, "mix", "temperature 0.5"),
        ({"evaluation": "test.txt"}, "evaluation", "list"),
        ({"evaluation": ["$NO_SUCH_VARIABLE/x"]}, "evaluation", "$NO_SUCH_VARIABLE"),
        ({"sources": [{"path": "x", "hub": "y"}]}, "sources", "either"),
        ({"sources": [{"path": "x", "documents": "pages"}]}, "sources", "'pages' is none of lines"),
        ({"repair": ["mojibake", "spelling"]}, "repair, identify", "no repair 'spelling'"),
        ({"redact": "yes"}, "repair, identify", "redact 'yes'"),
        ({"identify": "no"}, "repair, identify", "identify is 'no'"),
        (
            {"filters": [{"reason": "x", "column": "words", "max": {"quantile": 2, "between": [1, 2]}}]},
            "filters",
            "otherwise",
        ),
        (
            {
                "filters": [
                    {"reason": "x", "column": "words", "max": PROPOSAL | {"between": [5, 9]}},
                ]
            },
            "filters",
            "otherwise 4 lies outside",
        ),
        (
            {"filters": [{"reason": "x", "column": "words", "max": PROPOSAL | {"quantile": 1}}]},
            "filters",
            "quantile 1",
        ),
    ],
)
def test_a_wrong_key_is_named(tmp_path, changes, key, problem):
    path = write(tmp_path, **changes)
    with pytest.raises(BadInput) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: the key '{key}")
    assert "' is missing or wrong (" in str(caught.value)
    assert problem in str(caught.value)
    assert "start from corpus/recipes/default.yaml" in str(caught.value).lower()


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("name: mine\nsources: [\n", 3, "not YAML"),
        ("- a\n", None, "is not a recipe"),
        ("\xff", None, "not UTF-8"),
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


def test_a_recipe_that_extends_none_there_is(tmp_path):
    with pytest.raises(BadInput, match="nowhere"):
        load_recipe(write(tmp_path, extends="nowhere"))


@pytest.mark.parametrize("name", ["nowhere", "nowhere.yaml", "default/../default"])
def test_a_recipe_that_does_not_exist(name):
    with pytest.raises(BadInput, match=name.replace(".", r"\.")):
        load_recipe(name)
