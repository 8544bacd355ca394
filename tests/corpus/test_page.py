"""The corpus report as a page: nothing missing, nothing obeyed, nothing fetched."""

import copy
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm import resources
from edgelm.corpus.page import page
from edgelm.corpus.page.charts import bar, histogram, median, shade
from edgelm.corpus.page.markup import element, listed, number, percent, size, text, words_of
from edgelm.corpus.recipe import load_recipe
from edgelm.languages import load_languages

REGISTRY = load_languages()
REASONS = {"bad record: no text": 7, "unknown language: klingon": 3, "too_short": 31, "word_length": 11}
BAD = '</style></script><script>alert("1")</script><img src=x onerror=\'x()\'>]]><!--&amp;"><b onclick=1>'
VOID = {"meta", "br", "img", "link", "input", "hr"}


def make_manifest(codes=("eng", "zul", "unknown"), bins=40) -> dict[str, Any]:
    """A manifest as builds write it, each count in it different from the others."""
    draw = np.random.default_rng(0)
    count = iter(range(1_001, 10_000_000, 1_237))
    languages: dict[str, Any] = {}
    for code in codes:
        rejected = {reason: base + len(languages) for reason, base in REASONS.items()} | {
            "duplicate": next(count)
        }
        kept = next(count)
        languages[code] = {
            "documents": kept + sum(rejected.values()),
            "kept": kept,
            "words": next(count) * 10,
            "bytes": next(count) * 100,
            "read": {"words": next(count) * 20, "bytes": next(count) * 200},
            "splits": {
                part: {"documents": next(count), "bytes": next(count)}
                for part in ("train", "validation", "test")
            },
            "rejected": rejected,
            "failed": {"too_short": next(count), "word_length": next(count), "contaminated": next(count)},
            "repaired": {"mojibake": next(count), "joins": next(count)},
            "redacted": {"email": next(count), "phone": next(count)},
        }
    thresholds = []
    for code in codes:
        thresholds += [
            {"reason": "too_short", "column": "words", "language": code, "min": 5.0},
            {
                "reason": "word_length",
                "column": "mean_word_length",
                "language": code,
                "min": 2.5,
                "max": 10.0,
                "proposed": [{"value": 17.25, "between": [7, 10], "used": code == "zul"}],
            },
            {"reason": "contaminated", "column": "contaminated", "language": code, "max": 0.0},
        ]
    config = load_recipe("default").config()
    config["filters"] = [one for one in config["filters"] if one["reason"] in languages[codes[0]]["failed"]]
    config["evaluation"] = ["sib200.tsv"]
    names = {"radio": "news", "council": "government", "scripture": "bible"}
    return {
        "recipe": config,
        "documents": sum(one["documents"] for one in languages.values()),
        "kept": sum(one["kept"] for one in languages.values()),
        "bytes": sum(one["bytes"] for one in languages.values()),
        "languages": languages,
        "sources": {
            name: {
                "documents": next(count),
                "kept": next(count),
                "bytes": next(count),
                "languages": {code: [next(count), next(count), next(count)] for code in codes},
            }
            for name in names
        },
        "clusters": {
            "sizes": {"2": next(count), "3-4": next(count), "1000 and more": next(count)},
            "largest": next(count),
            "removed": {"duplicate": next(count), "near_duplicate": next(count)},
        },
        "thresholds": thresholds,
        "mix": {code: {"bytes": next(count), "share": 0.31, "epochs": 5.25} for code in codes},
        "guessed": next(count),
        "terms": {
            name: {"licence": f"CC BY {name}", "attribution": f"people of {name}", "genre": genre}
            for name, genre in names.items()
        },
        "skipped": [{"file": "notes.pdf", "reason": "no format that is read"}],
        "confusion": {code: {"eng": next(count), "zul": next(count), "other": next(count)} for code in codes},
        "distributions": {
            column: {
                "low": 1.0,
                "high": 11.0,
                "languages": {code: draw.integers(0, 999, (2, bins)).tolist() for code in codes},
            }
            for column in ("words", "mean_word_length", "contaminated")
        },
        "samples": {
            code: {
                reason: [{"id": f"{code}:{reason}", "source": "radio", "text": f"text {code} {reason}"}]
                for reason in ("kept", *sorted(languages[code]["rejected"]))
            }
            for code in codes
        },
    }


class Parsed(HTMLParser):
    """Elements with attributes in order, the text of the page, and what is not closed as it was opened."""

    def __init__(self, document: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.odd: list[str] = []
        self.feed(document)
        self.close()
        self.text = "".join(self.words)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.odd.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def handle_comment(self, data):
        self.odd.append(f"comment {data}")

    def unknown_decl(self, data):
        self.odd.append(f"declaration {data}")

    def shape(self):
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]

    def all(self, tag, name=None):
        return [
            attributes.get(name) if name else attributes
            for known, attributes in self.elements
            if known == tag
        ]


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


def test_reasons_are_numbered_in_the_order_in_which_they_are_looked_for(manifest):
    legend = re.search(r'<ul class="legend">(.*?)</ul>', page(manifest, REGISTRY))
    assert legend is not None
    assert re.findall(r">(\d*)</span> ([^<]+)</li>", legend[1]) == [
        ("", "kept"), ("1", "bad record"), ("2", "unknown language"), ("3", "too short"), ("4", "word length"),
        ("5", "duplicate"),
    ]  # fmt: skip


def test_structure_is_sound(parsed):
    assert not parsed.odd
    assert not parsed.open
    for tag in ("html", "head", "title", "body", "h1", "header", "nav", "main", "footer"):
        assert len(parsed.all(tag)) >= 1, tag
    assert parsed.all("html", "lang") == ["en"]
    assert len(parsed.all("h1")) == len(parsed.all("main")) == 1
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
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


def test_nothing_is_fetched(manifest, parsed):
    document = page(manifest, REGISTRY)
    assert "http" not in document
    assert not parsed.all("script")
    for name in ("src", "srcset", "data", "action", "xlink:href", "background"):
        assert not [one for _, one in parsed.elements if name in one]
    names = {one["id"] for _, one in parsed.elements if "id" in one}
    links = [one["href"] for _, one in parsed.elements if "href" in one]
    assert links
    assert all(link.removeprefix("#") in names and link.startswith("#") for link in links)
    style = document[document.index("<style>") : document.index("</style>")]
    assert not re.search(r"url\(|@import|@font-face|expression", style)


def spoil(value: Any, tail: str, key: str = "") -> Any:
    """Every name and text of the manifest with `tail` behind it, where it still means the same."""
    if isinstance(value, dict):
        named = key in ("sources", "terms", "rejected", "failed", "samples", "sizes")
        return {
            (
                name + tail
                if named and name not in ("kept", "duplicate") and name not in REGISTRY | {"unknown": 0}
                else name
            ): spoil(one, tail, "rejected" if key == "samples" else name)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [spoil(one, tail, key) for one in value]
    fixed = ("language", "column", "redact", "identified")
    return value + tail if isinstance(value, str) and key not in fixed else value


@pytest.mark.parametrize(
    "tail", [BAD, "\"' onmouseover=alert(1) x='", "\x00\x0b\x1b\x7f\x85\ud800\r", "\u202e]]>\u2067"]
)
def test_texts_are_shown_and_never_obeyed(manifest, parsed, tail):
    shown = page(spoil(manifest, tail), REGISTRY)
    shown.encode("utf-8")
    bad = Parsed(shown)
    assert bad.shape() == parsed.shape(), "no new element or attribute"
    assert not bad.odd
    assert {key for _, one in bad.elements for key in one} == {
        key for _, one in parsed.elements for key in one
    }
    assert len(re.findall("<script", shown)) == 0
    if tail == BAD:
        assert bad.text.count(BAD) > 100
        for one in (
            "text eng kept",
            "eng:kept",
            "radio",
            "CC BY radio",
            "news",
            "people of radio",
            "notes.pdf",
            "sib200.tsv",
        ):
            assert one + BAD in bad.text
        assert "bad record: no text" + BAD in bad.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", shown)


@pytest.fixture(scope="module")
def small() -> tuple[dict[str, Any], Parsed]:
    made = make_manifest(("zul",), bins=2)
    for name in ("distributions", "thresholds", "confusion"):
        made[name] = type(made[name])()
    return made, Parsed(page(made, REGISTRY))


@settings(max_examples=20, deadline=None)
@given(tail=st.text(st.characters(exclude_categories=[]), max_size=40).filter(lambda tail: ":" not in tail))
def test_any_text_is_shown_and_never_obeyed(small, tail):
    found = Parsed(page(spoil(small[0], tail), REGISTRY))
    assert found.shape() == small[1].shape()
    assert not found.odd


@given(st.text(st.characters(exclude_categories=[])))
def test_escaped_text_is_one_text(value):
    found = Parsed(element("p", value, title=value))
    assert [tag for tag, _ in found.elements] == ["p"]
    assert found.text == found.elements[0][1]["title"]
    assert len(found.text) == len(value.replace("\r\n", "\n"))
    found.text.encode("utf-8")


def test_names_of_languages_are_escaped_too(manifest, parsed):
    registry = REGISTRY | {"zul": replace(REGISTRY["zul"], autonym="isiZulu" + BAD, bcp47='zu"' + BAD)}
    bad = Parsed(page(manifest, registry))
    assert bad.shape() == parsed.shape()
    assert "isiZulu" + BAD in bad.text


def test_samples_say_their_language_and_direction(manifest):
    changed = copy.deepcopy(manifest)
    changed["samples"]["zul"]["kept"][0]["text"] = "\u0645\u0631\u062d\u0628\u0627"
    changed["samples"]["zul"]["too_short"][0]["text"] = "x" * 600
    changed["samples"]["zul"]["other_language"] = [{"id": "1", "source": "s", "text": "Guten Tag"}]
    found = Parsed(page(changed, REGISTRY))
    quotes = found.all("blockquote")
    assert all(one["dir"] == "auto" for one in quotes)
    assert {one.get("lang") for one in quotes} == {"en", "zu", None}
    document = page(changed, REGISTRY)
    assert '<blockquote dir="auto" lang="zu">\u0645' in document
    assert '<blockquote dir="auto">Guten Tag' in document, "it is not isiZulu"
    assert "x" * 600 + "…</blockquote>" in document
    assert "text eng kept</blockquote>" in document


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


def widths(markup: str) -> list[float]:
    return [float(one) for one in re.findall(r"width:([\d.]+)%", markup)]


def test_parts_of_a_bar_are_as_wide_as_their_share():
    found = bar(
        "isiZulu",
        [
            ("kept", "kept", 750, ""),
            ("r0", "none", 0, "1"),
            ("r1", "too short", 210, "2"),
            ("r2", "rare", 40, "3"),
        ],
    )
    assert widths(found) == [75, 21, 4]
    assert 'aria-label="isiZulu: kept 75.0%, too short 21.0%, rare 4.0%"' in found
    assert 'title="rare: 40 (4.0%)"></span>' in found, "too narrow for its number"
    assert ">2</span>" in found
    assert "nothing" in bar("isiZulu", [])


def test_bars_of_the_page_are_full(manifest):
    bars = re.findall(r'<div class="bar".*?</div>', page(manifest, REGISTRY))
    assert len(bars) == 3 + 1 + 3, "the funnel; genres of all and of each language"
    for one in bars:
        assert sum(widths(one)) == pytest.approx(100, abs=0.01)


def test_histogram_draws_counts_and_bounds():
    found = histogram(
        "label", [[4, 0, 16], [1, 0, 0]], 0, 6, [{"min": 1.5}, {"max": 5, "min": -1}, {"max": 7}]
    )
    up, down = re.findall(r'd="([^"]*)" class="(?:up|down)"', found)
    zero = 2 + 4 * 96 / 5
    step = 96 / 5
    assert up == f"M0 {zero:.1f}H0V{zero - 2 * step:.1f}H1V{zero:.1f}H2V{zero - 4 * step:.1f}H3V{zero:.1f}Z"
    assert down == f"M0 {zero:.1f}H0V{zero + step:.1f}H1V{zero:.1f}H3V{zero:.1f}Z"
    assert 'd="M0.75 0V100M2.50 0V100" class="bound"' in found, "bounds outside the chart are not drawn"
    rects = re.findall(r'<rect x="([\d.]+)" y="0" width="([\d.]+)"', found)
    assert rects == [("0.00", "0.75"), ("2.50", "0.50")]
    assert "nan" not in histogram("label", [[0, 0], [0, 0]], 1, 1, [{"min": 1}])


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(-5, 5))
def test_median_is_right_to_a_bin(counts, low):
    found = median(counts, low, low + len(counts))
    values = np.repeat(np.arange(len(counts)), counts)
    if not len(values):
        assert found is None
    else:
        assert low + np.quantile(values, 0.5, method="inverted_cdf") <= found <= low + len(counts)
        assert (values + low < found - 0.5).sum() <= len(values) / 2 <= (values + low < found).sum()


def test_bounds_beyond_a_chart_are_said(manifest):
    changed = copy.deepcopy(manifest)
    for one in changed["thresholds"]:
        if one["reason"] == "too_short":
            one |= {"max": 100_000.0}
    found = Parsed(page(changed, REGISTRY))
    assert found.text.count("100,000 is outside the chart") == 3
    assert "5 to 100,000" in found.text


def test_numbers_are_written_as_people_read_them():
    assert [number(one) for one in (0, 1234567, 0.1000000015, 13.2625, 100000.0)] == [
        "0",
        "1,234,567",
        "0.1",
        "13.26",
        "100,000",
    ]
    assert [re.sub("<.*?>", "", size(one)) for one in (0, 1, 999, 1000, 2_345_678, 5 * 10**9)] == [
        "0 bytes", "1 byte", "999 bytes", "1.0 kB", "2.3 MB", "5.0 GB",
    ]  # fmt: skip
    assert 'title="2,345,678 bytes"' in size(2_345_678)
    assert [percent(*one) for one in ((0, 9), (1, 3), (9, 9), (1, 9999), (9998, 9999), (1, 0))] == [
        "0.0%", "33.3%", "100.0%", "<0.1%", ">99.9%", "-",
    ]  # fmt: skip
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["<"]) == "&lt;"
    assert listed([]) == ""
    assert words_of("too_short") == "too short"
    assert words_of("unknown language: x_y") == "unknown language: x_y"
    assert [shade(one) for one in (0, 0.001, 0.005, 0.03, 0.2, 0.9, 1)] == [
        "h0",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h5",
    ]


def test_elements_escape_what_is_not_markup():
    assert element("p", "<b>", element("i", "&"), class_='"') == '<p class="&quot;">&lt;b&gt;<i>&amp;</i></p>'
    assert element("p", "", lang=None, aria_label="a") == '<p aria-label="a"></p>'
    assert text("a\r\nb\rc\x00\x7f\x9f\ud800\t") == "a\nb\nc␀␡\ufffd\ufffd\t"


def test_many_names_are_folded():
    manifest = make_manifest(("eng",))
    manifest["sources"] = {
        f"site {at}": {"documents": 2, "kept": 1, "bytes": at, "languages": {"eng": [2, 1, at]}}
        for at in range(5000)
    }
    own = manifest["languages"]["eng"]
    unknown = {f"unknown language: {'x' * 30}{at}": 1 for at in range(5000)}
    own["rejected"] |= unknown
    manifest["samples"]["eng"] |= {
        reason: [{"id": reason, "source": "s", "text": "y" * 600}] * 3 for reason in unknown
    }
    manifest["skipped"] = [{"file": f"file {at}", "reason": "hidden"} for at in range(5000)]
    document = page(manifest, REGISTRY)
    assert len(document.encode()) < 1_000_000
    found = Parsed(document)
    assert "site 4999" in found.text
    assert "4,800 other sources" in found.text
    assert "and 4,800 more" in found.text
    others = re.search(r"unknown language: 4,981 others24,981", found.text)
    assert others is not None
    assert all(len(one.split(",")) < 12 for one in found.all("div", "aria-label") if one)


def test_eleven_languages_fit_in_a_megabyte():
    manifest = make_manifest(tuple(REGISTRY))
    for groups in manifest["samples"].values():
        long = [{"id": "a.jsonl:1", "source": "radio", "text": "vhaḓo & " * 75}]
        groups |= {name: long * 3 for name in (*groups, *(f"rule_{at}" for at in range(12)))}
    columns = ("words", "digits", "uppercase", "alphabetic_words", "compression_ratio", "duplicate_lines")
    for column in columns * 2:
        manifest["distributions"][column] = manifest["distributions"]["mean_word_length"]
        manifest["thresholds"] += [
            {"reason": column, "column": column, "language": code, "min": 2.0} for code in REGISTRY
        ]
    assert 300_000 < len(page(manifest, REGISTRY).encode()) < 1_000_000


def test_a_corpus_that_was_built_has_this_page(tmp_path, write_file, build):
    lines = resources.path("corpus", "sample", "zul.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines[:4]]
    write_file(tmp_path / "in" / "zul.jsonl", [{"text": one} for one in (*texts[:3], texts[3] + BAD, "x")])
    build(tmp_path / "in", tmp_path / "out")
    document = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert document == page(manifest, REGISTRY)
    found = Parsed(document)
    assert not found.odd
    assert not found.all("script")
    assert "<script>alert" in found.text
    assert "4 of 5 documents were kept" in found.text
    assert all(words_of(reason) in found.text for reason in manifest["languages"]["zul"]["rejected"])
