"""The page and the picture of a benchmark, from figures as `bench.json` has them."""

import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edgelm.bench.page import page
from edgelm.bench.picture import draw, front, shorten, write_picture
from edgelm.bench.tables import language_table, notes, pareto_table, speed_table

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"
CODES = ("zul", "ven", "eng")


def model(name: str, bits: float, size: int, *speeds: float, **changes: Any) -> dict[str, Any]:
    tests, latency = [], []
    for threads, speed in enumerate(speeds, 1):
        for kind, times in (("pp512", 10), ("tg128", 1)):
            test = {
                "test": kind,
                "threads": threads,
                "tokens": int(kind[2:]),
                "mean": speed * times,
                "sd": 3.0,
            }
            tests.append(test | {"samples": []})
        wait = {"mean": 0.25, "sd": 0.01, "samples": []}
        latency.append(
            {"threads": threads, "load_seconds": wait, "first_token_seconds": wait, "joules_per_token": None}
        )
    rates = {code: {str(threads): 3.0 * speed for threads, speed in enumerate(speeds, 1)} for code in CODES}
    return {
        "name": name, "path": name, "backend": "llama.cpp", "context": 2048, "bytes": size,
        "peak_bytes": 2 * size, "model_bytes": size, "tests": tests, "latency": latency,
        "bits_per_byte": {**dict.fromkeys(CODES, bits), "mean": bits}, "characters_per_second": rates,
        "unbeaten": ["speed", "size"], **changes,
    }  # fmt: skip


@pytest.fixture
def figures() -> dict[str, Any]:
    models = [
        model("<b>gguf</b>" + "x" * 80, 1.5, 8_000_000, 100.0, 150.0),
        model("onnx:int8", 1.6, 9_000_000, 90.0, 40.0, unbeaten=[]),
        model("equal", 1.5, 8_000_000, 100.0, 150.0),
    ]
    joules = {"mean": 0.0123, "sd": 0.0, "samples": []}
    models[1]["latency"][0]["joules_per_token"] = joules
    return {
        "settings": {"prompt": 512, "new": 128, "repetitions": 5, "threads": [1, 2]},
        "text": "the embedded sample",
        "bytes_of_text": dict.fromkeys(CODES, 1000),
        "models": models,
    }


def test_the_tables_show_the_threads_that_suit_best(figures: dict[str, Any]) -> None:
    header, rows = pareto_table(figures)
    assert header[-3:] == ["tg128 tokens/s", "peak MB", "not beaten in"]
    assert rows[0][1:] == ["8.00", "1.5000", "150 ± 3", "16", "speed and size"]
    assert rows[1][-3:] == ["90 ± 3", "18", "-"]
    assert language_table(figures, "characters_per_second")[1][1] == ["onnx:int8", "270", "270", "270"]
    assert language_table(figures, "bits_per_byte")[1][1] == ["onnx:int8", "1.600", "1.600", "1.600"]
    _, rows = speed_table(figures)
    assert [row[1] for row in rows] == ["1", "2"] * 3
    assert rows[2][2:] == ["900 ± 3", "90 ± 3", "250 ± 10", "250 ± 10", "0.0123"]
    assert rows[3][-1] == "-"


def test_a_short_context_is_said(figures: dict[str, Any]) -> None:
    (learnt,) = notes(figures)
    assert learnt.startswith("the embedded sample flatters models that were trained on it")
    figures["text"] = "my-corpus"
    assert notes(figures) == []
    short = figures["models"][1]
    short["context"] = 256
    for test in short["tests"]:
        test["tokens"] = min(test["tokens"], 256)
    assert notes(figures) == ["onnx:int8: the context holds 256 tokens, so pp256 and tg128 were measured"]
    assert "the context holds 256 tokens" in page(figures)


def test_tasks_have_a_column(figures: dict[str, Any]) -> None:
    for number, one in enumerate(figures["models"]):
        one["tasks"] = {"topic": {"metric": "macro_f1", "score": number / 10, "split": "test"}}
    header, rows = pareto_table(figures)
    assert header[3] == "topic"
    assert [row[3] for row in rows] == ["0.000", "0.100", "0.200"]


def test_the_picture_has_its_points_and_joins_the_unbeaten(tmp_path: Path, figures: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib", reason="the picture is drawn with the extra 'bench'")
    from matplotlib.image import imread

    figures["models"][0]["name"] = "short"
    write_picture(figures, tmp_path / "bench.png")
    pixels = imread(tmp_path / "bench.png")[..., :3]
    assert pixels.shape[0] > 400
    for colour in ("1c67a8", "1f7a5c", "8a96a3"):  # fronts of speed and of size, and who is beaten
        wanted = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        assert (abs(pixels - wanted) < 0.01).all(axis=-1).sum() > 30


def test_no_name_in_the_picture_is_over_another_or_cut(figures: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib", reason="the picture is drawn with the extra 'bench'")
    from matplotlib.text import Text

    figures["models"] = [
        model(f"onnx:a long name, number {at}", 1.5 + at % 3 / 1000, 8_000_000 + at, 100.0 + at % 4)
        for at in range(12)
    ]
    picture = draw(figures)
    picture.draw_without_rendering()
    ends = [picture.axes[1].get_tightbbox().x0, picture.bbox.x1]
    for axes, end in zip(picture.axes, ends, strict=True):
        boxes = sorted((Text.get_window_extent(one) for one in axes.texts), key=lambda box: box.y0)
        assert len(boxes) == 12
        for below, above in pairwise(boxes):
            assert below.y1 <= above.y0
        assert all(axes.get_window_extent().x1 < box.x0 and box.x1 <= end for box in boxes)
    assert [shorten("x" * 30), shorten("a/" + "b" * 30)] == ["x" * 30, "…" + "b" * 29]


def test_the_front_goes_from_left_to_right_through_the_unbeaten(figures: dict[str, Any]) -> None:
    figures["models"][2]["tests"][1]["mean"] = 180.0
    assert front(figures, "speed") == [(150.0, 1.5), (180.0, 1.5)]
    assert front(figures, "size") == [(8.0, 1.5), (8.0, 1.5)]


def test_markup_in_a_name_is_text(figures: dict[str, Any]) -> None:
    html = page(figures)
    assert "<b>gguf" not in html
    assert "&lt;b&gt;gguf" in html
    assert "<script" not in html


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_phone_shows_the_page_without_a_network(tmp_path: Path, figures: dict[str, Any]) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="the page is opened with playwright")
    path = tmp_path / "bench.html"
    path.write_text(page(figures), encoding="utf-8")
    wrong: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS.split(), "--no-first-run"])
        tab = browser.new_context(viewport={"width": 360, "height": 700}).new_page()
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("request", lambda request: request.url != path.as_uri() and wrong.append(request.url))
        tab.goto(path.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        assert tab.locator("path.dot").count() == 2 * 3
        browser.close()
    assert wrong == []
