"""The filters of the default recipe in whole builds: one document for each reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgelm import resources
from edgelm.corpus.recipe import Filter, load_recipe

ENGLISH = "The small boy walks to his school early in the morning."
DOCUMENTS = {
    "too_short": "One two.",
    "too_long": "ab " * 100_001,
    "word_length": "a b c d e f g h",
    "few_letters": "1234 5678 9012 3456 7890 1234 5678 hello there small boys walk",
    "many_digits": "abc12 def34 ghi56 jkl78 mno90",
    "capitals": "THE SMALL BOY WALKS to school",
    "foreign_letters": "The small мальчик идёт в школу early",
    "list": "\n".join(["the small boy", "walks to school", "early in the morning", "with his sister"]),
    "repeated_lines": "\n".join(
        ["the boy walks to school.", "the girl walks to town."] + ["the end of the day."] * 3
    ),
    "repetitive": "the small boy walks to school and " * 40,
}
ELSEWHERE = {"wrong_language", "mixed_languages", "interface_strings", "stripped_diacritics", "contaminated"}


@pytest.fixture(scope="module")
def one_of_each(tmp_path_factory, build) -> tuple[dict[str, Any], Path]:
    folder: Path = tmp_path_factory.mktemp("reasons")
    texts = [ENGLISH, *DOCUMENTS.values()]
    (folder / "eng.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return build(folder / "eng.jsonl", folder / "out"), folder / "out"


@pytest.mark.parametrize("reason", DOCUMENTS)
def test_each_filter_gives_its_reason(one_of_each, rows, reason):
    manifest, corpus = one_of_each
    assert manifest["languages"]["eng"]["rejected"] == dict.fromkeys(sorted(DOCUMENTS), 1)
    (found,) = [one for one in rows(corpus, "rejected") if one["reason"] == reason]
    assert found["text"] == DOCUMENTS[reason].strip()
    assert found["reasons"][0] == reason


def test_there_is_a_document_for_every_filter():
    assert {one.reason for one in load_recipe("default").filters} == {*DOCUMENTS, *ELSEWHERE}


def test_every_failed_filter_is_counted_and_recorded(one_of_each, rows):
    manifest, corpus = one_of_each
    failed = manifest["languages"]["eng"]["failed"]
    for reason in {one.reason for one in load_recipe("default").filters}:
        assert failed[reason] == sum(reason in one["reasons"] for one in rows(corpus, "rejected"))
    (digits,) = [one for one in rows(corpus, "rejected") if one["reason"] == "few_letters"]
    assert digits["reasons"] == ["few_letters", "many_digits"]


def sample_texts(code: str) -> list[str]:
    path = resources.path("corpus", "sample", f"{code}.jsonl")
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_wrong_language_and_mixed_lines_are_found(tmp_path, build, rows):
    """English said to be isiZulu, and a document of isiZulu that is half English."""
    zulu, english = sample_texts("zul"), sample_texts("eng")
    mixed = f"{zulu[0]}\n{english[0]}\n{zulu[1]}\n{english[1]}\n{english[4]}"
    texts = [*zulu[2:6], english[2], english[3], mixed]
    path = tmp_path / "zul.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    manifest = build(path, tmp_path / "out", identify=True)
    found = {one["text"]: one for one in rows(tmp_path / "out", "rejected")}
    assert set(found) == {english[2], english[3], mixed}
    assert [found[text]["reason"] for text in english[2:4]] == ["wrong_language"] * 2
    assert "mixed_languages" in found[mixed]["reasons"]
    assert 0.3 < found[mixed]["foreign_lines"] < 0.9
    assert found[english[2]]["language_probability"] < 0.1
    assert all(one["language_probability"] > 0.5 for one in rows(tmp_path / "out"))
    assert manifest["confusion"]["zul"]["eng"] >= 2
    assert manifest["confusion"]["zul"]["zul"] >= 4


def test_interface_strings_and_stripped_diacritics_in_a_build(tmp_path, build, prose, write_file):
    strings = [text if place % 20 else f"{text[:-1]} %s {text}" for place, text in enumerate(prose(60))]
    write_file(tmp_path / "in" / "app" / "zul.txt", [{"text": text} for text in strings])
    write_file(tmp_path / "in" / "radio" / "zul.txt", [{"text": text} for text in prose(60, 1)])
    marked = [text.replace("d", "ḓ") for text in prose(60, 2)]
    stripped = prose(1, 3, words=80)
    write_file(tmp_path / "in" / "radio" / "ven.txt", [{"text": text} for text in [*marked, *stripped]])
    manifest = build(tmp_path / "in", tmp_path / "out")
    assert manifest["languages"]["zul"]["rejected"] == {"interface_strings": 60}
    assert manifest["languages"]["ven"]["rejected"] == {"stripped_diacritics": 1}


@pytest.mark.parametrize(
    ("text", "conjunctive", "disjunctive"),
    [
        ("ngiyahamba namhlanje ekuseni", None, "too_short"),
        ("ngiyahamba namhlanje", "too_short", "too_short"),
        ("ke ya kwa ga go tsa bo lo", "word_length", "word_length"),
        ("ke tla kwa gae ka go bua", "word_length", None),
        ("ngokungenakuphikiswa singabathandayo asisoze sabalahla nangomuso", None, "word_length"),
    ],
)
def test_conjunctive_languages_are_measured_against_their_own_bounds(
    tmp_path, build, text, conjunctive, disjunctive
):
    for code, other in (("zul", "Umfana omncane uyahamba esikoleni namhlanje ekuseni."), ("tsn", ENGLISH)):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{code}.txt").write_text(f"{text}\n{other}\n")
    filters = (
        Filter("too_short", "lettered_words", min=5, conjunctive={"min": 3}),
        Filter("word_length", "mean_word_length", min=2.3, max=10, conjunctive={"min": 3.5, "max": 14}),
    )
    languages = build(tmp_path / "in", tmp_path / "out", filters=filters)["languages"]
    found = {code: list(one["rejected"]) for code, one in languages.items()}
    assert found == {
        "zul": [conjunctive] if conjunctive else [],
        "tsn": [disjunctive] if disjunctive else [],
    }


def test_a_rejected_document_does_not_make_a_later_one_a_duplicate(tmp_path, build, rows):
    (tmp_path / "eng.txt").write_text(f"{ENGLISH.upper()}\n{ENGLISH}\n")
    build(tmp_path / "eng.txt", tmp_path / "out")
    assert [one["text"] for one in rows(tmp_path / "out")] == [ENGLISH]


def test_without_the_filter_the_column_stays(tmp_path, build, rows):
    """A column is there for every document, whatever the filters are."""
    (tmp_path / "eng.txt").write_text(f"{ENGLISH}\nOne two\n")
    recipe = load_recipe("default")
    build(tmp_path / "eng.txt", tmp_path / "out", filters=recipe.filters[:1])
    one, two = rows(tmp_path / "out") + rows(tmp_path / "out", "rejected")
    assert (one["words"], two["words"]) == (11, 2)
    assert one["digits"] == two["digits"] == 0
