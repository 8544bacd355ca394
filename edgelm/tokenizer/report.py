"""`edgelm tokenizer report` and `compare`: how many tokens a language costs, with any tokenizer.

The parity ratio is the number of tokens of the embedded sample in a language over that of the same documents
in English: what a speaker of the language pays for the same content. Other text does not enter it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from edgelm.errors import BadInput
from edgelm.progress import Progress
from edgelm.tokenizer.measure import BATCH, Counts, Measured
from edgelm.tokenizer.texts import read_source, sample_texts, size_of

REFERENCE = "eng"
BATCH_BYTES = 4 << 20
AIM = 0.8  # of the best language's bytes a token, for the worst


def fertility(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, Any]:
    """Tokens a whitespace word, bytes a token and single-byte tokens' share; None where there is no text."""
    return figures(Measured(tokenizer, "").count(texts))


def figures(counts: Counts) -> dict[str, Any]:
    """The rounded figures of a report."""
    found = {
        "fertility": counts.fertility,
        "bytes_per_token": counts.bytes_per_token,
        "single_byte_share": counts.single_byte_share,
    }
    return {name: None if value is None else round(value, 3) for name, value in found.items()}


def parity(tokenizer: Measured) -> dict[str, float]:
    """Tokens of the embedded sample in each language over those of its English."""
    tokens = {code: tokenizer.count(texts).tokens for code, texts in sample_texts().items()}
    return {code: count / tokens[REFERENCE] for code, count in tokens.items()}


@dataclass(slots=True)
class Result:
    """What one tokenizer makes of a text, by language."""

    tokenizer: Measured
    languages: dict[str, Counts]
    parity: dict[str, float]

    @property
    def total(self) -> Counts:
        """All languages together."""
        total = Counts()
        for counts in self.languages.values():
            total.add(counts)
        return total

    @property
    def bytes_per_token(self) -> dict[str, float]:
        """By language."""
        return {code: one.bytes_per_token or 0.0 for code, one in self.languages.items()}

    @property
    def worst(self) -> str:
        """The language with the fewest bytes a token."""
        return min(self.bytes_per_token, key=self.bytes_per_token.__getitem__)

    @property
    def best(self) -> str:
        return max(self.bytes_per_token, key=self.bytes_per_token.__getitem__)

    @property
    def balance(self) -> float:
        """Bytes a token of the worst language over those of the best."""
        found = self.bytes_per_token
        return found[self.worst] / found[self.best]

    @property
    def mean(self) -> float:
        """Mean bytes a token over languages, each counting the same."""
        return sum(self.bytes_per_token.values()) / len(self.languages)

    def summary(self) -> dict[str, Any]:
        """Everything, for JSON."""
        total = self.total
        return {
            "name": self.tokenizer.name,
            "vocab_size": self.tokenizer.vocab_size,
            "mean_bytes_per_token": round(self.mean, 3),
            "worst": self.worst,
            "best": self.best,
            "worst_over_best": round(self.balance, 3),
            "tokens": total.tokens,
            "bytes": total.bytes,
            "documents": total.documents,
            "documents_changed": total.changed,
            "languages": {
                code: {
                    **figures(one),
                    "parity": round(self.parity[code], 3) if code in self.parity else None,
                    "tokens": one.tokens,
                    "documents": one.documents,
                    "documents_changed": one.changed,
                }
                for code, one in self.languages.items()
            },
        }


def measure(
    tokenizers: Sequence[Measured],
    source: Path | None = None,
    *,
    split: str = "test",
    progress: Progress | None = None,
) -> list[Result]:
    """Every tokenizer on the same text.

    Args:
        source: a corpus, a file or folder of text, or None for the embedded sample.
        split: of a corpus; `all` for every document.

    Raises:
        BadInput: the source cannot be read.
    """
    results = [Result(one, {}, parity(one)) for one in tokenizers]
    with (progress or Progress(silent=True)).track(size_of(source, split), "measuring tokenizers") as step:
        for code, texts in batches(read_source(source, split)):
            for result in results:
                result.languages.setdefault(code, Counts()).add(result.tokenizer.count(texts))
            step(sum(len(text.encode("utf-8")) for text in texts), code)
    for result in results:
        if not result.languages:
            raise BadInput("holds no text", file=source, remedy="give a corpus, or a file or folder of text")
        result.languages = dict(sorted(result.languages.items()))
    return results


def batches(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Language and texts together as far as `BATCH` and `BATCH_BYTES` let, wherever they stood."""
    held: defaultdict[str, list[str]] = defaultdict(list)
    size: Counter[str] = Counter()
    for code, text in pairs:
        held[code].append(text)
        size[code] += len(text)
        if len(held[code]) >= BATCH or size[code] >= BATCH_BYTES:
            yield code, held.pop(code)
            del size[code]
    yield from held.items()


def language_table(result: Result) -> tuple[list[str], list[list[str]]]:
    """Header and a row a language."""
    header = ["language", "tokens a word", "bytes a token", "of the best", "single-byte tokens"]
    header += ["parity to English", "changed documents"]
    best = result.bytes_per_token[result.best]
    rows = []
    for code, one in result.languages.items():
        value = one.bytes_per_token or 0.0
        rows.append(
            [
                code,
                f"{one.fertility or 0:.2f}",
                f"{value:.2f}",
                f"{value / best:.2f}",
                f"{one.single_byte_share or 0:.1%}",
                f"{result.parity[code]:.2f}" if code in result.parity else "-",
                f"{one.changed:,} of {one.documents:,}",
            ]
        )
    return header, rows


def verdict(result: Result) -> str:
    """The worst language against the best, in a sentence."""
    if len(result.languages) < 2:
        return f"{result.tokenizer.name}: one language is compared with no other."
    meets = "meets" if result.balance >= AIM else "misses"
    return (
        f"{result.tokenizer.name}: {result.worst} has {result.balance:.2f} of the bytes a token of "
        f"{result.best}, which {meets} the aim of {AIM}."
    )


def comparison_table(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Header and a row a tokenizer."""
    header = ["tokenizer", "vocabulary", "bytes a token", "worst", "of the best", "highest parity"]
    header += ["single-byte tokens", "tokens", "changed documents", "MB/s"]
    rows = []
    for one in results:
        total = one.total
        dearest = max(one.parity, key=one.parity.__getitem__)
        rows.append(
            [
                one.tokenizer.name,
                f"{one.tokenizer.vocab_size:,}",
                f"{one.mean:.2f}",
                f"{one.bytes_per_token[one.worst]:.2f} {one.worst}",
                f"{one.balance:.2f}",
                f"{one.parity[dearest]:.2f} {dearest}",
                f"{total.single_byte_share or 0:.1%}",
                f"{total.tokens:,}",
                f"{total.changed:,}",
                f"{total.bytes / max(total.seconds, 1e-9) / 1e6:.1f}",
            ]
        )
    return header, rows


def ratio_table(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Bytes a token of each language and, for every tokenizer but the first, its tokens over the first's."""
    first, *others = results
    header = ["language", *(one.tokenizer.name for one in results)]
    rows = []
    for code, counts in first.languages.items():
        cells = [f"{counts.bytes_per_token or 0:.2f}"]
        for one in others:
            theirs = one.languages[code]
            share = theirs.tokens / counts.tokens if counts.tokens else 0.0
            cells.append(f"{theirs.bytes_per_token or 0:.2f} ({share:.2f})")
        rows.append([code, *cells])
    return header, rows


def trained_table(languages: dict[str, dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Header and a row a language of what training reports."""
    header = ["language", "tokens a word", "bytes a token", "single-byte tokens", "parity to English"]
    forms = {"fertility": ".2f", "bytes_per_token": ".2f", "single_byte_share": ".1%", "parity": ".2f"}
    rows = [
        [code, *("-" if one[key] is None else format(one[key], form) for key, form in forms.items())]
        for code, one in languages.items()
    ]
    return header, rows


def trained_verdict(languages: dict[str, dict[str, Any]], temperature: float) -> str:
    """The worst language against the best on the test text, and what to do if it is too bad."""
    found = {code: one["bytes_per_token"] for code, one in languages.items() if one["bytes_per_token"]}
    if not found:
        return "The corpus has no test text to measure it on."
    if len(found) == 1:
        return "Every text comes back exactly."
    worst, best = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
    said = f"{worst} has {found[worst] / found[best]:.2f} of the bytes a token of {best}"
    if found[worst] >= AIM * found[best]:
        return f"{said}; the aim is {AIM} or more."
    return f"{said}, less than the aim of {AIM}. Another --temperature than {temperature:g} may mend that."
