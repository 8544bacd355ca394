"""How a tokenizer's training text is best mixed, and how much of it is enough.

    python benchmarks/tokenizer.py CORPUS -o tokenizer.json
    python benchmarks/tokenizer.py CORPUS --skewed

A row is one way of sampling the training split, measured on the test split: bytes a token (mean over
languages), those of the worst language over those of the best, and the highest parity ratio to English on the
embedded sample. `driven by bytes` and `driven by parity` start from equal shares and, in four rounds on a
quarter of the text, multiply each language's share by the square of its tokens a byte, or of its tokens for
the same content, over the mean. `the reference's` is after the tokenizer of MzansiText: NFD, 65 536 tokens,
text in proportion.

--skewed thins the languages out first, each to the same fraction of the next larger one, so that the largest
has 300 times the text of the smallest: most corpora of many languages are of this kind.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from edgelm.cli.options import print_table
from edgelm.corpus.report import read_manifest
from edgelm.corpus.shards import languages_of, read_texts
from edgelm.tokenizer.measure import Measured
from edgelm.tokenizer.report import Result, measure, parity
from edgelm.tokenizer.texts import spread
from edgelm.tokenizer.train import train_on

SKEW = 300
ROUNDS, DRIVE = 4, 2
FIRST = 1_500_000

Shares = dict[str, float]


class Text:
    """The training text of a corpus in memory."""

    def __init__(self, corpus: Path, skewed: bool):
        found = read_manifest(corpus)["languages"]
        codes = languages_of(corpus)
        size = {code: found[code]["splits"]["train"]["bytes"] for code in codes}
        kept = dict(size)
        if skewed:
            order = sorted(codes, key=size.__getitem__, reverse=True)
            for place, code in enumerate(order):
                wanted = size[order[0]] * SKEW ** (-place / (len(order) - 1))
                kept[code] = min(size[code], round(wanted))
        self.texts = {
            code: list(spread(read_texts(corpus, code, "train"), size[code], kept[code])) for code in codes
        }
        self.size = {code: sum(map(_length, texts)) for code, texts in self.texts.items()}

    def sample(self, shares: Shares, total: float) -> Iterator[str]:
        """`total` bytes, languages by their shares."""
        for code, share in shares.items():
            yield from spread(self.texts[code], self.size[code], total * share / sum(shares.values()))

    def first(self, each: int) -> Iterator[str]:
        """The first documents of each language."""
        for texts in self.texts.values():
            taken = 0
            for text in texts:
                yield text
                taken += _length(text)
                if taken >= each:
                    break

    def by_temperature(self, temperature: float) -> Shares:
        """Shares of the languages; an infinite temperature makes them equal."""
        return {code: size ** (1 / temperature) for code, size in self.size.items()}


def _length(text: str) -> int:
    return len(text.encode("utf-8"))


def driven(text: Text, corpus: Path, by: str, total: float, vocab_size: int) -> Shares:
    """Shares that even out what a language costs, on validation text or on the embedded sample."""
    shares = dict.fromkeys(text.texts, 1.0)
    for _ in range(ROUNDS):
        one = Measured(train_on(text.sample(shares, total / 4), vocab_size))
        if by == "parity":
            cost = parity(one)
        else:
            [result] = measure([one], corpus, split="validation")
            cost = {code: 1 / found for code, found in result.bytes_per_token.items()}
        mean = sum(cost.values()) / len(cost)
        shares = {code: share * (cost.get(code, mean) / mean) ** DRIVE for code, share in shares.items()}
    return shares


def reference(texts: Iterator[str]) -> Tokenizer:
    """A tokenizer after the settings that MzansiText published."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFD()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=65_536, special_tokens=["[UNK]", "[PAD]", "[BOS]", "[EOS]"], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    parser.add_argument("--skewed", action="store_true")
    parser.add_argument("--vocab-size", type=int, default=32_768)
    parser.add_argument("--sample-mb", type=float, default=16)
    given = parser.parse_args()

    text, total = Text(given.corpus, given.skewed), given.sample_mb * 1e6
    rows: list[list[str]] = []
    found: list[dict[str, object]] = []

    def add(name: str, texts: Iterator[str], *, own: bool = True) -> None:
        started = time.process_time()
        tokenizer = train_on(texts, given.vocab_size) if own else reference(texts)
        seconds = time.process_time() - started
        [one] = measure([Measured(tokenizer, name)], given.corpus)
        dearest = max(one.parity, key=one.parity.__getitem__)
        rows.append([name, f"{one.mean:.3f}", _of(one), f"{one.balance:.3f}", f"{one.parity[dearest]:.3f}"])
        rows[-1] += [f"{one.total.changed:,}", f"{seconds:.0f}"]
        found.append({**one.summary(), "seconds": round(seconds, 1)})

    for temperature in (1, 1.5, 2, 3, 5):
        add(f"temperature {temperature}", text.sample(text.by_temperature(temperature), total))
    add("equal shares", text.sample(text.by_temperature(float("inf")), total))
    add("first 1.5 MB of each", text.first(FIRST))
    for by in ("bytes", "parity"):
        shares = driven(text, given.corpus, by, total, given.vocab_size)
        add(f"driven by {by}", text.sample(shares, total))
    for factor in (0.25, 0.5, 2, 4):
        sample = text.sample(text.by_temperature(2), total * factor)
        add(f"temperature 2, {given.sample_mb * factor:g} MB", sample)
    add("the reference's", text.sample(text.by_temperature(1), total), own=False)

    header = ["sampling", "bytes a token", "worst", "of the best", "highest parity", "changed", "CPU s"]
    print_table(header, rows)
    if given.output:
        given.output.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _of(one: Result) -> str:
    return f"{one.bytes_per_token[one.worst]:.2f} {one.worst}"


if __name__ == "__main__":
    main()
