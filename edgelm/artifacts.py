"""Artifacts: directories that a stage leaves on disk, whole or not at all.

A stage is a function that fills an empty directory. `build` runs it in `.<name>.partial` beside the output
and renames that into place when it returns, so an output that can be seen is finished. Its `edgelm.json` says
what made it: command, resolved configuration, digests of the inputs, versions, seed, time and machine.

* Run again with the same configuration and the same input bytes, nothing is done.
* A run that was killed leaves its partial directory; the next run with the same configuration and inputs gets
  it back and may continue from what it finds there. With others, it starts empty.
* An output that edgelm did not make, that another command made or that holds an input is never replaced.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from filelock import FileLock, Timeout

from edgelm import __version__
from edgelm.errors import BadInput, EdgelmError, Unfit
from edgelm.files import read_json
from edgelm.shape import fits

PROVENANCE = "edgelm.json"
DIGEST, DONE = ".digest", ".done"
"""In a partial directory: of what it is, and its results once all but the cleaning is done."""
PART = ".{}.part"
"""Name of a file while it is being written."""
BUSY = "{}: another edgelm process is building it. Wait for it to end."
HALF = "Nothing was left half-written; run the same command again once this is mended."
CLOCKED = {
    PROVENANCE,
    "speed.jsonl",
    "curve.html",
    "tensorboard",
    "pruning.json",
    "finishing.json",
    "target.json",
    "bench.json",
    "auto.json",
}
"""Files and folders that say when and how fast: two equal runs differ in them."""
CONTINUE = "Run the same command again to continue."
RECORDED_PACKAGES = (
    "numpy", "tokenizers", "pyarrow", "torch", "transformers", "onnx", "onnxruntime", "optimum-onnx", "gguf",
    "llama-cpp-python", "xllamacpp", "onnxruntime-genai", "onnx-ir", "scikit-learn", "scipy",
    "sklearn-crfsuite", "safetensors", "peft",
)  # fmt: skip


class Named(TypedDict):
    name: str
    measurement_only: NotRequired[bool]


class Config(TypedDict, total=False):
    tasks: list[Named]
    inherited: list[str]
    method: str
    prompts: str
    languages: list[str] | dict[str, list[str]] | None


class Results(TypedDict, total=False):
    validation_bits_per_byte: dict[str, float | None]


class Provenance(TypedDict):
    """What others rely on of an `edgelm.json`."""

    digest: str
    command: NotRequired[str]
    config: NotRequired[Config]
    inputs: NotRequired[dict[str, str]]
    outputs: NotRequired[dict[str, int]]
    versions: NotRequired[dict[str, str | None]]
    results: NotRequired[Results]


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON-serialisable value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def digest_path(path: Path) -> str:
    """SHA-256 of a file, or of the names and bytes in a directory (hidden files and `CLOCKED` left out)."""
    if path.is_dir():
        return digest_of([[file.relative_to(path).as_posix(), digest_path(file)] for file in _files(path)])
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", file=path, remedy="check the path") from None


def _files(path: Path) -> list[Path]:
    """Those that count for the digest of a file or directory."""
    if not path.is_dir():
        return [path]
    found = [(file, file.relative_to(path).parts) for file in sorted(path.rglob("*")) if file.is_file()]
    return [
        file
        for file, parts in found
        if CLOCKED.isdisjoint(parts) and not any(part.startswith(".") for part in parts)
    ]


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of either."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically; the bytes are on disk before the name is."""
    part = path.with_name(PART.format(path.name))
    with part.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def read_provenance(directory: Path) -> dict[str, Any] | None:
    """The `edgelm.json` of a finished artifact, or None where there is none or it is damaged."""
    try:
        value = read_json(directory / PROVENANCE)
    except (OSError, ValueError):
        return None
    return value if fits(value, Provenance) else None


def build(
    output: Path,
    *,
    command: str,
    config: dict[str, Any],
    inputs: Iterable[Path],
    work: Callable[[Path], dict[str, Any] | None],
    clean: Callable[[Path], object] = lambda partial: None,
    fresh: bool = False,
    say: Callable[[str], object] = lambda text: None,
) -> tuple[dict[str, Any], bool]:
    """Make the artifact `output`, or find it already made.

    Args:
        command: the stage's name, as the user types it.
        config: every resolved setting that can change the bytes, JSON-serialisable.
        inputs: files and directories the stage reads.
        work: fills the directory it is given, which may hold what an interrupted run left; returns figures to
            record under `results`.
        clean: removes from that directory what only an interrupted run needs, once `work` will not be asked
            for again.
        fresh: make it anew, whatever is there of it.
        say: told what is replaced, or that there was nothing to do.

    Returns:
        the provenance, and whether `work` ran.

    Raises:
        BadInput: an input is missing, or `output` exists and edgelm did not make it.
        EdgelmError: another process is building the same output.

    What `work` raises goes on. Of `BadInput` and `Unfit` nothing is left on the disk; of others what was made
    so far, for the next run.
    """
    output = Path(os.path.abspath(output))
    inputs = [Path(path) for path in inputs]
    for path in inputs:
        if not path.exists():
            raise BadInput("no such file or folder", file=path, remedy="check the path")
    stamps = _stamps(inputs)
    input_digests = {os.path.abspath(path): digest_path(path) for path in inputs}
    # in order, not sorted: two files that swap their contents are other inputs
    digest = digest_of({"command": command, "config": config, "inputs": list(input_digests.values())})

    partial, lock = (output.with_name(f".{output.name}.{what}") for what in ("partial", "lock"))
    found = None if fresh else _finished(output, digest)
    if found is not None:  # a run that was killed right after the rename left these
        shutil.rmtree(_aside(output), ignore_errors=True)
        with suppress(Timeout, OSError):
            if lock.exists():
                with held(lock):
                    pass
        say(f"{output} was made before with the same settings from the same inputs")
        return found, False
    _check_replaceable(output, command, inputs)
    new_folders = [folder for folder in output.parents if not folder.exists()]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with held(lock):
            if fresh:
                for left in (partial, _earlier(partial)):
                    shutil.rmtree(left, ignore_errors=True)
            else:  # another process may have been faster
                found = _finished(output, digest)
            if found is not None:
                return found, False
            found = _finished(partial, digest)
            if found is not None:  # killed between writing the provenance and the rename
                _replace(partial, output)
                return found, False
            started = time.time()
            if _open_partial(partial, digest):
                say(f"what an interrupted run with other settings left of {output} goes when this one ends")
            done = partial / DONE
            if not done.exists():
                try:
                    made = _unless_changed(lambda: work(partial) or {}, inputs, stamps)
                    write_json(done, made)
                except (BadInput, Unfit):
                    shutil.rmtree(partial, ignore_errors=True)  # other inputs cannot use it
                    if _earlier(partial).exists():
                        _earlier(partial).rename(partial)
                    raise
            results = json.loads(done.read_text(encoding="utf-8"))
            clean(partial)
            files = {
                file.relative_to(partial).as_posix(): file
                for file in sorted(partial.rglob("*"))
                if file.is_file() and file.name not in (DIGEST, DONE, PART.format(PROVENANCE))
            }
            provenance = {
                "command": command,
                "arguments": sys.argv[1:],
                "config": config,
                "digest": digest,
                "inputs": input_digests,
                "outputs": {name: file.stat().st_size for name, file in files.items()},
                "sha256": {name: digest_path(file) for name, file in files.items()},
                "versions": _versions(),
                "seed": config.get("seed"),
                "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
                "seconds": round(time.time() - started, 2),
                "machine": {
                    "system": platform.platform(),
                    "processor": platform.machine(),
                    "cores": os.cpu_count(),
                },
                "results": results,
            }
            write_json(partial / PROVENANCE, provenance)
            shutil.rmtree(_earlier(partial), ignore_errors=True)
            if _replace(partial, output):
                say(f"{output} took the place of what was there")
    except (BadInput, Unfit):
        if new_folders:
            with suppress(OSError):  # another process has begun to use them
                for folder in new_folders:
                    folder.rmdir()
        raise
    except KeyboardInterrupt as stop:
        if not fresh and CONTINUE not in getattr(stop, "__notes__", []):  # a command may build one in another
            stop.add_note(CONTINUE)
        raise
    except Timeout:
        raise EdgelmError(BUSY.format(output)) from None
    except OSError as error:
        if isinstance(error, shutil.Error):  # of a copied folder: source, copy and why, for each file
            raise EdgelmError(f"{error.args[0][0][-1]}. {HALF}") from error
        if error.filename is None and error.errno is None:
            raise
        raise EdgelmError(f"{error.filename or output}: {error.strerror or error}. {HALF}") from error
    return provenance, True


@contextmanager
def held(lock: Path, timeout: float = 0) -> Iterator[None]:
    """Hold a lock whose file is gone afterwards; -1 waits for it for ever.

    It goes while the lock is still held. A process that opened it before gets a lock on a file without a
    name, which filelock sees and gives up for the one that has the name; removed any later, the file could be
    another's.
    """
    with FileLock(lock, timeout=timeout):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file; filelock does once it is closed
                lock.unlink()


def clear_locks(folder: Path) -> None:
    """Remove what artifacts that were built inside a partial directory leave beside themselves."""
    for lock in folder.rglob(".*.lock"):
        lock.unlink()


def _finished(directory: Path, digest: str) -> dict[str, Any] | None:
    """The provenance of `directory` if it is whole and has this digest, else None."""
    found = read_provenance(directory)
    return found if found is not None and found["digest"] == digest and intact(directory, found) else None


def _check_replaceable(output: Path, command: str, inputs: Iterable[Path]) -> None:
    """Raise `BadInput` unless `output` is free or holds nothing but what the same command made."""
    other = "choose another output folder"
    for path in inputs:
        if output.resolve() in (path.resolve(), *path.resolve().parents):
            raise BadInput(f"would replace the input {path}", file=output, remedy=other)
        if path.resolve() in output.resolve().parents:
            raise BadInput(f"lies inside the input {path}", file=output, remedy=other)
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    found = read_provenance(output)
    if found is None and any(output.glob(f"*/{PROVENANCE}")):
        raise BadInput("holds folders that edgelm made, one a model", file=output, remedy=other)
    if found is None:
        raise BadInput("exists and was not made by edgelm", file=output, remedy=other)
    if found.get("command") != command:
        raise BadInput(f"was made by another command ({found.get('command')})", file=output, remedy=other)
    for file in sorted(output.rglob("*")):
        name = file.relative_to(output)
        known = name.as_posix() == PROVENANCE or name.as_posix() in found.get("outputs", {})
        if file.is_file() and not known and not any(part.startswith(".") for part in name.parts):
            raise BadInput(
                f"holds {name}, which edgelm did not make", file=output, remedy=f"move it away or {other}"
            )


def intact(directory: Path, provenance: dict[str, Any]) -> bool:
    """Whether every file the stage wrote is still there with its bytes."""
    return all(
        (directory / name).is_file() and (directory / name).stat().st_size == size
        for name, size in provenance.get("outputs", {}).items()
    ) and all(
        digest_path(directory / name) == digest for name, digest in provenance.get("sha256", {}).items()
    )


def _stamps(inputs: Iterable[Path]) -> dict[Path, tuple[int, ...]]:
    """What a file's entry says of its contents: another, or a change of this one, has others."""
    found: dict[Path, tuple[int, ...]] = {}
    for file in (file for path in inputs for file in _files(path)):
        with suppress(OSError):
            about = file.stat()
            found[file] = (about.st_size, about.st_mtime_ns, about.st_ino)
    return found


def _unless_changed(
    work: Callable[[], dict[str, Any]], inputs: Iterable[Path], before: dict[Path, tuple[int, ...]]
) -> dict[str, Any]:
    """What `work` makes; raises `BadInput` if the inputs are no longer those whose digests were taken."""

    def check() -> None:
        after = _stamps(inputs)
        for file in {**before, **after}:
            if before.get(file) != after.get(file):
                raise BadInput(
                    "changed while it was being read", file=file, remedy="run the same command again"
                ) from None

    try:
        made = work()
    except EdgelmError:
        raise
    except Exception:  # a file that is only half written may fail in any way
        check()
        raise
    check()
    return made


def _open_partial(partial: Path, digest: str) -> bool:
    """Keep an interrupted run of the same stage; put one of another aside, and say whether there was one."""
    earlier = _earlier(partial)
    if _is_of(earlier, digest):  # it was put aside by a run that was interrupted in its turn
        shutil.rmtree(partial, ignore_errors=True)
        earlier.rename(partial)
    other = partial.exists() and not _is_of(partial, digest)
    if other:
        shutil.rmtree(earlier, ignore_errors=True)
        partial.rename(earlier)
    partial.mkdir(exist_ok=True)
    write_text(partial / DIGEST, digest)
    return other


def _is_of(partial: Path, digest: str) -> bool:
    marker = partial / DIGEST
    return marker.is_file() and marker.read_text(encoding="utf-8") == digest


def _earlier(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.earlier")


def _replace(partial: Path, output: Path) -> bool:
    """Put `partial` in place of `output`; the old one steps aside, as no call replaces a directory.

    Returns:
        whether there was an old one.
    """
    for name in (DIGEST, DONE):
        (partial / name).unlink(missing_ok=True)
    old = _aside(output)
    shutil.rmtree(old, ignore_errors=True)
    replaced = output.exists() and any(output.iterdir())
    if output.exists():
        output.rename(old)
    partial.rename(output)
    shutil.rmtree(old, ignore_errors=True)
    return replaced


def _aside(output: Path) -> Path:
    return output.with_name(f".{output.name}.old")


def _versions() -> dict[str, str]:
    found = {"edgelm": __version__, "python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
