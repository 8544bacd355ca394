"""The demo page as a server: what it offers, what it refuses, and two readers at once."""

import itertools
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("gradio", reason="the demo page is made with Gradio")

import httpx
from edgelm_demo.guard import LARGEST
from edgelm_demo.models import WAITING, Shelf, find_models
from edgelm_demo.page import build
from edgelm_demo.server import launch
from speaking import TEXT, Server

import edgelm
from edgelm.errors import BadInput, MissingExtra
from edgelm.runtime import sampling
from edgelm.runtime.ensemble import ensemble_config


@pytest.fixture(scope="module")
def server(tiny_model_dir):
    server = Server([tiny_model_dir])
    yield server
    server.page.close(verbose=False)


def test_every_kind_of_model_is_found_smallest_first(tmp_path):
    GGUFWriter = pytest.importorskip("gguf", reason="an importance matrix is a GGUF file").GGUFWriter
    files = {"base/model.safetensors": 30, "export/model-Q8_0.gguf": 10, "export/onnx/int8/model.onnx": 20}
    unwanted = {
        "base/checkpoint-00000300/model.safetensors": 1,
        ".cache/model.gguf": 1,
        "a/b/c/d/e/deep.gguf": 1,
    }
    for name, size in (files | unwanted | {"corpus/data.parquet": 1}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    writer = GGUFWriter(tmp_path / "export" / "imatrix.gguf", "llama")
    writer.add_type("imatrix")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    found = find_models([tmp_path])
    assert [name.split(" ")[0] for name in found] == ["export/model-Q8_0.gguf", "export/onnx/int8", "base"]
    assert [one.path for one in found.values()] == [
        tmp_path / "export/model-Q8_0.gguf",
        tmp_path / "export/onnx/int8",
        tmp_path / "base",
    ]
    twice = find_models([tmp_path / "export" / "model-Q8_0.gguf", tmp_path])
    assert len(twice) == 3


def test_equal_names_stay_apart(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.gguf").write_bytes(b"x")
    found = find_models([tmp_path / "a", tmp_path / "b"])
    assert {one.path for one in found.values()} == {
        tmp_path / "a" / "model.gguf",
        tmp_path / "b" / "model.gguf",
    }


def put(folder, config, weights="model.safetensors", size=1):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / weights).write_bytes(bytes(size))


def put_ensemble(folder):
    put(folder / "head", HEADED, size=4)
    put(folder / "crf", CRF, size=1)
    (folder / "config.json").write_text(json.dumps(ensemble_config("crf", [1, 1])))


LABELS = {"id2label": {"0": "a", "1": "b"}, "edgelm": {"both_ways": False, "scheme": "flat"}}
HEADED = {"architectures": ["LlamaForSequenceClassification"], **LABELS}
LINEAR, CRF = {"model_type": "edgelm-linear"}, {"model_type": "edgelm-crf"}


def test_models_that_label_are_found_once_each(tmp_path):
    put(tmp_path / "base", {"architectures": ["LlamaForCausalLM"]}, size=9)
    put(tmp_path / "head", HEADED, size=8)
    put(tmp_path / "head-onnx", HEADED, "model.onnx", size=7)
    put(tmp_path / "linear", LINEAR, size=1)
    put(tmp_path / "crf", CRF, size=2)
    put_ensemble(tmp_path / "both")
    put(tmp_path / "auto", LINEAR, size=3)
    shutil.copytree(tmp_path / "both", tmp_path / "auto" / "tried" / "ensemble")
    found = find_models([tmp_path])
    sizes = {"linear": 1, "crf": 2, "auto": 3, "both": 5, "head-onnx": 7, "head": 8, "base": 9}
    assert {name.split(" ")[0]: one.size for name, one in found.items()} == sizes
    assert [name.split(" ")[0] for name, one in found.items() if one.writes] == ["base"]


def test_small_models_that_label_need_no_runtime(tmp_path, monkeypatch, capsys):
    put(tmp_path / "linear", LINEAR)
    put(tmp_path / "crf", CRF)
    put_ensemble(tmp_path / "both")
    put(tmp_path / "head", HEADED)
    for module in ("torch", "onnxruntime", "llama_cpp", "xllamacpp"):
        monkeypatch.setitem(sys.modules, module, None)
    assert {one.path.name for one in find_models([tmp_path]).values()} == {"linear", "crf"}
    assert "edgelm[train]" in capsys.readouterr().err


def test_no_model_is_a_sentence_with_a_remedy(tmp_path):
    with pytest.raises(BadInput, match=r"no model.*Give a \.gguf file"):
        find_models([tmp_path])
    with pytest.raises(BadInput, match="absent: no such file"):
        find_models([tmp_path / "absent"])


def test_a_model_without_its_runtime_is_left_out_with_a_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "model.gguf").write_bytes(b"x")
    for module in ("llama_cpp", "xllamacpp"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgelm\[gguf\]'"):
        find_models([tmp_path])
    (tmp_path / "model.onnx").write_bytes(b"x")
    assert [one.path for one in find_models([tmp_path]).values()] == [tmp_path]
    assert "model.gguf" in capsys.readouterr().err


def test_the_text_streams_and_ends_with_figures(server, unhurried):
    states, end = server.ask("stream")
    assert end["success"]
    texts = [text for text, _ in states]
    assert len(set(texts)) > 3
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert re.fullmatch(
        r"Finished · 48 tokens · [\d,]+ tokens/s · [\d.]+ s · [\d,]+ MB of memory", states[-1][1]
    )


def test_another_press_gives_another_text(server, unhurried):
    first, second = (server.ask("again", length=16)[0][-1][0] for _ in range(2))
    assert first != second
    assert first == server.ask("someone else", length=16)[0][-1][0]


def test_a_model_that_opens_late_leaves_the_status_line_alone(server):
    choose = next(one.fn for one in server.page.fns.values() if one.name == "choose_model")
    languages, status = choose(server.model, "zul", "eng")
    assert ("isiZulu", "zul") in languages["choices"]
    assert languages["value"] == "zul"
    assert not isinstance(status, str), "it would wipe what the reader has asked for in the meantime"


def test_a_language_never_touches_what_is_typed(server):
    choose = next(one.fn for one in server.page.fns.values() if one.name == "choose_language")
    assert choose("zul", "") == choose("zul", "Lehono mesong ke tsogile") == TEXT
    assert not isinstance(choose("zul", "Sawubona"), str), "it would undo what is typed in the meantime"
    assert not isinstance(choose("", TEXT), str)


def test_a_text_too_long_is_a_sentence_on_the_page(server):
    states, _ = server.ask("long", text="a" * 4001)
    assert states[-1][1] == "The text has 4,001 characters. Give at most 4,000."
    states, _ = server.ask("context", text="ngiyabonga " * 300)
    assert re.fullmatch(r"The prompt has \d+ tokens; .* Shorten it\.", states[-1][1])


def test_a_damaged_model_is_a_sentence_without_its_path(tiny_model_dir, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_model_dir, damaged)
    (damaged / "model.safetensors").write_bytes(b"no weights")
    server = Server([damaged])
    states, _ = server.ask("damaged")
    server.page.close(verbose=False)
    assert "is not a safetensors file" in states[-1][1]
    assert "Copy the model again" in states[-1][1]
    assert str(tmp_path) not in states[-1][1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "/etc/passwd"},
        {"model": "../model"},
        {"language": "/etc/passwd"},
        {"length": 100_000},
        {"style": 9.0},
        {"locale": "xxx"},
        {"task": "else"},
    ],
)
def test_a_value_that_no_control_offers_is_refused(server, wrong):
    states, end = server.ask(f"wrong {wrong}", **wrong)
    assert not end["success"]
    assert states == []


def test_the_queue_is_capped(tiny_model_dir, unhurried):
    server = Server([tiny_model_dir])
    answers = [server.join(f"crowd {n}", length=400).status_code for n in range(WAITING + 12)]
    server.page.close(verbose=False)
    assert answers[:WAITING] == [200] * WAITING
    assert answers[-1] == 503


@pytest.mark.parametrize("kind", ["tiny_model_dir", "tiny_gguf"])
def test_two_readers_each_get_the_text_they_get_alone(kind, request, unhurried):
    server = Server([request.getfixturevalue(kind)])
    texts = {"one": "Namhlanje ekuseni", "two": "Ho monate ho"}
    alone = {name: server.ask(f"{name} alone", text=text)[0][-1] for name, text in texts.items()}
    together = {}

    def read(name):
        together[name] = server.ask(name, text=texts[name])[0][-1]

    readers = [threading.Thread(target=read, args=(name,)) for name in texts]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    server.page.close(verbose=False)
    assert {name: text for name, (text, _) in together.items()} == {
        name: text for name, (text, _) in alone.items()
    }
    assert all(status.startswith("Finished · 48 tokens") for _, status in together.values())
    (begin_one, end_one), (begin_two, end_two) = server.writing["one"], server.writing["two"]
    assert begin_one < end_two, "the first waited for the second"
    assert begin_two < end_one, "the second waited for the first"


def test_a_reader_who_leaves_gives_the_model_back(server, unhurried, monkeypatch):
    shelf = next(one.fn for one in server.page.fns.values() if one.name == "write").__self__.context.shelf
    quick = sampling.sample
    monkeypatch.setattr(
        sampling, "sample", lambda *options: time.sleep(0.05) or quick(*options)
    )  # 12 s of writing
    assert server.join("leaver", length=400).status_code == 200
    for number, _ in enumerate(server.messages("leaver")):
        if number == 8:
            break
    assert len(shelf.lent) == 1
    deadline = time.monotonic() + 6
    while shelf.lent and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not shelf.lent
    assert server.ask("stayer", length=8)[0][-1][1].startswith("Finished")


def test_the_least_recently_used_models_give_way(monkeypatch, tmp_path):
    opened, closed = [], []

    class Model:
        def __init__(self, path):
            self.path = path

        def close(self):
            closed.append(self.path)

    paths = {name: tmp_path / f"{name}.gguf" for name in "abcdef"}
    for path in paths.values():
        path.write_bytes(bytes(100))
    a, b, c, d, e, f = paths.values()
    monkeypatch.setattr(
        edgelm, "load", lambda path, threads: opened.append(path) or Model(path), raising=False
    )
    shelf = Shelf()
    for path in (a, b, c, d, a):
        with shelf.borrow(path) as model:
            assert model.path == path
    assert (opened, closed) == ([a, b, c, d], [])
    with shelf.borrow(e):
        assert closed == [b], "the least recently used is closed"
        with shelf.borrow(f):
            assert closed == [b, c], "the one in use is not"
    with shelf.borrow(f), shelf.borrow(f):
        assert opened == [a, b, c, d, e, f, f], "two readers have a copy each"
    assert shelf.changes == len(opened) + len(closed)
    monkeypatch.setattr("edgelm_demo.models.MOST_BYTES", 250)
    with shelf.borrow(a):
        assert sum(path.stat().st_size for path in (a, *(path for path, _ in shelf.idle))) <= 250


def test_models_of_one_name_are_told_apart_without_the_whole_path(tmp_path):
    for folder in ("one/x", "two/x", "three/y"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "model.gguf").write_bytes(b"x")
    names = find_models([tmp_path / folder for folder in ("one/x", "two/x", "three/y")])
    assert {name.split(" ")[0] for name in names} == {"model.gguf", "x/model.gguf", "y/model.gguf"}
    assert not any(str(tmp_path) in name for name in names)


def test_no_file_is_served_or_taken(server, tiny_model_dir, monkeypatch):
    (tiny_model_dir / "seen.txt").write_text("secret")
    for path in (
        "/etc/passwd",
        "demo/app.py",
        f"{tiny_model_dir}/seen.txt",
        "../../etc/passwd",
        "http://example.org/",
    ):
        answer = httpx.get(f"{server.url}/gradio_api/file={path}", follow_redirects=False)
        assert answer.status_code == 404
        assert "root:" not in answer.text
    files = {"files": ("a.txt", b"text")}
    assert httpx.post(f"{server.url}/gradio_api/upload", files=files).status_code == 404
    assert httpx.get(f"{server.url}/gradio_api/proxy=http://example.org/").status_code == 404
    assert httpx.get(f"{server.url}/monitoring").status_code == 404


def test_the_interface_is_not_advertised(server):
    config = httpx.get(f"{server.url}/config").json()
    assert config["footer_links"] == []
    assert config["analytics_enabled"] is False
    assert httpx.get(f"{server.url}/gradio_api/info").json() == {
        "named_endpoints": {},
        "unnamed_endpoints": {},
    }
    number = next(number for number, one in server.page.fns.items() if one.name == "write")
    direct = httpx.post(f"{server.url}/gradio_api/run/predict", json={"data": [], "fn_index": number})
    assert direct.status_code == 404, "the queue and its cap can be gone around"


def test_nothing_is_asked_of_another_machine(tiny_model_dir, monkeypatch):
    hosts, real = set(), socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: hosts.add(host) or real(host, *rest, **more)
    )
    server = Server([tiny_model_dir])
    server.ask("quiet", length=8)
    server.page.close(verbose=False)
    assert hosts <= {"127.0.0.1", b"127.0.0.1", "localhost"}


def test_a_taken_port_is_a_sentence(server, tiny_model_dir):
    port = int(server.url.rsplit(":", 1)[1])
    with pytest.raises(BadInput, match=f"port {port} cannot be used .*--port"):
        launch(build([tiny_model_dir]), port)


def test_ctrl_c_stops_it_with_one_line(tiny_model_dir):
    code = (
        "import sys, pathlib; from edgelm.cli.demo import demo; demo([pathlib.Path(sys.argv[1])], 0, False)"
    )
    command = [sys.executable, "-c", code, str(tiny_model_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        assert re.match(r"The page is at http://127\.0\.0\.1:\d+/", first)
        process.send_signal(2)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out.strip(), err) == (0, "Stopped.", "")


class Elsewhere(BaseHTTPRequestHandler):
    """Another server, which the page must never ask."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x")

    def log_message(self, *words):
        pass


def test_a_text_that_says_it_is_a_file_is_not_fetched(server):
    elsewhere = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    elsewhere.asked = []
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{elsewhere.server_port}/secret"
    file = {"path": address, "url": address, "meta": {"_type": "gradio.FileData"}}
    for text in (file, [file], {"text": "", "files": [file]}):
        assert server.join("fetcher", text=text).status_code == 400
    elsewhere.shutdown()
    elsewhere.server_close()
    assert elsewhere.asked == []


def test_a_request_too_long_is_refused_before_it_is_read_whole(server):
    assert server.join("long", text="a" * LARGEST).status_code == 413
    assert server.join("shorter", length=8).status_code == 200


@pytest.mark.parametrize("name", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", ""])
def test_a_page_elsewhere_that_borrows_the_address_is_refused(server, name):
    for path in ("/", "/config", "/gradio_api/queue/data?session_hash=x"):
        assert httpx.get(server.url + path, headers={"host": name}).status_code == 403
    assert httpx.get(server.url, headers={"host": f"localhost:{server.url[-5:]}"}).status_code == 200
