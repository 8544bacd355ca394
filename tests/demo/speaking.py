"""A page on a free port, spoken to as a browser would, without a browser."""

import json
import re
import time

import httpx
from edgelm_demo.models import find_models
from edgelm_demo.page import build
from edgelm_demo.server import launch
from gradio_client import utils as client_utils

TEXT = "Namhlanje ekuseni ngivuke"


class Server:
    def __init__(self, models):
        self.page = build(models)
        self.url = launch(self.page).rstrip("/")
        self.writing = {}  # session: when its first and its last text came
        self.model = next(iter(find_models(models)))

    def join(self, session, function="write", **changed):
        values = {"model": self.model, "language": "", "text": TEXT, "task": "continue"}
        values |= {"style": "playful", "length": 48, "presses": None, "locale": "eng"} | changed
        number = next(number for number, one in self.page.fns.items() if one.name == function)
        body = {"data": list(values.values()), "fn_index": number, "session_hash": session}
        return httpx.post(f"{self.url}/gradio_api/queue/join", json=body, timeout=20)

    def messages(self, session):
        address = f"{self.url}/gradio_api/queue/data?session_hash={session}"
        with httpx.stream("GET", address, timeout=60) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def ask(self, session, **changed):
        """Every state of (text, status) that one press of the button shows, then how the request ended."""
        assert self.join(session, **changed).status_code == 200
        states, data = [], None
        for message in self.messages(session):
            if message["msg"] == "process_generating":
                new = message["output"]["data"]
                data = new if data is None else list(map(client_utils.apply_diff, data, new))
                text = written(data[0]) if isinstance(data[0], str) else ""
                states.append((text, plain(data[1])))
                if text:
                    self.writing[session] = (
                        self.writing.get(session, [time.monotonic()])[0],
                        time.monotonic(),
                    )
            if message["msg"] == "process_completed":
                return states, message
        raise AssertionError("the page never finished")


def plain(html):
    return re.sub("<[^>]*>", "", html)


def written(html):
    return re.search("<b>(.*)</b>", html, re.DOTALL).group(1)
