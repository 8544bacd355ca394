"""A Llama decoder in PyTorch: RMSNorm, rotary positions, grouped-query attention, SwiGLU.

Of models made elsewhere it takes a few things more (`ModelConfig`), which edgelm's own do without.

Module names are those of transformers' own, so a state dict is a `model.safetensors` as it is.
Shapes in comments: B sequences, T new tokens, S tokens with the past, H heads, K key-value heads, D head
size.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from edgelm.model.attention import attend_documents, document_starts
from edgelm.model.config import ModelConfig
from edgelm.model.cross_entropy import cross_entropy

Cache = list[tuple[Tensor, Tensor]]
IGNORE = -100


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        normal = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return normal.to(x.dtype) * self.weight.to(x.dtype)


class Linear(nn.Linear):
    """Computes in the type of its input: float32 weights serve a bfloat16 pass as masters."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False):
        super().__init__(inputs, outputs, bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))


def rotary(
    positions: Tensor, head_dim: int, theta: float, divisors: list[float] | None = None
) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T, D] of the rotary embedding at integer positions [T] (Su et al., 2021).

    Args:
        divisors: of the frequencies [D / 2].
    """
    frequency = theta ** -(torch.arange(0, head_dim, 2, device=positions.device).float() / head_dim)
    if divisors:
        frequency = frequency / torch.tensor(divisors, device=positions.device)
    angle = torch.outer(positions.float(), frequency).repeat(1, 2)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate [B, H, T, D] by the angles; the two halves of a head form the pairs, as in transformers."""
    first, second = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat((-second, first), dim=-1) * sin.to(x.dtype)


class Attention(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.head_dim = config.head_dim
        self.q_proj = Linear(config.hidden_size, config.heads * config.head_dim, config.qkv_bias)
        self.k_proj = Linear(config.hidden_size, config.kv_heads * config.head_dim, config.qkv_bias)
        self.v_proj = Linear(config.hidden_size, config.kv_heads * config.head_dim, config.qkv_bias)
        self.o_proj = Linear(config.heads * config.head_dim, config.hidden_size, config.o_bias)
        self.normalised = config.qk_norm
        if config.qk_norm:
            self.q_norm = RMSNorm(config.head_dim, config.rms_norm_eps)
            self.k_norm = RMSNorm(config.head_dim, config.rms_norm_eps)
        self.causal = not config.both_ways
        self.grouped = config.heads != config.kv_heads

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor | None,
        starts: Tensor | None,
        past: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        batch, new, _ = x.shape
        q, k, v = (
            projection(x).view(batch, new, -1, self.head_dim).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )  # [B, H or K, T, D]
        if self.normalised:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if past is not None:
            k, v = torch.cat((past[0], k), dim=2), torch.cat((past[1], v), dim=2)  # [B, K, S, D]
        if starts is not None:
            out = attend_documents(q, k, v, starts, new, self.causal)
        else:
            out = F.scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=mask,
                is_causal=self.causal and mask is None and new > 1,
                enable_gqa=self.grouped,
            )
        return self.o_proj(out.transpose(1, 2).reshape(batch, new, -1)), (k, v)


class MLP(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size, config.mlp_bias)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size, config.mlp_bias)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size, config.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)
        self.dropout = 0.0

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor | None,
        starts: Tensor | None,
        past: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        attended, present = self.self_attn(self.input_layernorm(x), cos, sin, mask, starts, past)
        x = x + F.dropout(attended, self.dropout, self.training)
        return x + F.dropout(self.mlp(self.post_attention_layernorm(x)), self.dropout, self.training), present


class Stack(nn.Module):
    """Everything below the head; `model.` in the weights' names."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Decoder(nn.Module):
    """The whole model.

    Attributes:
        dtype: what activations are computed in; weights stay as they are.
        recompute: keep no activations inside a layer for the backward pass, but compute them again: slower,
            and a fraction of the memory.
        noise: NEFTune's alpha (Jain et al., 2023): while training, a document of L tokens is read with
            uniform noise of at most alpha / sqrt(L * hidden_size) on each value of its embeddings.
        token_dropout: share of tokens that are read as nothing, while training.
        label_smoothing: share of each target that is spread over the vocabulary, while training.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.model = Stack(config)
        if not config.tied:
            self.lm_head = Linear(config.hidden_size, config.vocab_size)
        self.dtype = torch.float32
        self.recompute = self.compiled = False
        self.noise = self.token_dropout = self.label_smoothing = 0.0

    def init_weights(self, generator: torch.Generator) -> None:
        """Normal(0, 0.02), the projections back into the residual stream scaled down by depth (GPT-2)."""
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                scale = 0.02 / (2 * self.config.layers) ** 0.5 if residual else 0.02
                nn.init.normal_(weight, std=scale, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    @property
    def output(self) -> Tensor:
        """The matrix that turns hidden states into logits: the embedding, where that is tied."""
        return self.model.embed_tokens.weight if self.config.tied else self.lm_head.weight

    def compile_layers(self) -> None:
        """Compile each layer, which takes seconds at the first step and again where shapes change."""
        self.compiled = True
        for layer in self.model.layers:
            layer.compile()

    def interpret_layers(self) -> None:
        """Undo `compile_layers`: texts of any length are read one at a time."""
        self.compiled = False
        for layer in self.model.layers:
            layer._compiled_call_impl = None

    def set_dropout(self, share: float) -> None:
        """Drop this share of what each layer adds to the residual stream, while in training mode."""
        for layer in self.modules():
            if isinstance(layer, Layer):
                layer.dropout = share

    def hidden(
        self, tokens: Tensor, documents: Tensor | None = None, past: Cache | None = None
    ) -> tuple[Tensor, Cache]:
        """Final hidden states [B, T, hidden_size] and the key-value cache, which is empty in training mode.

        Args:
            tokens: ids [B, T].
            documents: number of the document each token belongs to [B, T], best left on the CPU; a token then
                attends to its own document only. Not together with `past`.
            past: the cache of an earlier call.
        """
        x = self.model.embed_tokens(tokens).to(self.dtype)
        start = past[0][0].shape[2] if past else 0
        positions = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        cos, sin = rotary(positions, self.config.head_dim, self.config.rope_theta, self.config.rope_divisors)
        mask = starts = None
        if documents is not None:
            starts = document_starts(documents).to(tokens.device)
            if self.compiled:  # nothing else needs the compiler, which takes seconds to import
                torch._dynamo.mark_dynamic(starts, 0)
        elif past and tokens.shape[1] > 1:
            mask = positions[:, None] >= torch.arange(start + tokens.shape[1], device=tokens.device)[None, :]
        if self.noise and self.training:
            x = x + self._noise(x, starts)
        if self.token_dropout and self.training:
            x = x * (torch.rand(tokens.shape, device=x.device) >= self.token_dropout)[..., None]
        cache: Cache = []
        for number, layer in enumerate(self.model.layers):
            if self.training:
                run = partial(checkpoint, layer, use_reentrant=False) if self.recompute else layer
                x, _ = run(x, cos, sin, mask, starts, None)
            else:
                x, present = layer(x, cos, sin, mask, starts, past[number] if past else None)
                cache.append(present)
        return self.model.norm(x), cache

    def _noise(self, x: Tensor, starts: Tensor | None) -> Tensor:
        batch, new, size = x.shape
        if starts is None:
            length = torch.full((batch, new), float(new), device=x.device)
        else:
            lengths = starts.diff()
            length = lengths.repeat_interleave(lengths).view(batch, new).float()
        largest = self.noise / (length * size).sqrt()
        return torch.empty_like(x).uniform_(-1, 1) * largest[..., None].to(x.dtype)

    def forward(
        self, tokens: Tensor, documents: Tensor | None = None, past: Cache | None = None
    ) -> tuple[Tensor, Cache]:
        """Logits [B, T, vocab_size] in float32 and the cache. Arguments as `hidden`."""
        hidden, cache = self.hidden(tokens, documents, past)
        return F.linear(hidden, self.output.to(hidden.dtype)).float(), cache

    def loss(
        self,
        tokens: Tensor,
        targets: Tensor,
        documents: Tensor | None = None,
        weights: Tensor | None = None,
        *,
        total: float | None = None,
        z_loss: float = 0.0,
    ) -> Tensor:
        """Mean cross-entropy in nats over targets [B, T] that are not `IGNORE`, weighted by `weights`.

        Args:
            total: what the sum of losses is divided by, where this batch is a part of a larger one; the sum
                of the weights by default.
            z_loss: see `edgelm.model.cross_entropy`.
        """
        hidden, _ = self.hidden(tokens, documents)
        flat, target = hidden.flatten(0, 1), targets.flatten()
        learnt, weight = target != IGNORE, target_weights(target, weights, total)
        if hidden.device.type == "cpu" and int(learnt.sum()) * 2 < len(target):  # answers only
            chosen = learnt.nonzero().squeeze(1)
            flat, target, weight = flat.index_select(0, chosen), target[chosen], weight[chosen]
        smoothing = self.label_smoothing if self.training else 0.0
        return cross_entropy(flat, self.output, target.clamp(min=0), weight, z_loss, smoothing)


def target_weights(target: Tensor, weights: Tensor | None, total: float | None) -> Tensor:
    """How much each target counts, float32 [N], of a loss that is a mean. Arguments as `Decoder.loss`."""
    learnt = target != IGNORE
    weight = learnt.float() if weights is None else weights.flatten() * learnt
    return weight / (weight.sum() if total is None else total)
