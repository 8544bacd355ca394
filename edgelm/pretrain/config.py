"""The settings of a training run."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from edgelm.errors import BadInput

Precision = Literal["auto", "fp32", "bf16"]
Compile = Literal["auto", "on", "off"]
REPEATS, TOO_MANY = 4, 16
"""Epochs from which on repeated text helps less, and hardly at all (Muennighoff et al., 2023)."""
COMPUTING = ("micro_batch", "recompute", "compile")
"""Settings that alter a result by rounding only."""
CHOICES = {
    "precision": ("auto", "fp32", "bf16"),
    "compile": ("auto", "on", "off"),
    "optimizer": ("muon", "adamw"),
    "schedule": ("wsd", "cosine"),
    "select": ("last", "best"),
}


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What decides the weights, besides the data."""

    steps: int
    batch: int = 32
    """Sequences a step, over all processes."""
    learning_rate: float = 0.002
    warmup: int = 20
    """Steps of linear warm-up."""
    weight_decay: float = 0.1
    dropout: float = 0.0
    """Share of each layer's output to drop; small corpora seen many times need some."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    seed: int = 0
    precision: Precision = "auto"
    """`bf16` computes in bfloat16 on float32 weights; `auto` measures whether this machine gains by it."""
    optimizer: Literal["muon", "adamw"] = "muon"
    """`muon` for the matrices inside the layers and AdamW for the rest, or AdamW alone."""
    schedule: Literal["wsd", "cosine"] = "wsd"
    """Warm-up, stable, decay; or warm-up and a cosine."""
    decay: float = 0.5
    """Share of the steps over which `wsd` falls to zero."""
    z_loss: float = 0.0
    """Weight of the squared log-normaliser in the loss; 1e-4 keeps logits small in long runs."""
    ema: float = 0.0
    """Give out an exponential moving average of the weights, with this factor a step, less in the first ones;
    0 is none."""
    select: Literal["last", "best"] = "last"
    """Give out the last weights, or those of the lowest validation bits per byte."""
    micro_batch: int = 0
    """Sequences computed at a time, by each process; 0 chooses by the memory that is free."""
    recompute: bool = False
    """Keep no activations inside layers but compute them twice: slower, a fraction of the memory."""
    compile: Compile = "auto"
    """Compile the layers; `auto` does on a GPU, and on a CPU where a long run gains more than it costs."""

    def decisive(self) -> dict[str, Any]:
        """All but how it is computed: a run out of memory goes on with another micro-batch."""
        return {name: value for name, value in asdict(self).items() if name not in COMPUTING}

    def __post_init__(self) -> None:
        for name, low in (("steps", 1), ("batch", 1), ("warmup", 0), ("seed", 0), ("micro_batch", 0)):
            if getattr(self, name) < low:
                raise BadInput(
                    f"{_option(name)} {getattr(self, name)} is too small", remedy=f"give at least {low}"
                )
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise BadInput(
                    f"{_option(name)} {getattr(self, name)} is unknown",
                    remedy=f"choose {', '.join(choices[:-1])} or {choices[-1]}",
                )
        for name in ("weight_decay", "decay", "z_loss"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(
                    f"{_option(name)} {getattr(self, name)} is out of range", remedy="give between 0 and 1"
                )
        for name in ("dropout", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise BadInput(
                    f"{_option(name)} {getattr(self, name)} is out of range", remedy="give from 0 to below 1"
                )
        for name, high in (("learning_rate", 1), ("clip", 1000)):
            if not 0 < getattr(self, name) < high:
                raise BadInput(
                    f"{_option(name)} {getattr(self, name)} is out of range",
                    remedy=f"give between 0 and {high}",
                )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
