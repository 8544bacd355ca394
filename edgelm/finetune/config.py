"""The settings of a finetuning run: those of any training, and what is done to the model before it."""

from dataclasses import dataclass

import torch

from edgelm.errors import BadInput
from edgelm.model.config import ModelConfig
from edgelm.model.decoder import Decoder
from edgelm.pretrain.config import TrainConfig


@dataclass(frozen=True, slots=True)
class FinetuneConfig(TrainConfig):
    """What decides the weights, besides the data and the pretrained model."""

    layer_decay: float = 1.0
    """Layer l of L learns at `layer_decay ** (L - l)` of the rate, the embedding at `layer_decay ** L`."""
    freeze: int = 0
    """The embedding and this many layers above it stay as they are; 0 freezes nothing."""
    reinit: int = 0
    """This many of the highest layers begin anew, with the last norm (Zhang et al., 2021)."""
    neftune: float = 0.0
    """Alpha of the noise on the embeddings (Jain et al., 2023); 5 is usual."""
    token_dropout: float = 0.0
    """Share of the tokens that are read as nothing, drawn anew each time."""
    label_smoothing: float = 0.0
    """Share of each target that is spread over all of them."""
    context: int | None = None
    """Tokens of a sequence, at most the model's context; by default as `ModelConfig.window` says."""
    patience: int = 0
    """End after so many validations without a better score; 0 never."""

    def __post_init__(self) -> None:
        TrainConfig.__post_init__(self)
        for name, least, most in (
            ("layer_decay", 0.1, 1.0),
            ("label_smoothing", 0.0, 0.5),
            ("token_dropout", 0.0, 0.9),
            ("neftune", 0.0, 100.0),
            ("freeze", 0, 1000),
            ("reinit", 0, 1000),
            ("patience", 0, 1000),
        ):
            if not least <= getattr(self, name) <= most:
                raise BadInput(
                    f"--{name.replace('_', '-')} {getattr(self, name)} is out of range",
                    remedy=f"give between {least:g} and {most:g}",
                )


def prepare(model: Decoder, config: FinetuneConfig) -> None:
    """Freeze, re-initialise and disturb a pretrained model as the settings ask.

    Raises:
        BadInput: the model has fewer layers than are to be frozen or re-initialised.
    """
    layers = model.model.layers
    check_layers(len(layers), config)
    if config.reinit:
        again = Decoder(model.config)
        again.init_weights(torch.Generator().manual_seed(config.seed))
        for number in range(len(layers) - config.reinit, len(layers)):
            layers[number].load_state_dict(again.model.layers[number].state_dict())
        model.model.norm.load_state_dict(again.model.norm.state_dict())
    if config.freeze:
        for part in (model.model.embed_tokens, *layers[: config.freeze]):
            part.requires_grad_(False)
    model.noise, model.label_smoothing = config.neftune, config.label_smoothing
    model.token_dropout = config.token_dropout


def check_layers(layers: int, config: FinetuneConfig, *, adapter: bool = False) -> None:
    """Raise `BadInput` where a model has fewer layers than are to be frozen or to begin anew.

    Args:
        adapter: at least one has to be left for one.
    """
    asked = {"--freeze": config.freeze, "--reinit": config.reinit}
    given = " and ".join(f"{option} {count}" for option, count in asked.items() if count)
    room = layers - adapter
    if config.freeze + config.reinit > room:
        left = " and one has to stay for the adapter" if adapter else ""
        raise BadInput(
            f"{given}: the model has {layers} layers{left}",
            remedy=f"give {'together ' if config.freeze and config.reinit else ''}at most {room}",
        )


def check_judged(config: FinetuneConfig, judged: bool) -> None:
    """Raise `BadInput` where weights are to be chosen by a validation score and there is none."""
    option = "--patience" if config.patience else "--select best" if config.select == "best" else ""
    if option and not judged:
        raise BadInput(
            f"{option} needs a validation split, and there is none in these languages",
            remedy=f"leave {option} out",
        )


def windows(shape: ModelConfig, context: int) -> str:
    """What to say of sequences that are shorter than the model's context."""
    return f", in sequences of {context:,} of {shape.context:,} tokens" if context < shape.context else ""
