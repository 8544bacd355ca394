import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgelm.corpus.build import build_corpus
from edgelm.corpus.recipe import Filter, Proposal, load_recipe
from edgelm.corpus.report import read_manifest
from edgelm.corpus.sample import sample
from edgelm.corpus.shards import languages_of, read_texts
from edgelm.corpus.tune import Tuning
from edgelm.errors import BadInput


@pytest.fixture(scope="module")
def source(tmp_path_factory, prose, write_file) -> Path:
    """Sentences of 2 to 11 words in three languages; near-duplicates, bad records, claimed splits."""
    folder: Path = tmp_path_factory.mktemp("tune") / "in"
    for seed, code in enumerate(("eng", "xho", "zul")):
        records: list[dict[str, Any]] = []
        for words in range(2, 12):
            records += [{"text": text} for text in prose(60, seed * 100 + words, words=words)]
        longest = [one["text"] for one in records[-20:]]
        records += [{"text": text.replace(".", " ka."), "split": "test"} for text in longest[:10]]
        records += [{"text": text.upper()} for text in longest[10:]]
        records += [{"text": f"{text} 12345678901234567890"} for text in longest[:3]]
        records += [{"text": "kwa", "language": "tlh"}, {"text": ""}]
        write_file(folder / str(seed) / f"{code}.jsonl", records)
    (folder / "0" / "eng.txt").write_bytes(b"caf\xe9\nthe small boy walks to his school early\n")
    return folder


@pytest.fixture(scope="module")
def recipe(source):
    found = load_recipe(source)
    long = Filter("long", "words", max=Proposal(0.95, (5, 40), 40))
    return replace(found, identify=False, filters=(*found.filters, long))


@pytest.fixture(scope="module")
def corpus(source, recipe) -> Path:
    build_corpus(recipe, source.parent / "corpus")
    return source.parent / "corpus"


def changed(recipe, reason: str, **values: Any):
    return replace(
        recipe,
        filters=tuple(replace(one, **values) if one.reason == reason else one for one in recipe.filters),
    )


def decided(rows, corpus: Path) -> dict[int, Any]:
    """What became of each document, by the row it was read in."""
    kept = {row["row"]: row["split"] for row in rows(corpus)}
    return kept | {row["row"]: (row["reason"], row["reasons"]) for row in rows(corpus, "rejected")}


def test_without_a_change_nothing_changes(corpus):
    tuning = Tuning(corpus)
    assert int(tuning.before.kept.sum()) == read_manifest(corpus)["kept"]
    header, rows = tuning.effect()
    assert header[:4] == ["language", "kept before", "kept now", "change"]
    assert [row[0] for row in rows] == ["eng", "unknown", "xho", "zul"]
    assert all(row[1] == row[2] and row[3] == "+0" for row in rows)


@pytest.mark.parametrize(
    ("settings", "reason", "values"),
    [
        (["too_short.min=8"], "too_short", {"min": 8, "conjunctive": {}}),
        (["too_short.min=none"], "too_short", {"min": None, "conjunctive": {}}),
        (["capitals.max = 1"], "capitals", {"max": 1}),
        (["zul:too_short.min=10"], "too_short", {"languages": {"zul": {"min": 10}}}),
        (["long.max=7"], "long", {"max": 7}),
        (["many_digits.max=0.9"], "many_digits", {"max": 0.9}),
    ],
)
def test_tuning_decides_as_a_new_build_would(tmp_path, corpus, recipe, rows, settings, reason, values):
    tuning = Tuning(corpus)
    tuning.change(*settings)
    manifest = tuning.write(tmp_path / "tuned")
    fresh = build_corpus(changed(recipe, reason, **values), tmp_path / "fresh")
    assert decided(rows, tmp_path / "tuned") == decided(rows, tmp_path / "fresh")
    assert decided(rows, tmp_path / "fresh") != decided(rows, corpus), "the change changes something"
    counts = ("documents", "kept", "bytes", "languages", "sources", "clusters", "thresholds", "mix", "terms")
    assert {name: manifest[name] for name in counts} == {name: fresh[name] for name in counts}
    before, now = (read_manifest(one)["languages"] for one in (corpus, tmp_path / "tuned"))
    for code, was, left, difference, _ in tuning.effect()[1]:
        assert (int(was), int(left)) == (before[code]["kept"], now[code]["kept"])
        assert int(difference) == int(left) - int(was)


def test_several_changes_add_up_and_can_be_taken_back(corpus):
    tuning = Tuning(corpus)
    first = tuning.after.first.tolist()
    tuning.change("too_short.min=8", "long.max=9")
    tuning.change("zul:too_short.min=2", "zul:long.max=none")
    rows = {row[0]: int(row[3]) for row in tuning.effect()[1]}
    assert rows["zul"] > 0 > rows["xho"]
    assert "long" in dict.fromkeys(tuning.effect()[1][0][4].replace(",", " ").split())
    again = Tuning(corpus)
    again.change("capitals.max=1")
    assert again.after.first.tolist() != first
    again.change("capitals.max=0.5")
    assert again.after.first.tolist() == first


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("too_short", r"cannot read the setting 'too_short'\. Write REASON\.min=NUMBER"),
        ("too_short=5", "cannot read the setting"),
        ("too_short.mid=5", "cannot read the setting"),
        (".min=5", "no filter ''"),
        ("too_tall.min=5", r"no filter 'too_tall'\. There are too_short, "),
        ("tlh:too_short.min=5", "unknown language 'tlh'"),
        ("too_short.min=five", "'five' is no number"),
        ("too_short.min=", "'' is no number"),
        ("too_short.min=nan", "'nan' is no number"),
    ],
)
def test_a_setting_that_cannot_be_read_changes_nothing(corpus, setting, problem):
    tuning = Tuning(corpus)
    with pytest.raises(BadInput, match=problem):
        tuning.change("capitals.max=1", setting)
    assert tuning.recipe == Tuning(corpus).recipe
    assert tuning.after is tuning.before


def test_proposals_are_shown_with_what_became_of_them(corpus):
    header, rows = Tuning(corpus).proposals()
    assert header == ["language", "filter", "proposed", "plausible between", "used", "bounds"]
    found = {(row[0], row[1]): row[2:] for row in rows}
    assert found["zul", "long"] == ["11", "5 to 40", "yes", "max 11"]
    assert found["eng", "word_length"][2] in ("yes", "no: implausible")
    assert ("unknown", "long") not in found, "too few documents to propose anything"


def test_a_tuned_corpus_is_a_corpus(tmp_path, corpus, rows, monkeypatch):
    tuning = Tuning(corpus)
    tuning.change("too_short.min=7")
    manifest = tuning.write(tmp_path / "one")
    assert manifest == read_manifest(tmp_path / "one")
    kept = rows(tmp_path / "one")
    assert languages_of(tmp_path / "one") == ["eng", "xho", "zul"]
    for code in ("eng", "zul"):
        for split in ("train", "test"):
            own = [row["text"] for row in kept if (row["language"], row["split"]) == (code, split)]
            assert sorted(read_texts(tmp_path / "one", code, split)) == sorted(own)
    assert {one.reasons[0] for one in sample(tmp_path / "one", "too_short")} == {"too_short"}
    assert "too_short" in (tmp_path / "one" / "report.html").read_text(encoding="utf-8").replace(" ", "_")
    datasets = pytest.importorskip("datasets", reason="needs the extra 'dev'")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    whole = datasets.load_dataset(str(tmp_path / "one"), cache_dir=str(tmp_path / "cache"))
    assert sorted(whole["train"]["text"]) == sorted(row["text"] for row in kept if row["split"] == "train")


def test_a_tuned_corpus_can_be_tuned_again(tmp_path, corpus, rows):
    there = Tuning(corpus)
    there.change("too_short.min=8", "capitals.max=0.9")
    there.write(tmp_path / "one")
    back = Tuning(tmp_path / "one")
    assert back.after.kept.sum() == read_manifest(tmp_path / "one")["kept"]
    short = next(one for one in load_recipe("default").filters if one.reason == "too_short")
    back.change(f"too_short.min={short.min}", "capitals.max=0.5")
    for code in ("nbl", "ssw", "xho", "zul"):
        back.change(f"{code}:too_short.min={short.conjunctive['min']}")
    back.write(tmp_path / "two")
    assert decided(rows, tmp_path / "two") == decided(rows, corpus)
    assert {
        row["row"]: row["text"] for part in ("data", "rejected") for row in rows(tmp_path / "two", part)
    } == {row["row"]: row["text"] for part in ("data", "rejected") for row in rows(corpus, part)}


def test_writing_twice_is_done_once_and_the_corpus_itself_is_never_replaced(tmp_path, corpus):
    tuning = Tuning(corpus)
    tuning.change("too_short.min=8")
    tuning.write(tmp_path / "one")
    time = (tmp_path / "one" / "edgelm.json").stat().st_mtime_ns
    tuning.write(tmp_path / "one")
    assert (tmp_path / "one" / "edgelm.json").stat().st_mtime_ns == time
    with pytest.raises(BadInput, match="would replace the input"):
        tuning.write(corpus)
    tuning.change("too_short.min=99")
    with pytest.raises(BadInput, match=r"no document was kept of \d+ \(too_short"):
        tuning.write(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_settings_besides_filters_travel(tmp_path, source, corpus, prose):
    """The tuned corpus says which evaluation files were looked for, and all else of the recipe."""
    (tmp_path / "test.txt").write_text("\n".join(prose(3, 77, words=14)) + "\n")
    recipe = replace(load_recipe(source), identify=False, evaluation=(tmp_path / "test.txt",))
    build_corpus(recipe, tmp_path / "corpus")
    tuning = Tuning(tmp_path / "corpus")
    tuning.change("too_short.min=8")
    tuning.write(tmp_path / "tuned")
    one, two = (read_manifest(tmp_path / name) for name in ("corpus", "tuned"))
    for manifest in (one, two):
        manifest["recipe"].pop("filters")
    assert one["recipe"] == two["recipe"]
    assert one["contamination"] == two["contamination"]
    assert one["skipped"] == two["skipped"]


@pytest.mark.parametrize("damage", ["missing", "cut", "no manifest"])
def test_a_damaged_corpus_is_one_line(tmp_path, corpus, damage):
    broken = Path(shutil.copytree(corpus, tmp_path / "broken"))
    shard = next((broken / "rejected").glob("zul-*"))
    if damage == "missing":
        shard.unlink()
    elif damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-10])
    else:
        (broken / "manifest.json").write_text(json.dumps([]))
    with pytest.raises(BadInput) as caught:
        Tuning(broken)
    assert "\n" not in str(caught.value)
    assert caught.value.file in (broken, shard)
