"""`edgelm tokenizer train`: byte-level BPE on a language-balanced sample of a corpus.

NFC, every digit a token, the full byte alphabet, so that no text is unknown and every NFC text comes back
exactly. Digits then ByteLevel is the pre-tokenizer llama.cpp calls `smollm`.

A language's share of the sample grows with the size of its text to the power 1/temperature, as in
https://arxiv.org/abs/1907.05019. `docs/tokenizer.md` has the measurements behind the default.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from edgelm import artifacts
from edgelm.corpus.report import read_manifest
from edgelm.corpus.shards import languages_of, read_texts
from edgelm.errors import BadInput, EdgelmError
from edgelm.languages import VARIABLE, load_languages
from edgelm.mixture import temperature_shares
from edgelm.progress import Progress, Step
from edgelm.tokenizer.measure import Measured
from edgelm.tokenizer.report import figures, parity
from edgelm.tokenizer.special import BOS, CHAT_TEMPLATE, EOS, PAD, special_tokens
from edgelm.tokenizer.texts import spread

TEMPERATURE = 2.0
SAMPLE_MB = 16
REPORT_BYTES = 100_000
UNNAMED = ("unknown", "other")
"""What a corpus that identifies nothing, or keeps all, calls text that no name says the language of."""


def new_tokenizer(languages: list[str]) -> tuple[Tokenizer, list[str]]:
    """An untrained tokenizer of edgelm's kind and its special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, special_tokens(languages)


def train_tokenizer(
    corpus: Path,
    output: Path,
    *,
    vocab_size: int,
    temperature: float = TEMPERATURE,
    sample_mb: float = SAMPLE_MB,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on the training split of `corpus`; returns the figures of each language's test text.

    Args:
        temperature: 1 samples languages in proportion to their text, a higher one more evenly.
        sample_mb: megabytes of text to learn from, fewer where there are not so many. Memory grows with it,
            not with the corpus.

    Raises:
        BadInput: `corpus` is no corpus or has a language without a file, or `vocab_size` is too
            small for bytes and special tokens.
    """
    progress = progress or Progress(silent=True)
    codes = languages_of(corpus)
    special = special_tokens(sorted(load_languages()))
    check_described(corpus, codes)
    check_size(vocab_size, special)
    wanted = sample_sizes(corpus, temperature, sample_mb)
    if not wanted:
        raise BadInput("has no training documents", file=corpus, remedy="build it from more text")

    def work(partial: Path) -> dict[str, Any]:
        progress.say(f"training a tokenizer of {vocab_size:,} tokens on {', '.join(codes)}")
        with progress.track(sum(wanted.values()), "training tokenizer") as step:
            tokenizer = train_on(training_sample(corpus, wanted, step), vocab_size)
        save_tokenizer(tokenizer, partial)
        measured = Measured(tokenizer)
        counts = {code: measured.count(sample(corpus, code, "test", REPORT_BYTES)) for code in codes}
        if any(one.changed for one in counts.values()):
            raise EdgelmError(f"{output}: the tokenizer does not return every text. Please report this.")
        ratios = parity(measured)
        report = {
            code: {**figures(one), "parity": round(ratios[code], 3) if code in ratios else None}
            for code, one in counts.items()
        }
        artifacts.write_json(partial / "report.json", report)
        return {"vocab_size": tokenizer.get_vocab_size(), "languages": report}

    provenance, _ = artifacts.build(
        output,
        command="tokenizer train",
        config={"vocab_size": vocab_size, "special": special, "sample_bytes": wanted},
        inputs=[corpus],
        work=work,
    )
    return provenance["results"]


def check_described(corpus: Path, codes: Sequence[str]) -> None:
    """Raise `BadInput` where a corpus has a language without a file, which would get no tag."""
    if lacking := [code for code in codes if code not in {*load_languages(), *UNNAMED}]:
        raise BadInput(
            f"has text in '{lacking[0]}', which no language file describes now",
            file=corpus,
            remedy=f"name the folder of that file in {VARIABLE}, as when the corpus was built",
        )


def check_size(vocab_size: int, special: list[str], option: str = "--vocab-size") -> None:
    """Raise `BadInput` where a vocabulary has no room for special tokens and bytes."""
    if vocab_size < len(special) + 256:
        raise BadInput(f"{option} {vocab_size} is too small", remedy=f"give at least {len(special) + 256}")


def sample_sizes(corpus: Path, temperature: float, sample_mb: float) -> dict[str, int]:
    """Bytes of training text to learn from, by language; a small language's text may count several times.

    Raises:
        BadInput: `corpus` is no corpus.
    """
    languages = read_manifest(corpus)["languages"]
    sizes = {code: languages[code]["splits"]["train"]["bytes"] for code in languages_of(corpus)}
    shares = temperature_shares({code: size for code, size in sizes.items() if size}, temperature)
    whole = max((sizes[code] / share for code, share in shares.items()), default=0)  # leaves nothing out
    return {code: round(min(whole, sample_mb * 1e6) * share) for code, share in shares.items()}


def training_sample(corpus: Path, wanted: dict[str, int], step: Step | None = None) -> Iterator[str]:
    """Documents of every language, as many bytes as `wanted`, spread over its training split."""
    languages = read_manifest(corpus)["languages"]
    for code, size in wanted.items():
        whole = languages[code]["splits"]["train"]["bytes"]
        for text in spread(read_texts(corpus, code, "train"), whole, size):
            if step:
                step(len(text.encode("utf-8")), code)
            yield text


def train_on(texts: Iterator[str], vocab_size: int) -> Tokenizer:
    """A tokenizer of edgelm's kind with a tag for each language of the registry, trained on `texts`."""
    tokenizer, special = new_tokenizer(sorted(load_languages()))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return tokenizer


def sample(corpus: Path, language: str, split: str, max_bytes: int) -> Iterator[str]:
    """The first documents of a language, up to `max_bytes` of UTF-8."""
    taken = 0
    for text in read_texts(corpus, language, split):
        yield text
        taken += len(text.encode("utf-8"))
        if taken >= max_bytes:
            return


def save_tokenizer(tokenizer: Tokenizer, directory: Path) -> None:
    """Write `tokenizer.json` and the two files that transformers 4 and 5 read beside it."""
    artifacts.write_text(directory / "tokenizer.json", tokenizer.to_str(pretty=False))
    named = {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD}
    artifacts.write_json(directory / "special_tokens_map.json", named)
    artifacts.write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **named,
            "add_bos_token": True,
            "add_eos_token": False,
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],
            "chat_template": CHAT_TEMPLATE,
        },
    )
