"""`edgelm tokenizer sweep`: what a larger vocabulary saves in tokens, and what it costs in parameters.

Merges are learnt in order, so the tokenizer of a smaller vocabulary is the beginning of the larger one's: the
largest is trained, the others are cut from it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from edgelm.corpus.shards import languages_of
from edgelm.languages import load_languages
from edgelm.model.config import get_preset
from edgelm.progress import Progress
from edgelm.tokenizer.measure import Measured
from edgelm.tokenizer.report import Result, measure
from edgelm.tokenizer.special import special_tokens
from edgelm.tokenizer.train import (
    SAMPLE_MB,
    TEMPERATURE,
    check_size,
    sample_sizes,
    train_on,
    training_sample,
)

SIZES = (4096, 8192, 16384, 32768, 65536)


@dataclass(slots=True)
class Row:
    """One size of vocabulary."""

    result: Result
    embedding: int
    """Parameters of the embedding of the preset."""
    share: float
    """Of all the preset's parameters with this vocabulary."""


def sweep(
    corpus: Path,
    sizes: Sequence[int] = SIZES,
    *,
    preset: str = "125m",
    temperature: float = TEMPERATURE,
    sample_mb: float = SAMPLE_MB,
    progress: Progress | None = None,
) -> list[Row]:
    """Train once and measure every size on the corpus's test split, smallest first.

    Raises:
        BadInput: `corpus` is no corpus, a size is too small, or there is no such preset.
    """
    progress = progress or Progress(silent=True)
    get_preset(preset)
    sizes = sorted(set(sizes))
    check_size(sizes[0], special_tokens(sorted(load_languages())), "--sizes")
    wanted = sample_sizes(corpus, temperature, sample_mb)
    progress.say(f"training a tokenizer of {sizes[-1]:,} tokens on {len(languages_of(corpus))} languages")
    with progress.track(sum(wanted.values()), "training tokenizer") as step:
        largest = train_on(training_sample(corpus, wanted, step), sizes[-1])
    cut = [Measured(truncate(largest, size), f"{size:,}") for size in sizes]
    rows = []
    for result in measure(cut, corpus, progress=progress):
        shape = get_preset(preset, result.tokenizer.vocab_size)
        embedding = shape.vocab_size * shape.hidden_size
        rows.append(Row(result, embedding, embedding / shape.parameters))
    return rows


def truncate(tokenizer: Tokenizer, vocab_size: int) -> Tokenizer:
    """The first `vocab_size` tokens, and the merges up to that of the last: what training for them gives."""
    content = json.loads(tokenizer.to_str())
    model = content["model"]
    vocabulary = {token: number for token, number in model["vocab"].items() if number < vocab_size}
    last = vocab_size - 1
    for place, (left, right) in enumerate(model["merges"]):
        number = model["vocab"][left + right]
        if number >= last:
            model["merges"] = model["merges"][: place + (number == last)]
            break
    model["vocab"] = vocabulary
    return Tokenizer.from_str(json.dumps(content, ensure_ascii=False))


def table(rows: Sequence[Row], preset: str) -> tuple[list[str], list[list[str]]]:
    """Header and a row a size."""
    header = ["vocabulary", "bytes a token", "worst", "of the best", "highest parity", "tokens"]
    header += ["tokens saved", "embedding", f"share of {preset}"]
    found = []
    before = None
    for row in rows:
        one, tokens = row.result, row.result.total.tokens
        dearest = max(one.parity, key=one.parity.__getitem__)
        found.append(
            [
                f"{one.tokenizer.vocab_size:,}",
                f"{one.mean:.2f}",
                f"{one.bytes_per_token[one.worst]:.2f} {one.worst}",
                f"{one.balance:.2f}",
                f"{one.parity[dearest]:.2f} {dearest}",
                f"{tokens:,}",
                f"{1 - tokens / before:.1%}" if before else "-",
                f"{row.embedding / 1e6:.1f} M",
                f"{row.share:.0%}",
            ]
        )
        before = tokens
    return header, found
