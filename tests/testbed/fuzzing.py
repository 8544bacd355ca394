"""Readers and what they may be given: their files whole, or changed where it tells.

A reader either makes something of its files or raises an `EdgelmError` of one line; it takes no more time and
memory than `Reader` says and opens nothing outside their folder. `benchmarks/fuzz.py` runs the same for long.
"""

import copy
import json
import os
import resource
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from edgelm.errors import EdgelmError

Files = dict[str, bytes]
Strategy = SearchStrategy[Files]
REPOSITORY = Path(__file__).resolve().parents[2]
LONGEST_LINE = 4000
"""Characters of a message, beside the path in it: some list all that is known."""
READABLE = [
    os.path.realpath(one)
    for one in (REPOSITORY, sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), "/proc", "/sys",
                "/dev", "/usr", "/etc/localtime", "/etc/ssl", "/lib")
]  # fmt: skip
"""Where an interpreter and its libraries read on their own account."""


@dataclass(frozen=True)
class Reader:
    """What reads the files of a folder.

    Attributes:
        sound: files that it takes.
        inputs: files that it may take or not, those of `sound` that are not among them being there too.
        read: raises `EdgelmError` for those that it does not take.
        seconds: of processor time, at most; generous, as one input may be the first of its process.
        memory: bytes by which the process may grow.
    """

    name: str
    sound: Callable[[], Files]
    inputs: Strategy
    read: Callable[[Path], object]
    seconds: float = 20
    memory: int = 600 << 20


class Broken(AssertionError):
    """What no input may cause. `what` is the same for the same fault."""

    def __init__(self, what: str):
        super().__init__(what)
        self.what, self.files = what, Files()


def check(reader: Reader, files: Files) -> bool:
    """Whether a reader takes some files.

    Raises:
        Broken: it neither takes nor refuses them as it has to.
    """
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        folder = Path(scratch, "given")
        for name, data in (reader.sound() | files).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        began, grown = time.process_time(), _most_memory()
        taken = True
        try:
            with only_inside(folder):
                reader.read(folder)
        except EdgelmError as error:
            taken = False
            _check_message(str(error))
        except (KeyboardInterrupt, Broken):
            raise
        except BaseException as error:  # a panic of Rust is no Exception
            raise Broken(f"{type(error).__name__} at {_place(error)}") from error
        if (took := time.process_time() - began) > reader.seconds:
            raise Broken("too slow") from TimeoutError(f"{took:.1f} s")
        if (took := _most_memory() - grown) > reader.memory:
            raise Broken("too much memory") from MemoryError(f"{took >> 20} MiB")
    return taken


def _check_message(said: str) -> None:
    if not said.strip():
        raise Broken("an empty message")
    if odd := [one for one in said if not (one.isprintable() or one == " ")]:
        raise Broken("a message with what no line can show") from ValueError(repr(odd[0]))
    if len(said) > LONGEST_LINE:
        raise Broken("a message that is too long") from ValueError(str(len(said)))


def _place(error: BaseException) -> str:
    """The last place in edgelm's own code that an error went through."""
    found, trace = "?", error.__traceback__
    while trace:
        file = Path(trace.tb_frame.f_code.co_filename)
        if any(part in ("edgelm", "edgelm_demo") for part in file.parts):
            found = f"{file.name}:{trace.tb_frame.f_code.co_name}"
        trace = trace.tb_next
    return found


def _most_memory() -> int:
    """The most bytes that this process has ever had in memory."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


_allowed: list[str] = []
_outside: list[str] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if not _allowed or event not in ("open", "os.listdir", "os.scandir"):
        return
    path = arguments[0]
    if not isinstance(path, str | bytes | os.PathLike):  # a descriptor is open already
        return
    real = os.path.realpath(os.fsdecode(path))
    if real != _allowed[-1] and not any(real == one or real.startswith(one + os.sep) for one in _allowed):
        _outside.append(real)


sys.addaudithook(_listen)


@contextmanager
def only_inside(folder: Path) -> Iterator[None]:
    """Raises `Broken` at the end where a file elsewhere was opened, but for those of the installation.

    What libraries open without the interpreter is not seen.
    """
    _allowed[:] = [os.path.realpath(folder), *READABLE, os.path.realpath(tempfile.gettempdir())]
    _outside.clear()
    try:
        yield
    finally:
        allowed_temporary = _allowed.pop()
        _allowed.clear()
    strangers = [one for one in _outside if os.path.dirname(one) != allowed_temporary]
    if strangers:
        raise Broken("opened a file outside its folder") from PermissionError(strangers[0])


def fuzz(
    reader: Reader, examples: int, number: int | None = None, known: frozenset[str] = frozenset()
) -> int:
    """Give a reader that many inputs; how many it took.

    Args:
        number: seed of the inputs; without one they are always the same.
        known: faults that are passed over.

    Raises:
        Broken: with the smallest input that shows it.
    """
    taken = 0
    last: list[Broken] = []

    def one(files: Files) -> None:
        nonlocal taken
        try:
            taken += check(reader, files)
        except Broken as error:
            if error.what not in known:
                error.files = files
                last[:] = [error]
                raise

    run = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=number is None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )(given(reader.inputs)(one))
    try:
        (run if number is None else seed(number)(run))()
    except Exception:
        if not last:
            raise
        raise last[0] from last[0].__cause__  # memory that was taken once does not show again
    return taken


# what to change

DEEP = 30_000
RAW = {
    "@@open@@": "[" * DEEP,
    "@@deep@@": "[" * DEEP + "]" * DEEP,
    "@@objects@@": '{"a":' * DEEP + "1" + "}" * DEEP,
    "@@digits@@": "9" * 6000,
    "@@exponent@@": "1e999",
    "@@nan@@": "NaN",
}
"""Stand in a JSON value for what `json.dumps` does not write."""
TWICE = "@@twice@@"
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 255, 65_536, 2**31 - 1, 2**31, 2**40, 2**63, 2**64, 10**30,
    -(2**63), 0.5, -0.5, 1e-9, 1e30, 1e308, float("inf"), float("-inf"), float("nan"), *RAW, "", " ", "x",
    "0", "1", "zul", "\n", "a\nb", "\x1b[2J", "\x00", "\ud800", "\u202e", "ḓ", "..", "../../x",
    "/etc/passwd", "a" * 5000, "{", "{x}", "{0}", "$HOME", "${HOME}", "[", "(a+)+$", [], {}, [[]], [{}],
    [None], ["x", "x"], [1], {"": None}, {"x": 1}, {"x": {"x": []}}, [[[["x"]]]], list(range(50)),
]  # fmt: skip
odd = st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=8)
edits = st.lists(
    st.tuples(
        st.lists(st.integers(0, 60), min_size=1, max_size=7),
        st.sampled_from(["set", "set", "set", "delete", "rename", "twice", "add"]),
        odd,
    ),
    max_size=4,
)
TELLING = [
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff" * 4, b"\xff" * 8, b"\x00" * 8, b"\n", b"\r\n", b"\n\n",
    b" ", b"\t", b'"', b"'", b"{", b"}", b"[", b"]", b":", b",", b"<", b">", b"&", b"-1", b"9" * 20,
    b"1e999", b"NaN", b"null", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"a" * 300,
]  # fmt: skip
byte_edits = st.lists(
    st.tuples(
        st.integers(0, 2**20) | st.integers(0, 200),
        st.sampled_from(["set", "set", "insert", "delete", "cut", "copy"]),
        st.sampled_from(TELLING) | st.binary(min_size=1, max_size=8),
    ),
    max_size=5,
)


def changed(value: Any, changes: list[tuple[list[int], str, Any]]) -> Any:
    """A JSON value with some of what is in it set, left out, named otherwise, named twice or added."""
    value = json.loads(json.dumps(value))
    for path, what, drawn in changes:
        new = copy.deepcopy(drawn)  # or it could come to hold itself
        holder, key, here = None, None, value
        for step in path:
            if isinstance(here, dict | list) and here:
                holder, key = (
                    here,
                    (list(here)[step % len(here)] if isinstance(here, dict) else step % len(here)),
                )
                here = holder[key]
        name = new if isinstance(new, str) else str(new)
        if holder is None:
            value = new if what == "set" else value
        elif what == "set":
            holder[key] = new
        elif what == "delete":
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, new)
        elif what == "add":
            holder[name] = here
        elif what == "rename":
            holder[name] = holder.pop(key)
        else:
            holder[f"{key}{TWICE}"] = new
    return value


def dumps(value: Any) -> bytes:
    """JSON, with what is not in it but for `RAW` and `TWICE`."""
    text = json.dumps(value)
    for name, raw in RAW.items():
        text = text.replace(f'"{name}"', raw)
    return text.replace(TWICE, "").encode("utf-8", "surrogatepass")


def damaged(data: bytes, changes: list[tuple[int, str, bytes]]) -> bytes:
    """Bytes with some of them set, left out, put between, repeated or cut off."""
    found = bytearray(data)
    for place, what, new in changes:
        place %= len(found) + 1
        if what == "set":
            found[place : place + len(new)] = new
        elif what == "insert":
            found[place:place] = new
        elif what == "delete":
            del found[place : place + len(new) ** 2]
        elif what == "copy":
            found[place:place] = found[place : place + 64 * len(new)]
        else:
            del found[place:]
    return bytes(found)


def json_like(value: Callable[[], Any]) -> SearchStrategy[bytes]:
    """A JSON value, changed, and sometimes its text too."""
    fields = st.builds(lambda changes: dumps(changed(value(), changes)), edits)
    return fields | fields | st.builds(lambda changes: damaged(dumps(value()), changes), byte_edits)


def bytes_like(data: Callable[[], bytes], reach: int = 2**20) -> SearchStrategy[bytes]:
    """Bytes, changed; those after `reach` are left as they are."""

    def make(changes: list[tuple[int, str, bytes]]) -> bytes:
        whole = data()
        return damaged(whole[:reach], changes) + whole[reach:]

    return st.builds(make, byte_edits)


def one_of(**files: SearchStrategy[bytes]) -> Strategy:
    """One file of several changed; `__` in a name is a dot."""
    return st.one_of(
        *(own.map(lambda data, name=name: {name.replace("__", "."): data}) for name, own in files.items())
    )
