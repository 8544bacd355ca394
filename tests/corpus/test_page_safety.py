"""The corpus report whatever texts are in it: nothing obeyed, nothing fetched, no page too large."""

import copy
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page_manifest import BAD, REGISTRY, Parsed, make_manifest, spoil, tables_of

from edgelm.corpus.page import page
from edgelm.page.markup import element, text


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return make_manifest()


@pytest.fixture(scope="module")
def parsed(manifest) -> Parsed:
    return Parsed(page(manifest, REGISTRY))


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
    assert (
        sum("unknown language" in row for row in tables_of(document)["Documents by the first reason"]) == 21
    )
    assert all(len(one.split(",")) < 12 for one in found.all("div", "aria-label") if one)


def test_eleven_languages_fit_in_a_megabyte():
    manifest = make_manifest(tuple(REGISTRY))
    for groups in manifest["samples"].values():
        long = [{"id": "a.jsonl:1", "source": "radio", "text": "vhaḓo & " * 75}]
        groups |= dict.fromkeys((*groups, *(f"rule_{at}" for at in range(12))), long * 3)
    columns = ("words", "digits", "uppercase", "alphabetic_words", "compression_ratio", "duplicate_lines")
    for column in columns * 2:
        manifest["distributions"][column] = manifest["distributions"]["mean_word_length"]
        manifest["thresholds"] += [
            {"reason": column, "column": column, "language": code, "min": 2.0} for code in REGISTRY
        ]
    assert 300_000 < len(page(manifest, REGISTRY).encode()) < 1_000_000
