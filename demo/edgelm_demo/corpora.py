"""The corpora that the page shows, and those of them whose numbers are in memory."""

import functools
import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from math import floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelm.corpus.page.facts import Facts
from edgelm.corpus.report import read_manifest
from edgelm.errors import BadInput
from edgelm.extras import require
from edgelm.languages import load_languages
from edgelm_demo.models import DEPTH

if TYPE_CHECKING:
    from edgelm.corpus.probe import Judged, Verdict

OPEN = 2  # corpora in memory; one of half a million documents takes some 150 MB
WORKERS = 2
STEPS = 100  # of a slider, or more
INTERVAL = 0.3  # seconds between two signs of life


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus on the machine that serves the page."""

    name: str
    """What the page calls it."""
    path: Path


def find_corpora(paths: Iterable[Path]) -> dict[str, Corpus]:
    """Corpora at or below `paths` by the name that the page shows.

    What looks like one and cannot be read, because it is damaged or of an older edgelm, is left out, with a
    line on stderr.

    Raises:
        BadInput: a path is missing.
    """
    found: dict[Path, tuple[str, str]] = {}
    for path in paths:
        if not path.exists():
            remedy = "give a model or a corpus, or a folder that holds some"
            raise BadInput("no such file or folder", file=path, remedy=remedy)
        for corpus in _corpora_below(path, DEPTH):
            given, below = path.resolve().name, corpus.relative_to(path).as_posix()
            names = (given, given) if corpus == path else (below, f"{given}/{below}")
            found.setdefault(corpus.resolve(), names)
    corpora = {}
    for path, name in zip(found, told_apart(list(found.values())), strict=True):
        try:
            read_manifest(path)
            corpora[name] = Corpus(name, path)
        except BadInput as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return corpora


def told_apart(names: Sequence[tuple[str, str]]) -> list[str]:
    """Of each short and long name the short one where no other has it, else the long one, else with a number.

    No name is a path of this machine: a long one begins with the folder that was given.
    """
    count, told = Counter(short for short, _ in names), dict[str, None]()
    for short, long in names:
        name = short if count[short] == 1 else long
        numbered = (f"{name} ({number})" for number in itertools.count(2))
        told[next(one for one in itertools.chain([name], numbered) if one not in told)] = None
    return list(told)


def _corpora_below(path: Path, levels: int) -> Iterator[Path]:
    if (path / "manifest.json").is_file() and (path / "data").is_dir():
        yield path
    elif path.is_dir() and levels:
        for child in sorted(path.iterdir()):
            if not child.name.startswith((".", "checkpoint")):
                yield from _corpora_below(child, levels - 1)


class Opened:
    """A corpus with the measured columns of all its documents in memory; nothing in it changes.

    Raises:
        BadInput: a file of the corpus is missing or damaged.
        MissingExtra: what reads corpora is not installed.
    """

    def __init__(self, corpus: Corpus):
        for module in ("pyarrow", "numba", "ftfy"):
            require(module, "corpus")
        from edgelm.corpus.decide import diacritic_rates, judged
        from edgelm.corpus.probe import Judge
        from edgelm.corpus.tune import Tuning

        self.corpus = corpus
        self.tuning = Tuning(corpus.path)
        self.table, self.recipe, self.before = self.tuning.table, self.tuning.recipe, self.tuning.before
        language, self.codes = self.table.codes("language")
        readable = self.table.codes("reading")[0] < 0
        self.columns: dict[str, np.ndarray] = {
            rule.column: judged(self.table, rule.column, language, len(self.codes), readable)
            for rule in self.recipe.filters
        }
        rates = diacritic_rates(self.table, language, len(self.codes), readable)
        known = dict(zip(self.codes, map(float, rates), strict=True))
        self.judge = Judge(self.recipe, self.before.thresholds, known)

    def verdicts(self, row: int) -> "tuple[Verdict, ...]":
        """What each filter says of the document of a row; nothing of one that could not be read."""
        from edgelm.corpus.probe import Verdict

        if self.table.codes("reading")[0][row] >= 0:
            return ()
        code = self.codes[self.table.codes("language")[0][row]]
        found = []
        for rule, (least, most) in zip(self.recipe.filters, self.judge.bounds_of(code), strict=True):
            value = float(self.columns[rule.column][row])
            found.append(Verdict(rule.reason, rule.column, None if np.isnan(value) else value, least, most))
        return tuple(found)

    def check(self, text: str, code: str | None) -> "tuple[Judged, list[Judged], int]":
        """What is said of a text as a whole and each of its lines, and how many copies the corpus has."""
        from edgelm.corpus.statistics import text_keys

        whole, lines = self.judge.line_by_line(text, code)
        return whole, lines, int((self.table["key"] == text_keys([whole.text])[0]).sum())

    def by_source(self) -> dict[str, dict[str, int]]:
        """Documents of each source by `kept` or the first reason, the largest source first."""
        source, names = self.table.codes("source")
        reasons = ("kept", *self.before.names)
        pairs = source.astype(np.int64) * len(reasons) + self.before.first + 1
        counts = np.bincount(pairs, minlength=len(names) * len(reasons)).reshape(len(names), len(reasons))
        return {
            names[at]: {name: int(count) for name, count in zip(reasons, counts[at], strict=True) if count}
            for at in np.argsort(-counts.sum(axis=1), kind="stable")
        }


class Library:
    """The corpora of the page, each read when it is first asked for."""

    def __init__(self, corpora: dict[str, Corpus]):
        self.corpora = corpora
        self.lock = threading.Lock()  # of `opened`, never held while a corpus is read
        self.reading = {name: threading.Lock() for name in corpora}
        self.opened: dict[str, Opened] = {}  # the least recently used first
        self.workers = ThreadPoolExecutor(WORKERS, "corpus")
        self.at_work: dict[str, Future[Any]] = {}  # by reader
        self.facts = functools.cache(self._facts)

    def _facts(self, name: str) -> Facts:
        return Facts(read_manifest(self.corpora[name].path), load_languages())

    def open(self, name: str) -> Opened:
        """A corpus by name, in memory; two readers who ask for it at once read it once.

        Who asks for another corpus does not wait for them.
        """
        with self.reading[name]:
            with self.lock:
                found = self.opened.pop(name, None)
            found = found or Opened(self.corpora[name])
            with self.lock:
                while len(self.opened) >= OPEN:
                    del self.opened[next(iter(self.opened))]
                self.opened[name] = found
            return found

    def working(self, work: Callable[[], Any], reader: str | None = None) -> Generator[Any, None, None]:
        """Do what may take long on a thread of its own: gives seconds while it lasts, then `(its answer,)`.

        Who stops asking, by closing this, takes back work that has not begun. Begun work ends by itself: a
        later call finds what it read or compiled.

        Args:
            reader: whose work it is, if theirs is done one after the other, however often they stop asking.
        """
        begun = time.monotonic()
        while (earlier := self.at_work.get(reader or "")) and not wait([earlier], INTERVAL).done:
            yield time.monotonic() - begun
        future = self.workers.submit(work)
        if reader:
            self.at_work[reader] = future
            future.add_done_callback(lambda done: self._forget(reader, done))
        try:
            while not wait([future], INTERVAL).done:
                yield time.monotonic() - begun
            yield (future.result(),)
        finally:
            future.cancel()

    def _forget(self, reader: str, done: "Future[Any]") -> None:
        if self.at_work.get(reader) is done:
            del self.at_work[reader]


def commonest(values: list[float]) -> float | None:
    """The value that is there most often, None where there is none."""
    return max(dict.fromkeys(values), key=values.count) if values else None


def slider_range(column: np.ndarray, side: str, now: float | None) -> tuple[float, float, float]:
    """Least value, greatest value and step of a slider for one side's bound on a column.

    An upper bound cuts the upper half of the documents, a lower bound the lower half, and
    from 0 on, which asks for nothing.
    """
    finite = column[np.isfinite(column)]
    if not len(finite):
        return 0.0, 1.0, 0.01
    low, middle, high = (float(one) for one in np.quantile(finite, [0, 0.5, 1]))
    first, last = (min(low, 0.0), middle) if side == "min" else (middle, high)
    if now is not None and low <= now <= high:
        first, last = min(first, now), max(last, now)
    step = 10.0 ** floor(log10(max(last - first, 1e-6) / STEPS))
    if column.dtype.kind == "i":
        step = max(1.0, step)
    first = floor(first / step) * step
    return first, max(-floor(-last / step) * step, first + step), step
