"""The corpus report as a page: nothing missing, everything in its place."""

import copy
import json
import re
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
from page_manifest import BAD, REASONS, REGISTRY, Parsed, make_manifest, tables_of

from edgelm import resources
from edgelm.corpus.page import page
from edgelm.page.markup import size, words_of


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return make_manifest()


@pytest.fixture(scope="module")
def parsed(manifest) -> Parsed:
    return Parsed(page(manifest, REGISTRY))


def test_it_needs_no_compiler_and_no_parquet():
    code = "import sys, edgelm.corpus.page; print(*{'numba', 'pyarrow', 'torch'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == ""


def numbers_of(value: Any) -> list[int]:
    if isinstance(value, dict):
        return [one for part in value.values() for one in numbers_of(part)]
    if isinstance(value, list):
        return [one for part in value for one in numbers_of(part)]
    return [value] if isinstance(value, int) else []


def test_every_count_of_the_manifest_is_there(manifest, parsed):
    titles = " ".join(filter(None, (one.get("title") for _, one in parsed.elements)))
    written = set(re.findall(r"\d[\d,]*", " ".join([*parsed.words, titles])))
    parts = ("documents", "kept", "bytes", "guessed", "languages", "sources", "clusters", "confusion")
    for part in parts:
        missing = {f"{one:,}" for one in numbers_of(manifest[part])} - written
        assert not missing, f"{part}: {missing}"
    assert {"5", "2.5", "10", "17.25"} <= set(re.findall(r"[\d.]*\d", parsed.text))
    assert "31.0%" in parsed.text
    assert "5.25" in parsed.text


def test_tables_have_each_number_in_its_place(manifest):
    found = tables_of(page(manifest, REGISTRY))
    names = {"eng": "English (eng)", "zul": "isiZulu (zul)", "unknown": "unknown"}
    first, failed = (
        found["Documents by the first reason"],
        "Documents that fail each rule; one that fails several",
    )
    failed_table = next(one for caption, one in found.items() if caption.startswith(failed))
    whole = found["Documents, words and text of each language, before and after"]
    repaired, redacted = found["Repairs by language"], found["Personal data found, by language"]
    seen = found["Documents by the language they are said to be in, and the language identified"]
    parts = found[
        "Where the kept documents are: for training, for checking while training, and for the final test"
    ]
    for code, name in names.items():
        one = manifest["languages"][code]
        assert first["kept"][name] == f"{one['kept']:,}"
        assert first["read"][name] == f"{one['documents']:,}"
        for reason, count in one["rejected"].items():
            assert first[words_of(reason)][name] == f"{count:,}"
        for reason, count in one["failed"].items():
            assert failed_table[words_of(reason)][name] == f"{count:,}"
        row = whole[name]
        assert [row[key] for key in ("documents read", "kept", "words read", "words kept")] == [
            f"{count:,}" for count in (one["documents"], one["kept"], one["read"]["words"], one["words"])
        ]
        assert row["kept share"] == f"{one['kept'] / one['documents']:.1%}"
        assert row["text kept"] == re.sub("<.*?>", "", size(one["bytes"]))
        assert row["text read"] == re.sub("<.*?>", "", size(one["read"]["bytes"]))
        assert (row["share of training"], row["times seen"]) == ("31.0%", "5.25")
        assert parts[name]["test, documents"] == f"{one['splits']['test']['documents']:,}"
        assert list(repaired[name].values()) == [f"{count:,}" for count in one["repaired"].values()]
        assert list(redacted[name].values()) == [f"{count:,}" for count in one["redacted"].values()]
        confused = manifest["confusion"][code]
        assert [seen[name][column] for column in ("English (eng)", "isiZulu (zul)", "other")] == [
            f"{count:,}" for count in confused.values()
        ]
        assert seen[name]["agrees"] == f"{confused.get(code, 0) / sum(confused.values()):.1%}"
    assert whole["all"]["words kept"] == f"{sum(one['words'] for one in manifest['languages'].values()):,}"
    sources = found["Sources, the largest first"]
    assert list(sources) == sorted(sources, key=lambda name: -manifest["sources"][name]["bytes"])
    assert sources["radio"]["documents"] == f"{manifest['sources']['radio']['documents']:,}"
    assert sources["radio"]["licence"] == "CC BY radio"
    genres = found["Share of each genre"]
    taken = {name: one["languages"]["zul"][2] for name, one in manifest["sources"].items()}
    assert genres["bible"]["isiZulu (zul)"] == f"{taken['scripture'] / sum(taken.values()):.1%}"


def test_every_name_of_the_manifest_is_there(manifest, parsed):
    for reason in REASONS:
        assert words_of(reason) in parsed.text
    for name in (
        "isiZulu",
        "English",
        "unknown",
        "default",
        "sib200.tsv",
        "notes.pdf",
        "no format that is read",
    ):
        assert name in parsed.text
    for name, terms in manifest["terms"].items():
        assert {name, *terms.values()} <= set(re.split(r"\n|(?<=>)", "\n".join(parsed.words)))
    for groups in manifest["samples"].values():
        for own in groups.values():
            assert own[0]["text"] in parsed.words
            assert own[0]["id"] in parsed.words


def test_structure_is_sound(parsed):
    assert not parsed.odd
    assert not parsed.open
    for tag in ("html", "head", "title", "body", "h1", "header", "nav", "main", "footer"):
        assert len(parsed.all(tag)) >= 1, tag
    assert parsed.all("html", "lang") == ["en"]
    assert len(parsed.all("h1")) == len(parsed.all("main")) == 1
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    names = [one["id"] for _, one in parsed.elements if "id" in one]
    assert len(names) == len(set(names))
    assert all(one.get("scope") in ("col", "row") for one in parsed.all("th"))
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    assert all(one in names for one in parsed.all("section", "aria-labelledby"))
    charts = [one for _, one in parsed.elements if one.get("role") == "img"]
    assert len(charts) >= 3 + 9 + 1, "funnel, distributions and the curve"
    assert all(len(one["aria-label"]) > 20 for one in charts)
    assert all(one.get("role") == "img" for one in parsed.all("svg"))


def test_rows_are_as_long_as_their_header(manifest):
    for table in re.findall(r"<table.*?</table>", page(manifest, REGISTRY), re.S):
        widths = {len(re.findall("<t[hd][ >]", row)) for row in re.findall(r"<tr>.*?</tr>", table, re.S)}
        assert len(widths) == 1, re.search("<caption>.*?</caption>", table)


def without(*path: str, value: Any = None):
    def change(manifest: dict[str, Any]) -> None:
        inner = manifest
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return change


def nothing_kept(manifest: dict[str, Any]) -> None:
    one = manifest["languages"]["zul"]
    one["rejected"]["too_short"] += one["kept"]
    one |= {"kept": 0, "bytes": 0, "words": 0}
    one["splits"] = {part: {"documents": 0, "bytes": 0} for part in one["splits"]}
    for source in manifest["sources"].values():
        source["languages"]["zul"][1:] = [0, 0]
    manifest["mix"].pop("zul")
    manifest["samples"]["zul"].pop("kept")
    for own in manifest["distributions"].values():
        own["languages"]["zul"][0] = [0] * 40


def nothing_at_all(manifest: dict[str, Any]) -> None:
    for one in manifest["languages"].values():
        one |= {"documents": 0, "kept": 0, "bytes": 0, "words": 0, "rejected": {}, "failed": {}}
        one["read"] = {"words": 0, "bytes": 0}
    manifest |= {
        "documents": 0,
        "kept": 0,
        "bytes": 0,
        "sources": {},
        "mix": {},
        "samples": {},
        "confusion": {},
    }
    manifest |= {"distributions": {}, "thresholds": [], "skipped": [], "terms": {}}


EMPTY = [
    (without("recipe", "near_duplicates"), "does not look for near-duplicates"),
    (without("clusters", "sizes", value={"2": 0}), "No two documents are alike"),
    (without("confusion", value={}), "nothing to identify"),
    (without("samples", value={}), "There is nothing to show"),
    (without("skipped", value=[]), "No file was passed over"),
    (without("thresholds", value=[]), "has no filters"),
    (without("distributions", value={}), "there is no chart"),
    (without("recipe", "evaluation", value=[]), "a test set may be in this corpus"),
    (without("recipe", "redact", value="off"), "does not look for personal data"),
    (without("recipe", "mix", value={"temperature": None, "unimax_epochs": 4}), "more than 4 times (UniMax)"),
    (without("recipe", "mix", value={"temperature": 1}), "the share that its text has"),
    (nothing_kept, "Nothing was kept in isiZulu (zul)"),
    (nothing_at_all, "0 of 0 documents were kept"),
]


@pytest.mark.parametrize(("change", "said"), EMPTY)
def test_what_is_not_there_is_said(manifest, parsed, change, said):
    changed = copy.deepcopy(manifest)
    change(changed)
    found = Parsed(page(changed, REGISTRY))
    assert said in found.text
    assert said not in parsed.text
    assert not found.odd
    assert found.all("section", "id") == parsed.all("section", "id")


def test_one_language(parsed):
    found = Parsed(page(make_manifest(("ven",)), REGISTRY))
    assert "Tshivenḓa" in found.text
    assert found.all("section", "id") == parsed.all("section", "id")


def test_what_stands_out_is_said_first(manifest, parsed):
    said = parsed.text.partition("Worth a look")[2].partition("What became of the documents")[0]
    hit = sum(one["failed"]["contaminated"] for one in manifest["languages"].values())
    assert (
        "implausible bound was proposed for word length and not used: English (eng) 17.25 and unknown 17.25"
        in said
    )
    assert f"{manifest['guessed']:,} documents: it was guessed" in said
    assert "Many documents were identified as another language" in said
    assert f"{hit:,} documents held text of evaluation files" in said
    assert "1 file was passed over" in said
    assert "more than 4 times through the same text, which teaches little: English (eng) (5.2)" in said
    quiet = copy.deepcopy(manifest)
    quiet |= {"skipped": [], "guessed": 0, "mix": {}, "thresholds": [], "confusion": {}}
    for one in quiet["languages"].values():
        one["failed"], one["kept"] = {}, one["documents"]
    assert "Nothing stands out" in page(quiet, REGISTRY)
    quiet["terms"].pop("radio")
    assert "no licence for" in page(quiet, REGISTRY)


def test_an_implausible_proposal_is_flagged_in_words(parsed):
    assert parsed.text.count("⚠ implausible: 17.25 was proposed, 7 to 10 is plausible; not used") == 2
    assert parsed.text.count("17.25, used (plausible: 7 to 10)") == 1


def test_a_corpus_that_was_built_has_this_page(tmp_path, write_file, build):
    lines = resources.path("corpus", "sample", "zul.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines[:4]]
    write_file(tmp_path / "in" / "zul.jsonl", [{"text": one} for one in (*texts[:3], texts[3] + BAD, "x")])
    build(tmp_path / "in", tmp_path / "out", repair=())  # which would take out the tags
    document = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert document == page(manifest, REGISTRY)
    found = Parsed(document)
    assert not found.odd
    assert not found.all("script")
    assert "<script>alert" in found.text
    assert "4 of 5 documents were kept" in found.text
    assert all(words_of(reason) in found.text for reason in manifest["languages"]["zul"]["rejected"])
