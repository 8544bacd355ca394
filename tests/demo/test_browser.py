"""The tab Write as a reader meets it, in the system's Chromium."""

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="the page is driven with playwright")
pytest.importorskip("gradio", reason="the demo page is made with Gradio")

from edgelm_demo.page import build  # noqa: E402
from edgelm_demo.server import launch  # noqa: E402

TEXT = "Namhlanje ekuseni ngivuke"


@pytest.fixture(scope="module")
def address(tiny_model_dir):
    page = build([tiny_model_dir])
    yield launch(page)
    page.close(verbose=False)


def open_write(visit, **options):
    page = visit(**options)
    page.get_by_label("Your text").fill(TEXT)
    return page


def wait_for_status(page, beginning):
    page.wait_for_function(f"document.querySelector('#status .note')?.innerText.startsWith('{beginning}')")


def test_the_text_streams_until_stop_is_pressed(visit, unhurried):
    page = open_write(visit)
    write, stop = page.get_by_role("button", name="Write"), page.get_by_role("button", name="Stop")
    assert stop.is_disabled()
    page.get_by_label("Longest text, in tokens").first.fill("200")
    write.click()
    page.wait_for_function("document.querySelector('.paper b')?.innerText.length > 20")
    half = page.locator(".paper b").inner_text()
    assert write.is_disabled()
    stop.click()
    wait_for_status(page, "Stopped")
    playwright.expect(page.locator(".paper span")).to_have_text(TEXT)  # the page draws it anew at the end
    whole = page.locator(".paper b").inner_text()
    assert whole.startswith(half)
    tokens = int(page.locator("#status .note").inner_text().split(" · ")[1].removesuffix(" tokens"))
    assert 5 < tokens < 150
    page.wait_for_timeout(200)
    assert page.locator(".paper b").inner_text() == whole
    playwright.expect(write).to_be_enabled()
    playwright.expect(stop).to_be_disabled()
    write.click()
    wait_for_status(page, "Writing")
    stop.click()
    wait_for_status(page, "Stopped")


def test_a_third_reader_is_told_to_wait_and_has_a_turn(visit, unhurried):
    readers = [open_write(visit) for _ in range(3)]
    for page in readers:
        page.get_by_label("Longest text, in tokens").first.fill("200")
        page.get_by_role("button", name="Write").click()
    for page in readers[:2]:
        wait_for_status(page, "Writing")
    wait_for_status(readers[2], "Waiting for a turn")
    readers[0].get_by_role("button", name="Stop").click()
    wait_for_status(readers[2], "Writing")


def test_what_is_typed_is_shown_as_it_was_typed(visit):
    page = open_write(visit)
    for typed in (
        "<img src=x onerror=\"console.error('ran')\"> & <b>",
        "${console.error('ran')} {{value}} `x`",
    ):
        page.get_by_label("Your text").fill(typed)
        page.get_by_role("button", name="Write").click()
        page.wait_for_function(f"document.querySelector('.paper span')?.innerText === {typed!r}")
        wait_for_status(page, "Finished")


def test_a_language_brings_its_opening_and_its_tag(visit):
    page = open_write(visit)
    page.get_by_label("Your text").fill("")
    page.get_by_label("Language", exact=True).click()
    page.get_by_role("option", name="isiZulu").wait_for()  # the model may still be opening
    names = page.get_by_role("option").all_inner_texts()
    assert "Any language" in names[0]
    assert len(names) > 2
    page.get_by_role("option", name="isiZulu").click()
    page.wait_for_function(f"document.querySelector('textarea').value === {TEXT!r}")
    page.get_by_role("button", name="Write").click()
    wait_for_status(page, "Finished")
    assert page.locator(".paper").get_attribute("lang") == "zu"


def test_an_error_is_a_sentence(visit):
    page = open_write(visit)
    page.get_by_label("Your text").fill("ngiyabonga " * 300)
    page.get_by_role("button", name="Write").click()
    sentence = page.get_by_role("alert")
    sentence.wait_for()
    assert sentence.inner_text().startswith("The prompt has")
    assert sentence.inner_text().endswith("Shorten it.")
    playwright.expect(page.get_by_role("button", name="Write")).to_be_enabled()


CONTRASTS = """() => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (!colour.startsWith('rgba') || !colour.endsWith(', 0)')) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  return ['h1', '.paper span', '.paper b', '.note', 'textarea', 'button.primary'].map(name => {
    const node = document.querySelector('.gradio-container ' + name);
    const pair = [light(getComputedStyle(node).color), light(behind(node))];
    return [name, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
  });
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_phone_in_both_themes(visit, theme):
    page = open_write(visit, width=360, theme=theme)
    page.get_by_role("button", name="Write").click()
    wait_for_status(page, "Finished")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
    ratios = dict(page.evaluate(CONTRASTS))
    assert min(ratios.values()) >= 4.5, f"less contrast than WCAG 2 asks: {ratios}"


def test_a_model_that_has_not_learnt_to_answer_says_so(visit, tiny_model_dir):
    record = tiny_model_dir / "edgelm.json"
    whole = record.read_bytes() if record.exists() else None
    record.write_text('{"command": "pretrain", "digest": "x"}')
    try:
        page = open_write(visit)
        page.get_by_label("Answer my message").check()
        page.get_by_role("button", name="Write").click()
        playwright.expect(page.get_by_role("alert")).to_contain_text("learnt to continue text, not to answer")
    finally:
        record.unlink() if whole is None else record.write_bytes(whole)


def test_every_control_has_a_name(visit):
    page = open_write(visit)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('input, textarea, button, select')].filter(node =>
             node.checkVisibility({visibilityProperty: true}) && !node.ariaLabel && !node.innerText.trim()
             && !node.labels?.[0]?.innerText.trim()).map(node => node.outerHTML)"""
    )
    assert nameless == []
    for label in ("Your text", "Language", "Model", "Longest text, in tokens", "Language of the page"):
        assert page.get_by_label(label, exact=label != "Longest text, in tokens").first.is_visible()
