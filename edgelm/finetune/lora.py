"""LoRA (Hu et al., 2021) on every linear layer of a decoder, with peft.

The adapter is kept in peft's own format, with the names that its `PeftModel` gives the weights of
transformers' LlamaForCausalLM.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.extras import require
from edgelm.model.decoder import Decoder, Linear
from edgelm.model.directory import save_weights

ADAPTER = "adapter"
"""The folder of the adapter inside the model directory it was merged into."""
NAMED = "base_model.model."
"""How names begin that a `PeftModel` gives out."""


@dataclass(frozen=True, slots=True)
class Lora:
    """The size of the adapter."""

    rank: int = 16
    alpha: int = 32
    """What the adapter adds is scaled by alpha / rank."""
    shared_base: bool = False
    """Leave the embeddings of the chat's tokens as they are, so that several adapters go on one base."""

    def __post_init__(self) -> None:
        for name, least, most in (("rank", 1, 4096), ("alpha", 1, 10_000)):
            if not least <= getattr(self, name) <= most:
                raise BadInput(
                    f"--{name} {getattr(self, name)} is out of range",
                    remedy=f"give between {least} and {most}",
                )


def add_adapter(decoder: Decoder, lora: Lora, seed: int, freeze: int = 0, tokens: Sequence[int] = ()) -> Any:
    """Put an adapter that changes nothing yet into `decoder`, in place; all else is frozen.

    Args:
        freeze: layers from the lowest up that get none.
        tokens: ids whose embeddings learn: those of the chat format, which pretraining never showed.

    Returns:
        the `peft.LoraModel` around the decoder.

    Raises:
        BadInput: no layer is left to adapt.
        MissingExtra: peft is not installed.
    """
    peft = require("peft", "train")
    if freeze >= (layers := decoder.config.layers):
        raise BadInput(
            f"--freeze {freeze} leaves no layer of the model's {layers} to an adapter",
            remedy=f"give at most {layers - 1}",
        )
    linear = {
        name.rpartition(".")[2] for name, part in decoder.model.named_modules() if isinstance(part, Linear)
    }
    config = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=sorted(linear),
        layers_to_transform=list(range(freeze, decoder.config.layers)) if freeze else None,
        layers_pattern="layers" if freeze else None,
        trainable_token_indices={"embed_tokens": sorted(tokens)} if tokens else None,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return peft.LoraModel(decoder, config, "default")


def save_adapter(adapted: Any, base: Path, directory: Path) -> None:
    """Write what `add_adapter` gave as `peft.PeftModel.from_pretrained` loads it on the model at `base`."""
    peft = require("peft", "train")
    directory.mkdir(exist_ok=True)
    weights = peft.get_peft_model_state_dict(adapted.model, save_embedding_layers=False)
    save_weights(
        {f"{NAMED}{name}": value for name, value in weights.items()},
        directory / "adapter_model.safetensors",
        {"format": "pt"},
    )
    config = adapted.peft_config["default"].to_dict() | {
        "base_model_name_or_path": str(base),
        "inference_mode": True,
    }
    ordered = {name: sorted(value) if isinstance(value, set) else value for name, value in config.items()}
    artifacts.write_json(directory / "adapter_config.json", ordered)
