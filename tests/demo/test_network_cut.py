"""The page where there is no network at all: a network namespace with the loopback alone."""

import json
import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("gradio", reason="the demo page is made with Gradio")
pytest.importorskip("playwright", reason="the page is driven with playwright")

PROGRAM = """
import fcntl, json, shutil, socket, struct, sys, time
with socket.socket() as one:  # raise the loopback: ifr_flags IFF_UP | IFF_RUNNING
    fcntl.ioctl(one, 0x8914, struct.pack("16sH14s", b"lo", 0x1 | 0x40, b""))
try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
    sys.exit("there is a network")
except OSError:
    pass
from pathlib import Path
from playwright.sync_api import sync_playwright
from edgelm_demo.page import build
from edgelm_demo.server import launch
page = build([Path(sys.argv[1])])
address = launch(page)
with sync_playwright() as driver:
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    browser = driver.chromium.launch(executable_path=sys.argv[2], args=flags)
    view, errors = browser.new_page(locale="en-ZA"), []
    view.on("console", lambda message: message.type == "error" and errors.append(message.text))
    began = time.perf_counter()
    view.goto(address)
    view.get_by_role("button", name="Write", exact=True).wait_for()
    seconds = time.perf_counter() - began
    view.locator("#write").click()
    view.wait_for_function("document.querySelector('#status .note')?.innerText.startsWith('Finished')")
    print(json.dumps({"seconds": seconds, "errors": errors}))
    browser.close()
page.close(verbose=False)
"""


def test_the_page_writes_without_a_network(tiny_model_dir):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    unshare = [shutil.which("unshare") or "", "--map-root-user", "--net"]
    if not unshare[0] or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a network namespace")
    command = [*unshare, sys.executable, "-c", PROGRAM, str(tiny_model_dir), chromium]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["errors"] == []
    assert seen["seconds"] < 10
