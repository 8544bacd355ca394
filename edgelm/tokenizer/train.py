"""`edgelm tokenizer train`: byte-level BPE on a language-balanced sample of a corpus.

NFC, every digit a token, the full byte alphabet, so that no text is unknown and every NFC text comes back
exactly. Digits then ByteLevel is the pre-tokenizer llama.cpp calls `smollm`.
"""

from collections.abc import Iterator
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
from edgelm.errors import BadInput
from edgelm.languages import load_languages
from edgelm.progress import Progress
from edgelm.tokenizer.report import fertility
from edgelm.tokenizer.special import BOS, CHAT_TEMPLATE, EOS, PAD, special_tokens

SAMPLE_BYTES = 1_500_000  # of each language at most: more did not change nano's merges by 1 %
REPORT_BYTES = 100_000


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
    corpus: Path, output: Path, *, vocab_size: int, progress: Progress | None = None
) -> dict[str, Any]:
    """Train on the training split of `corpus`; returns the fertility of each language.

    Raises:
        BadInput: `corpus` is no corpus, or `vocab_size` is too small for bytes and special tokens.
    """
    progress = progress or Progress(silent=True)
    codes = languages_of(corpus)
    registry = load_languages()
    tokenizer, special = new_tokenizer(sorted(registry))
    if vocab_size < len(special) + 256:
        raise BadInput(
            f"--vocab-size {vocab_size} is too small", remedy=f"give at least {len(special) + 256}"
        )

    def work(partial: Path) -> dict[str, Any]:
        progress.say(f"training a tokenizer of {vocab_size:,} tokens on {len(codes)} languages")
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        sizes = [one["splits"]["train"]["bytes"] for one in read_manifest(corpus)["languages"].values()]
        with progress.track(sum(min(size, SAMPLE_BYTES) for size in sizes), "training tokenizer") as step:

            def texts() -> Iterator[str]:
                for code in codes:
                    for text in sample(corpus, code, "train", SAMPLE_BYTES):
                        step(len(text.encode("utf-8")), code)
                        yield text

            tokenizer.train_from_iterator(texts(), trainer)
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
        )
        save_tokenizer(tokenizer, partial)
        report = {code: fertility(tokenizer, sample(corpus, code, "test", REPORT_BYTES)) for code in codes}
        artifacts.write_json(partial / "report.json", report)
        return {"vocab_size": tokenizer.get_vocab_size(), "languages": report}

    provenance, _ = artifacts.build(
        output,
        command="tokenizer train",
        config={"vocab_size": vocab_size, "special": special, "sample_bytes": SAMPLE_BYTES},
        inputs=[corpus],
        work=work,
    )
    return provenance["results"]


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
