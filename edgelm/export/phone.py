"""`edgelm export phone`: a folder of static files, an app that runs the model on the phone itself.

The app's source is in `export/phone/`; wllama (llama.cpp as WebAssembly) is beside it in a wheel, or in the
user's cache. The model is cut into parts, so that a broken download goes on where it broke and hosts with a
limit on files take it. `site.json` says all that the app knows of the model: its languages as text of special
tokens, its chat format, its tasks, and how much storage and memory it wants.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgelm import __version__, artifacts, resources
from edgelm.errors import BadInput, EdgelmError
from edgelm.export import npm
from edgelm.export.icons import png
from edgelm.export.phone_tasks import described, tasks_of
from edgelm.extras import require
from edgelm.languages import load_languages
from edgelm.progress import Progress
from edgelm.runtime import load
from edgelm.runtime.gguf_header import read_header
from edgelm.runtime.llama import LlamaCppModel

PART = 4 << 20
"""Bytes of a part of the model: what a broken download loses at most. Some hosts take no file above 25 MB."""
CONTEXT = 2048
"""Tokens that a phone keeps in memory at most."""
PAGE = 192 << 20
"""Bytes of memory beside the model and its cache: the page, wllama and its buffers. Chromium took 128 MB."""
KINDS = ("Q4_K_M", "Q8_0")
"""What is taken of an export that holds several files."""
BUILT_FOR = "gguf:Q8_0"
"""What a model directory is exported to first."""
NARROW = (b"\xe0", b"\xed", b"\xf0", b"\xf4")
COMMAND = "export phone"
ICONS = {"icon-192.png": 192, "icon-512.png": 512, "apple-touch-icon.png": 180}
APP = (
    "app.js", "download.js", "engine.js", "icon.svg", "index.html", "labels.js", "manifest.webmanifest",
    "style.css", "tasks.js", "words.js", "write.js",
)  # fmt: skip
"""What is copied as it is."""


def find_wllama(fetch: bool = False) -> Path:
    """The folder with wllama's files: the wheel's, or the user's copy.

    Args:
        fetch: get it where it is not there yet.

    Raises:
        EdgelmError: it is not there and was not to be fetched, or cannot be.
    """
    source = resources.path("export", "phone")
    for folder in (source / "wllama", npm.cache(source)):
        if npm.complete(folder, source):
            return folder
    if not fetch:
        raise EdgelmError(
            "wllama, which runs the model on the phone, is not on this machine. Add --fetch to download it "
            "once (10 MB from the npm registry)."
        )
    npm.fetch(source, folder)
    return folder


def choose_model(path: Path) -> Path:
    """The `.gguf` file to put on a phone; a model directory is returned as it is.

    Raises:
        BadInput: there is no such file, or the folder holds none.
    """
    if not path.exists():
        raise BadInput("no such model", file=path, remedy="give a .gguf file, an export or a model directory")
    if path.is_file():
        return path
    found = sorted(path.glob("*.gguf"), key=lambda one: (one.stat().st_size, one.name))
    found = [one for one in found if not one.name.startswith(("imatrix", "adapter"))]
    usual = [one for one in found if one.stem.endswith(KINDS)]
    if found:
        return (usual or found)[0]
    if (path / "model.safetensors").exists() or (path / "config.json").exists():
        return path
    raise BadInput(
        "holds no .gguf file and is no model directory", file=path, remedy="give it --to gguf:Q8_0 first"
    )


def export_phone(
    model: Path,
    output: Path,
    *,
    tasks: Sequence[str] | None = None,
    title: str = "",
    fetch: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the app with a model in it to `output`; returns what `site.json` says of the model.

    Args:
        model: a `.gguf` file, an export, or a model directory, which is exported to Q8_0.
        tasks: names or files of tasks that the model was finetuned for; by default what its provenance says.
        title: the model's name in the app; by default the file's.
        fetch: download wllama where it is not there.

    Raises:
        BadInput: there is no such model, or it labels and writes no text.
        MissingExtra: what runs or exports GGUF files is not installed.
        EdgelmError: wllama is not there.
    """
    progress = progress or Progress(silent=True)
    wllama, source = find_wllama(fetch), resources.path("export", "phone")
    chosen = choose_model(model)
    if chosen.is_dir():
        require("gguf", "export")
        require("torch", "train")
    knows = described(tasks) if tasks is not None else tasks_of(chosen)

    def work(partial: Path) -> dict[str, Any]:
        shutil.rmtree(partial / "model", ignore_errors=True)
        file = _exported(chosen, partial, progress) if chosen.is_dir() else chosen
        (partial / "wllama").mkdir(exist_ok=True)
        for files in npm.wanted(source).values():
            for name in files.values():
                shutil.copyfile(wllama / name, partial / "wllama" / name)
        for name in APP:
            shutil.copyfile(source / name, partial / name)
        for name_, size in ICONS.items():
            (partial / name_).write_bytes(png(size))
        about = describe(file, title, knows)
        about["parts"] = cut(file, partial / "model", progress)
        shutil.rmtree(partial / ".scratch", ignore_errors=True)
        site = {
            "edgelm": __version__,
            "model": about,
            "texts": resources.read_yaml(source / "texts.yaml"),
            "locales": {code: [one.bcp47, one.autonym] for code, one in load_languages().items()},
        }
        (partial / "site.json").write_text(json.dumps(site, ensure_ascii=False), encoding="utf-8")
        write_worker(partial, source / "sw.js")
        return {"bytes": about["bytes"], "tasks": [one["name"] for one in knows]}

    settings = {"tasks": knows, "title": title, "part": PART, "version": __version__}
    artifacts.build(
        output,
        command=COMMAND,
        config=settings,
        inputs=[chosen, source, wllama],
        work=work,
        say=progress.say,
    )
    _forget_this_machine(output)
    site = json.loads((output / "site.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = {**site["model"], "file": str(chosen)}
    return found


def _forget_this_machine(site: Path) -> None:
    """Leave in its provenance nothing but what may be published: no paths, no command line, no machine."""
    about = artifacts.read_provenance(site)
    assert about is not None
    digests = about["inputs"].values()
    about["inputs"] = dict(zip(("model", "app", "wllama"), digests, strict=True))
    for name in ("arguments", "machine"):
        about.pop(name, None)
    artifacts.write_json(site / artifacts.PROVENANCE, about)


def _exported(model: Path, partial: Path, progress: Progress) -> Path:
    from edgelm.export.export import artifact_name, export

    scratch = partial / ".scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    progress.say(f"exporting {model} to {BUILT_FOR} first")
    export(model, scratch / "export", [BUILT_FOR], progress=progress)
    named = scratch / f"{model.resolve().name}-{BUILT_FOR.split(':')[1]}.gguf"
    (scratch / "export" / artifact_name(BUILT_FOR)).rename(named)
    return named


def describe(file: Path, title: str = "", tasks: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """What the app needs to know of a model to build the prompts that edgelm's runtime builds.

    Special tokens are written out as text, which llama.cpp reads back as these tokens. What it puts before
    every text by itself (`adds_bos`) is left out.

    Returns:
        `title`, `bytes`, `context`, `memory` (bytes), `composes` (NFC), `opening` (of a text in no language),
        `languages` (of its card; code to name, tag and prompt), `chat` (what stands round a message or None),
        `end` (the token that ends an answer), `unfinished`, and `tasks` (none without a chat format; with the
        `tokens` of their words).
    """
    values = read_header(file).values
    learnt = {name.decode("utf-8", "replace") for name in values.get("general.languages") or ()}
    model = load(file, threads=1)
    try:
        assert isinstance(model, LlamaCppModel)
        bos = model.token_name(model.bos)
        languages = {
            code: {
                "name": one.autonym,
                "bcp47": one.bcp47,
                "tag": ("" if model.adds_bos else bos) + model.token_name(tag),
                "prompt": one.prompt,
            }
            for code, one in sorted(load_languages().items(), key=lambda item: item[1].autonym)
            if (tag := model.language_tag(code)) is not None and (not learnt or one.bcp47 in learnt)
        }
        chat = None
        if model.chat_format is not None:
            before, after = model.frame()
            if model.adds_bos and before[:1] == [model.bos]:
                before = before[1:]
            chat = ["".join(map(model.token_name, ids)) for ids in (before, after)]
        context = min(model.context, CONTEXT)
        for one in tasks:
            words = {word for own in one.get("words", {}).values() for word in own.values()}
            one["tokens"] = {word: model.tokenize(word) for word in sorted(words)}
        return {
            "title": title or _name(values, file),
            "bytes": file.stat().st_size,
            "context": context,
            "memory": file.stat().st_size + cache_bytes(values, context) + PAGE,
            "composes": model.composes,
            "opening": "" if model.adds_bos else bos,
            "languages": languages,
            "chat": chat,
            "end": model.end,
            "unfinished": unfinished(model),
            "tasks": list(tasks) if chat else [],
        }
    finally:
        model.close()


def unfinished(model: LlamaCppModel) -> list[int]:
    """Tokens that end in the first byte of a character whose second byte is not free.

    A model that has learnt little may go on with a wrong one. wllama cannot hand on text that is no UTF-8,
    and its grammars keep all of it away but this. Emoji and some scripts of Asia begin with these bytes,
    where the tokenizer has no longer tokens for them.
    """
    return [one for one in range(model.vocab_size) if model.token_bytes(one)[-1:] in NARROW]


def cache_bytes(values: dict[str, Any], context: int) -> int:
    """Bytes of keys and values in half precision, from a file's header."""
    architecture = values["general.architecture"].decode()

    def number(key: str, otherwise: int = 0) -> int:
        return int(values.get(f"{architecture}.{key}", otherwise))

    heads = number("attention.head_count", 1)
    width = number("attention.key_length", number("embedding_length") // heads)
    return 2 * 2 * context * number("block_count") * number("attention.head_count_kv", heads) * width


def _name(values: dict[str, Any], file: Path) -> str:
    said = values.get("general.name", b"")
    name = said.decode("utf-8", "replace") if isinstance(said, bytes) else ""
    return name or file.stem


def cut(file: Path, folder: Path, progress: Progress) -> list[dict[str, Any]]:
    """Copy a file in parts of `PART` bytes; `path` in the site, `bytes` and `sha256` of each."""
    folder.mkdir()
    size = file.stat().st_size
    found = []
    with file.open("rb") as stream, progress.track(size, "cutting the model into parts") as step:
        for number in range(math.ceil(size / PART)):
            data = stream.read(PART)
            digest = hashlib.sha256(data).hexdigest()
            name = f"{number:04d}-{digest[:12]}.bin"  # another model's parts never have the same address
            (folder / name).write_bytes(data)
            found.append({"path": f"{folder.name}/{name}", "bytes": len(data), "sha256": digest})
            step(len(data))
    return found


def write_worker(site: Path, template: Path) -> None:
    """The service worker, told the app's files and a version that follows from their bytes."""
    files = {
        file.relative_to(site).as_posix(): artifacts.digest_path(file)
        for file in sorted(_files(site))
        if file.relative_to(site).parts[0] != "model"
    }
    text = template.read_text(encoding="utf-8")
    said = {
        "VERSION": artifacts.digest_of(files)[:16],
        "FILES": list(files),
    }
    for name, value in said.items():
        marked = f"const {name} = null;"
        assert marked in text, name
        text = text.replace(marked, f"const {name} = {json.dumps(value)};")
    (site / "sw.js").write_text(text, encoding="utf-8")


def _files(site: Path) -> Iterable[Path]:
    return (
        file
        for file in site.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(site).parts)
    )
