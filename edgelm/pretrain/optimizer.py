"""Muon for the matrices inside the layers, AdamW for embedding and norms; or AdamW alone."""

from functools import partial
from typing import Literal

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
        self, weights: list[nn.Parameter], weight_decay: float, dtype: torch.dtype, momentum: float = 0.95
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
) -> list[torch.optim.Optimizer]:
    """Muon, computing in `dtype`, and AdamW, both taking the same learning rate; or AdamW alone.

    Weight decay is for matrices: with Muon those inside the layers, with AdamW the embedding too.
    """
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        inside = weight.dim() == 2 and (kind == "adamw" or "layers." in name)
        (matrices if inside else rest).append(weight)
    adamw = partial(torch.optim.AdamW, lr=0.0, betas=(0.9, 0.95), fused=True)
    if kind == "adamw":
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
        return [adamw(groups)]
    return [Muon(matrices, weight_decay, dtype), adamw(rest, weight_decay=0.0)]


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
