"""Charts and numbers of the corpus report."""

import copy
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_manifest import REGISTRY, Parsed, make_manifest, widths

from edgelm.corpus.page import page
from edgelm.corpus.page.charts import bar, histogram, median, shade
from edgelm.page.markup import listed, number, percent, size, words_of


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return make_manifest()


def test_both_languages_agree_in_framed_cells(manifest):
    framed = re.findall(r'<td class="h\d same" title="([^"]*): [\d.]+%">([\d,]+)<', page(manifest, REGISTRY))
    assert framed == [
        (f"{name} identified as {name}", f"{manifest['confusion'][code][code]:,}")
        for code, name in (("eng", "English"), ("zul", "isiZulu"))
    ]


def test_the_funnel_is_drawn_to_scale(manifest):
    one = manifest["languages"]["zul"]
    document = page(manifest, REGISTRY)
    drawn = re.findall(r'<div class="bar" role="img" aria-label="isiZulu: kept.*?</div>', document)[0]
    counts = [one["kept"], *one["rejected"].values()]
    assert widths(drawn) == pytest.approx([100 * count / one["documents"] for count in counts], abs=1e-3)
    assert f"{one['kept'] / one['documents']:.1%} kept" in document
    assert 'class="part dup"' in drawn


def test_reasons_are_numbered_in_the_order_in_which_they_are_looked_for(manifest):
    legend = re.search(r'<ul class="legend">(.*?)</ul>', page(manifest, REGISTRY))
    assert legend is not None
    assert re.findall(r">(\d*)</span> ([^<]+)</li>", legend[1]) == [
        ("", "kept"), ("1", "bad record"), ("2", "unknown language"), ("3", "too short"),
        ("4", "word length"), ("5", "duplicate"),
    ]  # fmt: skip


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
    values = np.repeat(np.arange(len(counts)), counts)
    found = median(counts, low, low + len(counts))
    if not len(values):
        assert found is None
    else:
        assert found == pytest.approx(low + np.quantile(values, 0.5, method="inverted_cdf") + 0.5)


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
