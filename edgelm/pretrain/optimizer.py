"""Muon for the matrices inside the layers, AdamW for embedding and norms; or AdamW alone."""

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgelm.pretrain.distributed import like, whole

STEPS = 5


class Muon(torch.optim.Optimizer):
    """Momentum with an orthogonalised update (Jordan et al., 2024) of AdamW's size (Liu et al., 2025).

    It is `torch.optim.Muon` but for three things: the type it computes in (that one always takes bfloat16,
    twenty times slower on a processor that has no instructions for it), matrices of one shape go through the
    iteration together on a GPU, and weights may be sharded over processes.
    """

    def __init__(
        self,
        weights: list[nn.Parameter] | list[dict[str, Any]],
        weight_decay: float,
        dtype: torch.dtype,
        momentum: float = 0.95,
    ):
        super().__init__(weights, {"lr": 0.0, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    shapes.setdefault(weight.shape, []).append(weight)
            for weights in shapes.values():
                self._step_together(weights, group["lr"], group["weight_decay"], group["momentum"])

    def _step_together(
        self, weights: list[Tensor], rate: float, weight_decay: float, momentum: float
    ) -> None:
        directions = []
        for weight in weights:
            gradient = weight.grad
            assert gradient is not None
            state = self.state[weight]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(weight)
            buffer = state["momentum_buffer"]
            buffer.lerp_(gradient, 1 - momentum)
            directions.append(whole(gradient.lerp(buffer, momentum)).to(self.dtype))  # Nesterov's
        if directions[0].is_cuda:
            updates = list(orthogonalise(torch.stack(directions)))
        else:  # a tenth faster there than together
            updates = [orthogonalise(direction) for direction in directions]
        for weight, update in zip(weights, updates, strict=True):
            weight.mul_(1 - rate * weight_decay)
            weight.add_(like(update.to(weight.dtype), weight), alpha=-rate * 0.2 * max(weight.shape) ** 0.5)


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly: all singular values between about 0.7 and 1.2.

    Newton and Schulz's iteration with the quintic coefficients of Jordan et al., in the type of `matrices`
    [M, N] or, several together, [B, M, N].
    """
    add = torch.addmm if matrices.dim() == 2 else torch.baddbmm
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = add(x, add(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.mT if tall else x


def make_optimizers(
    model: nn.Module,
    weight_decay: float,
    dtype: torch.dtype = torch.float32,
    kind: Literal["muon", "adamw"] = "muon",
    layer_decay: float = 1.0,
) -> list[torch.optim.Optimizer]:
    """Muon, computing in `dtype`, and AdamW, both taking the same learning rate; or AdamW alone.

    Weight decay is for matrices: with Muon those inside the layers, with AdamW the embedding too. Weights
    that need no gradient are left out. With a `layer_decay` of g, layer l of L learns at g^(L - l) of the
    rate, counted from 1, the embedding at g^L, head and last norm at the whole rate: the group's `scale`.
    """
    depth = 1 + max((_layer(name) for name, _ in model.named_parameters()), default=0)
    matrices: dict[float, list[nn.Parameter]] = {}
    rest: dict[float, list[nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        inside = weight.dim() == 2 and (kind == "adamw" or "layers." in name)
        if "embed_tokens." in name:
            below = depth
        else:
            below = depth - 1 - _layer(name) if "layers." in name else 0
        (matrices if inside else rest).setdefault(layer_decay**below, []).append(weight)
    groups = [_groups(part) for part in (matrices, rest)]
    adamw = partial(torch.optim.AdamW, lr=0.0, betas=(0.9, 0.95), fused=True)
    for group in groups[1]:
        group["weight_decay"] = 0.0
    if kind == "adamw":
        for group in groups[0]:
            group["weight_decay"] = weight_decay
        return [adamw([*groups[0], *groups[1]])]
    made: list[torch.optim.Optimizer] = [Muon(groups[0], weight_decay, dtype)] if groups[0] else []
    return [*made, adamw(groups[1])] if groups[1] else made


def _groups(weights: dict[float, list[nn.Parameter]]) -> list[dict[str, Any]]:
    return [{"params": part, "scale": scale} for scale, part in weights.items()]


def _layer(name: str) -> int:
    """Number of the layer that a weight is of, from its name; 0 outside the layers."""
    return int(name.split("layers.", 1)[1].split(".", 1)[0]) if "layers." in name else 0


def optimizer_state(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """All state tensors by `optimizer.parameter.name`; sharded ones stay so."""
    return {
        f"{number}.{index}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for number, optimizer in enumerate(optimizers)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizers(optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_state` took."""
    for number, optimizer in enumerate(optimizers):
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            owner, index, name = key.split(".", 2)
            if int(owner) == number:
                weight = weights[int(index)]
                state.setdefault(int(index), {})[name] = like(value, weight) if value.dim() else value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
