"""Muon for the matrices inside the layers, AdamW for embedding and norms; and the learning rate over time."""

import torch
from torch import Tensor, nn


def make_optimizers(model: nn.Module, weight_decay: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024; scaled to AdamW's update size) and AdamW, both at the same learning rate."""
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    for name, weight in model.named_parameters():
        (matrices if weight.dim() == 2 and "embed" not in name else rest).append(weight)
    return [
        torch.optim.Muon(matrices, lr=0.0, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
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
