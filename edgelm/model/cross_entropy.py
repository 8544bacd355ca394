"""Cross-entropy over a vocabulary without ever holding the logits of a whole batch.

A chunk of tokens at a time goes through the head, the loss and straight back: forward and backward take the
three matrix products that they must, and memory for one chunk (as Liger Kernel does, Hsu et al., 2024).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

CHUNK_LOGITS = 1 << 23
"""Logits in a chunk: 16 MB in bfloat16."""
CUDA_CHUNK_LOGITS = 1 << 27
"""The same on a GPU, which is fast on large products only: 256 MB."""
SLICE_LOGITS = 1 << 18
"""Logits whose softmax is computed at once without a compiler, so that its steps stay in the cache."""

Step = Callable[[Tensor, slice], Tensor]


def cross_entropy(
    hidden: Tensor,
    head: Tensor,
    targets: Tensor,
    weights: Tensor,
    z_loss: float = 0.0,
    smoothing: float = 0.0,
) -> Tensor:
    """Sum of weights[i] * cross-entropy in nats of token i, a float32 scalar.

    Args:
        hidden: final hidden states [N, E].
        head: output matrix [V, E]; computed with in the type of `hidden`.
        targets: ids [N].
        weights: how much each counts, float32 [N]; no gradient goes there.
        z_loss: adds this times the squared log-normaliser, which keeps logits small (Chowdhery et al., 2022).
        smoothing: share of each target that is spread evenly over all V (Szegedy et al., 2016).
    """
    return chunked(
        hidden,
        head,
        lambda logits, part: backward_logits(logits, targets[part], weights[part], z_loss, smoothing),
    )


def chunked(hidden: Tensor, head: Tensor, step: Step) -> Tensor:
    """Sum of a loss over tokens, a float32 scalar, the logits held a chunk at a time.

    Args:
        hidden: final hidden states [N, E].
        head: output matrix [V, E]; computed with in the type of `hidden`.
        step: the summed loss of the logits [n, V] of some of the tokens, which their gradients replace in
            place; told which tokens.
    """
    return _Chunked.apply(hidden, head, step, torch.is_grad_enabled())


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, step: Step, learn: bool) -> Tensor:
        matrix = head.to(hidden.dtype)
        learn = learn and any(ctx.needs_input_grad[:2])
        grad_hidden = torch.empty_like(hidden) if learn else None
        grad_head = torch.zeros_like(head) if learn and ctx.needs_input_grad[1] else None
        total = hidden.new_zeros((), dtype=torch.float32)
        limit = CUDA_CHUNK_LOGITS if hidden.is_cuda else CHUNK_LOGITS
        rows = max(limit // len(matrix), 1)
        for start in range(0, len(hidden), rows):
            part = slice(start, start + rows)
            logits = hidden[part] @ matrix.T
            total += step(logits, part)
            if grad_hidden is not None:
                torch.mm(logits, matrix, out=grad_hidden[part])
            if grad_head is not None:
                grad_head += logits.T @ hidden[part]
        ctx.save_for_backward(grad_hidden, grad_head)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_head = ctx.saved_tensors
        below = grad_hidden * grad.to(grad_hidden.dtype)
        return below, None if grad_head is None else grad_head * grad, None, None


def backward_logits(
    logits: Tensor, targets: Tensor, weights: Tensor, z_loss: float, smoothing: float = 0.0
) -> Tensor:
    """Sum of the weighted losses of logits [N, V], which their gradients replace in place."""
    total = logits.new_zeros((), dtype=torch.float32)
    rows = max(SLICE_LOGITS // logits.shape[1], 1) if logits.device.type == "cpu" else len(logits)
    for start in range(0, len(logits), rows):
        part = slice(start, start + rows)
        total += _softmax_step(logits[part], targets[part, None], weights[part, None], z_loss, smoothing)
    return total


def _softmax_step(logits: Tensor, target: Tensor, weight: Tensor, z_loss: float, smoothing: float) -> Tensor:
    wide = logits.float() if logits.dtype != torch.float32 else logits.clone()
    top = wide.amax(1, keepdim=True)
    chosen = wide.gather(1, target)
    if smoothing:
        chosen = (1 - smoothing) * chosen + smoothing * wide.mean(1, keepdim=True)
    powers = wide.sub_(top).exp_()
    mass = powers.sum(1, keepdim=True)
    normaliser = mass.log() + top  # the logarithm of the sum of all exponentials
    scale = weight * (1 + 2 * z_loss * normaliser) / mass
    own = powers.gather(1, target) * scale - weight * (1 - smoothing)
    torch.mul(powers, scale, out=logits)
    if smoothing:
        spread = weight * (smoothing / logits.shape[1])
        logits -= spread.to(logits.dtype)
        own -= spread
    logits.scatter_(1, target, own.to(logits.dtype))
    return ((normaliser - chosen + z_loss * normaliser.square()) * weight).sum()
