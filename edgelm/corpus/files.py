"""Find the files to read in a folder, and open them, plain or compressed with gz, xz or zst."""

import errno
import gzip
import io
import lzma
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from edgelm.artifacts import PROVENANCE
from edgelm.errors import BadInput, EdgelmError
from edgelm.extras import require

FORMATS = (".txt", ".jsonl", ".parquet")
WEB = (".html", ".htm", ".warc")
COMPRESSIONS = ("", ".gz", ".xz", ".zst")
PIECE = 1 << 20  # bytes read at a time
DAMAGED = (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile)


class Listing(NamedTuple):
    """The files to read, sorted by path, and what else lies there with the reason why it is not read."""

    files: list[Path]
    skipped: list[tuple[Path, str]]


def find_files(source: Path) -> list[Path]:
    """Every readable file under a folder, or the file itself, sorted by path; raises as `list_files`."""
    return list_files(source).files


def skipped_files(source: Path) -> list[tuple[Path, str]]:
    """What lies under a folder and is not read, with the reason; raises as `list_files`."""
    return list_files(source).skipped


def list_files(source: Path) -> Listing:
    """The files to read under a folder, or the file itself, and those that are left out.

    Left out are hidden ones, those in folders that edgelm made, links to folders, empty files, unknown
    formats and whatever is no file.

    Raises:
        BadInput: `source` does not exist or holds no file of a known format; a folder in it cannot be listed,
            a file of a known format cannot be read or its name is not UTF-8; a link leads nowhere.
    """
    mode = _stat(source).st_mode
    files: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    if not stat.S_ISDIR(mode):
        if not stat.S_ISREG(mode):
            raise BadInput(f"is {_kind(mode)}, not a file or folder", file=source, remedy="save it as a file")
        found: Iterator[Path] = iter([source])
    else:
        found = _walk(source, skipped)
    for path in found:
        if format_of(path) not in FORMATS + WEB:
            skipped.append((path, "unknown format"))
        elif (why := _reason_to_skip(path)) is not None:
            skipped.append((path, why))
        else:
            files.append(path)
    if not files:
        kinds = f"{' '.join(FORMATS + WEB)} file, plain or {' '.join(COMPRESSIONS[1:])}"
        only_empty = any(why == "empty" for _, why in skipped)
        raise BadInput(
            "is empty"
            if skipped == [(source, "empty")]
            else f"holds no {kinds}{', but empty ones' * only_empty}",
            file=source,
            remedy="give a folder or file with one document a line or record",
        )
    return Listing(sorted(files), sorted(skipped))


def format_of(path: Path) -> str:
    """The ending of a file's name in lower case, without that of a compression."""
    name = Path(path.name.lower())
    return Path(name.stem).suffix if name.suffix in COMPRESSIONS[1:] else name.suffix


def read_at_most(stream: Any, size: int) -> bytes:
    """The next `size` bytes of a stream, fewer at its end."""
    pieces: list[bytes] = []
    while size > 0 and (piece := stream.read(min(size, PIECE))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def open_packed(path: Path) -> io.BufferedIOBase:
    """A file's content, unpacked after the ending of its name."""
    packed = path.suffix.lower()
    if packed == ".gz":
        if path.stat().st_size == 0:  # which gzip takes for an empty file, xz and zstd for a cut one
            raise EOFError("the file is empty")
        return gzip.open(path, "rb")
    if packed == ".xz":
        return lzma.open(path, "rb")
    if packed == ".zst":
        return io.BufferedReader(_Zstd(path))
    return path.open("rb")


@contextmanager
def seekable(path: Path) -> Iterator[Any]:
    """The file itself, or its content in a temporary one: Parquet is read from its end."""
    if path.suffix.lower() not in COMPRESSIONS[1:]:
        yield path
        return
    with tempfile.TemporaryFile() as spool, open_packed(path) as stream:
        shutil.copyfileobj(stream, spool, PIECE)
        yield spool


class _Zstd(io.RawIOBase):
    """A zstandard file; unlike the library's own reader it notices a frame that was cut short."""

    def __init__(self, path: Path):
        self.zstandard = require("zstandard", "corpus")
        self.raw = path.open("rb")
        self.frame = self.zstandard.ZstdDecompressor().decompressobj()
        self.ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.ready:
            data = self.frame.unused_data or self.raw.read(1024)  # which can unpack to 32 MiB
            if not data:
                if not self.frame.eof:
                    raise EOFError("the last frame is not complete")
                return 0
            if self.frame.eof:
                self.frame = self.zstandard.ZstdDecompressor().decompressobj()
            self.ready = memoryview(self.frame.decompress(data))
        taken = self.ready[: len(buffer)]
        buffer[: len(taken)] = taken
        self.ready = self.ready[len(taken) :]
        return len(taken)

    def close(self) -> None:
        self.raw.close()
        super().close()


def damage() -> tuple[type[Exception], ...]:
    """What unpacking a damaged file may raise."""
    try:
        import zstandard
    except ModuleNotFoundError:
        return DAMAGED
    return (*DAMAGED, zstandard.ZstdError)


def check_file(path: Path) -> None:
    """Raise `BadInput` unless `path` is a file."""
    mode = _stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise BadInput(f"is {_kind(mode)}, not a file", file=path, remedy="save it as a file")


def _walk(source: Path, skipped: list[tuple[Path, str]]) -> Iterator[Path]:
    """Every visible file under a folder; what is passed by on the way is added to `skipped`."""

    def refuse(error: OSError) -> None:
        raise unreadable(Path(error.filename), error)

    for name, folders, files in os.walk(source, onerror=refuse):
        folder = Path(name)
        if PROVENANCE in files and folder != source:
            skipped.append((folder, "made by edgelm"))
            folders.clear()
            continue
        for inside in sorted(folders):
            hidden = inside.startswith(".")
            if hidden or (folder / inside).is_symlink():
                skipped.append((folder / inside, "hidden" if hidden else "a link to a folder"))
                folders.remove(inside)
        folders.sort()
        for inside in files:
            if inside.startswith("."):
                skipped.append((folder / inside, "hidden"))
            else:
                yield folder / inside


def _reason_to_skip(path: Path) -> str | None:
    about = _stat(path)
    if not stat.S_ISREG(about.st_mode):
        return _kind(about.st_mode)
    if about.st_size == 0:
        return "empty"
    if not os.access(path, os.R_OK):
        raise unreadable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "replace")
        raise BadInput("has a name that is not UTF-8", file=shown, remedy="rename it") from None
    return None


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        link = path.is_symlink()
        raise BadInput(
            "is a link to a file that is not there" if link else "no such file or folder",
            file=path,
            remedy="remove the link or restore the file" if link else "check the path",
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> EdgelmError:
    """The one line for a file or folder that the system does not let us read."""
    # pyarrow's errors have no strerror, and may have lines
    reason = error.strerror or " ".join(str(error).split())
    remedy = {
        errno.EACCES: "allow yourself to read it (chmod u+rX), or leave it out",
        errno.ELOOP: "the link leads back to itself: remove it",
        errno.ENOSPC: f"make room in {tempfile.gettempdir()}, or name another folder in TMPDIR",
    }.get(error.errno or 0, "check the file")
    return BadInput(f"cannot be read ({reason})", file=path, remedy=remedy)


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
    return kinds.get(stat.S_IFMT(mode), "a device")
