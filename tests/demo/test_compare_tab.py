"""The tab Compare: what it says of files side by side, and the tab in the system's Chromium."""

import shutil
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="the page is driven with playwright")
pytest.importorskip("gradio", reason="the demo page is made with Gradio")

from contrast import contrasts  # noqa: E402
from driving import open_tab  # noqa: E402
from edgelm_demo.compare import SAMPLE_BYTES, Run, judged_by  # noqa: E402
from edgelm_demo.compare_view import cards, chart, departure, short  # noqa: E402
from edgelm_demo.models import Found  # noqa: E402
from edgelm_demo.page import build  # noqa: E402
from edgelm_demo.server import launch  # noqa: E402

import edgelm  # noqa: E402
from edgelm.evaluate.bits_per_byte import bits_per_byte  # noqa: E402
from edgelm.tokenizer.texts import sample_texts  # noqa: E402


@pytest.fixture(scope="module")
def models(tiny_model_dir, tmp_path_factory):
    """A model, the same again, one of other weights, and one whose weights are none."""
    import torch

    from edgelm.model.directory import load_model, save_model

    folder = tmp_path_factory.mktemp("compared")
    for name in ("a", "b", "damaged"):
        shutil.copytree(tiny_model_dir, folder / name)
    (folder / "damaged" / "model.safetensors").write_bytes(b"no weights")
    other = load_model(tiny_model_dir)
    other.init_weights(torch.Generator().manual_seed(1))
    save_model(other, tiny_model_dir.parent / "tokenizer", folder / "c", "A random model for tests.\n")
    return folder


@pytest.fixture(scope="module")
def address(models):
    page = build([models])
    yield launch(page)
    page.close(verbose=False)


def open_compare(visit, **options):
    page = visit(**options)
    open_tab(page, "Compare")
    page.locator("#compare").wait_for()
    return page


def wait_for_status(page, beginning):
    page.wait_for_function(
        f"document.querySelector('#compare-status .note')?.innerText.startsWith('{beginning}')"
    )


def compare(page):
    page.locator("#compare").click()
    wait_for_status(page, "Finished")
    return page.locator("#compared .card")


def test_the_sample_is_short_and_no_text_to_train_on():
    for code, trained_on in sample_texts("train").items():
        documents = judged_by(code)
        assert 0.8 * SAMPLE_BYTES < sum(len(one.encode()) for one in documents) <= SAMPLE_BYTES
        assert not set(documents) & set(trained_on)


@pytest.mark.parametrize(
    ("one", "other", "at"),
    [
        ("ngi", "ngi", None),
        ("", "", None),
        ("ngiya", "ngiza", 3),
        ("ngi", "ngiya", 3),
        ("ngiya", "ngi", 3),
        ("ad\u032da", "ada", 1),
        ("ad\u032da", "ad\u0323a", 1),
    ],
)
def test_a_text_departs_at_a_whole_letter(one, other, at):
    assert departure(one, other) == at


def test_labels_of_a_plot_are_short():
    assert short("export/model-Q4_K_M.gguf (1,004.4 MB)") == "Q4_K_M"
    assert short("first/export/onnx/int8 (4.4 MB)") == "onnx/int8"
    assert short("base (5.3 MB)") == "base"


def test_files_are_compared_with_the_first_that_can_be_used():
    found = Found("model", Path("model"), 1, True)
    runs = [Run(found, state="failed"), *(Run(found, "done", text) for text in ("<a>", "<a>", "<b>"))]
    runs.append(Run(found, "writing", "<"))
    made = cards(runs, "ven", "eng").split("</section>")
    assert "The others are compared with this file" in made[1]
    assert "The same text as file 2" in made[2]
    assert "Differs from file 2, from character 2 on" in made[3]
    assert "Writing" in made[4], "it may still go on alike"
    assert ["fork" in card for card in made[:5]] == [False, False, False, True, False]
    assert 'lang="ve"' in made[1]
    assert "<a>" not in made[1]


def figures_of(name, size, bits, speed):
    tests = [{"test": "tg", "mean": speed}]
    return {name: {"name": name, "bytes": size, "bits_per_byte": {"mean": bits}, "tests": tests}}


def test_files_that_no_other_beats_are_told_by_shape_and_by_word():
    best, small = figures_of("<i>best", 4e6, 1.5, 100.0), figures_of("small", 1e6, 1.7, 200.0)
    beaten = figures_of("beaten", 5e6, 1.6, 50.0)
    html = chart({"zul": best | small | beaten}, "zul", "eng")
    assert html.count('class="dot guide beaten"') == 2  # a plot each
    assert html.count('class="dot guide"') == 4
    rows = html.split("<tbody>")[1].split("</tr>")
    assert [row.rsplit("<td", 1)[1].split(">")[1].split("<")[0] for row in rows[:3]] == [
        "–",
        "Size, Speed",
        "Size, Speed",
    ]
    assert "1 beaten: 5, 1.600; 2 &lt;i&gt;best: 4, 1.500; 3 small: 1, 1.700" in html
    assert "<i>" not in html
    assert chart({"zul": best | small}, "sot", "eng") == chart({"zul": best}, "zul", "eng") == ""


def test_files_stand_side_by_side_with_what_each_costs(visit, models):
    page = open_compare(visit)
    page.get_by_label("Playful").last.check()  # the seed matters
    found = compare(page).all_inner_texts()
    assert [card.split(" ")[1] for card in found] == ["a", "b", "c", "damaged"]
    assert "The others are compared with this file" in found[0]
    assert "The same text as file 1" in found[1]
    assert "▸ Differs from file 1, from character" in found[2]
    assert page.locator("#compared .fork").count() == 1
    assert page.locator("#compared .card").nth(2).locator(".fork").count() == 1
    assert "is not a safetensors file" in found[3]
    assert str(models) not in page.content()
    model = edgelm.load(models / "a")
    bits = bits_per_byte(model, {"zul": judged_by("zul")})["zul"]
    values = page.locator("#compared .card").nth(0).locator("dd").all_inner_texts()
    assert values[0].endswith(" tokens/s")
    assert values[1] == "3.7 MB"
    assert values[2].endswith(" MB")
    assert values[3] == f"{bits:.3f}"
    plots = page.locator("#compare-chart [role=img]")
    assert plots.count() == 2
    assert f"1 a: 3.677, {bits:.3f}" in plots.nth(0).get_attribute("aria-label")
    assert page.locator("#compare-chart tbody tr").count() == 3


def test_the_chart_is_of_the_chosen_language(visit):
    page = open_compare(visit)
    page.get_by_label("damaged").uncheck()
    page.get_by_label("c (3.7 MB)").uncheck()
    compare(page)
    page.locator("#compare-chart table").wait_for()

    def choose(language):
        page.get_by_label("Language", exact=True).last.click()
        page.get_by_role("option", name=language).click()

    choose("Sesotho")
    page.locator("#compare-chart table").wait_for(state="detached")
    page.wait_for_function("document.querySelector('#compare-given textarea').value.startsWith('Kajeno')")
    choose("isiZulu")
    page.locator("#compare-chart table").wait_for()
    page.get_by_label("a (3.7 MB)").uncheck()
    page.get_by_label("c (3.7 MB)").check()
    compare(page)
    assert page.locator("#compare-chart tbody tr").count() == 3, "files of an earlier press stay on it"


def test_stop_ends_this_file_and_those_after_it(visit, unhurried):
    page = open_compare(visit)
    compare, stop = page.locator("#compare"), page.locator("#compare-stop")
    assert stop.is_disabled()
    page.get_by_label("Longest text, in tokens").last.fill("96")
    compare.click()
    page.wait_for_function("document.querySelectorAll('.card .paper')[1]?.innerText.trim().length > 10")
    assert compare.is_disabled()
    stop.click()
    wait_for_status(page, "Stopped")
    said = page.locator("#compared .note").all_inner_texts()
    assert said == ["The others are compared with this file", "Stopped", "Stopped", "Stopped"]
    playwright.expect(compare).to_be_enabled()
    playwright.expect(stop).to_be_disabled()


def test_too_few_files_are_a_sentence(visit):
    page = open_compare(visit)
    for name in ("b (", "c (", "damaged ("):
        page.get_by_label(name).uncheck()
    page.locator("#compare").click()
    page.get_by_role("alert").wait_for()
    assert page.get_by_role("alert").inner_text() == "Choose 2 to 4 files; there are 1."
    playwright.expect(page.locator("#compare")).to_be_enabled()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_compare_fits_a_phone_in_both_themes(visit, theme):
    page = open_compare(visit, width=360, theme=theme)
    found = compare(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert len({found.nth(at).bounding_box()["x"] for at in range(4)}) == 1, "not below each other"
    places = [".card h2", ".card .paper b", ".card .fork", ".card .note", ".card dt", ".card .problem"]
    places += [f"#compare-chart {one}" for one in ("h2", ".note", ".ends span", ".ys span", "th", "caption")]
    ratios = contrasts(page, places)
    assert min(ratios.values()) >= 4.5, f"less contrast than WCAG 2 asks: {ratios}"
    ratios = contrasts(page, ["#compare-chart .dot.guide", "#compare-chart .line.front"], "stroke")
    assert min(ratios.values()) >= 3
