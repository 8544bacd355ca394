"""Muon for the matrices inside the layers, AdamW for embedding and norms; and the learning rate over time."""

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """Momentum with an orthogonalised update (Jordan et al., 2024) of AdamW's size (Liu et al., 2025).

    It is `torch.optim.Muon` but for the type it computes in: that one always takes bfloat16, which is twenty
    times slower on a processor that has no instructions for it.
    """

    def __init__(
        self, weights: list[nn.Parameter], weight_decay: float, dtype: torch.dtype, momentum: float = 0.95
    ):
        super().__init__(weights, {"lr": 0.0, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                buffer = self.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight))
                buffer.lerp_(weight.grad, 1 - group["momentum"])
                update = orthogonalise(weight.grad.lerp(buffer, group["momentum"]), self.dtype)  # Nesterov's
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update, alpha=-group["lr"] * 0.2 * max(weight.shape) ** 0.5)


def orthogonalise(matrix: Tensor, dtype: torch.dtype, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly: all singular values between about 0.7 and 1.2.

    Newton and Schulz's iteration with the quintic coefficients of Jordan et al.
    """
    x = matrix.to(dtype)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.T if tall else x).to(matrix.dtype)


def make_optimizers(
    model: nn.Module, weight_decay: float, dtype: torch.dtype = torch.float32
) -> list[torch.optim.Optimizer]:
    """Muon, computing in `dtype`, and AdamW, both taking the same learning rate."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        (matrices if weight.dim() == 2 and "embed" not in name else rest).append(weight)
    return [
        Muon(matrices, weight_decay, dtype),
        torch.optim.AdamW(rest, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def learning_rate(step: int, steps: int, peak: float, warmup: int, decay: float = 0.5) -> float:
    """Warm-up, stable, decay: linear up over `warmup` steps, linear to zero over the last `decay` share."""
    if step < warmup:
        return peak * (step + 1) / warmup
    falling = max(int(steps * decay), 1)
    return peak * min(1.0, (steps - step) / falling)


def optimizer_state(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """All state tensors by `optimizer.parameter.name`, to be saved as safetensors."""
    return {
        f"{number}.{index}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for number, optimizer in enumerate(optimizers)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizers(optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_state` took."""
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            owner, index, name = key.split(".", 2)
            if int(owner) == number:
                state.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
