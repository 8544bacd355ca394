"""What a build does to texts, and what it says of their sources."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgelm.corpus.build import build_corpus
from edgelm.corpus.recipe import Source, load_recipe
from edgelm.errors import BadInput

ZULU = "Umfana omncane uyahamba esikoleni namhlanje ekuseni."


def lines(path: Path, *texts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return path


def test_texts_are_repaired_redacted_and_freed_of_boilerplate_and_it_is_counted(tmp_path, build, prose, rows):
    bodies = prose(30, words=30)
    pages = [
        {"text": f"Home | News\nContact us today\n{body}\nAll rights reserved\nPrivacy policy"}
        for body in bodies
    ]
    pages[0]["text"] += "\n" + prose(1, 5)[0] + " Bhalela ku me@example.co.za noma 082 123 4567."
    pages[1]["text"] = pages[1]["text"].replace(
        bodies[1], bodies[1][:-1] + "&amp;wa.Kanti \u200bsi\x00pha cafÃ©."
    )
    lines(tmp_path / "in" / "web" / "zul.jsonl", *map(json.dumps, pages))
    manifest = build(tmp_path / "in", tmp_path / "out")
    texts = {row["id"]: row for row in rows(tmp_path / "out") + rows(tmp_path / "out", "rejected")}
    assert texts["web/zul.jsonl:5"]["text"] == bodies[4]
    assert texts["web/zul.jsonl:5"]["boilerplate_lines"] == 4
    assert "<email>" in texts["web/zul.jsonl:1"]["text"]
    assert "082" not in texts["web/zul.jsonl:1"]["text"]
    mended = texts["web/zul.jsonl:2"]["text"]
    assert "&wa. Kanti sipha café." in mended
    one = manifest["languages"]["zul"]
    assert one["redacted"] == {"email": 1, "phone": 1, "id": 0, "card": 0}
    assert {name: count for name, count in one["repaired"].items() if count} == {
        "mojibake": 1, "entities": 1, "control": 2, "joins": 1,
    }  # fmt: skip
    assert one["bytes"] == sum(len(row["text"].encode()) for row in rows(tmp_path / "out"))


def test_redaction_can_be_counted_only_or_be_off(tmp_path, build, rows):
    text = f"{ZULU} Bhalela ku me@example.co.za."
    lines(tmp_path / "zul.txt", text)
    for how, written, counted in (("tags", False, 1), ("count", True, 1), ("off", True, None)):
        one = build(tmp_path / "zul.txt", tmp_path / how, redact=how)["languages"]["zul"]
        assert one.get("redacted", {}).get("email") == counted
        assert (rows(tmp_path / how)[0]["text"] == text) is written


def test_without_repair_texts_stay_as_they_are(tmp_path, build, rows):
    text = "Umfana  omncane \t uyahamba&amp;e cafÃ©.\r\n\r\nNamhlanje ekuseni.Kusasa "
    lines(tmp_path / "zul.jsonl", json.dumps({"text": text}))
    options = {"repair": None, "redact": "off", "boilerplate": None, "filters": ()}
    build(tmp_path / "zul.jsonl", tmp_path / "out", **options)
    assert rows(tmp_path / "out")[0]["text"] == text


def test_a_word_that_a_line_break_divided_is_joined_where_it_is_known(tmp_path, build, rows, prose):
    """The whole words stand in another file of the same corpus; a hyphen that belongs there stays."""
    words = [word for text in prose(20, words=3) for word in text[:-1].lower().split()]
    lines(
        tmp_path / "in" / "a" / "zul.txt",
        *(f"{text[:-1]} {word}." for word in words for text in prose(9, words=4)),
    )
    broken = [
        f"{text[:-1]} {word[:4]}-{word[4:]} i-HIV." for word, text in zip(words, prose(60, 2), strict=True)
    ]
    lines(tmp_path / "in" / "b" / "zul.txt", *broken)
    manifest = build(tmp_path / "in", tmp_path / "out", near_duplicates=None, filters=())
    texts = {row["text"] for row in rows(tmp_path / "out") if row["id"].startswith("b/")}
    joined = {
        text.replace(f"{word[:4]}-", word[:4])
        for word, text in zip(words, broken, strict=True)
        if len(word) > 5
    }
    assert len(texts & joined) > 20
    assert all("i-HIV" in text for text in texts)
    assert manifest["languages"]["zul"]["repaired"]["hyphens"] >= len(texts & joined)


def test_evaluation_text_is_found_and_named(tmp_path, build, prose, rows):
    """A sentence of the test set inside a document, another one as the whole document; others stay."""
    texts = prose(20)
    held_out = prose(3, 9, words=14)
    lines(tmp_path / "zul.txt", *texts, f"{texts[0]} {held_out[0].upper()} {texts[1]}", held_out[1])
    lines(tmp_path / "sets" / "test.tsv", *(f"{sentence}\tnews" for sentence in held_out))
    lines(tmp_path / "sets" / "other.txt", *prose(3, 10, words=14))
    evaluation = (tmp_path / "sets" / "test.tsv", tmp_path / "sets" / "other.txt")
    manifest = build(tmp_path / "zul.txt", tmp_path / "out", evaluation=evaluation)
    assert manifest["languages"]["zul"]["rejected"] == {"contaminated": 2}
    found = rows(tmp_path / "out", "rejected")
    assert {row["id"] for row in found} == {"zul.txt:21", "zul.txt:22"}
    assert all(row["reason"] == "contaminated" and row["contaminated"] >= 1 for row in found)
    assert manifest["recipe"]["evaluation"] == ["test.tsv", "other.txt"]
    hits = {Path(str(one["file"])).name: (one["items"], one["hit"]) for one in manifest["contamination"]}
    assert hits == {"test.tsv": (3, 2), "other.txt": (3, 0)}
    assert "test.tsv" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert str(tmp_path) not in json.dumps(manifest), "where the files lie is nobody's business"
    lines(tmp_path / "sets" / "test.tsv", "something else altogether that nobody says")
    again = build(tmp_path / "zul.txt", tmp_path / "out", evaluation=evaluation)
    assert again["kept"] == 22, "another evaluation file is another input"


def test_terms_of_the_sources_travel_to_manifest_and_card(tmp_path, prose):
    for number, name in enumerate(("a", "b")):
        lines(tmp_path / name / "zul.txt", *prose(20, number))
    terms = {"licence": "CC BY 4.0", "attribution": "Radio | Zulu <b>", "genre": "news"}
    recipe = replace(
        load_recipe(tmp_path / "a"),
        identify=False,
        sources=(Source(tmp_path / "a", name="radio", **terms), Source(tmp_path / "b", language="xho")),
    )
    manifest = build_corpus(recipe, tmp_path / "out")
    assert manifest["terms"] == {
        "radio": terms, "b": dict.fromkeys(("licence", "attribution", "genre"), "not stated"),
    }  # fmt: skip
    assert {name: one["documents"] for name, one in manifest["sources"].items()} == {"radio": 20, "b": 20}
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "* radio: licence CC BY 4.0; attribution: Radio \\| Zulu &lt;b&gt;" in card
    (row,) = [line for line in card.splitlines() if line.startswith("| radio |")]
    assert row.endswith("| news | CC BY 4.0 |")
    other = replace(recipe.sources[0], licence="CC BY-SA 4.0")
    again = build_corpus(replace(recipe, sources=(other, recipe.sources[1])), tmp_path / "out")
    assert again["terms"]["radio"]["licence"] == "CC BY-SA 4.0", "other terms are another corpus"


def test_two_sources_of_one_name_and_other_terms_are_refused(tmp_path, prose):
    for number, name in enumerate(("a/web", "b/web")):
        lines(tmp_path / name / "zul.txt", *prose(20, number))
    sources = tuple(Source(tmp_path / name / "web", licence=f"licence of {name}") for name in "ab")
    recipe = replace(load_recipe(tmp_path / "a"), identify=False, sources=sources)
    with pytest.raises(BadInput, match=r"two sources .*'web'.* Give one of them another name"):
        build_corpus(recipe, tmp_path / "out")
    same = tuple(replace(one, licence="CC0") for one in sources)
    manifest = build_corpus(replace(recipe, sources=same), tmp_path / "out")
    assert manifest["terms"]["web"]["licence"] == "CC0"
    assert manifest["kept"] == 40


def test_ids_are_of_one_document_each(tmp_path, prose, rows):
    """The same file name in two sources."""
    for number, name in enumerate(("radio", "web")):
        lines(tmp_path / name / "zul.txt", *prose(20, number))
    recipe = replace(
        load_recipe(tmp_path / "radio"), identify=False,
        sources=tuple(Source(tmp_path / name) for name in ("radio", "web")),
    )  # fmt: skip
    build_corpus(recipe, tmp_path / "out")
    assert len({row["id"] for row in rows(tmp_path / "out")}) == 40
