import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from edgelm.errors import BadInput
from edgelm.tokenizer.measure import BATCH, Counts, Measured, open_tokenizer
from edgelm.tokenizer.page import page
from edgelm.tokenizer.report import (
    Result,
    batches,
    comparison_table,
    language_table,
    measure,
    parity,
    ratio_table,
    trained_table,
    trained_verdict,
    verdict,
)
from edgelm.tokenizer.texts import sample_texts


def of_characters(name: str = "characters") -> Measured:
    """One token a character."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return Measured(tokenizer, name)


def result(name: str = "one", **bytes_per_token: float) -> Result:
    """Made-up figures: a hundred tokens a language."""
    made = {
        code: Counts(10, 50, round(100 * value), 100, 25, 0, 0.5) for code, value in bytes_per_token.items()
    }
    return Result(of_characters(name), made, dict.fromkeys(made, 1.5) | {"eng": 1.0})


def test_parity_by_hand() -> None:
    found = parity(of_characters())
    characters = {code: sum(map(len, texts)) for code, texts in sample_texts().items()}
    assert found == {code: count / characters["eng"] for code, count in characters.items()}
    assert found["eng"] == 1.0
    assert found["ven"] > 1.2


def test_every_language_is_measured(sample_corpus: Path, sample_tokenizer_dir: Path) -> None:
    report = json.loads((sample_tokenizer_dir / "report.json").read_text(encoding="utf-8"))
    [one] = measure([open_tokenizer(sample_tokenizer_dir)], sample_corpus)
    found = one.summary()
    assert list(found["languages"]) == sorted(report)
    for code, expected in report.items():
        assert {key: found["languages"][code][key] for key in expected} == expected
    assert found["documents_changed"] == 0
    assert found["tokens"] == sum(each["tokens"] for each in found["languages"].values())
    assert found["worst_over_best"] == pytest.approx(
        min(each["bytes_per_token"] for each in report.values())
        / max(each["bytes_per_token"] for each in report.values()),
        abs=2e-3,
    )


def test_a_file_of_one_language(tmp_path: Path, sample_tokenizer_dir: Path) -> None:
    (tmp_path / "zul.txt").write_text("Umfana uyahamba.\nUkudla kumnandi.\n", encoding="utf-8")
    results = measure([open_tokenizer(sample_tokenizer_dir), of_characters()], tmp_path / "zul.txt")
    assert [list(one.languages) for one in results] == [["zul"], ["zul"]]
    assert results[1].languages["zul"].tokens == 32
    assert verdict(results[0]).endswith("compared with no other.")
    (tmp_path / "zul.txt").write_text(" \n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"holds no text|holds no \.txt"):
        measure([of_characters()], tmp_path / "zul.txt")


def test_languages_that_take_turns_are_still_batched() -> None:
    pairs = [("zul" if number % 2 else "eng", str(number)) for number in range(4 * BATCH + 2)]
    found = list(batches(pairs))
    assert [(code, len(texts)) for code, texts in found] == [
        ("eng", BATCH), ("zul", BATCH), ("eng", BATCH), ("zul", BATCH), ("eng", 1), ("zul", 1),
    ]  # fmt: skip
    assert sorted(text for _, texts in found for text in texts) == sorted(text for _, text in pairs)
    long = list(batches([("eng", "x" * (3 << 20))] * 4))
    assert [len(texts) for _, texts in long] == [2, 2]


def test_figures_of_a_result() -> None:
    one = result(afr=3.0, eng=4.0, zul=5.0)
    assert (one.worst, one.best, one.balance, one.mean) == ("afr", "zul", 0.6, 4.0)
    assert one.total == Counts(30, 150, 1200, 300, 75, 0, 1.5)
    assert verdict(one) == "one: afr has 0.60 of the bytes a token of zul, which misses the aim of 0.8."
    assert "meets the aim" in verdict(result(afr=4.0, eng=4.5, zul=5.0))


def test_tables() -> None:
    first, second = result(afr=4.0, eng=4.0, qqq=5.0), result("two", afr=2.0, eng=5.0, qqq=2.5)
    first.parity.pop("qqq")
    second.languages["afr"].tokens *= 2
    header, rows = language_table(first)
    assert rows[2] == ["qqq", "2.00", "5.00", "1.00", "25.0%", "-", "0 of 10"]
    assert {len(row) for row in rows} == {len(header)}
    header, rows = comparison_table([first, second])
    assert rows[0] == ["one", "1", "4.33", "4.00 afr", "0.80", "1.50 afr", "25.0%", "300", "0", "0.0"]
    assert [len(row) for row in rows] == [len(header)] * 2
    header, rows = ratio_table([first, second])
    assert header == ["language", "one", "two"]
    assert rows == [
        ["afr", "4.00", "1.00 (2.00)"],
        ["eng", "4.00", "5.00 (1.00)"],
        ["qqq", "5.00", "2.50 (1.00)"],
    ]


def test_what_training_prints() -> None:
    figures = {"fertility": 1.5, "single_byte_share": 0.125, "parity": None}
    languages = {"afr": {**figures, "bytes_per_token": 4.0}, "zul": {**figures, "bytes_per_token": 5.0}}
    assert trained_table(languages)[1][0] == ["afr", "1.50", "4.00", "12.5%", "-"]
    assert (
        trained_verdict(languages, 2) == "afr has 0.80 of the bytes a token of zul; the aim is 0.8 or more."
    )
    languages["afr"]["bytes_per_token"] = 3.9
    assert "less than the aim of 0.8. Another --temperature than 2 " in trained_verdict(languages, 2.0)
    assert trained_verdict({"zul": languages["zul"]}, 2) == "Every text comes back exactly."


class Reader(HTMLParser):
    """Elements with their attributes, and all text."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def test_the_page_shows_bars_and_the_aim() -> None:
    results = [result(afr=3.0, eng=4.0, zul=5.0), result("two", afr=2.0, eng=2.0, zul=2.5)]
    read = Reader(page(results, "corpus"))
    drawings = [about["aria-label"] for tag, about in read.found if tag == "svg"]
    assert drawings[:2] == ["one: 4.00", "two: 2.00"]  # English first
    assert len(drawings) == 2 * 3 + 2 * 3
    widths = [float(about["width"] or 0) for tag, about in read.found if tag == "rect"]
    assert widths[:6] == [80.0, 40.0, 60.0, 40.0, 100.0, 50.0]
    marks = [about["d"] for tag, about in read.found if tag == "path"]
    assert marks[:2] == ["M80.00 0V10", "M40.00 0V10"]  # 0.8 of each one's best
    assert {"Bytes a token", "Parity to English", "Tokenizers side by side"} <= set(read.said)
    alone = page(results[:1], "corpus")
    assert "side by side" not in alone


def test_the_page_needs_nothing_else_and_obeys_no_name() -> None:
    hostile = '<script>alert(1)</script>" onload="x'
    made = page([result(hostile, afr=3.0, eng=4.0), result("two", afr=3.0, eng=4.0)], hostile)
    read = Reader(made)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in read.found}
    attributes = {name for _, about in read.found for name in about}
    assert not [name for name in attributes if name in ("src", "href") or name.startswith("on")]
    assert not re.search(r"https?://|url\(|@import", made)
    assert made.count("alert(1)") > 3
