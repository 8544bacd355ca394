"""`edgelm pretrain`: a decoder from scratch on a corpus."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from edgelm import artifacts
from edgelm.corpus.shards import languages_of
from edgelm.errors import BadInput
from edgelm.evaluate.bits_per_byte import bits_per_byte, corpus_texts
from edgelm.model.card import model_card
from edgelm.model.config import get_preset
from edgelm.model.decoder import Decoder
from edgelm.model.directory import save_model
from edgelm.pretrain.loop import TrainConfig, clear_checkpoints, train
from edgelm.pretrain.stream import Packer, corpus_source
from edgelm.progress import Progress
from edgelm.runtime.torch import TorchModel
from edgelm.tokenizer.special import PAD
from edgelm.tokenizer.text import TextTokenizer

VALIDATION_BYTES = 50_000


def pretrain(
    corpus: Path,
    tokenizer: Path,
    output: Path,
    *,
    preset: str,
    config: TrainConfig,
    temperature: float = 2.0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a model directory `output`; returns tokens/s, last loss and validation bits per byte by language.

    Raises:
        BadInput: corpus, tokenizer or preset is not there or damaged.
        EdgelmError: training diverged.
    """
    progress = progress or Progress(silent=True)
    languages = languages_of(corpus)
    text = TextTokenizer(tokenizer)
    shape = get_preset(preset, vocab_size=text.vocab_size)
    if not temperature >= 1:
        raise BadInput(f"--temperature {temperature} is too small", remedy="give at least 1")

    def work(partial: Path) -> dict[str, Any]:
        progress.say(f"pretraining {preset}: {shape.parameters / 1e6:.1f} M parameters")
        source = corpus_source(
            corpus,
            languages,
            text,
            partial / "tokens",
            seed=config.seed,
            temperature=temperature,
            progress=progress,
        )
        packer = Packer(source, batch=config.batch, context=shape.context, pad=text.id(PAD))
        model = Decoder(shape)
        model.init_weights(torch.Generator().manual_seed(config.seed))
        figures = train(model, packer, config, partial, progress, "pretraining")
        held_out = corpus_texts(corpus, "validation", VALIDATION_BYTES)
        with progress.track(sum(map(len, held_out.values())), "validating") as step:
            bits = bits_per_byte(TorchModel(model, text), held_out, step)
        figures |= {
            "parameters": shape.parameters,
            "epochs": source.epochs(),
            "validation_bits_per_byte": bits,
        }
        card = model_card(f"edgelm {preset}", languages, figures["validation_bits_per_byte"], shape)
        save_model(model, tokenizer, partial, card)
        del source, packer  # some systems keep a memory-mapped file from being removed
        clear_checkpoints(partial)
        return figures

    provenance, _ = artifacts.build(
        output,
        command="pretrain",
        config={"preset": preset, "shape": asdict(shape), "temperature": temperature, **asdict(config)},
        inputs=[corpus, tokenizer],
        work=work,
    )
    return provenance["results"]
