"""The shape of a decoder: a preset, or what a Hugging Face `config.json` says."""

import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from edgelm.errors import BadInput
from edgelm.files import read_json
from edgelm.model.head_config import ARCHITECTURES

READER = "LlamaModel"
"""What a decoder that learnt to read both ways is called: it has no head that writes."""
FAMILIES = {
    "LlamaForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    **dict.fromkeys((READER, *ARCHITECTURES.values()), "llama"),
}
"""transformers' and llama.cpp's name of the family, by the model's architecture."""
PLAIN = {
    "hidden_act": ("silu",),
    "partial_rotary_factor": (None, 1, 1.0),
    "use_sliding_window": (None, False),
    "quantization_config": (None,),
}
"""What a `config.json` may say of what this decoder cannot do: that it is not done."""
ROPE = {"rope_type", "type", "rope_theta"}


SHORTEST, WINDOW = 32, 2048
"""Tokens of a sequence in training: least, and most unless more are asked for; some contexts have 131 072."""


@dataclass(frozen=True, slots=True)
class LongRope:
    """How Llama 3.1 stretches the rotary angles for a longer context, by transformers' names."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: float

    def __post_init__(self) -> None:
        low, high = self.low_freq_factor, self.high_freq_factor
        if not all(0 < getattr(self, name) < math.inf for name in LONG_ROPE) or low >= high:
            raise ValueError(f"rope_scaling {self}")

    def divisors(self, head_dim: int, theta: float) -> list[float]:
        """What the frequency of each pair of values is divided by: 1 of quick ones, `factor` of slow."""
        found = []
        for place in range(0, head_dim, 2):
            turns = self.original_max_position_embeddings * theta ** -(place / head_dim) / (2 * math.pi)
            share = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
            share = min(max(share, 0.0), 1.0)
            found.append(1 / ((1 - share) / self.factor + share))
        return found


LONG_ROPE = [one.name for one in fields(LongRope)]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shape of a Llama decoder, and what models made elsewhere add to it.

    Attributes:
        both_ways: tokens attend to those after them too. Such a model reads, for heads, and cannot write.
        head_size: of one head, where it is not hidden_size / heads.
        tied: the embedding is the output head too.
        qkv_bias: queries, keys and values have biases, as in Qwen2.
        o_bias, mlp_bias: so do the attention's output and the feed-forward layer.
        qk_norm: queries and keys are normalised, head by head, as in Qwen3.
        long_rope: the rotary angles are stretched for a longer context, as in Llama 3.1.
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
    head_size: int | None = None
    tied: bool = True
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    long_rope: LongRope | None = None

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
        uneven = self.head_size is None and self.hidden_size % self.heads
        if uneven or self.heads % self.kv_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size}, heads {self.heads}, kv_heads {self.kv_heads} do not divide"
            )
        if self.head_dim < 2 or self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} is odd")
        if not (0 < self.rope_theta < math.inf and 0 < self.rms_norm_eps < math.inf):
            raise ValueError(f"rope_theta {self.rope_theta}, rms_norm_eps {self.rms_norm_eps}")

    @property
    def head_dim(self) -> int:
        return self.head_size or self.hidden_size // self.heads

    @property
    def rope_divisors(self) -> list[float] | None:
        """What the frequencies of the rotary embedding are divided by [head_dim / 2]; None for nothing."""
        return self.long_rope.divisors(self.head_dim, self.rope_theta) if self.long_rope else None

    def window(self, asked: int | None) -> int:
        """Tokens of a sequence in training: so many, by default the context or `WINDOW` if that is less.

        Raises:
            BadInput: the context is shorter.
        """
        if asked is None:
            return min(self.context, WINDOW)
        if not SHORTEST <= asked <= self.context:
            raise BadInput(
                f"--context {asked} is out of range",
                remedy=f"give between {SHORTEST} and the model's {self.context:,}",
            )
        return asked

    @property
    def family(self) -> str:
        """transformers' and llama.cpp's name for models of this kind: `llama`, `qwen2` or `qwen3`."""
        if self.qk_norm:
            return "qwen3"
        return "qwen2" if self.qkv_bias and not self.o_bias else "llama"

    @property
    def parameters(self) -> int:
        """Number of weights, a tied embedding counted once."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = 2 * self.hidden_size * (q + kv)
        norms = 2 * self.hidden_size + 2 * self.head_dim * self.qk_norm
        biases = self.qkv_bias * (q + 2 * kv) + self.o_bias * self.hidden_size
        biases += self.mlp_bias * (2 * self.intermediate_size + self.hidden_size)
        layer = attention + 3 * self.hidden_size * self.intermediate_size + norms + biases
        embeddings = (1 if self.tied else 2) * self.vocab_size * self.hidden_size
        return embeddings + self.layers * layer + self.hidden_size


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
    """The `config.json` of the same model in transformers."""
    writer = next(name for name, family in FAMILIES.items() if family == config.family)
    reads = {"architectures": [READER], "edgelm": {"both_ways": True}, "use_cache": False}
    writes = {"architectures": [writer], "use_cache": True}
    stretched = (
        {"rope_scaling": {"rope_type": "llama3", **asdict(config.long_rope)}} if config.long_rope else {}
    )
    return {
        **(reads if config.both_ways else writes),
        **stretched,
        "model_type": config.family,
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
        "tie_word_embeddings": config.tied,
        "attention_bias": config.qkv_bias,
        "mlp_bias": config.mlp_bias,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "dtype": "float32",
    }


def read_config(directory: Path) -> ModelConfig:
    """The shape of the model in a Hugging Face directory, as transformers 4 or 5 writes it.

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
        return _from_hugging_face(value)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInput(
            f"does not describe a model that edgelm reads ({error})",
            file=path,
            remedy="give a Llama, Qwen2 or Qwen3 that needs none of this",
        ) from None


def _from_hugging_face(value: dict[str, Any]) -> ModelConfig:
    names = value["architectures"]
    if not isinstance(names, list) or len(names) != 1 or names[0] not in FAMILIES:
        raise ValueError(f"architectures {names!r}")
    for key, allowed in PLAIN.items():
        if value.get(key, allowed[0]) not in allowed:
            raise ValueError(f"{key} {value[key]!r}")
    if sliding := {*(value.get("layer_types") or ())} - {"full_attention"}:
        raise ValueError(f"layer_types {sorted(sliding)}")
    family = FAMILIES[names[0]]
    bias = bool(value.get("attention_bias"))
    if bias and family == "qwen3":
        raise ValueError("attention_bias True beside norms of queries and keys")
    hidden_size, heads = int(value["hidden_size"]), int(value["num_attention_heads"])
    head_size = value.get("head_dim")
    rope_theta, long_rope = _rope(value)
    return ModelConfig(
        vocab_size=int(value["vocab_size"]),
        hidden_size=hidden_size,
        intermediate_size=int(value["intermediate_size"]),
        layers=int(value["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(value.get("num_key_value_heads") or heads),
        context=int(value["max_position_embeddings"]),
        rope_theta=rope_theta,
        rms_norm_eps=float(value["rms_norm_eps"]),
        both_ways=names == [READER],
        head_size=None if head_size is None or head_size * heads == hidden_size else int(head_size),
        tied=bool(value.get("tie_word_embeddings", False)),
        qkv_bias=bias or family == "qwen2",
        o_bias=bias and family == "llama",
        mlp_bias=bool(value.get("mlp_bias")) and family == "llama",
        qk_norm=family == "qwen3",
        long_rope=long_rope,
    )


def _rope(value: dict[str, Any]) -> tuple[float, LongRope | None]:
    """Base of the rotary angles and how they are stretched: two fields in transformers 4, one in 5."""
    rope = value.get("rope_parameters") or value.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    stretched = LongRope(**{key: float(rope[key]) for key in LONG_ROPE}) if kind == "llama3" else None
    if kind not in ("default", "llama3") or {*rope} - ROPE - {*(LONG_ROPE if stretched else ())}:
        raise ValueError(f"rope_scaling {rope}")
    return float(rope.get("rope_theta", value.get("rope_theta", 10_000.0))), stretched
