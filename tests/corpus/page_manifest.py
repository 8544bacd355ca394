"""A manifest made by hand, and a reader of pages, for the tests of the corpus report."""

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np

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


def tables_of(document: str) -> dict[str, dict[str, dict[str, str]]]:
    """Every table by caption: row heading: column heading: cell."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for table in re.findall(r"<table.*?</table>", document, re.S):
        caption = re.sub("<.*?>", "", re.findall("<caption>(.*?)</caption>", table)[0])
        rows = [
            [re.sub("<.*?>", "", cell).strip() for cell in re.findall(r"<t[hd][ >].*?</t[hd]>", row, re.S)]
            for row in re.findall(r"<tr>.*?</tr>", table, re.S)
        ]
        found[caption] = {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[1:]}
    return found


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


def widths(markup: str) -> list[float]:
    return [float(one) for one in re.findall(r"width:([\d.]+)%", markup)]
