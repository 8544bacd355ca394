"""What `edgelm export phone` writes; the app itself is tested in a browser."""

import hashlib
import json
import re
import shutil
import struct
import zlib
from pathlib import Path

import pytest
import yaml

from edgelm import artifacts, resources
from edgelm.cli import main
from edgelm.errors import BadInput, EdgelmError
from edgelm.export import npm, phone
from edgelm.export.icons import png
from edgelm.export.phone_tasks import described, tasks_of
from edgelm.runtime import load

SOURCE = resources.path("export", "phone")


@pytest.fixture
def wllama(tmp_path, monkeypatch):
    """Stands for wllama: its files' names, with nothing of use in them."""
    monkeypatch.setenv(
        "LOCALAPPDATA" if phone.npm.sys.platform == "win32" else "XDG_CACHE_HOME", str(tmp_path)
    )
    folder = npm.cache(SOURCE)
    folder.mkdir(parents=True)
    for files in npm.wanted(SOURCE).values():
        for name in files.values():
            (folder / name).write_text(name)
    return folder


@pytest.fixture
def site(wllama, tiny_gguf, tmp_path, monkeypatch):
    monkeypatch.setattr(phone, "PART", 200_000)
    phone.export_phone(tiny_gguf, tmp_path / "site", tasks=["topic", "t2x", "nchlt_ner"])
    return tmp_path / "site"


def read(site: Path) -> dict:
    return json.loads((site / "site.json").read_text(encoding="utf-8"))


def test_the_parts_are_the_model(site, tiny_gguf):
    parts = read(site)["model"]["parts"]
    data = [(site / part["path"]).read_bytes() for part in parts]
    assert b"".join(data) == tiny_gguf.read_bytes()
    assert [len(one) for one in data] == [part["bytes"] for part in parts]
    assert [hashlib.sha256(one).hexdigest() for one in data] == [part["sha256"] for part in parts]
    assert len(parts) > 2
    assert {part["bytes"] for part in parts[:-1]} == {200_000}


def test_nothing_names_a_folder_of_this_machine(site, wllama, tiny_gguf, tmp_path):
    again = [tiny_gguf, tmp_path / "site"]
    phone.export_phone(*again, tasks=["topic", "t2x", "nchlt_ner"])  # made before, and still found so
    about = json.loads((site / "edgelm.json").read_text())
    assert list(about["inputs"]) == ["model", "app", "wllama"]
    assert not {"arguments", "machine"} & about.keys()
    named = [str(folder).encode() for folder in (tmp_path, tiny_gguf.parent, SOURCE, Path.home())]
    for file in site.rglob("*"):
        if file.is_file() and file.parent.name != "model":
            assert not [one for one in named if one in file.read_bytes()], file


def test_the_app_is_whole_and_nothing_else(wllama, tiny_gguf, tmp_path, monkeypatch):
    source = tmp_path / "export" / "phone"
    shutil.copytree(SOURCE, source, ignore=lambda *_: ("node_modules", "wllama"))
    (source / "stray").mkdir()
    (source / "notes.txt").write_text("mine")
    (wllama / "stray").mkdir()
    path = resources.path
    own = ("export", "phone")
    monkeypatch.setattr(resources, "path", lambda *parts: source if parts == own else path(*parts))
    phone.export_phone(tiny_gguf, tmp_path / "site", tasks=[])
    there = {file.name for file in (tmp_path / "site").iterdir()}
    assert not there & {"stray", "notes.txt", "texts.yaml"}
    assert there >= {
        file.name for file in SOURCE.iterdir() if file.suffix in (".js", ".html", ".css", ".svg")
    }


def test_the_worker_keeps_every_file_but_the_model(site):
    text = (site / "sw.js").read_text(encoding="utf-8")
    kept = set(json.loads(re.search(r"const FILES = (\[.*\]);", text)[1]))
    there = {file.relative_to(site).as_posix() for file in site.rglob("*") if file.is_file()}
    assert there - kept == {
        "sw.js",
        "edgelm.json",
        *(f"model/{file.name}" for file in (site / "model").iterdir()),
    }
    assert kept <= there
    assert "null;" not in text


def test_the_worker_changes_with_the_app(site, tmp_path):
    before = (site / "sw.js").read_text()
    phone.write_worker(site, SOURCE / "sw.js")
    (site / "edgelm.json").unlink()
    phone.write_worker(site, SOURCE / "sw.js")
    (site / "style.css").write_text("body {}")
    phone.write_worker(site, SOURCE / "sw.js")
    assert (site / "sw.js").read_text() != before


def test_prompts_are_the_runtimes(site, tiny_gguf):
    """Special tokens written as text, with the BOS that llama.cpp puts before it, are edgelm's own ids."""
    about, model = read(site)["model"], load(tiny_gguf)
    text = "Namhlanje ekuseni"

    def ids(prompt):
        return [model.bos, *model._ids(prompt, parse_special=True)]

    assert about["languages"]["zul"]["tag"] == "<|zul|>"
    assert ids(about["languages"]["zul"]["tag"] + text) == model.prompt(text, "zul")
    assert ids(about["opening"] + text) == model.prompt(text)
    assert ids(about["chat"][0] + text + about["chat"][1]) == model.prompt(text, chat=True)
    assert about["composes"] is True
    assert about["context"] == 256
    assert list(about["languages"]) != sorted(about["languages"])  # by their own names
    cache = 2 * 2 * 256 * 2 * 2 * 64  # keys and values, F16, context, layers, heads, width
    assert about["memory"] == tiny_gguf.stat().st_size + cache + phone.PAGE


def test_tasks(site):
    topic, facts, names = read(site)["model"]["tasks"]
    assert topic["words"]["zul"]["school"] == "school"
    assert topic["prompts"]["zul"] == "{text}"
    assert facts["prompts"] == {"xho": "Say this in {language}: {entity} | {relation} | {value}"}
    assert (facts["slots"], facts["partners"]) == (["entity", "value"], {})
    assert names["tags"] == ["O", *(f"{b}-{kind}" for kind in ("PERS", "ORG", "LOC", "MISC") for b in "BI")]
    assert [one["name"] for one in described(["belebele", "instructions", "sona"])] == ["sona"]


def test_translation_goes_in_the_directions_that_were_learnt(tmp_path):
    (task,) = described(["sona"])
    assert task["partners"]["zul"].keys() == {"eng"}
    assert task["partners"]["eng"].keys() == set(task["languages"]) - {"eng"}
    config = {"tasks": json.loads(json.dumps([_config("sona")])), "languages": ["zul", "xho"]}
    artifacts.build(tmp_path / "a", command="finetune", config=config, inputs=[], work=lambda partial: None)
    (task,) = tasks_of(tmp_path / "a")
    assert {code: list(names) for code, names in task["partners"].items()} == {"xho": ["eng"], "zul": ["eng"]}
    assert set(task["languages"]) == set(task["prompts"]) == {"xho", "zul"}


def test_tasks_are_found_from_an_export(tmp_path, tiny_model_dir):
    tuned, exported = tmp_path / "tuned", tmp_path / "export"
    config = {"tasks": json.loads(json.dumps([_config("afrihg"), _config("belebele")])), "prompts": "native"}
    artifacts.build(tuned, command="finetune", config=config, inputs=[], work=lambda partial: None)
    artifacts.build(exported, command="export", config={}, inputs=[tuned], work=lambda partial: None)
    (found,) = tasks_of(exported / "model-Q8_0.gguf")
    assert found["prompts"]["zul"] == "{text}\n\nIsihloko:"
    assert tasks_of(tuned)[0]["name"] == "afrihg"
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for one in (tuned, exported):
        one.rename(moved / one.name)
    assert [one["name"] for one in tasks_of(moved / "export" / "model-Q8_0.gguf")] == ["afrihg"]
    assert tasks_of(tiny_model_dir) == []


def _config(name):
    from edgelm.tasks.task import load_task

    return load_task(name, data=False).config()


def test_the_smallest_usual_file_of_an_export_is_taken(tmp_path):
    for name, size in {
        "model-F16": 9,
        "model-Q8_0": 5,
        "model-Q4_K_M": 3,
        "model-Q2_K": 2,
        "imatrix": 1,
    }.items():
        (tmp_path / f"{name}.gguf").write_bytes(b"x" * size)
    assert phone.choose_model(tmp_path).name == "model-Q4_K_M.gguf"
    for name in ("model-Q8_0", "model-Q4_K_M"):
        (tmp_path / f"{name}.gguf").unlink()
    assert phone.choose_model(tmp_path).name == "model-Q2_K.gguf"
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"holds no \.gguf file"):
        phone.choose_model(tmp_path / "empty")


def test_a_model_directory_is_exported_first(wllama, model_dir, tmp_path):
    pytest.importorskip("gguf", reason="the extra 'export' brings it")
    about = phone.export_phone(model_dir, tmp_path / "site", title="Mine")
    assert about["title"] == "Mine"
    assert about["bytes"] < 0.4 * (model_dir / "model.safetensors").stat().st_size  # 8 of 32 bits, and names
    assert not list((tmp_path / "site").rglob("*.gguf"))


def test_without_wllama_one_sentence_says_what_to_do(tmp_path, monkeypatch, capsys, tiny_gguf):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    monkeypatch.setattr(npm, "wanted", lambda source: {"@some/thing": {"a": "no-such-file"}})
    monkeypatch.setattr(npm, "download", lambda package: pytest.fail("the network was used unasked"))
    with pytest.raises(EdgelmError, match="Add --fetch to download it once"):
        phone.find_wllama()
    monkeypatch.setattr(
        "sys.argv", ["edgelm", "export", "phone", str(tiny_gguf), "-o", str(tmp_path / "site")]
    )
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith("edgelm: wllama, which runs the model on the phone, is not")
    assert not (tmp_path / "site").exists()


def test_the_command(wllama, tiny_gguf, tmp_path, monkeypatch, capsys):
    command = [
        "edgelm",
        "export",
        "phone",
        str(tiny_gguf),
        "-o",
        str(tmp_path / "site"),
        "-q",
        "--tasks",
        "topic",
    ]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert "tasks: topic\n" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", [*command, "--host", "0.0.0.0"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "--host does nothing without --serve" in capsys.readouterr().err


def test_the_words():
    texts = yaml.safe_load((SOURCE / "texts.yaml").read_text(encoding="utf-8"))
    code = "".join(
        file.read_text(encoding="utf-8") for file in SOURCE.glob("*.*") if file.suffix in (".js", ".html")
    )
    written = {f"{part}.{name}" for part, own in texts["eng"].items() for name in own}
    used = set(re.findall(r"['\"]((?:app|load|write|tasks)\.\w+)['\"]", code))
    assert used - written == {"tasks.js", "write.js", "app.js"} & used
    assert written - used == {
        *(f"write.{one}" for one in ("careful", "balanced", "playful", "short", "medium", "long")),
        *(f"tasks.{one}" for one in ("entity", "relation", "value")),
        *(f"tasks.{one}" for one in ("topic", "sentiment", "entities", "parts", "headline")),
    }
    for language, parts in texts.items():
        for part, own in parts.items():
            for name, words in own.items():
                assert set(re.findall(r"\{\w+\}", words)) == set(
                    re.findall(r"\{\w+\}", texts["eng"][part][name])
                ), (language, name)


def test_the_app_names_no_other_host():
    for file in SOURCE.iterdir():
        if file.suffix in (".js", ".html", ".css", ".webmanifest"):
            found = set(re.findall(r"https?://[^\s'\"]+", file.read_text(encoding="utf-8")))
            assert not found, file.name


def test_icons_are_png():
    data = png(180)
    assert struct.unpack(">II", data[16:24]) == (180, 180)
    place, chunks = 8, {}
    while place < len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + size]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[place + 8 + size : place + 12 + size])[0]
        chunks[kind] = body
        place += 12 + size
    pixels = zlib.decompress(chunks[b"IDAT"])
    assert len(pixels) == 180 * (1 + 3 * 180)
    row = pixels[90 * 541 + 1 : 91 * 541]
    assert tuple(row[:3]) == (0x14, 0x53, 0x4B)
    assert tuple(row[3 * 80 : 3 * 81]) == (0xF6, 0xF1, 0xE4)
