"""The page of a run: what it says is what was recorded, and its lines go where the figures are."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm.languages import load_languages
from edgelm.page.plot import Across, Line, nice, plot, short, spread, style_of, thin
from edgelm.pretrain.curve import duration, make_page, smooth, write_curve
from edgelm.pretrain.metrics import Metrics

CODES = ("afr", "zul", "xho")


def made_lines(steps: int = 300) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for step in range(0, steps, 2):
        tokens = 1000 * step
        lines.append(
            {"step": step, "tokens": tokens, "epoch": step / 100, "loss": 3 + 6 * 0.9**step,
             "learning_rate": 0.002, "gradient_norm": 0.5}
        )  # fmt: skip
        lines.append({"step": step, "tokens_per_second": 9000.0 + step, "mfu": 0.4, "seconds": step * 30.0})
        if step % 50 == 0:
            bits = {code: 1.5 + at / 10 + 1 / (step + 1) for at, code in enumerate(CODES)}
            mean = {"mean": sum(bits.values()) / 3}
            lines.append({"step": step, "tokens": tokens, "validation": mean | bits})
    return lines


@pytest.fixture(scope="module")
def document() -> str:
    return make_page(made_lines(), "zul-30m", True, load_languages())


def labels(document: str) -> list[str]:
    return re.findall(r'role="img" aria-label="([^"]*)"', document)


def rows(document: str, caption: str) -> list[list[str]]:
    body = document.split(caption)[-1].split("</table>")[0]
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", body)]


def drawn(document: str, style: str) -> list[tuple[float, float]]:
    """Points of the first line of a style, in the drawing's coordinates."""
    path = re.search(rf'<path d="M([^"H]*)" class="line {style}">', document)
    assert path is not None
    return [(float(x), float(y)) for x, y in (one.split() for one in path[1].split("L"))]


def test_figures_are_said_in_words(document: str) -> None:
    loss, bits, rate, norm, speed, mfu = labels(document)
    assert loss == (
        "Training loss: 9.000 at first, 3.000 at step 298, 298 k tokens; smoothed, it was lowest at "
        "step 298, 298 k tokens with 3.000."
    )
    assert bits == (
        "Bits per byte on validation at step 250, 250 k tokens: afr 1.504, mean 1.604, zul 1.604, xho 1.704."
    )
    assert rate.startswith("Learning rate: 0.002 to 0.002, 0.002 at step 298")
    assert norm.startswith("Norm of the gradient: 0.5 to")
    assert speed.startswith("Tokens a second: 9,000 to 9,298, 9,298 at step 298, 298 k tokens.")
    assert mfu.startswith("MFU, of the measured peak: 40.0% to 40.0%")


def test_the_headline_has_the_last_figures(document: str) -> None:
    cards = re.findall(r"<dt>(.*?)</dt><dd><strong>(.*?)</strong><span>(.*?)</span>", document)
    assert cards == [
        ("Tokens so far", "298 k", "step 298, epoch 2.98"),
        ("Training loss", "3.000", "smoothed; 9.000 at first"),
        ("Bits per byte", "1.604", "on validation; lowest 1.604 at step 250"),
        ("Tokens a second", "9,289", "40% of the measured peak"),
        ("Time", "2 h 29 min", "of training"),
    ]


def test_tables_say_what_was_recorded(document: str) -> None:
    zul = next(row for row in rows(document, "less is better") if "(zul)" in row[0])
    assert zul[1:] == ["1.604", "-0.001", "1.604", "250"]
    assert 'lang="zu">isiZulu' in zul[0]
    assert rows(document, "less is better")[-1][0] == "mean"
    last = rows(document, "The last records of training")
    assert len(last) == 1 + 10
    assert last[-1] == ["298", "298,000", "3.0000", "3.0000", "2.98", "0.002", "0.5", "9,298", "40.0%"]


def test_lines_go_where_the_figures_are() -> None:
    points = [(0.0, 4.0), (50.0, 3.0), (100.0, 1.0)]
    found = plot("", [Line(points, "loss", "k1 d0")], Across(100), low=0)
    assert drawn(found, "k1 d0") == [(0, 0), (500, 250), (1000, 750)], "4 is the top, 0 the bottom"
    assert re.findall(r'<span style="bottom:([\d.]+)%">(\d+)</span>', found) == [
        ("0.00", "0"), ("25.00", "1"), ("50.00", "2"), ("75.00", "3"), ("100.00", "4"),
    ]  # fmt: skip
    assert '<span style="bottom:25.00%" class="k1 d0">loss</span>' in found


def test_steps_stand_under_tokens(document: str) -> None:
    marks = re.findall(r'<span style="left:[\d.]+%"[^>]*>([^<]*)<small>([^<]*)</small>', document)
    assert marks[:3] == [("0", "0"), ("50 k", "50"), ("100 k", "100")]


def test_points_say_what_they_are(document: str) -> None:
    titles = re.findall(r"<title>(zul: [^<]*)</title>", document)
    assert titles[0] == "zul: 2.600 bits per byte at step 0, 0 tokens"
    assert titles[-1] == "zul: 1.604 bits per byte at step 250, 250 k tokens"
    assert len(titles) == 6


def test_the_opening_of_a_long_run_does_not_flatten_the_rest(document: str) -> None:
    assert "It begins above the plot, at 9.00." in document
    assert min(y for _, y in drawn(document, "raw")) < 0, "cut off above"
    assert "above the plot" not in make_page(made_lines(40), "short", False, {})
    flat = [{"step": step, "tokens": step, "loss": 3.0 - step / 1000} for step in range(200)]
    assert "above the plot" not in make_page(flat, "its first loss is within the axis", False, {})


def test_only_an_unfinished_page_loads_itself_again(document: str) -> None:
    refresh = '<meta http-equiv="refresh" content="30">'
    assert refresh in document
    assert "Still training" in document
    finished = make_page(made_lines(), "zul-30m", False, {})
    assert "http-equiv" not in finished
    assert "Finished." in finished


def test_it_needs_nothing_but_itself(document: str) -> None:
    assert not re.findall(r"<script|<link|<img|src=|url\(|@import|https?://", document)
    assert len(make_page(made_lines(20_000), "long", False, {})) < 400_000


def test_names_from_outside_are_text() -> None:
    lines = [{"step": 1, "tokens": 9, "loss": 2.0}, {"step": 1, "tokens": 9, "validation": {"<b>": 1.0}}]
    found = make_page(lines, "<script>alert(1)</script>", False, {})
    assert "<script" not in found
    assert "<b>" not in found
    assert found.count("&lt;b&gt;") >= 3


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "Nothing is recorded yet."),
        ([{"step": 0, "tokens": 0, "loss": 9.0}], "9.000"),
        ([{"step": 5, "loss": 2.5}, {"step": 6, "loss": None}], "From left to right: steps."),
        ([{"step": 5, "tokens": 50, "validation": {"zul": None, "mean": 1.25}}], "mean 1.25"),
        ([{"step": 5, "tokens_per_second": 12.0}], "12 at last"),
    ],
)
def test_a_run_that_has_hardly_begun(lines: list[dict[str, Any]], said: str) -> None:
    found = make_page(lines, "new", True, {})
    assert said in found
    assert "nan" not in found.split("<main>")[1]
    assert "inf" not in found.split("<main>")[1]


def test_it_is_written_from_the_folder_of_a_run(tmp_path: Path) -> None:
    with Metrics(tmp_path) as metrics:
        for line in made_lines():
            metrics.record(**line)
    write_curve(tmp_path, tmp_path / "curve.html", "zul-30m", unfinished=True)
    found = (tmp_path / "curve.html").read_text(encoding="utf-8")
    lines = [
        json.loads(line) for name in ("metrics", "speed") for line in (tmp_path / f"{name}.jsonl").open()
    ]
    assert found == make_page(lines, "zul-30m", True, load_languages())
    assert labels(found) == labels(make_page(made_lines(), "zul-30m", True, load_languages()))


@given(st.integers(1, 3000), st.integers(0, 99), st.integers(10, 200))
def test_thinning_keeps_the_ends_and_the_extremes(count: int, seed: int, most: int) -> None:
    values = [0.5, *np.random.default_rng(seed).normal(size=count).tolist(), 0.5]
    points = list(enumerate(values))
    found = list(thin(points, most))
    assert len(found) <= most or len(found) == len(points)
    assert found == sorted(set(found))
    assert found[0] == points[0]
    assert found[-1] == points[-1]
    assert {min(values), max(values)} <= {y for _, y in found}
    assert set(found) <= set(points)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_labels_do_not_stand_over_each_other(wanted: list[float]) -> None:
    gap = 1 / 12
    placed = spread(wanted, gap)
    ordered = sorted(placed)
    assert all(high - low >= gap - 1e-9 for low, high in pairwise(ordered))
    assert ordered[0] >= 0
    assert ordered[-1] <= 1 + 1e-9
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    assert [placed[at] for at in order] == ordered
    apart = sorted(wanted)
    if all(high - low >= gap for low, high in pairwise(apart)):
        assert placed == pytest.approx(wanted), "what has room stays"


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_ticks_are_few_and_hold_everything(low: float, span: float) -> None:
    ticks = nice(low, low + span)
    assert 2 <= len(ticks) <= 7
    slack = 1e-8 * (abs(low) + span) + 1e-199
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    assert ticks == sorted(set(ticks))


def test_ticks_are_round() -> None:
    assert nice(0, 100) == [0, 20, 40, 60, 80, 100]
    assert nice(1.31, 2.2) == [1.2, 1.4, 1.6, 1.8, 2.0, 2.2]
    assert nice(0, 0.002) == [0, 0.0005, 0.001, 0.0015, 0.002]
    assert nice(0.002, 0.002) == [0.001, 0.0015, 0.002, 0.0025, 0.003]
    assert nice(5e-324, 5e-324)[0] == nice(0, 0)[0] == 0
    assert nice(7.0, 7.0 + 1e-15) == nice(7, 7)


def test_the_mean_follows_the_points() -> None:
    assert smooth([(float(x), 2.0 * x) for x in range(5)]) == [(float(x), 2.0 * x) for x in range(5)]
    noisy = [(float(x), 5.0 + (-1) ** x) for x in range(800)]
    assert all(abs(y - 5) < 0.1 for _, y in smooth(noisy)[200:-10])
    assert smooth([]) == []


def test_numbers_are_short() -> None:
    assert [short(one) for one in (0, 999, 1000, 12_500, 999_400, 999_600, 3.2e6, 1.25e9, 2e12)] == [
        "0", "999", "1 k", "12.5 k", "999 k", "1 M", "3.2 M", "1.25 B", "2e+03 B",
    ]  # fmt: skip
    assert [duration(one) for one in (0.4, 59.6, 750, 11_100)] == [
        "0 s",
        "1 min 00 s",
        "12 min 30 s",
        "3 h 05 min",
    ]
    assert len({style_of(at) for at in range(18)}) == 18
