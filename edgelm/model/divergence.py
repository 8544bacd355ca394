"""How far a decoder's next-token distributions are from another's, without ever holding the logits of a whole
batch."""

import torch.nn.functional as F
from torch import Tensor

from edgelm.model.cross_entropy import chunked


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
    known, matrix = parent_hidden.detach(), parent_head.detach().to(parent_hidden.dtype)

    def step(logits: Tensor, part: slice) -> Tensor:
        weight = weights[part, None]
        child = F.log_softmax(logits.float(), dim=1)
        parent = F.log_softmax((known[part] @ matrix.T).float(), dim=1)
        likely = parent.exp()
        total = (likely * parent.sub_(child)).sum(1) @ weight[:, 0]
        logits.copy_(child.exp_().sub_(likely).mul_(weight))
        return total

    return chunked(hidden, head, step)
