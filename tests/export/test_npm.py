"""Packages of npm: what is locked and nothing else, whole or not at all."""

import base64
import hashlib
import io
import json
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgelm import resources
from edgelm.errors import BadInput, EdgelmError
from edgelm.export import npm

FILES = {"esm/index.js": "index.js"}


def archive(members: dict[str, bytes], link: str = "", kind: bytes = tarfile.SYMTYPE) -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w:gz") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        if link:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    return found.getvalue()


@pytest.fixture
def registry(monkeypatch):
    """Answers with `registry.data`, whatever it is asked for; remembers what that was."""

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(server.data)))
            self.end_headers()
            self.wfile.write(server.data)

        def log_message(self, *said):
            pass

    server = HTTPServer(("127.0.0.1", 0), Registry)
    server.data, server.asked = b"", []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_address[1]}/mirror")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def source(tmp_path):
    """Writes a folder that locks an archive as the package @some/thing."""

    def write(data: bytes, integrity: str = "") -> Path:
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        integrity = integrity or "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
        entry = {
            "version": "1.2.3",
            "resolved": npm.REGISTRY + "@some/thing/-/thing-1.2.3.tgz",
            "integrity": integrity,
        }
        lock = {"packages": {"": {}, "node_modules/@some/thing": entry}}
        (folder / "package-lock.json").write_text(json.dumps(lock))
        (folder / "package.json").write_text(json.dumps({"files": {"@some/thing": FILES}}))
        return folder

    return write


def test_the_wanted_files_are_taken_from_the_registry_of_this_machine(registry, source, tmp_path):
    registry.data = archive({"package/esm/index.js": b"code", "package/other.js": b"no", "../../evil": b"no"})
    folder = source(registry.data)
    npm.fetch(folder, tmp_path / "cache" / "here")
    assert registry.asked == ["/mirror/@some/thing/-/thing-1.2.3.tgz"]
    assert {file.name: file.read_bytes() for file in (tmp_path / "cache").rglob("*") if file.is_file()} == {
        "index.js": b"code"
    }
    assert npm.complete(tmp_path / "cache" / "here", folder)
    assert not npm.complete(tmp_path, folder)


def test_another_archive_than_the_locked_one_is_refused(registry, source, tmp_path):
    folder = source(archive({"package/esm/index.js": b"code"}))
    registry.data = archive({"package/esm/index.js": b"other"})
    with pytest.raises(EdgelmError, match=r"is not @some/thing 1\.2\.3 as it was locked"):
        npm.fetch(folder, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("link", ["", "package/esm/index.js"], ids=["missing", "link"])
def test_an_archive_without_the_file_is_refused(registry, source, tmp_path, link):
    registry.data = archive({"package/README.md": b"hello"}, link)
    with pytest.raises(EdgelmError, match="lacks a file"):
        npm.fetch(source(registry.data), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
@pytest.mark.parametrize("name", ["package/esm/index.js", "/tmp/x", "../../x"])
def test_nothing_but_a_file_of_that_name_is_taken(source, registry, tmp_path, kind, name):
    registry.data = archive(
        {"esm/index.js": b"1", "/package/esm/index.js": b"2", "x/../package/esm/index.js": b"3"}, name, kind
    )
    with pytest.raises(EdgelmError, match="lacks a file"):
        npm.fetch(source(registry.data), tmp_path / "cache" / "here")
    assert not list((tmp_path / "cache").glob("*"))


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [("package/esm/index.js", (1 << 20) + 1, "index.js"), ("package/esm/other", 1 << 21, "more than 2 MiB")],
)
def test_an_archive_that_swells_is_left_before_it_is_unpacked(
    source, registry, tmp_path, monkeypatch, name, size, said
):
    monkeypatch.setattr(npm, "LARGEST", 1 << 20)
    monkeypatch.setattr(npm, "UNPACKED", 1 << 21)
    last = {} if said == "index.js" else {"package/esm/index.js": b"code"}
    registry.data = archive({name: bytes(size), "package/end": b""} | last)
    assert len(registry.data) < 10_000
    with pytest.raises(EdgelmError, match=f"lacks a file.*{said}"):
        npm.fetch(source(registry.data), tmp_path / "cache")


def test_a_damaged_archive_is_one_line(source, registry, tmp_path):
    whole = archive({"package/README.md": bytes(range(256)) * 64, "package/esm/index.js": b"code"})
    for at in (12, 60):
        registry.data = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
        with pytest.raises(EdgelmError, match="lacks a file"):
            npm.fetch(source(registry.data), tmp_path / "cache")
        registry.data = whole[:at]
        with pytest.raises(EdgelmError, match="lacks a file"):
            npm.fetch(source(registry.data), tmp_path / "cache")


def test_a_cache_that_cannot_be_written(registry, source, tmp_path):
    registry.data = archive({"package/esm/index.js": b"code"})
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(EdgelmError, match=r"file.*: .*Nothing was kept; make room there"):
        npm.fetch(source(registry.data), tmp_path / "file" / "npm" / "here")


def test_a_wheel_without_wllama_is_no_release(monkeypatch, tmp_path):
    pytest.importorskip("hatchling", reason="it builds the wheel")
    root = Path(__file__).parents[2]
    monkeypatch.setattr(sys, "path", [str(root), *sys.path])
    from hatch_build import CustomBuildHook

    def offline(source, folder):
        raise EdgelmError("no network")

    monkeypatch.setattr(npm, "cache", lambda source: tmp_path / "none")
    monkeypatch.setattr(npm, "fetch", offline)
    monkeypatch.delenv("EDGELM_WITH_WLLAMA", raising=False)
    said, data = [], {"force_include": {}}
    app = SimpleNamespace(display_warning=said.append)
    hook = CustomBuildHook(str(root), {}, None, None, str(tmp_path), "wheel", app)
    hook.initialize("standard", data)
    assert "NOT WHOLE" in said[0]
    assert "no network" in said[0]
    assert data == {"force_include": {}}
    monkeypatch.setenv("EDGELM_WITH_WLLAMA", "1")
    with pytest.raises(RuntimeError, match="no wheel without the phone app's wllama: no network"):
        hook.initialize("standard", data)


def test_without_a_network_it_says_so(source, tmp_path, monkeypatch):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    with pytest.raises(EdgelmError, match=r"cannot be fetched \(.*refused.*\)\. Connect this machine"):
        npm.fetch(source(b"x"), tmp_path / "cache")


@pytest.mark.parametrize("integrity", ["sha1-abc", "none"])
def test_a_lock_without_sha512_is_refused(source, integrity):
    with pytest.raises(BadInput, match="has no SHA-512"):
        npm.locked(source(b"x", integrity))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "https://evil.example/thing.tgz", "http://x"])
def test_a_lock_of_another_registry_is_refused(source, url):
    folder = source(b"x")
    lock = (folder / "package-lock.json").read_text()
    (folder / "package-lock.json").write_text(lock.replace(npm.REGISTRY, url + "/"))
    with pytest.raises(BadInput, match="is of another registry"):
        npm.locked(folder)


@pytest.mark.parametrize(
    "lines", ["registry=https://mirror.example/npm", 'a=b\n registry = "https://mirror.example/npm/"\n']
)
def test_the_registry_of_npmrc(monkeypatch, tmp_path, lines):
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(tmp_path / "npmrc"))
    assert npm.registry() == npm.REGISTRY
    (tmp_path / "npmrc").write_text(lines)
    assert npm.registry() == "https://mirror.example/npm/"


def test_what_the_app_wants_is_locked_at_the_versions_it_names():
    folder = resources.path("export", "phone")
    packages = npm.locked(folder)
    said = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    assert {name: one.version for name, one in packages.items()} == said["dependencies"]
    assert set(npm.wanted(folder)) == set(packages)
    assert all(one.url.startswith(npm.REGISTRY) for one in packages.values())
