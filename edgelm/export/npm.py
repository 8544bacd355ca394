"""Packages of npm without Node: a lock file's exact archives, checked, and a few files taken out of them.

The phone app needs wllama, which is llama.cpp as WebAssembly. A wheel carries it; in a checkout it is fetched
once into the user's cache. Only the standard library is used, so that the wheel's build can call this too.
"""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgelm.errors import BadInput, EdgelmError

REGISTRY = "https://registry.npmjs.org/"
SETTING = "npm_config_registry"
LARGEST = 1 << 26
"""Bytes of an archive, and of a file in it; wllama's largest has 16 MB."""
UNPACKED = 1 << 28
"""Bytes of all that is in an archive, up to which it is read."""
SECONDS = 60


@dataclass(frozen=True, slots=True)
class Package:
    """One of a lock file: where its archive is, and base64 of the SHA-512 that it must have."""

    name: str
    version: str
    url: str
    sha512: str


def locked(folder: Path) -> dict[str, Package]:
    """The packages of `package-lock.json` by name.

    Raises:
        BadInput: it is missing, damaged, or locks a package without its SHA-512 or of another registry.
    """
    path = folder / "package-lock.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["packages"]
        found = {}
        for place, entry in entries.items():
            if place:
                name = place.removeprefix("node_modules/")
                kind, _, sum_ = entry["integrity"].partition("-")
                if kind != "sha512":
                    raise ValueError(f"{name} has no SHA-512")
                if not entry["resolved"].startswith(REGISTRY):
                    raise ValueError(f"{name} is of another registry")
                found[name] = Package(name, entry["version"], entry["resolved"], sum_)
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"is no lock file of npm ({error})", file=path, remedy="install edgelm again"
        ) from None


def wanted(folder: Path) -> dict[str, dict[str, str]]:
    """By package, the files to take out of it and their names here: `files` of `package.json`."""
    found = json.loads((folder / "package.json").read_text(encoding="utf-8"))["files"]
    assert isinstance(found, dict)
    return found


def complete(folder: Path, source: Path) -> bool:
    """Whether `folder` holds every file that the `package.json` in `source` wants."""
    return all((folder / name).is_file() for files in wanted(source).values() for name in files.values())


def cache(source: Path) -> Path:
    """Where a user's copy is kept, for the versions that are locked."""
    own = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    place = Path(os.environ.get(own) or Path.home() / ".cache")
    lock = (source / "package-lock.json").read_bytes() + (source / "package.json").read_bytes()
    return place / "edgelm" / "npm" / hashlib.sha256(lock).hexdigest()[:16]


def fetch(source: Path, folder: Path) -> None:
    """Put the files that `source`'s package.json wants into `folder`, whole or not at all.

    Raises:
        EdgelmError: a package cannot be had, is not the one that was locked, or cannot be written.
    """
    packages = locked(source)
    found = {
        called: data
        for name, files in wanted(source).items()
        for called, data in _members(download(packages[name]), files, packages[name].name)
    }
    try:
        _write(found, folder)
    except OSError as error:
        raise EdgelmError(
            f"{error.filename or folder}: {error.strerror or error}. Nothing was kept; make room there, "
            "or make it writable."
        ) from None


def _write(found: dict[str, bytes], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for called, data in found.items():
            (partial / called).write_bytes(data)
        partial.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def download(package: Package) -> bytes:
    """The archive of a package, from the registry that this machine is set to.

    Raises:
        EdgelmError: it cannot be had, or is not the one that was locked.
    """
    url = package.url.replace(REGISTRY, registry(), 1)
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # of http or https # nosec B310
            data: bytes = answer.read(LARGEST + 1)
    except (OSError, ValueError) as error:  # an URLError is an OSError
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise EdgelmError(
            f"{url}: cannot be fetched ({reason}). Connect this machine, or try later."
        ) from None
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != package.sha512:
        raise EdgelmError(
            f"{url}: is not {package.name} {package.version} as it was locked. Nothing was kept."
        )
    return data


def registry() -> str:
    """The registry that npm would ask: `npm_config_registry`, `~/.npmrc`, or npm's own; ends with a slash."""
    found = next((value for name, value in os.environ.items() if name.lower() == SETTING), "")
    path = Path(os.environ.get("NPM_CONFIG_USERCONFIG") or Path.home() / ".npmrc")
    if not found and path.is_file():
        lines = path.read_text(encoding="utf-8", errors="replace")
        said = re.search(r"^\s*registry\s*=\s*(\S+)\s*$", lines, re.M)
        found = said[1].strip("\"'") if said else ""
    if not found.startswith(("https://", "http://")):
        found = REGISTRY
    return found.rstrip("/") + "/"


def _members(data: bytes, files: dict[str, str], package: str) -> Iterator[tuple[str, bytes]]:
    """What the wanted members hold, by what they are called here; nothing else of an archive is touched.

    No name that an archive has is ever a place on the disk, and links are not followed.
    """
    missing = {f"package/{path}": called for path, called in files.items()}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for member in archive:  # sizes are looked at before what they are of is unpacked
                if max(0, member.size) + member.offset_data > UNPACKED:
                    raise KeyError(f"it unpacks to more than {UNPACKED >> 20} MiB")
                if member.isreg() and member.size <= LARGEST and member.name in missing:
                    stream = archive.extractfile(member)
                    yield missing.pop(member.name), stream.read() if stream else b""
                if not missing:
                    return
        raise KeyError(", ".join(sorted(missing)))
    except (KeyError, ValueError, tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise EdgelmError(f"{package}: its archive lacks a file ({error}). Nothing was kept.") from None
