"""`edgelm pretrain`: a decoder from scratch on a corpus, or a trained one taught more."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from edgelm import artifacts
from edgelm.corpus.shards import languages_of
from edgelm.errors import BadInput
from edgelm.evaluate.bits_per_byte import corpus_texts
from edgelm.model.card import model_card
from edgelm.model.config import ModelConfig, get_preset, read_config
from edgelm.model.decoder import Decoder
from edgelm.model.directory import load_model, save_model
from edgelm.pretrain.checkpoint import clear_checkpoints
from edgelm.pretrain.config import REPEATS, TOO_MANY, TrainConfig
from edgelm.pretrain.distributed import Strategy, World, join_world, unshare
from edgelm.pretrain.extend import extend, replay_shares
from edgelm.pretrain.loop import train
from edgelm.pretrain.masking import MASK, Masked
from edgelm.pretrain.packing import Packer
from edgelm.pretrain.sampling import CorpusSource, Sampling, corpus_source
from edgelm.pretrain.validation import HeldOut
from edgelm.progress import Progress
from edgelm.runtime.inside import check_decoder
from edgelm.tokenizer.extend import known_languages
from edgelm.tokenizer.text import TextTokenizer

VALIDATION_BYTES = 50_000  # of each language at the end
CURVE_BYTES = 10_000  # of each language while training


@dataclass(frozen=True, slots=True)
class DataConfig:
    """What a run reads, besides the corpus itself."""

    sampling: Sampling = "temperature"
    """How languages share the tokens: by size ** (1 / temperature), or equally under a cap (UniMax)."""
    temperature: float = 2.0
    """1 samples languages by size; higher evens them out."""
    max_epochs: float = 4.0
    """How often UniMax lets a language be seen."""
    extend_languages: tuple[str, ...] = ()
    """Languages that the model of --init-from is to learn."""
    new_tokens: int = 1000
    """Tokens to add for them."""
    replay: float = 0.75
    """Share of the tokens that are of the languages it knows already."""
    both_ways: bool = False
    """Learn to read both ways, from hidden tokens (`edgelm.pretrain.masking`)."""

    def __post_init__(self) -> None:
        if self.sampling not in ("temperature", "unimax"):
            raise BadInput(f"--sampling {self.sampling} is unknown", remedy="choose temperature or unimax")
        for name in ("temperature", "max_epochs"):
            if not getattr(self, name) >= 1:
                option = name.replace("_", "-")
                raise BadInput(f"--{option} {getattr(self, name)} is too small", remedy="give at least 1")
        if not 0 <= self.replay < 1:
            raise BadInput(f"--replay {self.replay} is out of range", remedy="give from 0 to below 1")
        if self.new_tokens < 0:
            raise BadInput(f"--new-tokens {self.new_tokens} is negative", remedy="give 0 or more")


def pretrain(
    corpus: Path,
    tokenizer: Path,
    output: Path,
    *,
    config: TrainConfig,
    preset: str | None = None,
    data: DataConfig = DataConfig(),
    init_from: Path | None = None,
    validate_every: int | None = None,
    keep: int = 2,
    resume: bool = True,
    strategy: Strategy = "ddp",
    tensorboard: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a model directory `output`; returns tokens/s, last loss and validation bits per byte by language.

    Processes that `torchrun` starts do it together; the main one returns the figures, the others nothing.

    Args:
        preset: the shape of a new model, `nano` by default.
        init_from: a model directory to go on from, in place of `preset`; its optimiser starts anew.
        validate_every: steps between validations; a tenth of the run by default, 0 for the end only.
        keep: checkpoints to keep while training.
        resume: go on with an interrupted run of the same settings; else begin it again.
        strategy: how several processes share the work.

    Raises:
        BadInput: corpus, tokenizer, preset or model is not there or damaged.
        EdgelmError: training diverged or ran out of memory.
    """
    progress = progress or Progress(silent=True)
    if init_from is None:
        preset = preset or "nano"
    if validate_every is None:
        validate_every = max(config.steps // 10, 10)

    with join_world(strategy) as world:
        world.rows(config.batch)  # or an error before anything is done
        text = TextTokenizer(tokenizer)
        shape = _shape(preset, init_from, tokenizer, data, text)
        languages = languages_of(corpus)
        if not world.main:
            progress = Progress(silent=True)

        def job(partial: Path) -> dict[str, Any]:
            model, folder = _start(
                shape, config.seed, corpus, tokenizer, data, init_from, partial, progress, world
            )
            known = TextTokenizer(folder)
            progress.say(
                f"pretraining {preset or init_from}: {model.config.parameters / 1e6:.1f} M parameters"
            )
            source = _source(corpus, languages, known, config, data, model.config.context, partial, progress)
            rows = world.rows(config.batch)
            context = model.config.context
            packer = Packer(source, batch=config.batch, context=context, pad=known.pad, rows=rows)
            stream: Any = Masked(packer, known, config.seed + world.rank) if data.both_ways else packer
            if warning := repeated(config.steps * config.batch * context / source.tokens):
                progress.say(warning)
            held = corpus_texts(corpus, "validation", VALIDATION_BYTES)
            if missing := sorted(set(languages) - set(held)):
                progress.say(f"no validation text in {', '.join(missing)}: the figures are of the others")
            curve = HeldOut(corpus_texts(corpus, "validation", CURVE_BYTES), known, context, data.both_ways)
            figures = train(
                model,
                stream,
                config,
                partial,
                progress,
                "pretraining",
                validate=curve.bits_per_byte if curve.size else None,
                validate_every=validate_every,
                epoch_tokens=source.tokens,
                keep=keep,
                world=world,
                tensorboard=tensorboard,
                measures="bits a hidden token" if data.both_ways else "bits a byte",
            )
            model = unshare(model, world)
            if not world.main:
                return figures
            held_out = HeldOut(held, known, context, data.both_ways)
            with progress.track(held_out.size, "validating") as step:
                bits = held_out.bits_per_byte(model, step)
            figures |= {"parameters": model.config.parameters, "epochs": source.epochs()}
            unit = "hidden_token" if data.both_ways else "byte"
            figures[f"validation_bits_per_{unit}"] = bits
            known_bits = {} if data.both_ways else bits
            card = model_card(f"edgelm {preset or ''}".strip(), languages, known_bits, model.config)
            save_model(model, folder, partial, card)
            del source, packer, stream  # some systems keep a memory-mapped file from being removed
            return figures

        if not world.main:
            partial = world.tell()
            return job(Path(partial)) if partial else {}

        def work(partial: Path) -> dict[str, Any]:
            told.append(world.tell(str(partial)))
            return job(partial)

        told: list[str] = []
        provenance, _ = artifacts.build(
            output,
            command="pretrain",
            config={
                "preset": preset,
                "shape": asdict(shape),
                "validate_every": validate_every,  # decides which weights are the best
                **asdict(data),
                **config.decisive(),
            },
            inputs=[corpus, tokenizer, *([init_from] if init_from else [])],
            work=work,
            clean=clear_checkpoints,
            fresh=not resume,
            say=progress.say,
        )
        if not told:
            world.tell()
        return provenance["results"]


def repeated(epochs: float) -> str | None:
    """A warning where every document is seen more often than repeating helps."""
    if epochs <= REPEATS:
        return None
    helps = "hardly helps any more" if epochs > TOO_MANY else "helps less than new text would"
    bound = TOO_MANY if epochs > TOO_MANY else REPEATS
    return (
        f"warning: each document will be read about {epochs:.0f} times; beyond {bound} that "
        f"{helps}. Give more text, fewer --steps, or --dropout 0.1 and a higher --weight-decay."
    )


def _shape(
    preset: str | None, init_from: Path | None, tokenizer: Path, data: DataConfig, text: TextTokenizer
) -> ModelConfig:
    """The shape of the model to begin with."""
    if init_from is None:
        if data.extend_languages:
            raise BadInput("--extend-languages needs a model", remedy="name it with --init-from")
        assert preset is not None
        return replace(get_preset(preset, vocab_size=text.vocab_size), both_ways=data.both_ways)
    if preset:
        raise BadInput(
            "--preset and --init-from were both given", remedy="leave --preset out: a model has its shape"
        )
    check_decoder(init_from)
    if TextTokenizer(init_from).tokenizer.to_str() != text.tokenizer.to_str():
        raise BadInput(
            "is not the tokenizer of the model", file=tokenizer, remedy=f"give {init_from} for both"
        )
    if data.both_ways and data.extend_languages:
        raise BadInput(
            "--both-ways and --extend-languages were both given", remedy="extend first, then read both ways"
        )
    if data.both_ways and MASK not in text.special:
        raise BadInput(
            f"lacks {MASK}, which --both-ways hides tokens behind",
            file=tokenizer,
            remedy="give a model that edgelm pretrained",
        )
    return replace(read_config(init_from), both_ways=data.both_ways)


def _start(
    shape: ModelConfig,
    seed: int,
    corpus: Path,
    tokenizer: Path,
    data: DataConfig,
    init_from: Path | None,
    partial: Path,
    progress: Progress,
    world: World,
) -> tuple[Decoder, Path]:
    """The model before its first step, and the folder of its tokenizer."""
    if init_from is None:
        model = Decoder(shape)
        model.init_weights(torch.Generator().manual_seed(seed))
        return model, tokenizer
    if not data.extend_languages:
        model = Decoder(shape)
        model.load_state_dict(load_model(init_from, to_write=not data.both_ways).state_dict())
        return model, tokenizer
    if not world.main:
        world.tell()  # the main process makes the tokenizer first
    new, languages = data.new_tokens, list(data.extend_languages)
    extended = extend(init_from, corpus, languages, partial, new_tokens=new, progress=progress)
    if world.main:
        world.tell()
    return extended


def _source(
    corpus: Path,
    languages: list[str],
    text: TextTokenizer,
    config: TrainConfig,
    data: DataConfig,
    context: int,
    partial: Path,
    progress: Progress,
) -> CorpusSource:
    new = known_languages(corpus, list(data.extend_languages)) if data.extend_languages else []
    source = corpus_source(
        corpus,
        languages if data.replay or not new else new,
        text,
        partial / "tokens",
        seed=config.seed,
        sampling=data.sampling,
        temperature=data.temperature,
        max_epochs=data.max_epochs,
        budget=config.steps * config.batch * context,
        progress=progress,
    )
    if new:
        source.share(replay_shares(source.fair.shares, new, data.replay))
    return source
