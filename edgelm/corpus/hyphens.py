"""Words broken by a hyphen where a line once ended: `zingqi-namba` back to `zingqinamba`.

One document cannot tell such a hyphen from one that belongs there (`i-ofisi`, `well-known`, `butle-butle`),
but a corpus can: a broken word is common unbroken, and its break is at another place each time. So the first
pass over the corpus counts words and hyphenated pairs (`WordCounter`), `breaks` weighs
them, and the second pass joins the pairs found in those files that hold broken words at all (`is_broken`,
`join_hyphens`). The counts are the corpus's own, of all its languages together; no lexicon is needed.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from edgelm.corpus.characters import KINDS, LETTER, LOWER, MARK, flatten
from edgelm.corpus.repair import VOWELS, in_address

RATIO = 2  # a word must be seen unbroken this many times as often as broken
WEAK_RATIO = 10  # the same where the hyphen may belong: between two words, two vowels, or before a blank
BROKEN_SHARE = 0.18  # of pairs; 0.39-0.79 in a newspaper taken from PDF, below 0.17 where hyphens are meant
DOUBT = 50  # pairs that are taken to be meant before any is seen
MOST_WORDS = 4_000_000  # 64 MB
SHORTEST = 5  # letters; shorter ones, as `lo-ke`, coincide with other words
LONGEST = 40  # letters of one part; what is longer is no word

HYPHEN = re.compile(r"[-\u2010](?<=[^\W\d_]{2}.)[ \n]?(?=[^\W\d_]{2})")
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
KEYS = ("pair", "joined", "left", "right")
PAIR = np.dtype([*((name, "u8") for name in KEYS), ("weak", "u1"), ("count", "i8")])


@dataclass(frozen=True, slots=True)
class WordCounts:
    """How often the words and the hyphenated pairs of some texts occur, by hash, sorted.

    Attributes:
        words: uint64 [words], of words that touch no hyphen and no digit, case folded.
        counts: int64 [words].
        pairs: records of `PAIR` [pairs], sorted by `pair`.
    """

    words: np.ndarray
    counts: np.ndarray
    pairs: np.ndarray

    def save(self, path: Path) -> None:
        """Write one uncompressed .npz file."""
        with path.open("wb") as stream:
            np.savez(stream, words=self.words, counts=self.counts, pairs=self.pairs)

    @staticmethod
    def load(path: Path) -> "WordCounts":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return WordCounts(arrays["words"], arrays["counts"], arrays["pairs"])


@dataclass(frozen=True, slots=True)
class Breaks:
    """What `breaks` found: sorted uint64 keys of pairs, and for each whether its parts are not both words."""

    keys: np.ndarray
    certain: np.ndarray


def count_words(texts: Sequence[str]) -> WordCounts:
    """Words and hyphenated pairs of a batch of repaired texts."""
    codes, _ = flatten(["\n".join(texts)])
    words, counts = np.unique(_word_keys(codes, KINDS, LOWER), return_counts=True)
    found = [pair for text in texts for pair in _candidates(text)]
    return WordCounts(words, counts.astype(np.int64), _total(_pairs(found)))


def merge(parts: Iterable[WordCounts]) -> WordCounts:
    """The counts of several batches or files added up."""
    kept = list(parts)
    words, where = np.unique(np.concatenate([_NO_KEYS, *(part.words for part in kept)]), return_inverse=True)
    found = np.concatenate([np.zeros(0, dtype=np.int64), *(part.counts for part in kept)])
    counts = np.bincount(where, weights=found, minlength=len(words)).astype(np.int64)
    return WordCounts(words, counts, _total(np.concatenate([_NO_PAIRS, *(part.pairs for part in kept)])))


class WordCounter:
    """The counts of many batches, such as all of one file, added up in time and memory that stay bounded.

    Above `MOST_WORDS` different words, those seen once so far are forgotten: a word that matters comes again.
    """

    def __init__(self) -> None:
        self._parts: list[WordCounts] = []

    def add(self, texts: Sequence[str]) -> None:
        """Count a batch of repaired texts."""
        self.add_counts(count_words(texts))

    def add_counts(self, counts: WordCounts) -> None:
        """Add what was counted elsewhere."""
        self._parts.append(counts)
        # each part at least twice as large as the next, so that a word is merged a few times only
        while len(self._parts) > 1 and len(self._parts[-2].words) < 2 * len(self._parts[-1].words):
            self._merge(self._parts[-2:])

    def counts(self) -> WordCounts:
        """What was counted so far."""
        if len(self._parts) != 1:
            self._merge(self._parts)
        return self._parts[0]

    def _merge(self, last: list[WordCounts]) -> None:
        whole = merge(last)
        if len(whole.words) > MOST_WORDS:
            often = whole.counts > 1
            whole = WordCounts(whole.words[often], whole.counts[often], whole.pairs)
        self._parts[len(self._parts) - len(last) :] = [whole]


def breaks(parts: Sequence[WordCounts]) -> Breaks:
    """The hyphenated pairs that are broken words.

    A pair is one where its joined form is seen `RATIO` times as often as the pair, or `WEAK_RATIO` times
    where the hyphen may belong. `parts` is gone through twice, one part at a time, so that it may load them;
    what is kept meanwhile grows with the pairs only.
    """
    pairs = _total(np.concatenate([_NO_PAIRS, *(part.pairs for part in parts)]))
    seen = {name: np.zeros(len(pairs), dtype=np.int64) for name in ("joined", "left", "right")}
    for part in parts:
        for name, total in seen.items():
            total += _look_up(part.words, part.counts, pairs[name])
    words = np.minimum(seen["left"], seen["right"]) >= seen["joined"]
    ratio = np.where(words | (pairs["weak"] > 0), WEAK_RATIO, RATIO)
    chosen = seen["joined"] >= ratio * pairs["count"]
    return Breaks(pairs["pair"][chosen], ~words[chosen])


def is_broken(part: WordCounts, found: Breaks, share: float = BROKEN_SHARE) -> bool:
    """Whether the texts of a part, such as one file, hold broken words at all: elsewhere a hyphen is meant.

    They do if such a share of their pairs are certain breaks; a few pairs do not make a case.
    """
    certain = _among(found.keys[found.certain], part.pairs["pair"])
    counts = part.pairs["count"]
    return bool(counts[certain].sum() >= share * (counts.sum() + DOUBT))


def join_hyphens(texts: Sequence[str], known: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Texts with the broken words joined, and how many hyphens went from each, int32 of shape [texts].

    Args:
        texts: repaired texts.
        known: the keys that `breaks` found, for texts that `is_broken`.
    """
    result, counts = list(texts), np.zeros(len(texts), dtype=np.int32)
    changed = [at for at, text in enumerate(result) if "-" in text or "\u2010" in text]
    while changed:  # a word may be broken twice
        found = [(at, *pair) for at in changed for pair in _candidates(result[at])]
        keys = hash_words([f"{left}-{right}" for _, _, _, left, right, _ in found])
        hits: dict[int, list[tuple[int, int]]] = {}
        for (at, start, end, *_), known_one in zip(found, _among(known, keys), strict=True):
            if known_one:
                hits.setdefault(at, []).append((start, end))
        for at, spans in hits.items():
            result[at] = _without(result[at], spans)
            counts[at] += len(spans)
        changed = list(hits)
    return result, counts


def hash_words(words: Sequence[str]) -> np.ndarray:
    """A uint64 key for each word, as `count_words` gives it in running text; case does not matter."""
    codes, starts = flatten(words)
    return _keys(codes, starts, LOWER)


def _candidates(text: str) -> list[tuple[int, int, str, str, bool]]:
    """Start and end of each hyphen that may be a break, the parts beside it, whether it may well belong."""
    found = []
    for match in HYPHEN.finditer(text):
        start, end = match.span()
        # a break leaves the case as it was in the word: no capital after it, no abbreviation before it
        if text[start - 1].islower() != text[end].islower():
            continue
        left, right = _last_word(text[max(0, start - LONGEST) : start]), WORD.match(text, end, end + LONGEST)
        if right is None or len(left) < 2 or len(left) + len(right[0]) < SHORTEST:
            continue
        if max(len(left), len(right[0])) == LONGEST or _repeats(left, right[0]) or in_address(text, start):
            continue
        if not (right[0].islower() or (left.isupper() and right[0].isupper())):
            continue
        weak = end - start > 1 or (left[-1] in VOWELS and right[0][0] in VOWELS)
        found.append((start, end, left, right[0], weak))
    return found


def _last_word(text: str) -> str:
    start = len(text)
    while start and (text[start - 1].isalpha() or (text[start - 1] in "'’" and start < len(text))):
        start -= 1
    return text[start:].lstrip("'’")


def _repeats(left: str, right: str) -> bool:
    """`butle-butle`, `gabedi-bedi`, `feto-fetoha`: the right part begins with how the left one ends."""
    left, right = left.lower(), right.lower()
    if left.endswith(right):
        return True
    size = left.rfind(right[:3])
    return size >= 0 and right.startswith(left[size:])


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    pieces, last = [], 0
    for start, end in spans:
        pieces.append(text[last:start])
        last = end
    return "".join([*pieces, text[last:]])


def _pairs(found: list[tuple[int, int, str, str, bool]]) -> np.ndarray:
    """One record for each candidate."""
    pairs = np.zeros(len(found), dtype=PAIR)
    lefts, rights = [one[2] for one in found], [one[3] for one in found]
    pairs["pair"] = hash_words([f"{left}-{right}" for left, right in zip(lefts, rights, strict=True)])
    pairs["joined"] = hash_words([left + right for left, right in zip(lefts, rights, strict=True)])
    pairs["left"], pairs["right"] = hash_words(lefts), hash_words(rights)
    pairs["weak"] = [one[4] for one in found]
    pairs["count"] = 1
    return pairs


def _total(pairs: np.ndarray) -> np.ndarray:
    """One record for each different pair, its counts added up, weak if any was."""
    _, first, where = np.unique(pairs["pair"], return_index=True, return_inverse=True)
    total = pairs[first]
    total["count"] = np.bincount(where, weights=pairs["count"], minlength=len(total)).astype(np.int64)
    total["weak"] = np.bincount(where, weights=pairs["weak"], minlength=len(total)) > 0
    return total


def _look_up(keys: np.ndarray, counts: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The count of each wanted key, 0 for one that is not there."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, counts[at], 0)


def _among(known: np.ndarray, keys: np.ndarray) -> np.ndarray:
    return _look_up(known, np.ones(len(known), dtype=np.int64), keys) > 0


_NO_KEYS = np.zeros(0, dtype=np.uint64)
_NO_PAIRS = np.zeros(0, dtype=PAIR)


@njit(cache=True, nogil=True)
def mix(key: np.uint64, code: np.uint64) -> np.uint64:
    """The key of what was read so far and one more code point, by FNV-1a."""
    return (key ^ code) * np.uint64(0x100000001B3)


@njit(cache=True, nogil=True)
def finish(key: np.uint64) -> np.uint64:
    """The end of MurmurHash3, so that every bit depends on every other."""
    key ^= key >> np.uint64(33)
    key *= np.uint64(0xFF51AFD7ED558CCD)
    key ^= key >> np.uint64(33)
    key *= np.uint64(0xC4CEB9FE1A85EC53)
    return key ^ (key >> np.uint64(33))


@njit(cache=True, nogil=True)
def _keys(codes: np.ndarray, starts: np.ndarray, lower: np.ndarray) -> np.ndarray:
    keys = np.empty(len(starts) - 1, dtype=np.uint64)
    for at in range(len(keys)):
        key = np.uint64(0xCBF29CE484222325)
        for code in codes[starts[at] : starts[at + 1]]:
            key = mix(key, np.uint64(39 if code == 0x2019 else lower[code]))
        keys[at] = finish(key)
    return keys


@njit(cache=True, nogil=True)
def _word_keys(codes: np.ndarray, kinds: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The key of every word: letters, with apostrophes inside, that touch no digit, hyphen or underscore."""
    keys = np.empty(len(codes) // 2 + 1, dtype=np.uint64)
    found, at, total = 0, 0, len(codes)
    while at < total:
        if not kinds[codes[at]] & LETTER:
            at += 1
            continue
        whole = at == 0 or not _clings(codes[at - 1], kinds)
        key = np.uint64(0xCBF29CE484222325)
        while at < total:
            code = codes[at]
            quote = code == 39 or code == 0x2019
            if quote and not (at + 1 < total and kinds[codes[at + 1]] & LETTER):
                break
            if not quote and not kinds[code] & (LETTER | MARK):
                break
            key = mix(key, np.uint64(39 if quote else lower[code]))
            at += 1
        if whole and (at == total or not _clings(codes[at], kinds)):
            keys[found] = finish(key)
            found += 1
    return keys[:found]


@njit(cache=True, nogil=True)
def _clings(code: np.uint32, kinds: np.ndarray) -> bool:
    hyphen = code == 0x2D or code == 0x2010 or code == 0x2011 or code == 0xAD
    return hyphen or code == 0x5F or kinds[code] & 4 != 0
