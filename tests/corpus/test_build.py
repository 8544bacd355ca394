import json
import os
from collections import Counter, defaultdict
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from edgelm import resources
from edgelm.corpus import build as build_module
from edgelm.corpus.build import build_corpus
from edgelm.corpus.readers import COMPRESSIONS, FORMATS
from edgelm.corpus.recipe import SplitRule, load_recipe
from edgelm.corpus.statistics import measure, text_key
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
    assert list(kept) == ["id", "text", "language", "source", *asdict(measure("")), "split"]
    assert {name: kept[name] for name in ("id", "text", "language", "source")} == {
        "id": "radio/zul.txt:1", "text": ZULU, "language": "zul", "source": "radio",
    }  # fmt: skip
    assert {name: kept[name] for name in asdict(measure(""))} == pytest.approx(asdict(measure(ZULU)))
    (rejected,) = rows(tmp_path / "out", "rejected")
    assert list(rejected) == [*list(kept)[:-1], "reason"]
    assert (rejected["id"], rejected["text"], rejected["reason"]) == ("radio/zul.txt:2", "kwa", "too_short")
    assert manifest["sources"] == {"radio": {"documents": 2, "kept": 1, "bytes": len(ZULU)}}
    one = manifest["languages"]["zul"]
    assert (one["documents"], one["kept"], one["words"], one["bytes"]) == (2, 1, 6, len(ZULU))
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
    lines(tmp_path / "in" / "xho.jsonl", *map(json.dumps, [*records, {"text": "Kakhulu namhlanje " + ZULU}]))
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


# filters

DOCUMENTS = {  # one document in English for each reason
    "too_short": "One two three four.",
    "too_long": "ab " * 100_001,
    "word_length": "a b c d e f g",
    "few_letters": "1234 +++ 5678 ... hello",
    "many_digits": "a1234567 b2345678 c3456789 d4567890 e5678901",
    "capitals": "THE SMALL BOY WALKS to school",
    "repeated_lines": "\n".join(
        ["the boy walks to school", "the girl walks to town"] + ["the end of it"] * 3
    ),
    "repetitive": "the small boy walks to school and " * 40,
}


@pytest.mark.parametrize("reason", DOCUMENTS)
def test_each_filter_gives_its_reason(tmp_path, build, rows, reason):
    records = [{"text": ENGLISH}, {"text": DOCUMENTS[reason]}]
    lines(tmp_path / "in" / "eng.jsonl", *map(json.dumps, records))
    assert build(tmp_path / "in", tmp_path / "out")["languages"]["eng"]["rejected"] == {reason: 1}
    (row,) = rows(tmp_path / "out", "rejected")
    assert row["text"] == DOCUMENTS[reason].strip()


def test_there_is_a_document_for_every_filter():
    assert [one.reason for one in load_recipe("default").filters] == list(DOCUMENTS)


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
    lines(tmp_path / "in" / "zul.txt", text, ZULU)
    lines(tmp_path / "in" / "tsn.txt", text, ENGLISH)
    recipe = replace(load_recipe(tmp_path / "in"), validation=SplitRule(0, 0), test=SplitRule(0, 0))
    languages = build_corpus(recipe, tmp_path / "out")["languages"]
    expected = {
        "zul": {} if conjunctive is None else {conjunctive: 1},
        "tsn": {} if disjunctive is None else {disjunctive: 1},
    }
    if conjunctive is None and disjunctive is None:
        expected["zul"] = {"duplicate": 1}
    assert {code: one["rejected"] for code, one in languages.items()} == expected


def test_bounds_include_their_ends(tmp_path, build, rows):
    a_fifth_digits = "abc1 def2 ghi3 jkl4 mno5x"
    lines(tmp_path / "in" / "eng.txt", "the boy walks to school", "the boy walks home", a_fifth_digits)
    lines(tmp_path / "in" / "zul.txt", "aaa bbb cccc", "aaaa bbb cccc ddd")
    languages = build(tmp_path / "in", tmp_path / "out")["languages"]
    assert languages["eng"]["rejected"] == {"too_short": 1}
    assert languages["zul"]["rejected"] == {"word_length": 1}
    assert {row["text"] for row in rows(tmp_path / "out")} == {
        "the boy walks to school", a_fifth_digits, "aaaa bbb cccc ddd",
    }  # fmt: skip


# duplicates and splits


def test_duplicates_go_before_splitting_and_the_first_stays(tmp_path, prose, write_file, build, rows):
    texts = prose(300)
    copies = [text.upper().replace(" ", "  ").replace(".", "!? 7") for text in texts]
    write_file(tmp_path / "in" / "a" / "zul.jsonl", [{"text": text} for text in texts])
    write_file(tmp_path / "in" / "b" / "zul.jsonl", [{"text": text, "split": "test"} for text in copies])
    write_file(tmp_path / "in" / "c" / "xho.txt.gz", [{"text": text} for text in texts])
    recipe = load_recipe(tmp_path / "in")
    recipe = replace(recipe, filters=tuple(one for one in recipe.filters if one.reason != "capitals"))
    manifest = build_corpus(recipe, tmp_path / "out")
    assert manifest["languages"]["zul"]["rejected"] == {"duplicate": 300}
    assert manifest["languages"]["xho"]["rejected"] == {"duplicate": 300}
    kept = rows(tmp_path / "out")
    assert {row["text"] for row in kept} == set(texts)
    splits: dict[str, set[int]] = defaultdict(set)
    for row in kept:
        splits[row["split"]].add(text_key(row["text"]))
    assert sorted(splits) == ["test", "train", "validation"]
    assert sum(map(len, splits.values())) == 300, "no text is in two splits"


def test_a_rejected_document_does_not_make_a_later_one_a_duplicate(tmp_path, build, rows):
    lines(tmp_path / "in" / "eng.txt", ENGLISH.upper(), ENGLISH)
    build(tmp_path / "in", tmp_path / "out")
    assert [row["text"] for row in rows(tmp_path / "out")] == [ENGLISH]


def test_splits_have_about_their_share_and_never_more_than_their_bytes(tmp_path, prose, write_file):
    for seed, code in enumerate(("zul", "eng")):
        write_file(tmp_path / "in" / f"{code}.txt", [{"text": text} for text in prose(3000, seed)])
    recipe = load_recipe(tmp_path / "in")
    wide, narrow = SplitRule(0.1, 10**9), SplitRule(0.1, 2000)
    free = build_corpus(replace(recipe, test=wide, validation=wide), tmp_path / "free")["languages"]
    capped = build_corpus(replace(recipe, test=narrow, validation=narrow), tmp_path / "capped")["languages"]
    for code in ("zul", "eng"):
        for name in ("test", "validation"):
            assert 0.08 < free[code]["splits"][name]["documents"] / 3000 < 0.12
            assert 1800 < capped[code]["splits"][name]["bytes"] <= 2000
        assert sum(one["documents"] for one in capped[code]["splits"].values()) == 3000


def test_a_text_stays_in_its_split_when_others_come(tmp_path, prose, write_file, build, rows):
    texts = prose(400)
    write_file(tmp_path / "in" / "zul.txt", [{"text": text} for text in texts[:200]])
    build(tmp_path / "in", tmp_path / "one")
    write_file(tmp_path / "in" / "zul.txt", [{"text": text} for text in texts[::-1]])
    build(tmp_path / "in", tmp_path / "two")
    before = {row["text"]: row["split"] for row in rows(tmp_path / "one")}
    after = {row["text"]: row["split"] for row in rows(tmp_path / "two")}
    assert before.items() <= after.items()
    assert set(before.values()) == {"train", "validation", "test"}


def test_an_explicit_split_is_honoured(tmp_path, prose, write_file, build, rows):
    texts = prose(90)
    names = ("train", "validation", "test")
    write_file(
        tmp_path / "in" / "zul.parquet",
        [{"text": text, "split": names[number % 3]} for number, text in enumerate(texts)],
    )
    build(tmp_path / "in", tmp_path / "out")
    found = {row["text"]: row["split"] for row in rows(tmp_path / "out")}
    assert found == {text: names[number % 3] for number, text in enumerate(texts)}
    for name in names:
        shard = tmp_path / "out" / "data" / "zul" / f"{name}-00000.parquet"
        assert shard.is_file()


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


@pytest.fixture(scope="module")
def large(tmp_path_factory, prose, write_file) -> Path:
    """More than 2 MB in four files, so that processes are started."""
    folder = tmp_path_factory.mktemp("large") / "texts"
    for seed, code in enumerate(("afr", "eng", "xho", "zul")):
        records = [{"text": text} for text in prose(1100, seed, words=80)]
        write_file(folder / f"{code}.jsonl", records)
    assert sum(file.stat().st_size for file in folder.iterdir()) > 2_000_000
    return folder


def test_two_builds_and_one_or_two_workers_give_the_same_bytes(tmp_path, large, build, content, monkeypatch):
    started = []
    pool = build_module.ProcessPoolExecutor

    def counted(workers, *options):
        started.append(workers)
        return pool(workers, *options)

    monkeypatch.setattr(build_module, "ProcessPoolExecutor", counted)
    monkeypatch.setattr(build_module, "usable_cores", lambda: 2)
    build(large, tmp_path / "two")
    monkeypatch.setattr(build_module, "usable_cores", lambda: 1)
    build(large, tmp_path / "one")
    assert started == [2]
    one, two = content(tmp_path / "one"), content(tmp_path / "two")
    assert list(one) == list(two)
    assert all(one[name] == two[name] for name in one)
    assert len(one) > 8


def test_a_bad_file_among_good_ones_is_named_by_a_worker_too(tmp_path, large, build, monkeypatch):
    monkeypatch.setattr(build_module, "usable_cores", lambda: 2)
    source = tmp_path / "in"
    source.mkdir()
    for file in large.iterdir():
        os.link(file, source / file.name)
    (source / "tso.txt.gz").write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(BadInput) as caught:
        build(source, tmp_path / "out")
    assert str(caught.value).startswith(f"{source / 'tso.txt.gz'}: the compressed data is damaged")
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == ["in"]


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
    with pytest.raises(BadInput, match="no document was kept of 0"):
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
    assert stories["kept"] > 0.9 * stories["documents"], "clean stories stay"
    kept = rows(tmp_path / "out")
    assert len({text_key(row["text"]) for row in kept}) == len(kept) == manifest["kept"]
    assert any("ḓ" in row["text"] for row in kept if row["language"] == "ven")


def test_a_small_corpus_has_something_held_out(tmp_path):
    """3 % of twelve documents is none, and a model could not be measured."""
    (tmp_path / "zul.txt").write_text(
        "".join(f"Namhlanje {word} ihambe esikoleni ekuseni kakhulu\n" for word in "abcdefghijkl"),
        encoding="utf-8",
    )
    manifest = build_corpus(load_recipe(tmp_path / "zul.txt"), tmp_path / "out")
    held_out = {name: one["documents"] for name, one in manifest["languages"]["zul"]["splits"].items()}
    assert held_out == {"train": 10, "validation": 1, "test": 1}


def test_a_guessed_language_is_said_to_be_one(tmp_path):
    """Nothing says the language of the first file; the second one's name does."""
    (tmp_path / "stories.txt").write_text(ZULU + "\n", encoding="utf-8")
    (tmp_path / "xho.txt").write_text("Namhlanje abantwana baye esikolweni kusasa\n", encoding="utf-8")
    manifest = build_corpus(load_recipe(tmp_path), tmp_path / "out")
    assert (manifest["documents"], manifest["guessed"]) == (2, 1)
