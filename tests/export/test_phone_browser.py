"""The phone app in Chromium with a phone's profile: it writes, and does so again without a network."""

import json
import re
import shutil
import threading
import time
from contextlib import contextmanager
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pytest

from edgelm.errors import EdgelmError
from edgelm.evaluate.predict import answer_scores
from edgelm.export import phone, site_server
from edgelm.export.site_server import Handler, SiteServer
from edgelm.runtime import load

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--no-first-run --host-resolver-rules=MAP\tphone.test\t127.0.0.1"
)
PHONE = {
    "viewport": {"width": 360, "height": 740},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
    "user_agent": "Mozilla/5.0 (Linux; Android 14; Pixel 5) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Mobile Safari/537.36",
    "locale": "en-ZA",
}
TEXT = "Namhlanje ekuseni"
LITTLE_MEMORY = "Object.defineProperty(Navigator.prototype, 'deviceMemory', {get: () => 0.25});"
LITTLE_STORAGE = "StorageManager.prototype.estimate = async () => ({quota: 5e6, usage: 4.9e6});"
OLDER = "delete WebAssembly.Suspending; delete WebAssembly.promising;"
WRONG = """() => { window.matchMedia = () => {
    document.getElementById('tab-tasks').click();
    throw new Error('odd');
}; }"""
RULES = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
}
TIMED = """async () => {
    const {Engine} = await import('./engine.js'), engine = new Engine({unfinished: []}), found = [];
    const wait = time => new Promise(resolve => setTimeout(resolve, time));
    for (const ended of ['length', 'stop']) {
        engine.wllama = {createCompletion: async ({onData}) => {
            await wait(400);
            for (let token = 0; token < 3; token++) {
                onData({choices: [{text: 'a'}]});
                await wait(30);
            }
            onData({choices: [{text: '', finish_reason: ended}]});
        }};
        found.push(await engine.write('', {tokens: 3}));
    }
    return found;
}"""
AT_ONCE = "window.setTimeout = (does, wait, ...rest) => queueMicrotask(does);"
BREAKS = """async () => {
    const {download} = await import('./download.js'), bytes = new TextEncoder().encode('1234');
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    const sha256 = [...digest].map(one => one.toString(16).padStart(2, '0')).join('');
    const found = [];
    for (const first of [4, 2]) {
        const ranges = [];
        globalThis.fetch = async (url, {headers}) => {
            ranges.push(headers.Range ?? null);
            if (headers.Range) return new Response('', {status: 416});
            if (ranges.length > 1) return new Response(bytes);
            const parts = [bytes.slice(0, first)];
            const pull = to => parts.length ? to.enqueue(parts.pop()) : to.error(new Error('broke'));
            return new Response(new ReadableStream({pull}, {highWaterMark: 0}));
        };
        const model = await download([{path: `model/${first}`, bytes: 4, sha256}], () => {});
        found.push([await model.text(), ranges]);
    }
    return found;
}"""
ASK = """async ([text, code, words]) => {
    const {Engine} = await import('./engine.js'), {download} = await import('./download.js');
    const {model} = await (await fetch('site.json')).json(), engine = new Engine(model);
    await engine.open(await download(model.parts, () => {}));
    const written = await engine.write(engine.continuing(text, code), {tokens: 16});
    const scores = await engine.score(engine.answering(text), words);
    const after = await engine.score(engine.continuing(text, code), words);
    return {text: written.text, tokens: written.tokens, scores, after};
}"""


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="the app is driven with playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        args = [flag.replace("\t", " ") for flag in FLAGS.split(" ")]
        found = driver.chromium.launch(executable_path=CHROMIUM, args=args)
        yield found
        found.close()


@pytest.fixture(scope="module")
def site(tiny_gguf, tmp_path_factory):
    try:
        phone.find_wllama(fetch=True)
    except EdgelmError as error:
        pytest.skip(f"no wllama here, and none to be had: {error}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phone, "PART", 300_000)
        folder = tmp_path_factory.mktemp("phone") / "site"
        phone.export_phone(tiny_gguf, folder, tasks=["topic", "masakhaner", "t2x", "sona"])
    return folder


@contextmanager
def served(site, handler=Handler):
    server = SiteServer(site, "127.0.0.1", 0)
    server.RequestHandlerClass = handler
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def visit(browser):
    """Opens a page on a phone; an error, or a request to another host, fails the test."""
    opened = []

    def open_page(server, script="", host="127.0.0.1", theme="light", calm=True):
        context = browser.new_context(**PHONE, color_scheme=theme)
        context.set_default_timeout(30_000)
        if script:
            context.add_init_script(script)
        page, seen = context.new_page(), SimpleNamespace(errors=[], others=[], calm=calm)
        url = f"http://{host}:{server.server_address[1]}/"
        page.on("console", lambda said: said.type == "error" and seen.errors.append(said.text))
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        context.on(
            "request",
            lambda one: one.url.startswith((url, f"blob:{url}")) or seen.others.append(one.url),
        )
        opened.append((context, seen))
        page.goto(url)
        return page

    yield open_page
    for context, seen in opened:
        context.close()
        assert seen.others == []
        assert seen.errors == [] or not seen.calm


def get_ready(page):
    page.get_by_role("button", name="Download the model").click()
    page.locator("#write").wait_for()


def write(page):
    """Of random weights one text in a hundred is empty."""
    for _ in range(3):
        page.locator("#act").click()
        page.locator("#status", has_text=re.compile("a second|nothing to add")).wait_for()
        if found := page.locator("#written b").inner_text():
            return found
    return ""


def test_writes_and_writes_again_without_a_network(site, visit):
    with served(site) as server:
        page = visit(server)
        get_ready(page)
        page.locator("#language").select_option("zul")
        assert page.locator("#given").input_value().startswith(TEXT)
        assert write(page)
        page.locator("body[data-kept=yes]").wait_for()
    page.context.set_offline(True)
    page.reload()
    page.locator("#write").wait_for()  # nothing to press: the model is there
    assert page.locator("#status").inner_text() == "Kept on this phone. It works without a network."
    page.locator("#language").select_option("sot")
    assert write(page)
    page.locator("#tab-tasks").click()
    page.locator("#task-text").fill("Abantwana bafunda esikoleni")
    page.locator("#act").click()
    page.locator(".bars li").first.wait_for()
    assert page.locator(".bars li").count() == 5


def test_says_what_edgelm_says(site, tiny_gguf, visit):
    words, model = ["health", "food", "school", "travel"], load(tiny_gguf)
    with served(site) as server:
        found = visit(server).evaluate(ASK, [TEXT, "zul", [model.tokenize(word) for word in words]])
    expected = "".join(model.generate(TEXT, language="zul", temperature=0, max_tokens=16))
    ((scores, _),) = answer_scores(model, [TEXT], [words])
    assert found["text"][:12] == expected[:12] != ""
    assert 0 < found["tokens"] <= 16
    np.testing.assert_allclose(found["scores"], scores, atol=0.003)
    choices = [[*model.tokenize(word), model.end] for word in words]
    after = model.score_choices(model.prompt(TEXT, "zul"), choices)
    np.testing.assert_allclose(found["after"], after, atol=0.003)


class Cutting(Handler):
    """Breaks connections off in the middle of the model's second part, and notes what was asked for."""

    cuts, asked = 2, []

    def _answer(self, body):
        if ".bin" in self.path:
            self.asked.append((self.path.split("/")[-1][:4], self.headers.get("Range")))
            if "/0001-" in self.path and type(self).cuts:
                type(self).cuts -= 1
                self.wfile = Short(self.wfile, 100_000)
        super()._answer(body)


class Short:
    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            self.file.flush()
            time.sleep(0.3)  # or the page would lose what it has not read yet
            raise ConnectionResetError
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_broken_download_goes_on_where_it_broke(site, visit):
    Cutting.cuts, Cutting.asked = 2, []
    with served(site, Cutting) as server:
        page = visit(server, calm=False)
        get_ready(page)
    first, *others = [where for part, where in Cutting.asked if part == "0001"]
    assert first is None
    starts = [int(where.removeprefix("bytes=").removesuffix("-")) for where in others]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1] < 300_000
    parts = [part for part, _ in Cutting.asked if part != "0001"]
    assert sorted(set(parts)) == sorted(parts)  # none of the others was asked for twice


def test_a_download_that_was_left_goes_on_at_the_next_visit(site, visit):
    Cutting.cuts, Cutting.asked = 1000, []
    with served(site, Cutting) as server:
        page = visit(server, calm=False)
        page.get_by_role("button", name="Download the model").click()
        page.locator("#state", has_text="Downloading, 0.4").wait_for()
        page.get_by_role("button", name="Pause").click()
        page.locator("#state", has_text="Paused at").wait_for()
        Cutting.cuts = 0
        page.reload()
        Cutting.asked = []
        page.get_by_role("button", name="Go on with the download").click()
        page.locator("#write").wait_for()
    assert "0000" not in [part for part, _ in Cutting.asked]


def test_pressed_twice_it_is_downloaded_once(site, visit):
    Cutting.cuts, Cutting.asked = 0, []
    with served(site, Cutting) as server:
        page = visit(server)
        page.locator("#act", has_text="Download").wait_for()
        page.evaluate("const act = document.getElementById('act'); act.click(); act.click(); act.click()")
        page.locator("#write").wait_for()
    assert [part for part, _ in Cutting.asked] == sorted({part for part, _ in Cutting.asked})


def test_a_part_that_broke_off_at_its_end_or_is_no_longer_there(site, visit):
    with served(site) as server:
        found = visit(server, AT_ONCE).evaluate(BREAKS)
    assert found == [["1234", [None]], ["1234", [None, "bytes=2-", None]]]


def test_no_network_in_the_middle_is_said_plainly(site, visit):
    Cutting.cuts, Cutting.asked = 0, []
    with served(site, Cutting) as server:
        page = visit(server, AT_ONCE, calm=False)
        page.locator("#act", has_text="Download").wait_for()
        page.context.set_offline(True)
        page.locator("#act").click()
        page.locator("#state", has_text="The network broke off at 0.0 of").wait_for()
        page.get_by_role("button", name="Go on with the download").click()
        page.locator("#state", has_text="The network broke off at 0.0 of").wait_for()
        page.context.set_offline(False)  # it goes on by itself
        page.locator("#write").wait_for()
    assert [part for part, _ in Cutting.asked] == sorted({part for part, _ in Cutting.asked})


def test_a_damaged_part_is_refused(site, visit, tmp_path):
    damaged = tmp_path / "site"
    shutil.copytree(site, damaged)
    part = next((damaged / "model").glob("0001-*"))
    data = bytearray(part.read_bytes())
    data[1000] ^= 1
    part.write_bytes(data)
    with served(damaged) as server:
        page = visit(server)
        page.get_by_role("button", name="Download the model").click()
        page.locator("#state", has_text="arrived damaged, more than once").wait_for()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            LITTLE_MEMORY,
            r"needs about \d+ MB of memory, and this phone can give about 125 MB\. Take a smaller",
        ),
        (LITTLE_STORAGE, r"needs \d\.\d MB of storage, and this browser has 0\.1 MB left"),
    ],
    ids=["memory", "storage"],
)
def test_a_phone_that_is_too_small_is_told_so(site, visit, script, said):
    with served(site, Cutting) as server:
        Cutting.cuts, Cutting.asked = 0, []
        page = visit(server, script)
        if script is LITTLE_STORAGE:
            page.locator("#act").click()
        page.locator("#state", has_text=re.compile(said)).wait_for()
        assert page.locator("#write").is_hidden()
    assert Cutting.asked == []


def test_one_thread_without_the_headers_and_an_older_browser(site, visit, monkeypatch):
    """wllama's other build, too, which browsers without suspended calls need."""
    monkeypatch.setattr(site_server, "HEADERS", {"Cache-Control": "no-cache"})
    with served(site) as server:
        page, asked = visit(server, OLDER), []
        page.context.on("request", lambda one: asked.append(one.url.split("/")[-1]))
        assert page.evaluate("crossOriginIsolated") is False
        get_ready(page)
        assert page.locator("body[data-threads='1']").count()
        assert "compat.js" in asked
        assert "wllama.wasm" not in asked
        assert write(page)


def test_an_address_without_https_works_until_it_is_closed(site, visit):
    with served(site) as server:
        server.hosts = frozenset()  # as one that the network reaches
        page = visit(server, host="phone.test", calm=False)  # Chromium warns of headers it ignores there
        assert page.evaluate("isSecureContext") is False
        page.locator("#unkept", has_text="it works until you close it").wait_for()
        get_ready(page)
        assert write(page)


def serious(page):
    """What axe, the checker that accessibility auditors use, finds serious."""
    axe = pytest.importorskip("axe_playwright_python", reason="it brings axe")
    page.evaluate((files(axe) / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("rules => axe.run(document, rules)", RULES)["violations"]
    return [
        (rule["id"], [node["html"][:200] for node in rule["nodes"]])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


def test_speed_is_of_what_follows_the_first_token(site, visit):
    with served(site) as server:
        found = visit(server).evaluate(TIMED)
    assert [one["ended"] for one in found] == ["length", "stop"]
    for one, timed in zip(found, (2, 3), strict=True):
        assert one["tokens"] == 3
        assert one["ready"] > 0.35
        assert 0.05 < one["seconds"] < 0.35
        assert one["speed"] == pytest.approx(timed / one["seconds"])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_tasks_stop_and_layout(site, visit, theme):
    with served(site) as server:
        page = visit(server, theme=theme)
        page.get_by_role("button", name="Download the model").wait_for()
        assert serious(page) == []
        get_ready(page)
        page.locator("summary").click()
        page.locator("#length").select_option("long")
        page.locator("#act").click()
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name="Write", exact=True).wait_for()
        page.locator("#status", has_text=re.compile("^Stopped")).wait_for()
        assert serious(page) == []
        act, tabs = (page.locator(one).bounding_box() for one in ("#act", "#tabs"))
        assert act["y"] > 740 / 2  # within a thumb's reach
        assert tabs["y"] + tabs["height"] <= 740
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.evaluate(WRONG)
        page.locator("#act").click()
        page.locator("#status", has_text="Something went wrong: odd").wait_for(state="attached")
        assert page.locator("#tasks").is_visible()
        page.locator("#tab-write").focus()
        page.keyboard.press("ArrowRight")
        page.locator("#act", has_text="Ask the model").click()
        page.locator("#task-status", has_text="Write something first.").wait_for()
        page.locator("#which").select_option(label="Names in a text")
        page.locator("#task-text").fill("UThandi uhlala eThekwini. USipho uyafunda?")
        page.locator("#act").click()
        page.locator("#task-status", has_text="guesses").wait_for()
        assert page.locator(".tagged").count() == 2
        assert "eThekwini" in page.locator(".tagged").first.inner_text()
        assert "USipho" in page.locator(".tagged").last.inner_text()
        assert serious(page) == []
        page.locator("#which").select_option(label="Translation")
        page.locator("#in").select_option(label="isiZulu")
        assert page.locator("#from option").all_inner_texts() == ["English"]
        page.locator("#in").select_option(label="English")
        assert page.locator("#from option").count() == 10
        page.locator("#which").select_option(label="Facts into a sentence")
        for name, value in {"entity": "Durban", "relation": "country", "value": "<b>South Africa"}.items():
            page.locator(f"#part-{name}").fill(value)
        page.locator("#act").click()
        page.locator("#task-status", has_text="guesses").wait_for()
        assert not page.locator("#answer b").count()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_words_tags_and_slots_are_read_as_python_reads_them(site, visit):
    from edgelm.runtime.answers import spans, split_sentences, split_words
    from edgelm.tasks.slots import fill

    texts = ["UThandi uhlala eThekwini, 12.5% ka-2024!", "Ndi a ṱoḓa u vhona 'n ding’s e-BBC", "a  b\tc"]
    texts += ["Nksz. Zulu ufikile. Ubona!  ini? ehhe… Yebo\n\nyena", "Ligugile². Kulungile. 2 kuphela"]
    tags = ["B-PER", "I-PER", "O", "I-LOC", "I-PER", "B-PER", "B-PER"]
    parts = {"entity": "Jan_Smuts_(politician)", "value": "3.0"}
    slotted = "{entity:bare} na {value:number} {entity} {other} {value:odd}"
    with served(site) as server:
        found = visit(server).evaluate(
            """async ([texts, tags, slotted, parts]) => {
                const labels = await import('./labels.js');
                const {splitWords, splitSentences, spans, fillSlots, fillPrompt} = labels;
                return [texts.map(splitWords), texts.map(splitSentences),
                        spans(tags).map(one => [one.kind, one.start, one.end]),
                        fillSlots(slotted, parts), fillPrompt('{{{text}}} {no}', {text: '{text}'})];
            }""",
            [texts, tags, slotted, parts],
        )
    assert [len(split_sentences(one)) for one in texts] == [1, 1, 1, 5, 3]
    words = [[split_words(one) for one in texts], [split_sentences(one) for one in texts]]
    assert found == [*words, json.loads(json.dumps(spans(tags))), fill(slotted, parts), "{{text}} {no}"]
