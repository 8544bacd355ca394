import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from edgelm import resources
from edgelm.corpus.build import build_corpus
from edgelm.corpus.files import COMPRESSIONS, FORMATS
from edgelm.corpus.recipe import Filter, load_recipe
from edgelm.corpus.statistics import text_keys
from edgelm.errors import BadInput

EVERY = [kind + packed for kind in FORMATS for packed in COMPRESSIONS]
ZULU = "Umfana omncane uyahamba esikoleni namhlanje ekuseni."
ENGLISH = "The small boy walks to his school early in the morning."


def lines(path: Path, *texts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return path


def test_all_formats_and_compressions_in_one_folder(tmp_path, write_file, prose, build, rows):
    texts = prose(len(EVERY) * 3)
    for number, ending in enumerate(EVERY):
        part = texts[number * 3 : number * 3 + 3]
        write_file(tmp_path / "in" / f"zul-{number}{ending}", [{"text": text} for text in part])
    manifest = build(tmp_path / "in", tmp_path / "out")
    assert (manifest["documents"], manifest["kept"]) == (len(texts), len(texts))
    assert {row["text"] for row in rows(tmp_path / "out")} == set(texts)


def test_a_row_holds_text_origin_and_what_was_measured(tmp_path, build, rows):
    lines(tmp_path / "in" / "radio" / "zul.txt", "  " + ZULU.replace(" ", "\t"), "kwa")
    manifest = build(tmp_path / "in", tmp_path / "out")
    (kept,) = rows(tmp_path / "out")
    expected = {
        "id": "radio/zul.txt:1", "text": ZULU, "language": "zul", "source": "radio",
        "claimed": None, "reading": None, "words": 6, "read_words": 6, "bytes": len(ZULU), "letters": 46,
        "read_bytes": len(ZULU) + 2, "lines": 1, "digits": 0, "cluster": 0, "cluster_size": 1, "row": 0,
    }  # fmt: skip
    assert expected.items() <= kept.items()
    assert {one.column for one in load_recipe("default").filters} - {
        "missing_diacritics",
        "source_placeholders",
    } <= {*kept}
    (rejected,) = rows(tmp_path / "out", "rejected")
    assert (rejected["id"], rejected["text"], rejected["reason"]) == ("radio/zul.txt:2", "kwa", "too_short")
    assert rejected["reasons"] == ["too_short", "word_length"]
    assert manifest["sources"] == {
        "radio": {"documents": 2, "kept": 1, "bytes": len(ZULU), "languages": {"zul": [2, 1, len(ZULU)]}}
    }
    one = manifest["languages"]["zul"]
    assert (one["documents"], one["kept"], one["words"], one["bytes"]) == (2, 1, 6, len(ZULU))
    assert one["read"] == {"words": 7, "bytes": len(ZULU) + 2 + 3}
    assert one["rejected"] == {"too_short": 1}
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest


def test_bad_records_of_a_good_file_are_kept_aside_and_stop_nothing(tmp_path, build, rows):
    path = lines(
        tmp_path / "in" / "zul.jsonl", json.dumps({"text": ZULU}), "[1]", '{"title": "x"}', "{not json"
    )
    path.write_bytes(path.read_bytes() + b'{"text": "caf\xe9"}\n' + rb'{"text": "\ud800 kwa \udfff"}' + b"\n")
    manifest = build(tmp_path / "in", tmp_path / "out")
    reasons = {
        "bad record: no text in the field 'text'": 1,
        "bad record: not JSON": 1,
        "bad record: not UTF-8": 1,
        "bad record: not an object": 1,
        "too_short": 1,
    }
    assert manifest["languages"]["zul"]["rejected"] == reasons
    assert (manifest["documents"], manifest["kept"]) == (6, 1)
    aside = {row["id"]: row for row in rows(tmp_path / "out", "rejected")}
    assert Counter(row["reason"] for row in aside.values()) == reasons
    assert aside["zul.jsonl:2"]["text"] == "[1]"
    assert aside["zul.jsonl:4"]["text"] == "{not json"
    assert aside["zul.jsonl:6"]["text"] == "kwa"
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert all(word in report for word in ("bad record: not JSON", "bad record: not UTF-8", "{not json"))


# language: from the record, else from the names, else from the option, else from the text


def test_language_from_the_field_before_the_name(tmp_path, build):
    records = [{"text": text, "language": name} for text, name in ((ZULU, "zu"), (ENGLISH, "English"))]
    lines(
        tmp_path / "in" / "xho.jsonl",
        *map(json.dumps, [*records, {"text": "Abantwana badlala ibhola enkundleni yesikole njalo emini."}]),
    )
    manifest = build(tmp_path / "in", tmp_path / "out", language="tsn")
    assert {code: one["kept"] for code, one in manifest["languages"].items()} == {
        "eng": 1,
        "xho": 1,
        "zul": 1,
    }


def test_language_from_file_and_folder_names(tmp_path, prose, build):
    texts = prose(4)
    for name, text in zip(("zu.txt", "Xitsonga/a.txt", "tsn/eng/b.txt", "news.afr.txt"), texts, strict=True):
        lines(tmp_path / "in" / name, text)
    manifest = build(tmp_path / "in", tmp_path / "out", language="nso")
    assert sorted(manifest["languages"]) == ["afr", "eng", "tso", "zul"]


def test_language_from_the_option_where_nothing_else_says_it(tmp_path, build):
    lines(tmp_path / "in" / "a.txt", ENGLISH)
    assert list(build(tmp_path / "in", tmp_path / "out", language="Setswana")["languages"]) == ["tsn"]


def test_language_from_identification(tmp_path, build, rows):
    texts = {}
    for code in ("eng", "zul", "tso", "ven"):
        sample = resources.path("corpus", "sample", f"{code}.jsonl").read_text(encoding="utf-8").splitlines()
        texts[code] = next(one["text"] for one in map(json.loads, sample) if one["split"] == "test")
    lines(tmp_path / "in" / "mixed.txt", *texts.values())
    build(tmp_path / "in", tmp_path / "out")
    assert {row["language"]: row["text"] for row in rows(tmp_path / "out")} == texts


def test_an_unknown_language_in_a_field_is_a_reason_to_reject(tmp_path, build, rows):
    records = [{"text": ZULU, "language": "zul"}, {"text": ENGLISH, "language": "tlh"}, {"text": "", "id": 5}]
    lines(tmp_path / "in" / "a.jsonl", *map(json.dumps, records))
    manifest = build(tmp_path / "in", tmp_path / "out")
    assert manifest["languages"]["unknown"]["rejected"] == {"empty": 1, "unknown language: tlh": 1}
    assert [row["text"] for row in rows(tmp_path / "out")] == [ZULU]


def test_an_unknown_language_as_option(tmp_path, build):
    lines(tmp_path / "in" / "a.txt", ZULU)
    with pytest.raises(BadInput, match="unknown language 'tlh'"):
        build(tmp_path / "in", tmp_path / "out", language="tlh")
    assert not (tmp_path / "out").exists()


def test_bounds_include_their_ends(tmp_path, build, rows):
    a_fifth_digits = "abc1 def2 ghi3 jkl4 mno5x"
    lines(tmp_path / "in" / "eng.txt", "the boy walks to school", "the boy walks home", a_fifth_digits)
    lines(tmp_path / "in" / "zul.txt", "aaa bbb cccc", "aaaa bbb cccc ddd")
    filters = (
        Filter("too_short", "lettered_words", min=5, conjunctive={"min": 3}),
        Filter("word_length", "mean_word_length", min=2.5, conjunctive={"min": 3.5}),
        Filter("many_digits", "digits", max=0.2),
    )
    languages = build(tmp_path / "in", tmp_path / "out", filters=filters)["languages"]
    assert languages["eng"]["rejected"] == {"too_short": 1}
    assert languages["zul"]["rejected"] == {"word_length": 1}
    assert {row["text"] for row in rows(tmp_path / "out")} == {
        "the boy walks to school", a_fifth_digits, "aaaa bbb cccc ddd",
    }  # fmt: skip


def test_the_embedded_sample_keeps_its_splits(tmp_path, build, rows):
    build("sample", tmp_path / "out")
    told = {}
    for path in resources.path("corpus", "sample").glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            told[one["language"], one["id"]] = one["split"]
    found = {(row["language"], row["id"]): row["split"] for row in rows(tmp_path / "out")}
    assert found == told


# the same bytes


def test_where_the_folders_lie_does_not_matter(tmp_path, prose, write_file, build, content):
    for place in ("one", "other/deep"):
        write_file(tmp_path / place / "texts" / "zul.txt", [{"text": text} for text in prose(100)])
        build(tmp_path / place / "texts", tmp_path / place / "corpus")
    assert content(tmp_path / "one" / "corpus") == content(tmp_path / "other" / "deep" / "corpus")
    before = written(tmp_path / "one" / "corpus")
    build(tmp_path / "other" / "deep" / "texts", tmp_path / "one" / "corpus")
    assert written(tmp_path / "one" / "corpus") == before, "the same files from elsewhere are no other input"


# what is done again


def written(folder: Path) -> float:
    return (folder / "edgelm.json").stat().st_mtime_ns


def test_a_finished_build_is_done_again_only_for_other_inputs_or_settings(tmp_path, prose, write_file, build):
    source, output = tmp_path / "in", tmp_path / "out"
    write_file(source / "zul.txt", [{"text": text} for text in prose(20)])
    write_file(source / "xho.txt", [{"text": text} for text in prose(30, 1)])
    build(source, output)
    times = [written(output)]

    def changed() -> bool:
        times.append(written(output))
        return times[-1] != times[-2]

    build(source, output)
    assert not changed()
    os.utime(source / "zul.txt")
    build(source, output)
    assert not changed(), "another time of change, the same bytes"
    write_file(source / "zul.txt", [{"text": text} for text in prose(21)])
    assert build(source, output)["documents"] == 51
    assert changed()
    build_corpus(replace(load_recipe(source), text_field="body"), output)
    assert changed()
    recipe = load_recipe(source)
    filters = (replace(recipe.filters[0], min=9, conjunctive={}), *recipe.filters[1:])
    with pytest.raises(BadInput, match=r"no document was kept of 51 \(too_short 51\)"):
        build_corpus(replace(recipe, filters=filters), output)
    assert not changed(), "the good corpus stays"
    build(source, output)
    assert changed()
    (output / "data" / "zul" / "train-00000.parquet").unlink()
    build(source, output)
    assert changed(), "a file of the output was gone"
    assert (output / "data" / "zul" / "train-00000.parquet").is_file()


def test_files_that_swap_their_names_are_other_inputs(tmp_path, prose, write_file, build):
    source = tmp_path / "in"
    write_file(source / "zul.txt", [{"text": text} for text in prose(20)])
    write_file(source / "xho.txt", [{"text": text} for text in prose(30, 1)])
    build(source, tmp_path / "out")
    (source / "zul.txt").rename(source / "a")
    (source / "xho.txt").rename(source / "zul.txt")
    (source / "a").rename(source / "xho.txt")
    assert build(source, tmp_path / "out")["languages"]["zul"]["documents"] == 30


def test_an_output_inside_the_source_is_not_read(tmp_path, prose, write_file, build):
    source = tmp_path / "in"
    write_file(source / "zul.txt", [{"text": text} for text in prose(20)])
    assert build(source, source / "corpus")["documents"] == 20
    before = written(source / "corpus")
    assert build(source, source / "corpus")["documents"] == 20
    assert written(source / "corpus") == before


@pytest.mark.parametrize("name", ["zul.txt", "zul.txt.gz", "zul.jsonl"])
def test_an_empty_corpus_says_so(tmp_path, build, write_file, name):
    write_file(tmp_path / "in" / name, [])
    problem = "no document was kept of 0" if name.endswith(".gz") else "but empty ones"
    with pytest.raises(BadInput, match=problem):
        build(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / ".out.partial").exists()


@pytest.mark.skipif("EDGELM_DATA" not in os.environ, reason="EDGELM_DATA names no folder with real text")
def test_real_text(tmp_path, build, rows):
    """Sentences, documents and web pages in three of the real sources, under three seconds."""
    raw = Path(os.environ["EDGELM_DATA"]) / "raw"
    for source, name in (
        ("tatoeba", "afr.txt.xz"), ("tatoeba", "xho.txt.xz"), ("asp_african_storybook", "ven.jsonl.xz"),
        ("asp_african_storybook", "nbl.jsonl.xz"), ("lingua_leipzig", "tso.txt.xz"),
        ("libreoffice_l10n", "tsn.txt.xz"),
    ):  # fmt: skip
        (tmp_path / "in" / source).mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / source / name).symlink_to(raw / source / name)
    manifest = build(tmp_path / "in", tmp_path / "out")
    assert sorted(manifest["languages"]) == ["afr", "nbl", "tsn", "tso", "ven", "xho"]
    assert sorted(manifest["sources"]) == [
        "asp_african_storybook", "libreoffice_l10n", "lingua_leipzig", "tatoeba",
    ]  # fmt: skip
    stories = manifest["sources"]["asp_african_storybook"]
    assert stories["kept"] > 0.8 * stories["documents"], "clean stories stay, those without any ḓ go"
    kept = rows(tmp_path / "out")
    assert len(set(text_keys([row["text"] for row in kept]).tolist())) == len(kept) == manifest["kept"]
    assert any("ḓ" in row["text"] for row in kept if row["language"] == "ven")


def test_a_small_corpus_has_something_held_out(tmp_path, build, prose):
    """3 % of twelve documents is none, and a model could not be measured."""
    lines(tmp_path / "zul.txt", *prose(12))
    manifest = build(tmp_path / "zul.txt", tmp_path / "out")
    held_out = {name: one["documents"] for name, one in manifest["languages"]["zul"]["splits"].items()}
    assert held_out == {"train": 10, "validation": 1, "test": 1}


def test_a_guessed_language_is_said_to_be_one(tmp_path):
    """Nothing says the language of the first file; the second one's name does."""
    (tmp_path / "stories.txt").write_text(ZULU + "\n", encoding="utf-8")
    (tmp_path / "xho.txt").write_text("Namhlanje abantwana baye esikolweni kusasa\n", encoding="utf-8")
    manifest = build_corpus(load_recipe(tmp_path), tmp_path / "out")
    assert (manifest["documents"], manifest["guessed"]) == (2, 1)
