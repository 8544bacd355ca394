"""How far a decoder's next-token distributions are from another's, without ever holding the logits of a whole
batch: a chunk of tokens at a time goes through both heads, the divergence and straight back, as in
`edgelm.model.cross_entropy`."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from edgelm.model.cross_entropy import CHUNK_LOGITS, CUDA_CHUNK_LOGITS


def divergence(
    hidden: Tensor, head: Tensor, parent_hidden: Tensor, parent_head: Tensor, weights: Tensor
) -> Tensor:
    """Sum of weights[i] * KL(parent || child) in nats at token i, a float32 scalar.

    Gradients go to the child alone (Hinton et al., 2015, at temperature 1).

    Args:
        hidden, parent_hidden: final hidden states [N, E] of child and parent.
        head, parent_head: output matrices [V, E]; computed with in the type of the hidden states.
        weights: how much each token counts, float32 [N].
    """
    learn = torch.is_grad_enabled()
    return _Chunked.apply(hidden, head, parent_hidden.detach(), parent_head.detach(), weights, learn)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        head: Tensor,
        parent_hidden: Tensor,
        parent_head: Tensor,
        weights: Tensor,
        learn: bool,
    ) -> Tensor:
        matrix, parent_matrix = head.to(hidden.dtype), parent_head.to(parent_hidden.dtype)
        learn = learn and any(ctx.needs_input_grad[:2])
        grad_hidden = torch.empty_like(hidden) if learn else None
        grad_head = torch.zeros_like(head) if learn and ctx.needs_input_grad[1] else None
        total = hidden.new_zeros((), dtype=torch.float32)
        limit = CUDA_CHUNK_LOGITS if hidden.is_cuda else CHUNK_LOGITS
        rows = max(limit // len(matrix), 1)
        for start in range(0, len(hidden), rows):
            part = slice(start, start + rows)
            weight = weights[part, None]
            child = F.log_softmax((hidden[part] @ matrix.T).float(), dim=1)
            parent = F.log_softmax((parent_hidden[part] @ parent_matrix.T).float(), dim=1)
            likely = parent.exp()
            total += (likely * parent.sub_(child)).sum(1) @ weight[:, 0]
            if grad_hidden is not None:
                logits = child.exp_().sub_(likely).mul_(weight).to(hidden.dtype)
                torch.mm(logits, matrix, out=grad_hidden[part])
                if grad_head is not None:
                    grad_head += logits.T @ hidden[part]
        ctx.save_for_backward(grad_hidden, grad_head)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_head = ctx.saved_tensors
        below = grad_hidden * grad.to(grad_hidden.dtype)
        return below, None if grad_head is None else grad_head * grad, None, None, None, None
