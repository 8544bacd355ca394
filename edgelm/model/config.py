"""The shape of a decoder: a preset, or what a Hugging Face `config.json` says."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from edgelm.errors import BadInput
from edgelm.files import read_json
from edgelm.model.head_config import ARCHITECTURES

READER = "LlamaModel"
"""What a decoder that learnt to read both ways is called: it has no head that writes."""
LLAMAS = [["LlamaForCausalLM"], [READER], *([name] for name in ARCHITECTURES.values())]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shape of a Llama decoder with tied embeddings and no biases.

    `both_ways`: tokens attend to those after them too. Such a model reads, for heads, and cannot write.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    context: int
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-5
    both_ways: bool = False

    def __post_init__(self) -> None:
        for name in (
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "layers",
            "heads",
            "kv_heads",
            "context",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is too small")
        if self.hidden_size % self.heads or self.heads % self.kv_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size}, heads {self.heads}, kv_heads {self.kv_heads} do not divide"
            )

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.heads

    @property
    def parameters(self) -> int:
        """Number of weights, the tied embedding counted once."""
        attention = self.hidden_size * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        layer = attention + 3 * self.hidden_size * self.intermediate_size + 2 * self.hidden_size
        return self.vocab_size * self.hidden_size + self.layers * layer + self.hidden_size


def presets() -> dict[str, ModelConfig]:
    """Every preset by name, smallest first."""
    table = yaml.safe_load((Path(__file__).parent / "presets.yaml").read_text(encoding="utf-8"))
    return {name: ModelConfig(**shape) for name, shape in table.items()}


def get_preset(name: str, vocab_size: int | None = None) -> ModelConfig:
    """A preset, with another vocabulary if given.

    Raises:
        BadInput: no such preset.
    """
    known = presets()
    if name not in known:
        raise BadInput(f"unknown preset '{name}'", remedy=f"choose one of: {', '.join(known)}")
    return replace(known[name], vocab_size=vocab_size) if vocab_size else known[name]


def to_hugging_face(config: ModelConfig, bos: int, eos: int, pad: int) -> dict[str, Any]:
    """The `config.json` of the same model as transformers' LlamaForCausalLM."""
    reads = {"architectures": [READER], "edgelm": {"both_ways": True}, "use_cache": False}
    writes = {"architectures": ["LlamaForCausalLM"], "use_cache": True}
    return {
        **(reads if config.both_ways else writes),
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.context,
        "hidden_act": "silu",
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "dtype": "float32",
    }


def read_config(directory: Path) -> ModelConfig:
    """The shape of the model in a Hugging Face directory.

    Raises:
        BadInput: `config.json` is missing or damaged, or describes a model this decoder is not.
    """
    path = directory / "config.json"
    try:
        value = read_json(path)
    except NotADirectoryError:
        raise BadInput(
            "is a file, not a model directory",
            file=directory,
            remedy="give the directory it was exported from",
        ) from None
    except FileNotFoundError:
        raise BadInput(
            "no such file", file=path, remedy="give a model directory, as edgelm pretrain writes"
        ) from None
    except (OSError, ValueError) as error:
        raise BadInput(
            f"cannot be read as JSON ({error})", file=path, remedy="copy the model again"
        ) from None
    try:
        if value["architectures"] not in LLAMAS or not value["tie_word_embeddings"]:
            raise ValueError(f"architectures {value['architectures']}, tied {value['tie_word_embeddings']}")
        config = ModelConfig(
            vocab_size=int(value["vocab_size"]),
            hidden_size=int(value["hidden_size"]),
            intermediate_size=int(value["intermediate_size"]),
            layers=int(value["num_hidden_layers"]),
            heads=int(value["num_attention_heads"]),
            kv_heads=int(value["num_key_value_heads"]),
            context=int(value["max_position_embeddings"]),
            rope_theta=float(value["rope_theta"]),
            rms_norm_eps=float(value["rms_norm_eps"]),
            both_ways=value["architectures"] == [READER],
        )
        plain = {"rope_scaling": None, "hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
        for key, wanted in {**plain, "head_dim": config.head_dim}.items():
            if value.get(key, wanted) not in (wanted, None):
                raise ValueError(f"{key} {value[key]!r}")
        return config
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInput(
            f"does not describe a Llama model with tied embeddings ({error})",
            file=path,
            remedy="give a model that edgelm wrote",
        ) from None
