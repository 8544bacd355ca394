import math
from dataclasses import replace
from pathlib import Path

import pytest

from edgelm.corpus.probe import Judge
from edgelm.corpus.recipe import Filter, load_recipe
from edgelm.corpus.tune import Tuning
from edgelm.tokenizer.texts import sample_texts

ZULU = "Umfana omncane uhamba ngezinyawo aye esikoleni ekuseni kakhulu nsuku zonke."
ENGLISH = "The small boy walks to his school very early in the morning every day."
WHOLE = {"source_placeholders", "missing_diacritics"}  # columns over all documents of a corpus


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Documents that pass, and one or more for most filters."""
    good = sample_texts()["zul"][:60]
    odd = ["ka", ZULU.upper(), "1 2 3 4 5 6 7 8 9 0 " * 4 + ZULU, ENGLISH, f"{ZULU}\n{ENGLISH}\n{ENGLISH}"]
    odd += [
        "\n".join([ZULU] * 4),
        "ncwi " * 200,
        "M&auml;rz &amp; mhlaba: bheka incwadi@example.org namhlanje.",
    ]
    return [*good, *odd]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, texts, write_file, build) -> Tuning:
    folder: Path = tmp_path_factory.mktemp("probe")
    write_file(folder / "in" / "zul.jsonl", [{"id": str(at), "text": text} for at, text in enumerate(texts)])
    build(folder / "in", folder / "out", identify=True)
    return Tuning(folder / "out")


@pytest.fixture(scope="module")
def judge(corpus) -> Judge:
    return Judge(corpus.recipe, corpus.before.thresholds)


def test_a_text_is_judged_as_in_a_build(corpus, judge, texts, rows):
    """Of every filter the same value, and of all together the same reasons, as the build wrote them."""
    built = {row["id"]: row for part in ("data", "rejected") for row in rows(corpus.corpus, part)}
    assert len({reason for row in built.values() for reason in row.get("reasons") or ()}) >= 6
    for at, one in enumerate(judge.judge(texts, "zul")):
        row = built[str(at)]
        assert one.text == row["text"]
        for verdict in one.verdicts:
            if verdict.column in WHOLE:
                assert verdict.value is None
                assert verdict.passes
            else:
                assert verdict.value == pytest.approx(row[verdict.column], rel=1e-6)
        failed = [reason for reason in row.get("reasons") or () if "duplicate" not in reason]
        assert list(one.reasons) == failed


def test_bounds_are_those_of_the_corpus_and_else_of_the_recipe(corpus, judge):
    recipe = load_recipe("default")
    own = {one["reason"]: one for one in corpus.before.thresholds if one["language"] == "zul"}
    for verdict in judge.judge([ZULU], "zul")[0].verdicts:
        assert (verdict.least, verdict.most) == (
            own[verdict.reason].get("min"),
            own[verdict.reason].get("max"),
        )
    changed = Judge(corpus.recipe, [{**one, "min": 99.0, "max": 100.0} for one in corpus.before.thresholds])
    assert "too_short" in changed.judge([ZULU], "zul")[0].reasons
    english = {one.reason: one for one in changed.judge([ENGLISH], "eng")[0].verdicts}
    assert english["too_short"].least == recipe.filters[0].min == 4
    assert english["word_length"].most == 10


def test_the_language_is_identified_where_none_is_said(judge):
    one = judge.judge([ENGLISH])[0]
    assert (one.language, one.likeliest[0]) == ("eng", "eng")
    assert "wrong_language" not in one.reasons
    assert math.isclose(sum(one.probabilities.values()), 1, rel_tol=1e-4)
    said = judge.judge([ENGLISH], "zul")[0]
    assert (said.language, said.likeliest[0]) == ("zul", "eng")
    assert said.reasons[0] == "wrong_language"
    german = "Der kleine Junge geht jeden Morgen sehr früh zu Fuß in die Schule und freut sich darüber."
    assert judge.judge([german])[0].reasons[0] == "other_language"


def test_line_by_line_in_the_language_of_the_whole(judge):
    whole, lines = judge.line_by_line(f"{ZULU}\n\n{ZULU[:40]} izolo.\n{ENGLISH}\n12 34")
    assert whole.language == "zul"
    assert [one.language for one in lines] == ["zul"] * 4
    assert [one.likeliest[0] for one in lines[:3]] == ["zul", "zul", "eng"]
    assert lines[0].reasons == ()
    assert "wrong_language" in lines[2].reasons
    assert "many_digits" in lines[3].reasons
    assert judge.line_by_line("")[1] == []
    assert judge.line_by_line("")[0].reasons[0] == "empty"


def test_lines_of_a_text_in_another_language_are_judged_each_as_its_own(judge):
    german = "Der kleine Junge geht jeden Morgen sehr früh zu Fuß in die Schule und freut sich darüber."
    whole, lines = judge.line_by_line(f"{german} {german}\n{ZULU}\n{german}")
    assert whole.language == "other"
    assert [one.language for one in lines] == ["other", "zul", "other"]


def test_what_a_source_repeats_is_not_known_of_one_text(corpus):
    rule = Filter("repeated_by_source", "boilerplate_lines", max=0)
    recipe = replace(corpus.recipe, filters=(rule,))
    assert recipe.boilerplate
    for own, expected in ((recipe, None), (replace(recipe, boilerplate=None), 0)):
        (verdict,) = Judge(own, []).judge([f"{ZULU}\n" * 20], "zul")[0].verdicts
        assert verdict.value == expected
        assert verdict.passes


def test_missing_diacritics_by_the_rate_of_the_corpus(corpus):
    judge = Judge(corpus.recipe, corpus.before.thresholds, {"ven": 0.2})

    def said(text, code):
        own = judge.judge([text], code)[0].verdicts
        return next(one for one in own if one.column == "missing_diacritics")

    plain = "Vhathu vhothe vha bebwa vho vhofholowa nahone vha tshi lingana."
    assert said(plain, "ven").value == pytest.approx(0.2 * 52, abs=1)
    assert not said(plain, "ven").passes
    assert said(plain + " ḓ", "ven").value == 0
    assert said(plain, "zul").value is None
